// Opens the CPU backend on each instruction set, so that one list of op cases runs on all of them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cpu/backend.h"
#include "cpu/convert.h"
#include "cpu/dispatch.h"
#include "engine/ops.h"
#include "floats.h"

namespace filbert::testing {

// Half a unit in the last place of a float32 just below a power of two: the most that one rounding adds, relatively.
inline constexpr double kUlp = 0x1p-24;

inline constexpr filbert_dtype kComputeTypes[] = {FILBERT_F32, FILBERT_BF16, FILBERT_I8};

class ForcedIsa {
 public:
  explicit ForcedIsa(const std::string& isa) {
    if (const char* before = std::getenv("FILBERT_CPU_ISA")) before_ = before;
    setenv("FILBERT_CPU_ISA", isa.c_str(), 1);
  }
  ~ForcedIsa() { before_.empty() ? unsetenv("FILBERT_CPU_ISA") : setenv("FILBERT_CPU_ISA", before_.c_str(), 1); }

 private:
  std::string before_;
};

struct IsaAndDtype {
  std::string isa;
  filbert_dtype dtype;
};

struct IsaOps : Ops {
  IsaOps(const IsaAndDtype& opened, int threads) : Ops(cpu::backend(), 0, threads, opened.dtype), of(opened) {}
  IsaAndDtype of;
};

inline std::unique_ptr<IsaOps> open_isa(const std::string& isa, filbert_dtype dtype = FILBERT_F32, int threads = 2) {
  const ForcedIsa forced(isa);
  return std::make_unique<IsaOps>(IsaAndDtype{isa, dtype}, threads);
}

inline std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const cpu::Kernels& kernels : cpu::available_kernels()) names.push_back(kernels.isa);
  return names;
}

inline const cpu::Kernels& kernels_of(const std::string& isa) {
  const std::vector<cpu::Kernels>& all = cpu::available_kernels();
  return *std::find_if(all.begin(), all.end(), [&isa](const cpu::Kernels& kernels) { return kernels.isa == isa; });
}

inline std::vector<std::string> vector_isas() {
  std::vector<std::string> names = isas();
  names.pop_back();  // scalar
  return names;
}

// Instruction sets and dtypes with kernels of their own: a set has many of another's. key(kernels, dtype): what tells
// the kernels apart.
template <typename Key>
std::vector<IsaAndDtype> distinct(const Key& key) {
  std::vector<decltype(key(cpu::Kernels(), FILBERT_F32))> seen;
  std::vector<IsaAndDtype> found;
  for (const cpu::Kernels& kernels : cpu::available_kernels())
    for (const filbert_dtype dtype : kComputeTypes) {
      if (std::count(seen.begin(), seen.end(), key(kernels, dtype)) > 0) continue;
      seen.push_back(key(kernels, dtype));
      found.push_back({kernels.isa, dtype});
    }
  return found;
}

inline const cpu::LinearKernel& linear_kernel(const cpu::Kernels& kernels, filbert_dtype dtype) {
  return dtype == FILBERT_F32 ? kernels.f32 : dtype == FILBERT_BF16 ? kernels.bf16 : kernels.i8;
}

inline const cpu::AttentionKernel& attention_kernel(const cpu::Kernels& kernels, filbert_dtype dtype) {
  return dtype == FILBERT_F32 ? kernels.attention : kernels.fast_attention;
}

inline std::vector<IsaAndDtype> distinct_linear() {
  return distinct([](const cpu::Kernels& kernels, filbert_dtype dtype) {
    return std::tuple(linear_kernel(kernels, dtype).run, kernels.rows.run, attention_kernel(kernels, dtype).put_heads);
  });
}

inline std::vector<IsaAndDtype> distinct_attention() {
  return distinct(
      [](const cpu::Kernels& kernels, filbert_dtype dtype) { return attention_kernel(kernels, dtype).run; });
}

struct FreeWeight {
  const Ops* ops;
  void operator()(filbert_weight* weight) const { ops->free_weight(weight); }
};
using WeightPtr = std::unique_ptr<filbert_weight, FreeWeight>;

