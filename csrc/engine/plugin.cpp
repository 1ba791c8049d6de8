#include "engine/plugin.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>

namespace filbert {

Plugin open_plugin(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/libfilbert_" + name + ".so";
  if (access(path.c_str(), F_OK) != 0) return {nullptr, "this filbert was built without it: there is no " + path};
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) return {nullptr, dlerror(), true};
  using Entry = const filbert_backend* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(library, "filbert_backend_entry"));
  if (!entry) return {nullptr, path + ": it has no filbert_backend_entry", true};
  const filbert_backend* table = entry();
  if (table->abi == FILBERT_BACKEND_ABI) return {table, ""};
  return {nullptr,
          path + ": it is of another version of filbert: its op table has number " + std::to_string(table->abi) +
              ", expected " + std::to_string(FILBERT_BACKEND_ABI),
          true};
}

Plugin find_plugin(const std::string& name) {
  if (const char* folder = std::getenv("FILBERT_BACKEND_DIR"); folder && *folder) {
    if (folder[0] == '/') return open_plugin(folder, name);
    return {nullptr, "FILBERT_BACKEND_DIR=" + std::string(folder) + ": expected an absolute path", true};
  }
  static const char here = 0;
  Dl_info library = {};
  if (!dladdr(&here, &library) || !library.dli_fname) return {nullptr, "the folder of libfilbert cannot be found"};
  const std::string path = library.dli_fname;
  const std::size_t slash = path.rfind('/');
  if (path[0] != '/' || slash == std::string::npos)
    return {nullptr, "libfilbert was opened as " + path + ", so its folder is not known; set FILBERT_BACKEND_DIR"};
  return open_plugin(path.substr(0, slash), name);
}

}  // namespace filbert
