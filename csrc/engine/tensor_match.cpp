#include "engine/tensor_match.h"

#include <filbert/error.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <map>
#include <string_view>

#include "files/dtype.h"
#include "files/text.h"

namespace filbert {
namespace {

constexpr std::size_t kListedProblems = 10;
constexpr std::size_t kListedNames = 3;

// The name as transformers saves it today: LayerNorm once had gamma and beta.
std::string todays_name(std::string_view name) {
  const auto replace_end = [name](std::string_view end, const char* by) {
    return std::string(name.substr(0, name.size() - end.size())) + by;
  };
  if (name.ends_with("LayerNorm.gamma")) return replace_end("gamma", "weight");
  if (name.ends_with("LayerNorm.beta")) return replace_end("beta", "bias");
  return std::string(name);
}

// Without `module.` (DistributedDataParallel) and then without one of the prefixes, each where it is there.
std::string_view without_prefixes(std::string_view name, const Prefixes& base_prefixes) {
  constexpr std::string_view kParallel = "module.";
  if (name.starts_with(kParallel)) name.remove_prefix(kParallel.size());
  for (const std::string_view prefix : base_prefixes) {
    if (prefix.empty() || !name.starts_with(prefix)) continue;
    name.remove_prefix(prefix.size());
    break;
  }
  return name;
}

bool is_same(const TensorView& a, const TensorView& b) {
  return a.dtype_name == b.dtype_name && a.shape == b.shape &&
         (a.data == b.data || std::memcmp(a.data, b.data, a.bytes) == 0);
}

// What older files hold of positions, and follows from the configuration.
bool is_position_buffer(std::string_view name) {
  const auto is = [name](std::string_view buffer) {
    return name.ends_with(buffer) && (name == buffer || name[name.size() - buffer.size() - 1] == '.');
  };
  return is("position_ids") || is("rotary_emb.inv_freq") || is("rotary_embeddings.inv_freq");
}

class Matcher {
 public:
  Matcher(const std::vector<TensorSpec>& specs, const Prefixes& base_prefixes, const Skipped& skipped,
          const Weights& weights)
      : specs_(specs), base_prefixes_(base_prefixes), skipped_(skipped), weights_(weights) {
    for (const TensorSpec& spec : specs) {
      sources_.emplace(spec.name, nullptr);
      if (!spec.tied.empty()) sources_.emplace(spec.tied, nullptr);
    }
    for (const auto& [name, view] : weights.tensors()) {
      const auto source = sources_.find(todays_name(without_prefixes(name, base_prefixes)));
      if (source == sources_.end()) {
        if (!is_passed_over(name)) unknown_.push_back(name);
        continue;
      }
      if (source->second != nullptr) fail_ambiguous(source->first, *source->second, name);
      source->second = &name;
    }
  }

  // The name under which the weights hold it, or nullptr.
  const std::string* find(const TensorSpec& spec) const {
    const std::string* const own = sources_.at(spec.name);
    return own || spec.tied.empty() ? own : sources_.at(spec.tied);
  }

  void take(const TensorSpec& spec, TensorMatch& result) {
    const std::string* const name = find(spec);
    if (name == nullptr) {
      is_missing_ = true;
      problem(spec, "missing, expected " + shape_text(spec.shape));
      return;
    }
    const TensorView& view = weights_.tensors().at(*name);
    if (const std::string* const other = spec.tied.empty() ? nullptr : sources_.at(spec.tied);
        other != nullptr && !is_same(view, weights_.tensors().at(*other)))
      throw WeightsError(weights_.source() + ": tensor " + quote(*other) + ": found other numbers than in " +
                         quote(*name) + ", expected the same");
    if (view.shape != spec.shape) {
      problem(spec, "found " + shape_text(view.shape) + ", expected " + shape_text(spec.shape));
    } else if (spec.integers && !holds_integers(view)) {
      problem(spec, "found dtype " + view.dtype_name + ", expected integers");
    } else if (!spec.integers && view.dtype == DType::other) {
      problem(spec, "found dtype " + view.dtype_name + ", expected F32, F16, BF16 or F64");
    } else {
      result.tensors.push_back({spec, *name, {}});
    }
  }

  void check(const std::string& hint) const {
    if (problems_ == 0) return;
    std::string message = weights_.source() + ": " + std::to_string(problems_) + " of " +
                          std::to_string(specs_.size()) + " tensors do not fit the model:";
    if (is_missing_) message += list_unknown();  // first: it tells the cause
    message += listed_;
    if (problems_ > kListedProblems) message += "\n  and " + std::to_string(problems_ - kListedProblems) + " more";
    throw WeightsError(message + hint);
  }

