// The one source of the version: CMake and the Python build read it from here.
#pragma once

#define FILBERT_VERSION "0.1.0"
