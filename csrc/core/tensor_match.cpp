#include "core/tensor_match.h"

#include <filbert/error.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <string_view>

#include "core/text.h"

namespace filbert {
namespace {

constexpr std::size_t kListedProblems = 10;

// What a name in the file means: the name as transformers saves it today, without the base prefix.
struct Meaning {
  std::string name;
  bool prefixed = false;
};

Meaning meaning_of(std::string_view name, std::string_view base_prefix) {
  constexpr std::string_view kParallel = "module.";
  if (name.starts_with(kParallel)) name.remove_prefix(kParallel.size());
  const bool prefixed = !base_prefix.empty() && name.starts_with(base_prefix);
  if (prefixed) name.remove_prefix(base_prefix.size());
  const auto replace_end = [name](std::string_view end, const char* by) {
    return std::string(name.substr(0, name.size() - end.size())) + by;
  };
  if (name.ends_with("LayerNorm.gamma")) return {replace_end("gamma", "weight"), prefixed};
  if (name.ends_with("LayerNorm.beta")) return {replace_end("beta", "bias"), prefixed};
  return {std::string(name), prefixed};
}

bool is_position_buffer(const std::string& name, const TensorView& view) {
  const bool named = name == "position_ids" || name.ends_with(".position_ids");
  return named && view.dtype_name == "I64";
}

class Matcher {
 public:
  Matcher(const std::vector<TensorSpec>& specs, const std::string& base_prefix, const Weights& weights)
      : specs_(specs), weights_(weights) {
    for (const TensorSpec& spec : specs) sources_.emplace(spec.name, Source());
    for (const auto& [name, view] : weights.tensors()) {
      const Meaning meaning = meaning_of(name, base_prefix);
      const auto source = sources_.find(meaning.name);
      if (source == sources_.end()) continue;
      if (source->second.name != nullptr) fail_ambiguous(meaning.name, *source->second.name, name);
      source->second = {&name, meaning.prefixed};
      has_prefix_ = has_prefix_ || meaning.prefixed;
    }
  }

  // The name under which the weights hold it, or nullptr.
  const std::string* find(const TensorSpec& spec) const {
    const Source& source = sources_.at(spec.name);
    return source.prefixed == has_prefix_ ? source.name : nullptr;
  }

  void take(const TensorSpec& spec, TensorMatch& result) {
    const std::string* const name = find(spec);
    if (name == nullptr) {
      problem(spec, "missing, expected " + shape_text(spec.shape));
      return;
    }
    const TensorView& view = weights_.tensors().at(*name);
    if (view.shape != spec.shape) {
      problem(spec, "found " + shape_text(view.shape) + ", expected " + shape_text(spec.shape));
    } else if (view.dtype == DType::other) {
      problem(spec, "found dtype " + view.dtype_name + ", expected F32, F16, BF16 or F64");
    } else {
      result.tensors.push_back({spec, *name});
    }
  }

  void check(const char* hint) const {
    if (problems_ == 0) return;
    std::string message = weights_.source() + ": " + std::to_string(problems_) + " of " +
                          std::to_string(specs_.size()) + " tensors do not fit the model:" + listed_;
    if (problems_ > kListedProblems) message += "\n  and " + std::to_string(problems_ - kListedProblems) + " more";
    throw WeightsError(message + hint);
  }

  void list_unexpected(TensorMatch& result) const {
    std::vector<std::string_view> used;
    for (const MatchedTensor& tensor : result.tensors) used.push_back(tensor.source_name);
    std::sort(used.begin(), used.end());
    for (const auto& [name, view] : weights_.tensors()) {
      const bool is_used = std::binary_search(used.begin(), used.end(), std::string_view(name));
      if (!is_used && !is_position_buffer(name, view)) result.unexpected.push_back(name);
    }
  }

 private:
  struct Source {
    const std::string* name = nullptr;
    bool prefixed = false;
  };

  [[noreturn]] void fail_ambiguous(const std::string& tensor, const std::string& first,
                                   const std::string& second) const {
    throw WeightsError(weights_.source() + ": tensor " + quote(tensor) + ": found both " + quote(first) + " and " +
                       quote(second) + ", expected one of them");
  }

  void problem(const TensorSpec& spec, const std::string& what) {
    if (problems_++ < kListedProblems) listed_ += "\n  " + spec.name + ": " + what;
  }

  const std::vector<TensorSpec>& specs_;
  const Weights& weights_;
  std::map<std::string, Source> sources_;  // of every spec
  bool has_prefix_ = false;
  std::size_t problems_ = 0;
  std::string listed_;
};

}  // namespace

TensorMatch match(const std::vector<TensorSpec>& specs, const std::string& base_prefix,
                  const std::vector<std::string>& optional_prefixes, Pooler pooler, const Weights& weights) {
  Matcher matcher(specs, base_prefix, weights);
  const auto is_optional = [&](const TensorSpec& spec) {
    return std::any_of(optional_prefixes.begin(), optional_prefixes.end(),
                       [&](const std::string& prefix) { return spec.name.starts_with(prefix); });
  };
  const bool in_weights = std::any_of(specs.begin(), specs.end(), [&](const TensorSpec& spec) {
    return is_optional(spec) && matcher.find(spec) != nullptr;
  });
  const bool asked_for = std::any_of(specs.begin(), specs.end(), is_optional);
  TensorMatch result;
  result.pooler = asked_for && (pooler == Pooler::require || (pooler == Pooler::optional && in_weights));
  for (const TensorSpec& spec : specs) {
    if (result.pooler || !is_optional(spec)) matcher.take(spec, result);
  }
  matcher.check(result.pooler && !in_weights
                    ? "\nThe weights have no pooler; Pooler::none (add_pooling_layer=False) loads without one."
                    : "");
  matcher.list_unexpected(result);
  return result;
}

}  // namespace filbert
