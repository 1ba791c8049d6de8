#include "engine/backend_loader.h"

#include <atomic>
#include <charconv>
#include <memory>
#include <sstream>

#include "engine/plugin.h"

// The backend that is linked in: the only name of one that the engine knows.
namespace filbert::cpu {
const filbert_backend* backend();
}

namespace filbert {
namespace {

struct Plugin {
  const filbert_backend* table = nullptr;
  std::string reason;
};

Plugin find_cuda_plugin() {
  Plugin found;
  const std::string folder = plugin_folder(found.reason);
  if (!folder.empty()) found.table = open_plugin(folder, "cuda", found.reason);
  return found;
}

// Looked for once. Without a lock that a fork could leave locked, and never destroyed: threads may still run while the
// process ends.
const Plugin& cuda_plugin() {
  static std::atomic<const Plugin*> known{nullptr};
  if (const Plugin* plugin = known.load(std::memory_order_acquire)) return *plugin;
  auto made = std::make_unique<const Plugin>(find_cuda_plugin());
  const Plugin* first = nullptr;
  return known.compare_exchange_strong(first, made.get()) ? *made.release() : *first;
}

OpenedDevice open_cpu(int threads, DType dtype) {
  return {"cpu", std::make_unique<Ops>(cpu::backend(), 0, threads, backend_dtype(dtype))};
}

OpenedDevice open_cuda(int index, int threads, DType dtype) {
  const Plugin& plugin = cuda_plugin();
  if (!plugin.table) throw DeviceError("cuda: " + plugin.reason);
  return {"cuda:" + std::to_string(index), std::make_unique<Ops>(plugin.table, index, threads, backend_dtype(dtype))};
}

// The index of "cuda" or "cuda:N", or -1.
int cuda_index(const std::string& name) {
  if (name == "cuda") return 0;
  if (name.rfind("cuda:", 0) != 0) return -1;
  int index = -1;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + 5, end, index);
  return error == std::errc() && stop == end && name[5] != '-' ? index : -1;
}

DeviceInfo describe(const OpenedDevice& device) {
  const filbert_device_description& found = device.ops->device();
  DeviceInfo info;
  info.name = device.name;
  info.available = true;
  info.description = std::string(found.name) + ", " + found.isa;
  info.bf16_note = found.note;
  info.threads = found.threads;
  std::istringstream names(found.isas);
  for (std::string isa; std::getline(names, isa, ',');) info.isas.push_back(isa);
  return info;
}

DeviceInfo unavailable(const char* name, const Error& error) {
  DeviceInfo info;
  info.name = name;
  info.reason = error.what();
  return info;
}

}  // namespace

OpenedDevice open_device(const std::string& name, int threads, DType dtype) {
  if (name == "cpu") return open_cpu(threads, dtype);
  if (name == "auto") {
    try {
      return open_cuda(0, threads, dtype);
    } catch (const DeviceError&) {
      return open_cpu(threads, dtype);
    }
  }
  if (const int index = cuda_index(name); index >= 0) return open_cuda(index, threads, dtype);
  throw DeviceError("device \"" + name + "\" is unknown; expected \"cpu\", \"auto\", \"cuda\" or \"cuda:N\"");
}

std::vector<DeviceInfo> devices() {
  std::vector<DeviceInfo> found;
  try {
    found.push_back(describe(open_cpu(0, DType::bf16)));
  } catch (const Error& error) {
    found.push_back(unavailable("cpu", error));
  }
  try {
    for (int index = 0;; ++index) found.push_back(describe(open_cuda(index, 0, DType::bf16)));
  } catch (const DeviceError& error) {  // of the first index that is not there
    if (found.size() == 1) found.push_back(unavailable("cuda", error));
  }
  return found;
}

}  // namespace filbert
