// sweep: every tile of filbert's 16-bit matrix product and attention at the shapes of MiniLM-L6, BERT-base and
// BERT-large, one line of JSON each, and whether all tiles give the same bits. It says what choose_gemm_tile,
// choose_sm90_tile and choose_query_tile should choose, which bench_ops cannot: that times only what they chose.
//
// sweep [MODEL] [TOKENS...]: all, or those alone.
//
// Links with the objects of the plug-in: see pack.sh.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#include "cuda/attention.h"
#include "cuda/gemm.h"
#include "cuda/gemm_sm90.h"
#include "graphs.h"

using namespace filbert::cuda;

namespace {

struct Model {
  const char* name;
  int layers;
  std::size_t hidden, heads;
};
constexpr Model kModels[] = {{"MiniLM-L6", 6, 384, 12}, {"BERT-base", 12, 768, 12}, {"BERT-large", 24, 1024, 16}};
std::vector<std::size_t> tokens = {8, 16, 32, 64, 100, 128, 256, 512, 1024, 4096, 65536};

struct Tile {
  const char* name;
  std::size_t rows;
  bool is_sm90;
  GemmTile plain;
  Sm90Tile wide;

  cudaError_t run(const Linear& task, const Chip& chip, cudaStream_t stream) const {
    return is_sm90 ? linear_sm90(Type::bf16, wide, task, chip, stream) : linear_16bit(Type::bf16, plain, task, stream);
  }
  bool is_chosen(const Linear& task, const Chip& chip) const {
    const std::size_t n = matrix_rows(Type::bf16, task);
    if (suits_sm90(task, chip)) return is_sm90 && wide == choose_sm90_tile(task.tokens, n, task.k, chip);
    return !is_sm90 && plain == choose_gemm_tile(task.tokens, n, chip);
  }
};
constexpr Tile kTiles[] = {
    {"16x16", 16, false, GemmTile::t16x16, {}},          {"32x64", 32, false, GemmTile::t32x64, {}},
    {"64x64", 64, false, GemmTile::t64x64, {}},          {"128x128", 128, false, GemmTile::t128x128, {}},
    {"128x256", 128, false, GemmTile::t128x256, {}},     {"sm90 64x16", 64, true, {}, Sm90Tile::t64x16},
    {"sm90 64x32", 64, true, {}, Sm90Tile::t64x32},      {"sm90 64x64", 64, true, {}, Sm90Tile::t64x64},
    {"sm90 128x128", 128, true, {}, Sm90Tile::t128x128}, {"sm90 128x192", 128, true, {}, Sm90Tile::t128x192},
    {"sm90 128x256", 128, true, {}, Sm90Tile::t128x256}};

struct Sweep {
  cudaStream_t stream;
  Chip chip;
  std::uint16_t *x, *residual, *out;

  void linear(const Model& model, const char* product, std::size_t n, std::size_t k, filbert_activation activation,
              bool with_residual) {
    std::vector<const std::uint16_t*> weights;
    for (int i = 0; i < model.layers; ++i)
      weights.push_back(random(n * k, 7 + i, 1.0f / std::sqrt(static_cast<float>(k))));
    std::vector<float> zeros(n, 0.01f);
    float* bias;
    CHECK(cudaMalloc(&bias, n * 4));
    CHECK(cudaMemcpy(bias, zeros.data(), n * 4, cudaMemcpyHostToDevice));
    for (const std::size_t m : tokens) {
      std::vector<char> first, found(std::min<std::size_t>(m, 4096) * n * 2);
      for (const Tile& tile : kTiles) {
        if (tile.is_sm90 && !chip.is_sm90) continue;
        if ((tile.rows < 128 && m > 4096) || (tile.rows == 128 && m < 100)) continue;
        if (!tile.is_sm90 && m > 1024 && tile.rows < 128) continue;
        const auto task = [&](int i) {
          return Linear{x,          weights[static_cast<std::size_t>(i) % weights.size()],
                        bias,       with_residual ? residual : nullptr,
                        activation, m,
                        n,          k,
                        out};
        };
        const int calls = m <= 1024 ? std::max(48 / model.layers, 1) * model.layers : m <= 4096 ? 12 : 3;
        const double us = graph_us(stream, calls, [&](int i) { return tile.run(task(i), chip, stream); });
        CHECK(cudaMemsetAsync(out, 0xff, m * n * 2, stream));
        CHECK(tile.run(task(0), chip, stream));
        CHECK(cudaStreamSynchronize(stream));
        CHECK(cudaMemcpy(found.data(), out + m * n - found.size() / 2, found.size(), cudaMemcpyDeviceToHost));
        if (first.empty()) first = found;
        std::printf(
            "{\"model\": \"%s\", \"product\": \"%s\", \"m\": %zu, \"n\": %zu, \"k\": %zu, \"tile\": \"%s\", "
            "\"chosen\": %s, \"us\": %.2f, \"tflops\": %.1f, \"weights_gbps\": %.0f, \"same_bits\": %s}\n",
            model.name, product, m, n, k, tile.name, tile.is_chosen(task(0), chip) ? "true" : "false", us,
            2.0 * double(m) * double(n) * double(k) / us / 1e6, 2.0 * double(n) * double(k) / us / 1e3,
            std::memcmp(first.data(), found.data(), found.size()) == 0 ? "true" : "false");
      }
      std::fflush(stdout);
    }
    for (const std::uint16_t* weight : weights) CHECK(cudaFree(const_cast<std::uint16_t*>(weight)));
    CHECK(cudaFree(bias));
  }

