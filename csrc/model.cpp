// config -> weights -> family -> ops -> outputs
#include <filbert/model.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "engine/backend_loader.h"
#include "engine/listed_tokens.h"
#include "engine/pipeline.h"
#include "engine/sessions.h"
#include "files/mmap.h"
#include "models/registry.h"

namespace filbert {
namespace {

// One byte more than the parser's limit is enough for it to refuse the file.
std::string read_config_file(const std::string& path) {
  const auto file = FileBytes::open(path, FileBytes::Mode::map);
  const std::size_t size = std::min(file->size(), config_limits::kJson.bytes + 1);
  return size > 0 ? std::string(reinterpret_cast<const char*>(file->data()), size) : "";
}

filbert_pooling pooling_op(Pooling pooling) {
  switch (pooling) {
    case Pooling::cls:
      return FILBERT_POOL_FIRST;
    case Pooling::mean:
      return FILBERT_POOL_MEAN;
    case Pooling::max:
      return FILBERT_POOL_MAX;
    case Pooling::last:
      return FILBERT_POOL_LAST;
  }
  throw InputError("unknown pooling");
}

// The rows that a pooled result needs no others than.
Rows rows_of(filbert_pooling pooling, bool normalize) {
  if (pooling == FILBERT_POOL_FIRST && !normalize) return Rows::first;
  if (pooling == FILBERT_POOL_LAST && !normalize) return Rows::last;
  return Rows::all;
}

// Of buffers, one a layer's output: none, or so many.
void check_count(const char* name, std::size_t count, std::size_t expected) {
  if (count != 0 && count != expected)
    throw InputError(std::string(name) + ": found " + std::to_string(count) + " buffers, expected none or " +
                     std::to_string(expected));
}

}  // namespace

struct Model::Impl {
  Weights weights;  // tables are gathered from its memory
  std::unique_ptr<Ops> ops;
  std::unique_ptr<Encoder> encoder;
  std::unique_ptr<Head> head;  // or null
  Dimensions size;
  ModelInfo info;
  std::optional<Sessions> sessions;  // use the ops

  Impl(const ConfigReader& config, Weights given, const LoadOptions& options) : weights(std::move(given)) {
    const Family& family = find_family(config);
    const TensorMatch match = match_tensors(family, config, weights, options.task, options.require_head);
    OpenedDevice device = open_device(options.device, options.threads, options.dtype);
    ops = std::move(device.ops);
    info.device = std::move(device.name);
    LoadedTensors tensors(*ops, weights, match);
    encoder = family.encoder(config, tensors);
    if (match.head) head = family.head(options.task, config, tensors);
    weights.drop_pages();
    size = encoder->dimensions();
    if (head) size.inputs.unread = head->unread();
    describe(family, match);
    sessions.emplace(*ops);
  }

  void describe(const Family& family, const TensorMatch& match) {
    const filbert_device_description& device = ops->device();
    info.model_type = family.model_type;
    info.isa = device.isa;
    info.threads = device.threads;
    info.vocabulary = size.inputs.vocabulary;
    info.hidden_size = size.hidden;
    info.inner_size = size.inner;
    info.layers = size.layers;
    info.heads = size.heads;
    info.max_positions = size.inputs.longest;
    info.max_tokens = size.inputs.most_tokens();
    if (head) info.head_width = head->width();
    info.head_per_token = head && head->is_per_token();
    for (const MatchedTensor& tensor : match.tensors) {
      std::size_t count = 1;
      for (const std::uint64_t extent : tensor.spec.shape) count *= extent;
      info.parameters += count;
    }
  }

  // [sequences, hidden], in the arena
  const void* pool(Session& session, const Batch& batch, const void* x, filbert_pooling pooling, bool normalize) {
    void* rows = session.arena.activations(batch.sequences, size.hidden);
    ops->pool({&batch, x, size.hidden, pooling, normalize, rows});
    return rows;
  }

  Computed compute(Session& session, const Batch& batch, Trace& trace, const Wanted& wanted) {
    Run run = {*ops, batch, session.arena, trace, wanted.rows};
    Computed computed;
    computed.last = encoder->forward(run);
    const auto pooled = [&](filbert_pooling pooling, bool normalize) {
      return wanted.rows == Rows::all ? pool(session, batch, computed.last, pooling, normalize) : computed.last;
    };
    if (wanted.pooled) computed.rows = pooled(wanted.pooling, wanted.normalize);
    if (wanted.head) {
      const bool of_tokens = head->reads() == Rows::all;
      const filbert_pooling one = head->reads() == Rows::first ? FILBERT_POOL_FIRST : FILBERT_POOL_LAST;
      const void* inner = head->inner(run, of_tokens ? computed.last : pooled(one, false), batch.tokens);
      const std::size_t rows = head->is_per_token() ? batch.tokens : batch.sequences;
      void* out = session.arena.activations(rows, head->width());
      head->last(run, inner, rows, 0, out);
      computed.rows = out;
    }
    return computed;
  }

