#include "engine/plugin.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>

namespace filbert {

std::string plugin_folder(std::string& reason) {
  if (const char* folder = std::getenv("FILBERT_BACKEND_DIR"); folder && *folder) {
    if (folder[0] == '/') return folder;
    reason = "FILBERT_BACKEND_DIR=" + std::string(folder) + ": expected an absolute path";
    return {};
  }
  static const char here = 0;
  Dl_info library = {};
  if (!dladdr(&here, &library) || !library.dli_fname) {
    reason = "the folder of libfilbert cannot be found";
    return {};
  }
  const std::string path = library.dli_fname;
  const std::size_t slash = path.rfind('/');
  if (path[0] != '/' || slash == std::string::npos) {
    reason = "libfilbert was opened as " + path + ", so its folder is not known; set FILBERT_BACKEND_DIR";
    return {};
  }
  return path.substr(0, slash);
}

const filbert_backend* open_plugin(const std::string& folder, const std::string& name, std::string& reason) {
  const std::string path = folder + "/libfilbert_" + name + ".so";
  if (access(path.c_str(), F_OK) != 0) {
    reason = "this filbert was built without it: there is no " + path;
    return nullptr;
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    reason = dlerror();
    return nullptr;
  }
  using Entry = const filbert_backend* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(library, "filbert_backend_entry"));
  if (!entry) {
    reason = path + ": it has no filbert_backend_entry";
    return nullptr;
  }
  const filbert_backend* table = entry();
  if (table->abi != FILBERT_BACKEND_ABI) {
    reason = path + ": it is of another version of filbert: its op table has number " + std::to_string(table->abi) +
             ", expected " + std::to_string(FILBERT_BACKEND_ABI);
    return nullptr;
  }
  return table;
}

}  // namespace filbert
