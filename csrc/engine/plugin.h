// Backends that are not linked in: shared libraries beside libfilbert, or in FILBERT_BACKEND_DIR.
#pragma once

#include <filbert/backend.h>

#include <string>

namespace filbert {

struct Plugin {
  const filbert_backend* table = nullptr;
  std::string reason;     // why there is none
  bool is_fault = false;  // that is not as it should be: more than that there is no such plug-in
};

// Opens libfilbert_NAME.so in a folder. An opened library stays open.
Plugin open_plugin(const std::string& folder, const std::string& name);

// The same in FILBERT_BACKEND_DIR, an absolute path, or else beside libfilbert.
Plugin find_plugin(const std::string& name);

}  // namespace filbert