inline WeightPtr load(const Ops& ops, filbert_weight_kind kind, const std::vector<float>& values, std::size_t rows,
                      std::size_t cols = 1, const filbert_input_norm* input_norm = nullptr) {
  const filbert_host_tensor tensor = {values.data(), FILBERT_F32, rows, cols};
  return WeightPtr(ops.load_weight(kind, &tensor, 1, input_norm), FreeWeight{&ops});
}

// x [tokens, width], as attention reads heads of it.
inline std::vector<float> as_heads(const IsaAndDtype& of, const std::vector<float>& x, std::size_t width,
                                   std::size_t head_size) {
  if (!attention_kernel(kernels_of(of.isa), of.dtype).put_heads) return x;
  const std::size_t tokens = x.size() / width;
  std::vector<std::uint16_t> places;
  for (std::size_t column = 0; column < width; column += head_size)
    for (std::size_t token = 0; token < tokens; ++token)
      for (std::size_t j = column; j < column + head_size; ++j)
        places.push_back(cpu::float_to_bf16(x[token * width + j]));
  std::vector<float> bytes(x.size());
  std::memcpy(bytes.data(), places.data(), places.size() * sizeof(places[0]));
  return bytes;
}

// Of a linear op that leaves its x [tokens, width] as it is.
inline WeightPtr load_identity(const Ops& ops, std::size_t width) {
  std::vector<float> ones(width * width);
  for (std::size_t i = 0; i < width; ++i) ones[i * width + i] = 1.0f;
  return load(ops, FILBERT_MATRIX, ones, width, width);
}

// values [2, rows, cols]: a gate, and what it multiplies.
inline WeightPtr load_gated(const Ops& ops, filbert_weight_kind kind, const std::vector<float>& values,
                            std::size_t rows, std::size_t cols = 1, const filbert_input_norm* input_norm = nullptr) {
  const filbert_host_tensor parts[] = {{values.data(), FILBERT_F32, rows, cols},
                                       {values.data() + rows * cols, FILBERT_F32, rows, cols}};
  return WeightPtr(ops.load_weight(kind, parts, 2, input_norm), FreeWeight{&ops});
}

// x [rows, in], weights [out, in] that keep the size of a number, bias [out], residual [rows, out].
struct LinearData {
  std::size_t rows, in, out;
  std::vector<float> x, weight, bias, residual;

  LinearData(std::size_t rows_, std::size_t in_, std::size_t out_, float scale = 1.0f)
      : rows(rows_),
        in(in_),
        out(out_),
        x(random_floats(rows * in, 1, scale)),
        weight(random_floats(out * in, 2, 1.0f / std::sqrt(static_cast<float>(in)))),
        bias(random_floats(out, 3)),
        residual(random_floats(rows * out, 4)) {}
};

// A layer of the data, in the memory of a backend.
class LinearLayer {
 public:
  LinearLayer(const Ops& ops, const LinearData& data)
      : ops_(ops),
        data_(data),
        weight_(load(ops, FILBERT_MATRIX, data.weight, data.out, data.in)),
        bias_(load(ops, FILBERT_VECTOR, data.bias, data.out)) {}

  // On the first rows of the data.
  std::vector<float> run(std::size_t rows, bool bias = true, bool residual = true,
                         filbert_activation activation = FILBERT_IDENTITY) const {
    std::vector<float> result(rows * data_.out, NAN);
    ops_.token_ops({linear({data_.x.data(), weight_.get(), bias ? bias_.get() : nullptr,
                            residual ? data_.residual.data() : nullptr, activation, result.data(), 0})},
                   rows);
    return result;
  }

 private:
  const Ops& ops_;
  const LinearData& data_;
  WeightPtr weight_, bias_;
};

// y [x.size() / in, out] = x weight^T, on a backend.
inline std::vector<float> multiply(const Ops& ops, const std::vector<float>& x, const std::vector<float>& weight,
                                   std::size_t in, std::size_t out) {
  const std::size_t rows = x.size() / in;
  const WeightPtr loaded = load(ops, FILBERT_MATRIX, weight, out, in);
  std::vector<float> y(rows * out, -1.0f);
  ops.token_ops({linear({x.data(), loaded.get(), nullptr, nullptr, FILBERT_IDENTITY, y.data(), 0})}, rows);
  return y;
}

}  // namespace filbert::testing
