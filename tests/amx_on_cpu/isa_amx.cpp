// The kernels for AMX, over tiles.h.
#include "tiles.h"
// The intrinsics are replaced before the kernels use them.
#include "cpu/isa_amx.cpp"
