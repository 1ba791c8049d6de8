// From a device name to an opened backend.
#pragma once

#include <filbert/device.h>
#include <filbert/weights.h>

#include <memory>
#include <string>

#include "engine/ops.h"

namespace filbert {

struct OpenedDevice {
  std::string name;  // "cpu", "cuda:0"
  std::unique_ptr<Ops> ops;
};

// "cpu", "cuda" (the first one), "cuda:N", or "auto": CUDA, or the CPU where there is no GPU to use. A named device
// that is not there is a DeviceError with the reason, never another device.
OpenedDevice open_device(const std::string& name, int threads, DType dtype);

}  // namespace filbert
