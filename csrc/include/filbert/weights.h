// Named tensors from safetensors files (memory-mapped) or from the caller's memory.
#pragma once

#include <filbert/error.h>
#include <filbert/export.h>
#include <filbert/task.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace filbert {

// dtypes that a model can be loaded from. Files may hold others (integers, fp8): they are listed but not loaded.
enum class DType { f32, f16, bf16, f64, i8, other };

// A tensor in row-major order. `data` need not be aligned.
struct TensorView {
  DType dtype = DType::f32;
  std::string dtype_name;  // as safetensors spells it: "F32", "BF16", "I64", ...
  std::vector<std::uint64_t> shape;
  const std::byte* data = nullptr;
  std::size_t bytes = 0;
};

// What a model asks of a tensor: its name as transformers saves it today, and how a new model draws it.
struct TensorSpec {
  enum class Init { normal, normal_padding_zero, zeros, ones };
  enum class Owner { base, head };  // the base model's have its prefix in checkpoints with a head
  std::string name;
  std::vector<std::uint64_t> shape;
  Init init = Init::normal;
  Owner owner = Owner::base;
  bool integers = false;  // of any width; else numbers of a dtype that models are loaded from
  std::string tied = "";  // another that is the same, where a checkpoint has that one
};

class FILBERT_API Weights {
 public:
  // No tensors; `source` names them in messages.
  explicit Weights(std::string source = "memory") : source_(std::move(source)) {}

  // Opens a .safetensors file, a .safetensors.index.json with its shards beside it, or a folder with either.
  // use_mmap=false reads the bytes into memory, for files that others may truncate.
  // Throws WeightsError (malformed), FileError (cannot be opened).
  static Weights open(const std::string& path, bool use_mmap = true);

  // Adds a tensor that lives as long as `owner`. Throws WeightsError if the name is taken, the dtype is unknown or
  // bytes differ from the shape.
  void add(const std::string& name, std::string_view dtype_name, std::vector<std::uint64_t> shape, const void* data,
           std::size_t bytes, std::shared_ptr<const void> owner);

  const TensorView* find(const std::string& name) const&;
  const std::map<std::string, TensorView>& tensors() const& { return tensors_; }
  // Not of a temporary: the views would outlive it.
  const TensorView* find(const std::string& name) const&& = delete;
  const std::map<std::string, TensorView>& tensors() const&& = delete;
  const std::string& source() const { return source_; }  // the path opened, or what was given

  // Tells the system that the mapped pages are not needed for now; they stay readable.
  void drop_pages() const;

 private:
  std::map<std::string, TensorView> tensors_;
  std::vector<std::shared_ptr<const void>> owners_;
  std::vector<std::pair<const void*, std::size_t>> mappings_;
  std::string source_;
};

// The shard files that an index (of .safetensors or .bin files) names, sorted; each lies beside the index or in a
// folder there. Throws WeightsError, FileError.
FILBERT_API std::vector<std::string> shard_names(const std::string& index_path);

// Which of them holds which tensor. Throws WeightsError, FileError.
FILBERT_API std::map<std::string, std::string> weight_map(const std::string& index_path);

// A tensor of the model and the name under which `weights` holds it (legacy names and prefixes resolved).
struct MatchedTensor {
  TensorSpec spec;
  std::string source_name;
  std::string saved_name;  // under which transformers saves it in a model for the task
};

struct TensorMatch {
  std::vector<MatchedTensor> tensors;
  std::vector<std::string> unexpected;  // in the weights, and not asked for
  bool head = false;                    // whether the head's are among `tensors`
  bool has_head = false;                // whether the family has one for the task
};

// The tensors that a configuration (the text of config.json) asks for. Throws ConfigError.
FILBERT_API std::vector<TensorSpec> tensor_specs(const std::string& config_json, Task task);

// Finds each of them in `weights`; without `require_head` also a base model without the head that its family has.
// Throws ConfigError, with `source` in it, and WeightsError listing the first ten missing or wrong-shaped tensors.
FILBERT_API TensorMatch match_tensors(const std::string& config_json, const Weights& weights, Task task,
                                      bool require_head, const std::string& source = "config");

}  // namespace filbert
