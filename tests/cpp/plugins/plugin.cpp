// Plug-ins that are not what they should be, one for each value of FILBERT_PLUGIN.
#include "filbert/backend.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

#if FILBERT_PLUGIN == 1  // of another version

EXPORT const filbert_backend* filbert_backend_entry() {
  static filbert_backend table = {};
  table.abi = FILBERT_BACKEND_ABI + 1;
  return &table;
}

#elif FILBERT_PLUGIN == 2  // something else altogether

EXPORT int unrelated() { return 1; }

#else  // needs what is nowhere

EXPORT int missing_symbol();
EXPORT const filbert_backend* filbert_backend_entry() {
  missing_symbol();
  return nullptr;
}

#endif