  void list_unexpected(TensorMatch& result) const {
    std::vector<std::string_view> used;
    for (const MatchedTensor& tensor : result.tensors) {
      used.push_back(tensor.source_name);
      const auto tied = sources_.find(tensor.spec.tied);
      if (tied != sources_.end() && tied->second != nullptr) used.push_back(*tied->second);
    }
    std::sort(used.begin(), used.end());
    for (const auto& [name, view] : weights_.tensors()) {
      const bool is_used = std::binary_search(used.begin(), used.end(), std::string_view(name));
      if (!is_used && !is_passed_over(name)) result.unexpected.push_back(name);
    }
  }

 private:
  bool is_passed_over(std::string_view name) const {
    const std::string_view own = without_prefixes(name, base_prefixes_);
    const auto begins_it = [&](std::string_view prefix) { return !prefix.empty() && own.starts_with(prefix); };
    return std::any_of(skipped_.begin(), skipped_.end(), begins_it) || is_position_buffer(name);
  }

  // Names of the file that mean nothing to the model: where tensors are missing, they show under which prefix they are.
  std::string list_unknown() const {
    if (unknown_.empty()) return "";
    std::string text = "\n  names in the file that the model does not know:";
    const std::size_t listed = std::min(unknown_.size(), kListedNames);
    for (std::size_t i = 0; i < listed; ++i) text += (i == 0 ? " " : ", ") + quote(unknown_[i]);
    if (unknown_.size() > listed) text += " and " + std::to_string(unknown_.size() - listed) + " more";
    const std::string prefix = foreign_prefix();
    if (!prefix.empty()) text += "\n  the missing names are there with " + quote(prefix) + " in front: rename them";
    return text;
  }

  // What stands in front of the names of missing tensors, if it is the same wherever such a name is found; or "".
  std::string foreign_prefix() const {
    std::string prefix;
    for (const std::string_view name : unknown_) {
      const std::string today = todays_name(name);
      for (std::size_t dot = today.find('.'); dot != std::string::npos; dot = today.find('.', dot + 1)) {
        const auto source = sources_.find(std::string_view(today).substr(dot + 1));
        if (source == sources_.end() || source->second != nullptr) continue;
        const std::string_view found = std::string_view(today).substr(0, dot + 1);
        if (!prefix.empty() && prefix != found) return "";
        prefix = found;
        break;
      }
    }
    return prefix;
  }

  [[noreturn]] void fail_ambiguous(const std::string& tensor, const std::string& first,
                                   const std::string& second) const {
    throw WeightsError(weights_.source() + ": tensor " + quote(tensor) + ": found both " + quote(first) + " and " +
                       quote(second) + ", expected one of them");
  }

  void problem(const TensorSpec& spec, const std::string& what) {
    if (problems_++ < kListedProblems) listed_ += "\n  " + spec.name + ": " + what;
  }

  const std::vector<TensorSpec>& specs_;
  const Prefixes& base_prefixes_;
  const Skipped& skipped_;
  const Weights& weights_;
  std::map<std::string, const std::string*, std::less<>> sources_;  // the name in the weights, or null, of every spec
  std::vector<std::string_view> unknown_;
  bool is_missing_ = false;
  std::size_t problems_ = 0;
  std::string listed_;
};

}  // namespace

Shapes shapes_in(const Weights& weights, const Prefixes& base_prefixes) {
  Shapes shapes;
  for (const auto& [name, view] : weights.tensors())
    shapes[todays_name(without_prefixes(name, base_prefixes))] = view.shape;
  return shapes;
}

TensorMatch match(const std::vector<TensorSpec>& base, const std::vector<TensorSpec>& head,
                  const Prefixes& base_prefixes, bool require, const std::string& hint, const Weights& weights,
                  const Skipped& skipped) {
  std::vector<TensorSpec> specs = base;
  specs.insert(specs.end(), head.begin(), head.end());
  Matcher matcher(specs, base_prefixes, skipped, weights);
  // A head may stand on a part of the base model, which says nothing of whether it is there itself.
  const auto is_own = [](const TensorSpec& spec) { return spec.owner == TensorSpec::Owner::head; };
  const bool has_own = std::any_of(head.begin(), head.end(), is_own);
  const bool in_weights = std::any_of(head.begin(), head.end(), [&](const TensorSpec& spec) {
    return (is_own(spec) || !has_own) && matcher.find(spec) != nullptr;
  });
  TensorMatch result;
  result.has_head = !head.empty();
  result.head = result.has_head && (require || in_weights);
  for (const TensorSpec& spec : base) matcher.take(spec, result);
  // What it shares with the base model is there already.
  const auto is_shared = [&](const TensorSpec& spec) {
    return std::any_of(base.begin(), base.end(), [&](const TensorSpec& each) { return each.name == spec.name; });
  };
  if (result.head)
    for (const TensorSpec& spec : head)
      if (is_own(spec) || !is_shared(spec)) matcher.take(spec, result);
  matcher.check(result.head && !in_weights ? hint : "");
  matcher.list_unexpected(result);
  return result;
}

}  // namespace filbert
