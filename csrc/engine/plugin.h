// Backends that are not linked in: shared libraries beside libfilbert, or in FILBERT_BACKEND_DIR.
#pragma once

#include <filbert/backend.h>

#include <string>

namespace filbert {

// Opens libfilbert_NAME.so in a folder and returns its op table, or null and why. An opened library stays open.
const filbert_backend* open_plugin(const std::string& folder, const std::string& name, std::string& reason);

// Where plug-ins are looked for. Empty, and why, if FILBERT_BACKEND_DIR is not an absolute path.
std::string plugin_folder(std::string& reason);

}  // namespace filbert
