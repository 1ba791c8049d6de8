// Small models with random weights, and random texts for them.
#pragma once

#include <filbert/filbert.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

namespace filbert::testing {

inline const std::string kTinyConfig =
    R"({"model_type":"bert","vocab_size":101,"hidden_size":36,"num_hidden_layers":2,"num_attention_heads":3,)"
    R"("intermediate_size":70,"max_position_embeddings":64,"type_vocab_size":2,"layer_norm_eps":1e-12})";

inline Weights random_weights(const std::string& config, unsigned seed, Task task = Task::model) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, 0.2f);
  Weights weights;
  for (const TensorSpec& spec : tensor_specs(config, task)) {
    std::size_t count = 1;
    for (const std::uint64_t extent : spec.shape) count *= extent;
    auto values = std::make_shared<std::vector<float>>(count);
    for (float& value : *values) value = normal(generator);
    const float* data = values->data();
    weights.add(spec.name, "F32", spec.shape, data, count * sizeof(float), std::move(values));
  }
  return weights;
}

inline Model tiny_model(int threads = 2, DType dtype = DType::f32, const std::string& config = kTinyConfig) {
  LoadOptions options;
  options.threads = threads;
  options.dtype = dtype;
  return Model::create(config, random_weights(config, 1), options);
}

// A ragged batch that owns its memory.
struct Texts {
  std::vector<std::int64_t> ids;
  std::vector<std::int64_t> cu_seqlens = {0};

  void add(const std::vector<std::int64_t>& text) {
    ids.insert(ids.end(), text.begin(), text.end());
    cu_seqlens.push_back(static_cast<std::int64_t>(ids.size()));
  }
  TokenBatch batch() const {
    TokenBatch view;
    view.ids = ids.data();
    view.cu_seqlens = cu_seqlens.data();
    view.sequences = cu_seqlens.size() - 1;
    return view;
  }
};

inline std::vector<std::vector<std::int64_t>> random_texts(std::size_t count, unsigned seed, int longest = 64) {
  std::mt19937 generator(seed);
  std::uniform_int_distribution<int> length(1, longest), id(0, 100);
  std::vector<std::vector<std::int64_t>> texts(count);
  for (auto& text : texts) {
    text.resize(static_cast<std::size_t>(length(generator)));
    for (std::int64_t& token : text) token = id(generator);
  }
  return texts;
}

}  // namespace filbert::testing
