#include "files/shard_index.h"

#include <filbert/error.h>
#include <filbert/weights.h>

#include <algorithm>

#include "files/json.h"
#include "files/mmap.h"
#include "files/stand_in.h"
#include "files/text.h"

namespace filbert {
namespace {

constexpr std::size_t kLongestName = 255;  // of a file, or of a folder on the way to it
constexpr std::size_t kLongestPath = 4096;

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName && name != "." && name != "..";
}

// Unpaired surrogates as the JSON reader leaves them; nothing else has these two bytes side by side.
bool has_surrogate(std::string_view text) {
  const auto is_half = [](char a, char b) { return a == '\xed' && static_cast<unsigned char>(b) >= 0xa0; };
  return std::adjacent_find(text.begin(), text.end(), is_half) != text.end();
}

bool is_path_below(std::string_view path, std::string_view suffix) {
  if (path.size() > kLongestPath || !path.ends_with(suffix) || has_surrogate(path)) return false;
  const bool has_bad_character = std::any_of(path.begin(), path.end(), [](char c) {
    return c == '\\' || c == ':' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (has_bad_character) return false;
  std::string_view rest = path;
  for (std::size_t slash; (slash = rest.find('/')) != std::string_view::npos; rest.remove_prefix(slash + 1)) {
    if (!is_plain_name(rest.substr(0, slash))) return false;
  }
  return is_plain_name(rest) && rest != suffix;
}

}  // namespace

std::string parent_folder(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

std::string_view shard_suffix(std::string_view index_path) {
  const std::string_view name = index_path.substr(index_path.rfind('/') + 1);
  return name.find(".bin") != std::string_view::npos && name.find(".safetensors") == std::string_view::npos
             ? ".bin"
             : ".safetensors";
}

ShardIndex parse_shard_index(std::string_view text, const std::string& source) {
  const auto fail = [&source](const std::string& message) { throw WeightsError(source + ": " + message); };
  if (const std::string found = stand_in(text); !found.empty()) fail(found + ", expected a JSON object");
  JsonValue root;
  try {
    root = parse_json(text, {.python = true});
  } catch (const JsonError& error) {
    fail(error.what());
  }
  if (root.object() == nullptr) fail("found " + root.describe() + ", expected a JSON object");
  const JsonValue* weight_map = root.object()->find("weight_map");
  if (weight_map == nullptr) fail("weight_map is missing");
  if (weight_map->object() == nullptr) fail("weight_map: found " + weight_map->describe() + ", expected an object");
  if (weight_map->object()->members().empty()) fail("weight_map is empty");

  const std::string suffix(shard_suffix(source));
  ShardIndex index;
  for (const auto& [tensor, value] : weight_map->object()->members()) {
    const std::string* shard = value.string();
    if (shard == nullptr) {
      fail("weight_map: tensor " + quote(tensor) + ": found " + value.describe() + ", expected a string");
    }
    if (has_surrogate(tensor)) fail("weight_map: tensor " + quote(tensor) + ": found an unpaired surrogate");
    if (!is_path_below(*shard, suffix)) {
      fail("weight_map: tensor " + quote(tensor) + ": found shard " + quote(*shard) + ", expected the name of a " +
           suffix + " file beside the index or in a folder there");
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

std::vector<std::string> shard_names(const std::string& index_path) { return read_shard_index(index_path).shards; }

std::map<std::string, std::string> weight_map(const std::string& index_path) {
  return read_shard_index(index_path).weight_map;
}

}  // namespace filbert