  // Calls take(rows, begin, end) with columns [begin, end) of what the head gives for x [count, hidden], part by part.
  template <typename Take>
  void head_in_parts(Run& run, const void* x, std::size_t count, const Take& take) {
    const void* inner = head->inner(run, x, count);
    const std::vector<std::size_t>& columns = head->columns();
    void* out = run.arena.activations(count, head->widest_part());
    for (std::size_t i = 0; i < head->parts(); ++i) {
      head->last(run, inner, count, i, out);
      take(out, columns[i], columns[i + 1]);
    }
  }

  // What the head gives for tokens of a pass: those that were listed, or all.
  void write_head(Session& session, const Pass& pass, const Batch& batch, OutputWriter& writer, const void* last,
                  const ListedTokens& listed, float* to) {
    Run run = {*ops, batch, session.results, writer, Rows::all};
    if (listed.is_all()) {
      head_in_parts(run, last, batch.tokens, [&](const void* rows, std::size_t begin, std::size_t end) {
        writer.tokens(rows, {to, head->width(), begin, end});
      });
      return;
    }
    const ListedTokens::OfPass found = listed.of(session.packed, pass);
    if (found.tokens.empty()) return;
    auto* tokens = session.results.take<std::int32_t>(found.tokens.size());
    ops->upload(tokens, found.tokens.data(), found.tokens.size() * sizeof(std::int32_t));
    void* x = session.results.activations(found.tokens.size(), size.hidden);
    ops->gather({last, tokens, found.tokens.size(), size.hidden, x});
    head_in_parts(run, x, found.tokens.size(), [&](const void* rows, std::size_t begin, std::size_t end) {
      writer.listed(rows, found.rows, {to, head->width(), begin, end});
    });
  }

