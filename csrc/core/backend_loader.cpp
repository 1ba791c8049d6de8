#include "core/backend_loader.h"

#include <sstream>

#include "cpu/backend.h"

namespace filbert {
namespace {

constexpr char kNoCuda[] = "this version of filbert has no CUDA backend";

}  // namespace

std::unique_ptr<Ops> open_device(const std::string& name, int threads, DType dtype) {
  if (name == "cpu" || name == "auto") return std::make_unique<Ops>(cpu::backend(), 0, threads, backend_dtype(dtype));
  if (name.rfind("cuda", 0) == 0) throw DeviceError("device \"" + name + "\": " + kNoCuda);
  throw DeviceError("device \"" + name + "\" is unknown; expected \"cpu\", \"auto\", \"cuda\" or \"cuda:N\"");
}

std::vector<DeviceInfo> devices() {
  DeviceInfo cpu;
  cpu.name = "cpu";
  try {
    const filbert_device_description found = open_device("cpu", 0, DType::bf16)->device();
    cpu.available = true;
    cpu.description = std::string(found.name) + ", " + found.isa;
    cpu.bf16_note = found.note;
    cpu.threads = found.threads;
    std::istringstream names(found.isas);
    for (std::string isa; std::getline(names, isa, ',');) cpu.isas.push_back(isa);
  } catch (const Error& error) {
    cpu.reason = error.what();
  }
  DeviceInfo cuda;
  cuda.name = "cuda";
  cuda.reason = kNoCuda;
  return {cpu, cuda};
}

}  // namespace filbert