  void attention(const Model& model, std::size_t length, std::size_t sequences) {
    std::vector<std::int32_t> bounds(sequences + 1);
    for (std::size_t s = 0; s <= sequences; ++s) bounds[s] = static_cast<std::int32_t>(s * length);
    std::int32_t* cu_seqlens;
    CHECK(cudaMalloc(&cu_seqlens, bounds.size() * 4));
    CHECK(cudaMemcpy(cu_seqlens, bounds.data(), bounds.size() * 4, cudaMemcpyHostToDevice));
    Attention task = {};
    task.batch = {cu_seqlens, nullptr, nullptr, sequences, length};
    task.q = task.k = task.v = {x, 3 * model.hidden, 0, sequences * length};
    task.k.column = model.hidden, task.v.column = 2 * model.hidden;
    task.heads = task.kv_heads = model.heads;
    task.head_size = model.hidden / model.heads, task.scale = 0.125f, task.out = out;
    std::vector<char> first, found(sequences * length * model.hidden * 2);
    for (const QueryTile tile : {QueryTile::t16, QueryTile::t32, QueryTile::t64, QueryTile::t128}) {
      const double us = graph_us(stream, sequences == 1 ? 100 : 3,
                                 [&](int) { return attention_16bit(Type::bf16, tile, task, stream); });
      CHECK(cudaMemcpy(found.data(), out, found.size(), cudaMemcpyDeviceToHost));
      if (first.empty()) first = found;
      const double flop = 4.0 * double(sequences * length * length * model.hidden);
      const double bytes = 8.0 * double(sequences * length * model.hidden);
      std::printf(
          "{\"model\": \"%s\", \"attention\": %zu, \"sequences\": %zu, \"queries\": %d, \"us\": %.2f, \"tflops\": "
          "%.1f, "
          "\"gbps\": %.0f, \"chosen\": %s, \"same_bits\": %s}\n",
          model.name, length, sequences, static_cast<int>(tile), us, flop / us / 1e6, bytes / us / 1e3,
          tile == choose_query_tile(task) ? "true" : "false",
          std::memcmp(first.data(), found.data(), found.size()) == 0 ? "true" : "false");
    }
    std::fflush(stdout);
    CHECK(cudaFree(cu_seqlens));
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2) tokens.clear();
  for (int i = 2; i < argc; ++i) tokens.push_back(std::strtoull(argv[i], nullptr, 10));
  cudaDeviceProp device;
  CHECK(cudaGetDeviceProperties(&device, 0));
  Sweep sweep = {};
  CHECK(cudaStreamCreateWithFlags(&sweep.stream, cudaStreamNonBlocking));
  sweep.chip = {device.multiProcessorCount, device.sharedMemPerBlockOptin, device.major == 9 && device.minor == 0};
  constexpr std::size_t kMost = std::size_t{65536} * 4096;
  sweep.x = random(kMost, 1), sweep.residual = random(kMost, 2), sweep.out = random(kMost, 3);
  for (const Model& model : kModels) {
    if (argc > 1 && std::strcmp(argv[1], model.name) != 0) continue;
    const std::size_t h = model.hidden;
    sweep.linear(model, "qkv", 3 * h, h, FILBERT_IDENTITY, false);
    sweep.linear(model, "out", h, h, FILBERT_IDENTITY, true);
    sweep.linear(model, "up", 4 * h, h, FILBERT_GELU_ERF, false);
    sweep.linear(model, "down", h, 4 * h, FILBERT_IDENTITY, true);
    if (argc > 2) continue;
    for (const std::size_t length : {32, 64, 128, 256, 512}) {
      sweep.attention(model, length, 1);
      sweep.attention(model, length, 65536 / length);
    }
  }
}
