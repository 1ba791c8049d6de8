// The safetensors reader: WeightsError, or tensors that lie inside the input.
#include <filbert/error.h>

#include <cstdlib>

#include "../cpp/make_safetensors.h"
#include "files/safetensors.h"
#include "fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  try {
    const filbert::SafetensorsFile file = filbert::parse_safetensors(bytes, size, "fuzz");
    for (const auto& [name, view] : file.tensors) {
      const auto begin = static_cast<std::size_t>(view.data - bytes);
      if (begin > size || view.bytes > size - begin) std::abort();
    }
  } catch (const filbert::WeightsError&) {
  }
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  using namespace filbert::testing;
  return {
      make_safetensors({{"embeddings.LayerNorm.weight", {4}}, {"x", {2, 3}, "BF16", 2}, {"y", {0}, "I64", 8}}),
      raw_safetensors(
          R"({"__metadata__":{"format":"pt","k":"v"},"a":{"dtype":"F4","shape":[2,4],"data_offsets":[0,4]}} )", 4),
      raw_safetensors("{" + tensor_json("b", "F32", "[]", 4, 8) + "," + tensor_json("a", "F32", "[1,1]", 0, 4) + "}",
                      8),
      raw_safetensors("{}"),
  };
}
