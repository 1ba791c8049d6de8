// What each fuzz_*.cpp defines: the libFuzzer entry, and seeds for the standalone mutator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

// Inputs near which the interesting ones lie.
std::vector<std::string> fuzz_seeds();

inline std::string_view fuzz_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}
