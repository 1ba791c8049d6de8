// model.safetensors.index.json: which shard holds which tensor, and where a shard's name may lead.
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

// Every shard is a plain file name that ends in .safetensors. Throws WeightsError with `source` (a path).
ShardIndex parse_shard_index(std::string_view text, const std::string& source);

// Reads the file and parses it. Throws also FileError.
ShardIndex read_shard_index(const std::string& path);

// The path to open for a shard beside the index: the target, where the shard is a symbolic link. A link may lead to a
// file in the same folder or, as the hub's cache has it, from snapshots/REVISION/ into blobs/ of the same repository;
// any other is a WeightsError. A shard that does not exist is returned as it is.
std::string resolve_shard(const std::string& index_path, const std::string& shard);

// The folder of a path, ending in '/', or "" if it has none.
std::string parent_folder(const std::string& path);

}  // namespace filbert