  void forward(Session& session, const Layout& layout, const OutputBuffers& out, const ForwardOptions& options) {
    if (out.head && !head) throw InputError("what a head gives is asked of a model without one");
    check_count("hidden_states", out.hidden_states.size(), size.layers + 1);
    check_count("attentions", out.attentions.size(), size.layers);
    if (out.on_device && !out.attentions.empty()) throw InputError("attentions are written to host memory only");
    const ListedTokens listed(options.head_tokens, session.packed, layout);
    if (!listed.is_all() && !info.head_per_token)
      throw InputError("head_tokens are asked of a model without a head that gives a row a token");
    const bool apart = out.head && (!listed.is_all() || head->parts() > 1);
    if (out.on_device && apart) throw InputError("logits over a vocabulary are written to host memory only");
    clear_unwritten(out, session.packed, layout, size);
    if (out.head && !out.on_device && listed.is_all()) {
      const auto clear = info.head_per_token ? clear_token_rows : clear_sequence_rows;
      clear(out.head, session.packed, layout, info.head_width);
    }
    const bool traced = !out.hidden_states.empty() || !out.attentions.empty();
    const bool all = out.last_hidden_state || traced || !out.head;
    const Wanted wanted = {.rows = all ? Rows::all : head->reads(), .head = out.head != nullptr && !apart};
    for_each_pass(*ops, session, options, [&](const Pass& pass, const Batch& batch, Exchange& exchange) {
      OutputWriter writer(*ops, session, exchange, pass, layout, out, size);
      const auto run = [&] { return compute(session, batch, writer, wanted); };
      const Computed computed = traced ? run() : session.recordings.run(batch, wanted, run);
      if (out.last_hidden_state) writer.tokens(computed.last, {out.last_hidden_state, size.hidden});
      if (apart) {
        write_head(session, pass, batch, writer, computed.last, listed, out.head);
      } else if (out.head && info.head_per_token) {
        writer.tokens(computed.rows, {out.head, info.head_width});
      } else if (out.head) {
        writer.sequences(computed.rows, {out.head, info.head_width});
      }
    });
  }
};

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Model Model::load(const std::string& folder, const LoadOptions& options) {
  const std::string path = folder + "/config.json";
  std::error_code unknown;
  if (!std::filesystem::exists(path, unknown)) {
    Weights weights = Weights::open(folder);
    const std::string config = config_of(weights);
    if (!config.empty()) return create(config, std::move(weights), options);
  }
  const JsonValue root = parse_config(read_config_file(path), path);
  const ConfigReader config(root, path);
  validate_config(config);  // its errors come before those of the weights
  return Model(std::make_unique<Impl>(config, Weights::open(folder), options));
}

Model Model::create(const std::string& config_json, Weights weights, const LoadOptions& options) {
  const JsonValue root = parse_config(config_json, "config");
  return Model(std::make_unique<Impl>(ConfigReader(root, "config"), std::move(weights), options));
}

void Model::forward(const TokenBatch& batch, const OutputBuffers& out, const ForwardOptions& options) const {
  if (batch.query_only && !out.attentions.empty()) throw InputError("attentions are not given of query-only tokens");
  Lease session(*impl_->sessions);
  (*session).packed.pack(batch, impl_->size.inputs);
  impl_->forward(*session, {(*session).packed.tokens(), 0, batch.sequences}, out, options);
}

void Model::forward(const PaddedBatch& batch, const OutputBuffers& out, const ForwardOptions& options) const {
  Lease session(*impl_->sessions);
  const bool first_tokens = out.head && impl_->head && impl_->head->reads() == Rows::first;
  (*session).packed.pack(batch, impl_->size.inputs, first_tokens);
  impl_->forward(*session, {batch.rows * batch.columns, batch.columns, batch.rows}, out, options);
}

Output Model::forward(const TokenBatch& batch, const ForwardOptions& options) const {
  const std::size_t tokens = count_tokens(batch);
  Output result;
  OutputBuffers buffers;
  const auto buffer = [](std::vector<float>& values, std::size_t count) {
    values.resize(count);
    return values.data();
  };
  buffers.last_hidden_state = buffer(result.last_hidden_state, tokens * impl_->size.hidden);
  if (options.head && impl_->head) {
    const std::size_t all = impl_->info.head_per_token ? tokens : batch.sequences;
    const std::size_t rows = options.head_tokens ? options.head_tokens->size() : all;
    buffers.head = buffer(result.head, rows * impl_->info.head_width);
  }
  if (options.hidden_states) {
    result.hidden_states.resize(impl_->size.layers + 1);
    for (std::size_t i = 0; i <= impl_->size.layers; ++i)
      buffers.hidden_states.push_back(buffer(result.hidden_states[i], tokens * impl_->size.width_of_state(i)));
  }
  if (options.attentions) {
    std::size_t squares = 0;
    for (std::size_t s = 0; s < batch.sequences; ++s) {
      const auto length = static_cast<std::size_t>(batch.cu_seqlens[s + 1] - batch.cu_seqlens[s]);
      squares += length * length;
    }
    result.attentions.resize(impl_->size.layers);
    for (auto& values : result.attentions) buffers.attentions.push_back(buffer(values, squares * impl_->size.heads));
  }
  forward(batch, buffers, options);
  return result;
}

void Model::embed(const TokenBatch& batch, Pooling pooling, bool normalize, float* out,
                  const ForwardOptions& options) const {
  Impl& impl = *impl_;
  const filbert_pooling op = pooling_op(pooling);
  Lease lease(*impl.sessions);
  Session& session = *lease;
  session.packed.pack(batch, impl.size.inputs);
  const Layout layout = {session.packed.tokens(), 0, batch.sequences};
  clear_sequence_rows(out, session.packed, layout, impl.size.hidden);
  const OutputBuffers nothing;
  const Wanted wanted = {.rows = rows_of(op, normalize), .pooled = true, .pooling = op, .normalize = normalize};
  for_each_pass(*impl.ops, session, options, [&](const Pass& pass, const Batch& packed, Exchange& exchange) {
    OutputWriter writer(*impl.ops, session, exchange, pass, layout, nothing, impl.size);
    const auto run = [&] { return impl.compute(session, packed, writer, wanted); };
    writer.sequences(session.recordings.run(packed, wanted, run).rows, {out, impl.size.hidden});
  });
}

void Model::max_head(const TokenBatch& batch, float* out, const ForwardOptions& options) const {
  Impl& impl = *impl_;
  if (!impl.info.head_per_token)
    throw InputError("max_head is asked of a model without a head that gives a row a token");
  Lease lease(*impl.sessions);
  Session& session = *lease;
  session.packed.pack(batch, impl.size.inputs);
  const Layout layout = {session.packed.tokens(), 0, batch.sequences};
  const std::size_t width = impl.info.head_width;
  clear_sequence_rows(out, session.packed, layout, width);
  const OutputBuffers nothing;
  for_each_pass(*impl.ops, session, options, [&](const Pass& pass, const Batch& packed, Exchange& exchange) {
    OutputWriter writer(*impl.ops, session, exchange, pass, layout, nothing, impl.size);
    const auto encode = [&] { return impl.compute(session, packed, writer, {}); };
    const Computed computed = session.recordings.run(packed, {}, encode);
    Run run = {*impl.ops, packed, session.results, writer, Rows::all};
    void* largest = session.results.activations(packed.sequences, impl.head->widest_part());
    const auto take = [&](const void* rows, std::size_t begin, std::size_t end) {
      impl.ops->pool({&packed, rows, end - begin, FILBERT_POOL_MAX, 0, largest});
      writer.sequences(largest, {out, width, begin, end});
    };
    impl.head_in_parts(run, computed.last, packed.tokens, take);
  });
}

const ModelInfo& Model::info() const { return impl_->info; }

}  // namespace filbert
