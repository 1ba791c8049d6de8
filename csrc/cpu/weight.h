// A weight as the CPU keeps it.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/threads.h"

struct filbert_weight {
  struct Free {
    void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{64}); }
  };

  const void* data = nullptr;  // panels of a matrix, or rows of floats; `owned`, or the mapped file
  std::size_t rows = 0;        // of a gated one, of either part
  std::size_t cols = 0;
  std::size_t columns = 0;  // of a matrix, in its panels
  bool gated = false;
  std::unique_ptr<std::byte[], Free> owned;
  std::vector<float> scales;  // of an int8 matrix, see PanelMatrix
  std::vector<std::int32_t> offsets;
  std::vector<float> factors;
  std::vector<std::uint8_t> plain;  // of a float32 matrix that is multiplied in parts
};

namespace filbert::cpu {

// dtype: of a matrix; the other kinds are float32. format: of a matrix, and of the order in which gated ones lie.
std::unique_ptr<filbert_weight> make_weight(filbert_weight_kind kind, const filbert_host_tensor* parts,
                                            std::size_t count, const filbert_input_norm* input_norm,
                                            filbert_dtype dtype, const MatrixFormat& format, ThreadPool& pool);

}  // namespace filbert::cpu
