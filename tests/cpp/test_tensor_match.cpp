#include <doctest/doctest.h>
#include <filbert/error.h>

#include <string>
#include <vector>

#include "engine/tensor_match.h"
#include "make_safetensors.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

struct Held {
  std::string name;
  std::vector<std::uint64_t> shape = {2};
  const char* dtype = "F32";
};

Weights weights_with(const std::vector<Held>& tensors) {
  static const std::vector<std::byte> zeros(1024);
  Weights weights;
  for (const Held& tensor : tensors) {
    std::size_t bytes = std::string(tensor.dtype) == "F32" ? 4 : std::string(tensor.dtype) == "I64" ? 8 : 1;
    for (const std::uint64_t dimension : tensor.shape) bytes *= static_cast<std::size_t>(dimension);
    weights.add(tensor.name, tensor.dtype, tensor.shape, zeros.data(), bytes, nullptr);
  }
  return weights;
}

const std::vector<TensorSpec> kBase = {
    {"embeddings.LayerNorm.weight", {2}, TensorSpec::Init::ones},
    {"embeddings.LayerNorm.bias", {2}, TensorSpec::Init::zeros},
};
const std::vector<TensorSpec> kPooler = {
    {"pooler.dense.weight", {2, 2}, TensorSpec::Init::normal},
    {"pooler.dense.bias", {2}, TensorSpec::Init::zeros},
};

std::vector<Held> held(const std::string& prefix, const char* weight = "weight", const char* bias = "bias",
                       bool pooler = true) {
  std::vector<Held> tensors = {{prefix + "embeddings.LayerNorm." + weight}, {prefix + "embeddings.LayerNorm." + bias}};
  if (pooler) {
    tensors.push_back({prefix + "pooler.dense.weight", {2, 2}});
    tensors.push_back({prefix + "pooler.dense.bias"});
  }
  return tensors;
}

TensorMatch match_bert(const std::vector<Held>& tensors, bool require = true) {
  return match(kBase, kPooler, {"bert."}, require, "\nadvice", weights_with(tensors));
}

std::string error_of(const std::vector<Held>& tensors, bool require = true) {
  return message_of<WeightsError>([&] { match_bert(tensors, require); });
}

// For a base model without a head.
TensorMatch match_all(const std::vector<TensorSpec>& specs, const Weights& weights) {
  return match(specs, {}, {"bert."}, false, "", weights);
}

std::vector<Held> operator+(std::vector<Held> tensors, const Held& more) {
  tensors.push_back(more);
  return tensors;
}

}  // namespace

TEST_CASE("match: names with and without prefixes, today's and legacy") {
  for (const char* prefix : {"", "bert.", "module.", "module.bert."}) {
    for (const bool legacy : {false, true}) {
      CAPTURE(prefix);
      const auto tensors = legacy ? held(prefix, "gamma", "beta") : held(prefix);
      const TensorMatch result = match_bert(tensors);
      REQUIRE(result.tensors.size() == 4);
      for (std::size_t i = 0; i < 4; ++i) {  // in the order of the specs
        CHECK(result.tensors[i].spec.name == (i < 2 ? kBase[i] : kPooler[i - 2]).name);
        CHECK(result.tensors[i].source_name == tensors[i].name);
      }
      CHECK(result.unexpected.empty());
      CHECK(result.head);
    }
  }
}

TEST_CASE("match: only LayerNorm has gamma and beta") {
  const std::vector<TensorSpec> specs = {{"dense.weight", {2}, TensorSpec::Init::normal}};
  CHECK_THROWS_AS(match_all(specs, weights_with({{"dense.gamma"}})), WeightsError);
}

