// From a device name to an opened backend.
#pragma once

#include <filbert/device.h>
#include <filbert/weights.h>

#include <memory>
#include <string>

#include "core/ops.h"

namespace filbert {

// "cpu" or "auto"; a device that is not there is a DeviceError with the reason, never another device.
std::unique_ptr<Ops> open_device(const std::string& name, int threads, DType dtype);

}  // namespace filbert
