// model.safetensors.index.json and pytorch_model.bin.index.json: which shard holds which tensor, and where a shard's
// name may lead.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace filbert {

struct ShardIndex {
  std::map<std::string, std::string> weight_map;  // tensor -> shard
  std::vector<std::string> shards;                // sorted, each once
};

// Every shard is the name of a file beside the index or in a folder there, and ends as the index's own name says: in
// .bin for pytorch_model.bin.index.json, else in .safetensors. Whether the file, or a folder on the way, is a link does
// not matter: whoever has the folder made it. Throws WeightsError with `source` (the index's path).
ShardIndex parse_shard_index(std::string_view text, const std::string& source);

// Reads the file and parses it. Throws also FileError.
ShardIndex read_shard_index(const std::string& path);

// What the names of the shards end in, by the name of the index: ".bin" or ".safetensors".
std::string_view shard_suffix(std::string_view index_path);

// The folder of a path, ending in '/', or "" if it has none.
std::string parent_folder(const std::string& path);

}  // namespace filbert
