#pragma once

#include <filbert/export.h>

#include <string>
#include <vector>

namespace filbert {

// A device that can be named in LoadOptions::device, or the reason why it cannot.
struct DeviceInfo {
  std::string name;         // "cpu", "cuda:0"
  std::string description;  // processor and the instruction set in use
  bool available = false;
  std::string reason;             // why it is not available
  std::vector<std::string> isas;  // instruction sets that FILBERT_CPU_ISA may name here, best first
  std::string note;               // what to know of a dtype on this device, or empty
  int threads = 0;                // threads used by default
};

FILBERT_API std::vector<DeviceInfo> devices();

}  // namespace filbert
