#include <filbert/error.h>
#include <filbert/weights.h>
#include <sys/stat.h>

#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "files/dtype.h"
#include "files/mmap.h"
#include "files/safetensors.h"
#include "files/shard_index.h"
#include "files/text.h"

namespace filbert {
namespace {

constexpr const char* kSingleName = "model.safetensors";
constexpr const char* kIndexName = "model.safetensors.index.json";

bool exists(const std::string& path) {
  struct stat status = {};
  return ::stat(path.c_str(), &status) == 0;
}

bool is_folder(const std::string& path) {
  struct stat status = {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

std::string file_in_folder(const std::string& path) {
  const std::string folder = path.ends_with('/') ? path : path + "/";
  for (const char* name : {kSingleName, kIndexName}) {
    if (exists(folder + name)) return folder + name;
  }
  std::string message = path + ": found neither " + kSingleName + " nor " + kIndexName;
  for (const std::string name : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    if (exists(folder + name)) message += "; " + name + " is read by the Python package only";
  }
  throw FileError(message, ENOENT);
}

struct Shard {
  std::string path;  // as the messages name it
  std::shared_ptr<const FileBytes> bytes;
  SafetensorsFile file;
};

Shard open_file(const std::string& path, FileBytes::Mode mode) {
  Shard shard{path, FileBytes::open(path, mode), {}};
  shard.file = parse_safetensors(shard.bytes->data(), shard.bytes->size(), path);
  return shard;
}

// Leaves every tensor in the one shard where the index says it is. Tensors that the index does not know are kept.
// Throws if one of them is in two shards, or if a tensor of the index is not where it should be.
void place_tensors(const ShardIndex& index, const std::string& index_path, std::vector<Shard>& shards) {
  std::map<std::string, const std::string*> kept;       // tensor -> shard
  std::map<std::string, const std::string*> elsewhere;  // the same, of tensors that the index has in another shard
  for (std::size_t i = 0; i < shards.size(); ++i) {
    std::erase_if(shards[i].file.tensors, [&](const auto& tensor) {
      const std::string& name = tensor.first;
      const auto listed = index.weight_map.find(name);
      if (listed != index.weight_map.end() && listed->second != index.shards[i]) {
        elsewhere.emplace(name, &index.shards[i]);
        return true;
      }
      const auto [other, is_new] = kept.emplace(name, &index.shards[i]);
      if (!is_new) {
        throw WeightsError(index_path + ": tensor " + quote(name) + " is in both " + quote(*other->second) + " and " +
                           quote(index.shards[i]) + ", and the index names neither for it");
      }
      return false;
    });
  }
  for (const auto& [name, shard] : index.weight_map) {
    if (kept.contains(name)) continue;
    const auto place = elsewhere.find(name);
    throw WeightsError(index_path + ": tensor " + quote(name) + ": expected in " + quote(shard) + ", found in " +
                       (place == elsewhere.end() ? "no shard" : quote(*place->second)));
  }
}

std::vector<Shard> open_shards(const std::string& index_path, FileBytes::Mode mode) {
  if (shard_suffix(index_path) == ".bin") {
    throw WeightsError(index_path + ": shards of pytorch_model.bin are read by the Python package only");
  }
  const ShardIndex index = read_shard_index(index_path);
  std::vector<Shard> shards;
  for (const std::string& name : index.shards) {
    const std::string path = parent_folder(index_path) + name;
    try {
      shards.push_back(open_file(path, mode));
    } catch (const FileError& error) {
      if (error.error_number() != ENOENT) throw;
      throw WeightsError(index_path + ": shard " + quote(name) + " is missing: expected " + path);
    }
  }
  place_tensors(index, index_path, shards);
  return shards;
}

}  // namespace

Weights Weights::open(const std::string& path, bool use_mmap) {
  const FileBytes::Mode mode = use_mmap ? FileBytes::Mode::map : FileBytes::Mode::copy;
  const std::string file = is_folder(path) ? file_in_folder(path) : path;
  std::vector<Shard> shards;
  if (file.ends_with(".json")) {
    shards = open_shards(file, mode);
  } else {
    shards.push_back(open_file(file, mode));
  }
  Weights weights;
  weights.source_ = path;
  for (Shard& shard : shards) {
    if (shard.bytes->mapped()) weights.mappings_.emplace_back(shard.bytes->data(), shard.bytes->size());
    weights.owners_.push_back(std::move(shard.bytes));
    for (auto& [name, view] : shard.file.tensors) weights.tensors_.emplace(std::move(name), std::move(view));
  }
  return weights;
}

void Weights::add(const std::string& name, std::string_view dtype_name, std::vector<std::uint64_t> shape,
                  const void* data, std::size_t bytes, std::shared_ptr<const void> owner) {
  const auto fail = [&](const std::string& message) {
    throw WeightsError(source_ + ": tensor " + quote(name) + ": " + message);
  };
  const DTypeInfo* const dtype = find_dtype(dtype_name);
  if (dtype == nullptr) fail("unknown dtype " + quote(dtype_name));
  if (shape.size() > kMaxRank) fail("rank " + std::to_string(shape.size()) + ", expected at most 8");
  std::string problem;
  const std::optional<std::uint64_t> expected = tensor_bytes(*dtype, shape, problem);
  if (!expected) fail(shape_text(shape) + ": " + problem);
  if (*expected != bytes || (data == nullptr && bytes != 0)) {
    fail("found " + std::to_string(data == nullptr ? 0 : bytes) + " bytes, expected " + std::to_string(*expected) +
         " for " + std::string(dtype_name) + " " + shape_text(shape));
  }
  if (tensors_.contains(name)) fail("the name is taken");
  TensorView view{dtype->dtype, std::string(dtype_name), std::move(shape), static_cast<const std::byte*>(data), bytes};
  owners_.push_back(std::move(owner));
  tensors_.emplace(name, std::move(view));
}

const TensorView* Weights::find(const std::string& name) const& {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

void Weights::drop_pages() const {
  for (const auto& [data, size] : mappings_) drop_mapped_pages(data, size);
}

}  // namespace filbert