TEST_CASE("match: heads and buffers") {
  const auto tensors = held("bert.") + Held{"cls.predictions.bias"} + Held{"classifier.weight", {3, 2}} +
                       Held{"bert.embeddings.position_ids", {1, 4}, "I64"} + Held{"position_ids", {1, 4}, "I64"} +
                       Held{"bert.other.position_ids", {1, 4}, "F32"} + Held{"fp8", {2}, "F8_E4M3"} +
                       Held{"module.bert.embeddings.position_ids", {4}, "U8"} + Held{"xposition_ids"} +
                       Held{"model.layers.0.self_attn.rotary_emb.inv_freq", {4}, "F32"};
  const TensorMatch result = match_bert(tensors);
  CHECK(result.unexpected ==
        std::vector<std::string>{"classifier.weight", "cls.predictions.bias", "fp8", "xposition_ids"});
}

TEST_CASE("match: a head that a checkpoint may lack") {
  const auto with = held("bert.");
  const auto without = held("bert.", "weight", "bias", false);
  CHECK(match_bert(with, false).head);
  CHECK_FALSE(match_bert(without, false).head);
  CHECK(match_bert(without, false).tensors.size() == 2);
  const TensorMatch none = match(kBase, {}, {"bert."}, true, "", weights_with(with));
  CHECK_FALSE(none.head);
  CHECK_FALSE(none.has_head);
  CHECK(none.tensors.size() == 2);
  CHECK(none.unexpected == std::vector<std::string>{"bert.pooler.dense.bias", "bert.pooler.dense.weight"});
  const std::string message = error_of(without);
  CHECK(contains(message, "memory: 2 of 4 tensors do not fit the model:"));
  CHECK(contains(message, "pooler.dense.weight: missing, expected [2, 2]"));
  CHECK(contains(message, "advice"));
  // Half a head is no head that can be left out.
  CHECK(contains(error_of(without + Held{"bert.pooler.dense.bias"}, false), "pooler.dense.weight: missing"));
}

TEST_CASE("match: a head that stands on a part of the base model") {
  std::vector<TensorSpec> head = kPooler;
  head.push_back({"classifier.weight", {3, 2}, TensorSpec::Init::normal, TensorSpec::Owner::head});
  const auto found = [&](const std::vector<Held>& tensors) {
    return match(kBase, head, {"bert."}, true, "\nadvice", weights_with(tensors));
  };
  CHECK(found(held("bert.") + Held{"classifier.weight", {3, 2}}).tensors.size() == 5);
  CHECK(
      contains(message_of<WeightsError>([&] { found(held("bert.")); }), "classifier.weight: missing, expected [3, 2]"));
  CHECK(contains(message_of<WeightsError>([&] { found(held("bert.")); }), "advice"));
}

TEST_CASE("match: every name may have its own prefix, or none") {
  const char* const kPrefixes[] = {"", "bert.", "module.", "module.bert."};
  for (int choice = 0; choice < 256; ++choice) {  // each way to give one of four prefixes to each of four names
    std::vector<Held> tensors = held("");
    int rest = choice;
    for (Held& tensor : tensors) {
      tensor.name = kPrefixes[rest % 4] + tensor.name;
      rest /= 4;
    }
    const TensorMatch result = match_bert(tensors, false);
    CHECK(result.head);
    CHECK(result.unexpected.empty());
    REQUIRE(result.tensors.size() == tensors.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) CHECK(result.tensors[i].source_name == tensors[i].name);
  }
}

