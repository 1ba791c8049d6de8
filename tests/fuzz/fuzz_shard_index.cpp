// The shard index: WeightsError, or names that stay beside it or below.
#include <filbert/error.h>

#include <cstdlib>

#include "files/shard_index.h"
#include "fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const char* source : {"model.safetensors.index.json", "pytorch_model.bin.index.json"}) {
    try {
      const filbert::ShardIndex index = filbert::parse_shard_index(fuzz_text(data, size), source);
      for (const std::string& shard : index.shards) {
        if (shard.find_first_of(std::string("\\:\0", 3)) != std::string::npos) std::abort();
        const std::string path = "/" + shard + "/";
        for (const char* bad : {"//", "/./", "/../"}) {
          if (path.find(bad) != std::string::npos) std::abort();
        }
      }
    } catch (const filbert::WeightsError&) {
    }
  }
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  return {
      R"({"metadata":{"total_size":16},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}})",
      R"({"weight_map":{"a":"../x.safetensors"}})",
      R"({"metadata":{"total_size":NaN},"weight_map":{"a":"shards/1.bin","b":"shards/deep/../2.bin","c":"./3.bin"}})",
      R"({"weight_map":{"a":"shards/x.safetensors","b":"shards//y.safetensors","c":"/z.safetensors"}})",
      R"({"weight_map":{"a":"x\u0000.safetensors","a":"\u002e\u002e/y.safetensors"}})",
  };
}
