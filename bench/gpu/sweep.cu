// sweep: every tile of filbert's 16-bit matrix product and attention at the shapes of MiniLM-L6, BERT-base and
// BERT-large, one line of JSON each, and whether all tiles give the same bits. It says what choose_gemm_tile and
// kEnough should choose, which bench_ops cannot: that times only what they chose.
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
#include "graphs.h"

using namespace filbert::cuda;

namespace {

struct Model {
  const char* name;
  int layers;
  std::size_t hidden, heads;
};
constexpr Model kModels[] = {{"MiniLM-L6", 6, 384, 12}, {"BERT-base", 12, 768, 12}, {"BERT-large", 24, 1024, 16}};
constexpr std::size_t kTokens[] = {16, 32, 64, 128, 256, 512, 1024, 4096, 65536};
constexpr const char* kTileNames[] = {"16x16", "32x64", "64x64", "128x128", "128x256"};
constexpr std::size_t kTileRows[] = {16, 32, 64, 128, 128};

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
    for (const std::size_t m : kTokens) {
      const GemmTile chosen = choose_gemm_tile(m, n, chip);
      std::vector<char> first, found(std::min<std::size_t>(m, 512) * n * 2);
      for (int t = 0; t < 5; ++t) {
        if ((kTileRows[t] < 128 && m > 4096) || (kTileRows[t] == 128 && m < 64)) continue;
        const auto call = [&](int i) {
          return linear_16bit(Type::bf16, kGemmTiles[t],
                              {x, weights[static_cast<std::size_t>(i) % weights.size()], bias,
                               with_residual ? residual : nullptr, activation, m, n, k, out},
                              stream);
        };
        const int calls = m <= 1024 ? std::max(48 / model.layers, 1) * model.layers : m <= 4096 ? 12 : 3;
        const double us = graph_us(stream, calls, call);
        CHECK(cudaMemsetAsync(out, 0xff, found.size(), stream));
        CHECK(call(0));
        CHECK(cudaStreamSynchronize(stream));
        CHECK(cudaMemcpy(found.data(), out, found.size(), cudaMemcpyDeviceToHost));
        if (first.empty()) first = found;
        std::printf(
            "{\"model\": \"%s\", \"product\": \"%s\", \"m\": %zu, \"n\": %zu, \"k\": %zu, \"tile\": \"%s\", "
            "\"chosen\": %s, \"us\": %.2f, \"tflops\": %.1f, \"weights_gbps\": %.0f, \"same_bits\": %s}\n",
            model.name, product, m, n, k, kTileNames[t], kGemmTiles[t] == chosen ? "true" : "false", us,
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
    task.q = {x, 3 * model.hidden, 0};
    task.k = {x, 3 * model.hidden, model.hidden};
    task.v = {x, 3 * model.hidden, 2 * model.hidden};
    task.heads = task.kv_heads = model.heads;
    task.head_size = model.hidden / model.heads, task.scale = 0.125f, task.out = out;
    for (const QueryTile tile : {QueryTile::t64, QueryTile::t128}) {
      const double us = graph_us(stream, sequences == 1 ? 100 : 3,
                                 [&](int) { return attention_16bit(Type::bf16, tile, task, stream); });
      const double flop = 4.0 * double(sequences * length * length * model.hidden);
      const double bytes = 8.0 * double(sequences * length * model.hidden);
      std::printf(
          "{\"model\": \"%s\", \"attention\": %zu, \"sequences\": %zu, \"queries\": %d, \"us\": %.2f, \"tflops\": "
          "%.1f, "
          "\"gbps\": %.0f}\n",
          model.name, length, sequences, tile == QueryTile::t64 ? 64 : 128, us, flop / us / 1e6, bytes / us / 1e3);
    }
    std::fflush(stdout);
    CHECK(cudaFree(cu_seqlens));
  }
};

}  // namespace

int main() {
  cudaDeviceProp device;
  CHECK(cudaGetDeviceProperties(&device, 0));
  Sweep sweep = {};
  CHECK(cudaStreamCreateWithFlags(&sweep.stream, cudaStreamNonBlocking));
  sweep.chip = {device.multiProcessorCount, device.sharedMemPerBlockOptin};
  constexpr std::size_t kMost = std::size_t{65536} * 4096;
  sweep.x = random(kMost, 1), sweep.residual = random(kMost, 2), sweep.out = random(kMost, 3);
  for (const Model& model : kModels) {
    const std::size_t h = model.hidden;
    sweep.linear(model, "qkv", 3 * h, h, FILBERT_IDENTITY, false);
    sweep.linear(model, "out", h, h, FILBERT_IDENTITY, true);
    sweep.linear(model, "up", 4 * h, h, FILBERT_GELU_ERF, false);
    sweep.linear(model, "down", h, 4 * h, FILBERT_IDENTITY, true);
    for (const std::size_t length : {32, 64, 128, 256, 512}) {
      sweep.attention(model, length, 1);
      sweep.attention(model, length, 65536 / length);
    }
  }
}
