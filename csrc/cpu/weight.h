// A weight as the CPU keeps it.
#pragma once

#include <memory>
#include <new>

#include "cpu/kernels.h"
#include "cpu/threads.h"

struct filbert_weight {
  struct Free {
    void operator()(float* p) const { ::operator delete[](p, std::align_val_t{64}); }
  };

  const float* data = nullptr;  // panels of a matrix, or rows; `owned`, or the mapped file
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::unique_ptr<float[], Free> owned;
};

namespace filbert::cpu {

std::unique_ptr<filbert_weight> make_weight(filbert_weight_kind kind, const filbert_host_tensor* parts,
                                            std::size_t count, const Kernels& kernels, ThreadPool& pool);

}  // namespace filbert::cpu
