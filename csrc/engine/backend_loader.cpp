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

// Looked for once. Without a lock that a fork could leave locked, and never destroyed: threads may still run while the
// process ends.
const Plugin& cuda_plugin() {
  static std::atomic<const Plugin*> known{nullptr};
  if (const Plugin* plugin = known.load(std::memory_order_acquire)) return *plugin;
  auto made = std::make_unique<const Plugin>(find_plugin("cuda"));
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

// Whether there is a GPU to use. Throws DeviceError if there might be one, but for a fault.
bool is_there_cuda() {
  const Plugin& plugin = cuda_plugin();
  if (!plugin.table) {
    if (plugin.is_fault) throw DeviceError("cuda: " + plugin.reason);
    return false;
  }
  filbert_device_description found = {};
  const filbert_status status = plugin.table->probe(0, &found);
  if (status == FILBERT_OK || status == FILBERT_UNAVAILABLE) return status == FILBERT_OK;
  throw DeviceError("cuda: " + std::string(plugin.table->error_message()));
}

DeviceInfo describe(const std::string& name, const filbert_device_description& found) {
  DeviceInfo info;
  info.name = name;
  info.available = true;
  info.description = std::string(found.name) + ", " + found.isa;
  info.note = found.note;
  info.threads = found.threads;
  std::istringstream names(found.isas);
  for (std::string isa; std::getline(names, isa, ',');) info.isas.push_back(isa);
  return info;
}

DeviceInfo unavailable(const char* name, const std::string& reason) {
  DeviceInfo info;
  info.name = name;
  info.reason = std::string(name) + ": " + reason;
  return info;
}

}  // namespace

OpenedDevice open_device(const std::string& name, int threads, DType dtype) {
  if (name == "cpu") return open_cpu(threads, dtype);
  if (name == "auto") return is_there_cuda() ? open_cuda(0, threads, dtype) : open_cpu(threads, dtype);
  if (const int index = cuda_index(name); index >= 0) return open_cuda(index, threads, dtype);
  throw DeviceError("device \"" + name + "\" is unknown; expected \"cpu\", \"auto\", \"cuda\" or \"cuda:N\"");
}

std::vector<DeviceInfo> devices() {
  std::vector<DeviceInfo> result;
  filbert_device_description found = {};
  const filbert_backend* cpu = cpu::backend();
  result.push_back(cpu->probe(0, &found) == FILBERT_OK ? describe("cpu", found)
                                                       : unavailable("cpu", cpu->error_message()));
  const Plugin& plugin = cuda_plugin();
  int index = 0;
  while (plugin.table && plugin.table->probe(index, &found) == FILBERT_OK)
    result.push_back(describe("cuda:" + std::to_string(index++), found));
  if (index == 0) result.push_back(unavailable("cuda", plugin.table ? plugin.table->error_message() : plugin.reason));
  return result;
}

}  // namespace filbert
