#include "cuda/backend.h"

extern "C" __attribute__((visibility("default"))) const filbert_backend* filbert_backend_entry(void) {
  return filbert::cuda::backend();
}