TEST_CASE("match: where tensors are missing, names that nothing used show what the file has") {
  for (const char* prefix : {"model.", "_orig_mod.", "0.auto_model.", "_orig_mod.bert.", "bert.bert.", "x.module."}) {
    for (const bool legacy : {false, true}) {
      const auto tensors = legacy ? held(prefix, "gamma", "beta") : held(prefix);
      const std::string message = error_of(tensors + Held{"position_ids", {1}, "I64"});
      CAPTURE(message);
      CHECK(contains(message, "4 of 4 tensors do not fit"));
      CHECK(contains(message, "that the model does not know: \"" + std::string(prefix) + "embeddings.LayerNorm.b"));
      CHECK(contains(message, " and 1 more\n"));
      CHECK(contains(message, "with \"" + std::string(prefix) + "\" in front: rename them"));
    }
  }
  // One part under another name than the rest.
  const std::string part = error_of(held("bert.", "weight", "bias", false) + Held{"head.pooler.dense.weight", {2, 2}} +
                                    Held{"head.pooler.dense.bias"});
  CHECK(contains(part, "\"head.pooler.dense.bias\", \"head.pooler.dense.weight\"\n"));
  CHECK(contains(part, "with \"head.\" in front"));
  // Two prefixes, or names that tell nothing: no advice.
  CHECK_FALSE(contains(error_of({{"a.embeddings.LayerNorm.weight"}, {"b.embeddings.LayerNorm.bias"}}), "in front"));
  CHECK_FALSE(contains(error_of({{"wte.weight"}, {"wpe.weight"}, {"embeddings.LayerNorm"}}), "in front"));
  CHECK(contains(error_of({{"wte.weight"}}), "that the model does not know: \"wte.weight\""));
  // Nothing is unknown, or nothing is missing: no list.
  CHECK_FALSE(contains(error_of(held("", "weight", "bias", false)), "does not know"));
  std::vector<Held> misshapen = held("") + Held{"cls.bias"};
  misshapen[0].shape = {3};
  CHECK_FALSE(contains(error_of(misshapen), "does not know"));
}

TEST_CASE("match: two names for one tensor") {
  const std::pair<const char*, const char*> kTwice[] = {
      {"bert.embeddings.LayerNorm.gamma", "bert."},
      {"embeddings.LayerNorm.weight", "bert."},
      {"module.bert.embeddings.LayerNorm.weight", "bert."},
      {"module.embeddings.LayerNorm.gamma", ""},
  };
  for (const auto& [name, prefix] : kTwice) {
    const std::string message = error_of(held(prefix) + Held{name});
    CAPTURE(message);
    CHECK(contains(message, "tensor \"embeddings.LayerNorm.weight\": found both \""));
    CHECK(contains(message, std::string("\"") + name + "\""));
    CHECK(contains(message, std::string("\"") + prefix + "embeddings.LayerNorm.weight\""));
  }
}

TEST_CASE("match: every problem in one message") {
  std::vector<Held> tensors = held("");
  tensors[0].shape = {3};
  tensors[1].dtype = "F8_E4M3";
  tensors.pop_back();
  const std::string message = error_of(tensors);
  CHECK(contains(message, "3 of 4 tensors do not fit the model:"));
  CHECK(contains(message, "embeddings.LayerNorm.weight: found [3], expected [2]"));
  CHECK(contains(message, "embeddings.LayerNorm.bias: found dtype F8_E4M3, expected F32, F16, BF16 or F64"));
  CHECK(contains(message, "pooler.dense.bias: missing, expected [2]"));
  CHECK_FALSE(contains(message, "pooler.dense.weight"));
  // The same number of elements in another shape is another tensor.
  tensors = held("");
  tensors[2].shape = {4};
  CHECK(contains(error_of(tensors), "pooler.dense.weight: found [4], expected [2, 2]"));
  tensors[2].shape = {2, 2, 1};
  CHECK(contains(error_of(tensors), "found [2, 2, 1], expected [2, 2]"));
}

TEST_CASE("match: dimensions are compared in 64 bits (CVE-2026-53923)") {
  const std::vector<TensorSpec> specs = {{"t", {2, 0}, TensorSpec::Init::normal}};
  const Weights weights = weights_with({{"t", {(std::uint64_t{1} << 32) + 2, 0}}});
  CHECK_THROWS_AS(match_all(specs, weights), WeightsError);
}

TEST_CASE("match: the first ten problems are listed") {
  std::vector<TensorSpec> specs;
  for (int i = 0; i < 25; ++i) specs.push_back({"t" + std::to_string(i), {2}, TensorSpec::Init::normal});
  const std::string message = message_of<WeightsError>([&] { match_all(specs, weights_with({{"x"}})); });
  CHECK(contains(message, "25 of 25 tensors do not fit"));
  CHECK(contains(message, "t9: missing"));
  CHECK_FALSE(contains(message, "t10: missing"));
  CHECK(contains(message, "and 15 more"));
}
