#include "core/shard_index.h"

#include <filbert/error.h>
#include <filbert/weights.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <optional>
#include <system_error>

#include "core/json.h"
#include "core/mmap.h"
#include "core/text.h"

namespace filbert {
namespace {

constexpr std::size_t kLongestName = 255;

bool is_plain_file_name(std::string_view name) {
  constexpr std::string_view kSuffix = ".safetensors";
  if (name.size() > kLongestName || name.size() <= kSuffix.size() || !name.ends_with(kSuffix)) return false;
  return std::none_of(name.begin(), name.end(), [](char c) {
    return c == '/' || c == '\\' || c == ':' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
}

// The path with every link resolved; nullopt if it leads nowhere.
std::optional<std::string> real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> resolved(::realpath(path.c_str(), nullptr), &std::free);
  if (resolved) return std::string(resolved.get());
  if (errno == ENOENT) return std::nullopt;
  if (errno == ENOMEM) throw std::bad_alloc();
  throw FileError(path + ": cannot resolve: " + std::generic_category().message(errno), errno);
}

// "REPO/blobs/" for a folder "REPO/snapshots/REVISION[/subfolder...]/"; empty for any other.
std::string blobs_folder(const std::string& folder) {
  const std::size_t snapshots = folder.rfind("/snapshots/");
  if (snapshots == std::string::npos) return "";
  return folder.substr(0, snapshots) + "/blobs/";
}

bool is_directly_in(const std::string& path, const std::string& folder) {
  return !folder.empty() && path.starts_with(folder) && path.find('/', folder.size()) == std::string::npos;
}

}  // namespace

std::string parent_folder(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

ShardIndex parse_shard_index(std::string_view text, const std::string& source) {
  const auto fail = [&source](const std::string& message) { throw WeightsError(source + ": " + message); };
  JsonValue root;
  try {
    root = parse_json(text);
  } catch (const JsonError& error) {
    fail(error.what());
  }
  if (root.object() == nullptr) fail("found " + root.describe() + ", expected a JSON object");
  const JsonValue* weight_map = root.object()->find("weight_map");
  if (weight_map == nullptr) fail("weight_map is missing");
  if (weight_map->object() == nullptr) fail("weight_map: found " + weight_map->describe() + ", expected an object");
  if (weight_map->object()->members().empty()) fail("weight_map is empty");

  ShardIndex index;
  for (const auto& [tensor, value] : weight_map->object()->members()) {
    const std::string* shard = value.string();
    if (shard == nullptr) {
      fail("weight_map: tensor " + quote(tensor) + ": found " + value.describe() + ", expected a string");
    }
    if (!is_plain_file_name(*shard)) {
      fail("weight_map: tensor " + quote(tensor) + ": found shard " + quote(*shard) +
           ", expected the name of a .safetensors file beside the index");
    }
    index.weight_map.emplace(tensor, *shard);
    index.shards.push_back(*shard);
  }
  std::sort(index.shards.begin(), index.shards.end());
  index.shards.erase(std::unique(index.shards.begin(), index.shards.end()), index.shards.end());
  return index;
}

ShardIndex read_shard_index(const std::string& path) {
  const auto file = FileBytes::open(path, FileBytes::Mode::map);
  return parse_shard_index({reinterpret_cast<const char*>(file->data()), file->size()}, path);
}

std::string resolve_shard(const std::string& index_path, const std::string& shard) {
  const std::string folder = parent_folder(index_path);
  const std::string path = folder + shard;
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISLNK(status.st_mode)) return path;
  const std::optional<std::string> target = real_path(path);
  const std::optional<std::string> real_folder = real_path(folder.empty() ? "." : folder);
  if (!target || !real_folder) return path;
  const std::string here = *real_folder == "/" ? *real_folder : *real_folder + "/";
  if (is_directly_in(*target, here) || is_directly_in(*target, blobs_folder(here))) return *target;
  throw WeightsError(index_path + ": shard " + quote(shard) + " is a symbolic link to " + quote(*target) +
                     ", expected a file in the same folder or in the blobs folder of the same cache");
}

std::vector<std::string> shard_names(const std::string& index_path) {
  std::vector<std::string> shards = read_shard_index(index_path).shards;
  for (const std::string& shard : shards) resolve_shard(index_path, shard);
  return shards;
}

}  // namespace filbert
