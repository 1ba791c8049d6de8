// The vectors of queries are the weight of a layer that is run on those of documents. What it gives for a document is
// pooled by the largest, and that added up for a query.
#include <filbert/batch.h>
#include <filbert/maxsim.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "engine/backend_loader.h"
#include "engine/packed_tokens.h"
#include "engine/tensors.h"

namespace filbert {
namespace {

// Rows that are taken at a time, or one set with more.
constexpr std::size_t kQueryRows = 1024, kDocumentRows = 4096;

// Multiply-adds that take less time than waking other threads.
constexpr std::size_t kWorkOfOneThread = std::size_t{1} << 22;

// Sets [begin, end) of many.
struct Sets {
  const VectorSets& all;
  std::size_t begin, end;

  std::size_t bound(std::size_t i) const {
    return static_cast<std::size_t>(all.bounds[i]) - static_cast<std::size_t>(all.bounds[begin]);
  }
  std::size_t rows() const { return bound(end); }
  const float* data(std::size_t width) const { return all.rows + static_cast<std::size_t>(all.bounds[begin]) * width; }
};

// Calls body with some sets at a time.
template <typename Body>
void for_each_part(const VectorSets& all, std::size_t rows, const Body& body) {
  for (std::size_t begin = 0, end = 0; begin < all.count; begin = end) {
    end = begin + 1;
    while (end < all.count && static_cast<std::size_t>(all.bounds[end + 1] - all.bounds[begin]) <= rows) ++end;
    body(Sets{all, begin, end});
  }
}

// largest [documents, query rows]: of each document, the largest product with each row of the queries.
void find_largest(const Ops& ops, const Weight& queries, std::size_t columns, const Sets& documents, std::size_t width,
                  std::vector<float>& products, std::vector<float>& largest) {
  const std::size_t count = documents.end - documents.begin;
  std::vector<std::int32_t> bounds;
  for (std::size_t i = documents.begin; i <= documents.end; ++i)
    bounds.push_back(static_cast<std::int32_t>(documents.bound(i)));
  filbert_batch batch = {};
  batch.cu_seqlens = bounds.data();
  batch.sequences = count;
  batch.max_length = documents.rows();
  products.resize(documents.rows() * columns);
  largest.assign(count * columns, 0.0f);  // of a document without rows nothing is written
  if (documents.rows() == 0) return;
  ops.token_ops({linear({documents.data(width), queries, nullptr, nullptr, FILBERT_IDENTITY, products.data(), 0})},
                documents.rows());
  ops.pool({&batch, products.data(), columns, FILBERT_POOL_MAX, 0, largest.data()});
}

}  // namespace

void maxsim(const VectorSets& queries, const VectorSets& documents, std::size_t width, float* scores, int threads) {
  const TokenBatch query_batch = {.cu_seqlens = queries.bounds, .sequences = queries.count};
  const TokenBatch document_batch = {.cu_seqlens = documents.bounds, .sequences = documents.count};
  const std::size_t work =
      count_tokens(query_batch, "queries.bounds") * count_tokens(document_batch, "documents.bounds") * width;
  if (width == 0) {
    std::fill_n(scores, queries.count * documents.count, 0.0f);
    return;
  }
  const OpenedDevice device = open_device("cpu", threads >= 0 && work < kWorkOfOneThread ? 1 : threads, DType::f32);
  const Ops& ops = *device.ops;
  std::vector<float> products, largest;
  for_each_part(queries, kQueryRows, [&](const Sets& asked) {
    const std::size_t columns = asked.rows();
    Weight weight;
    if (columns > 0) {
      const filbert_host_tensor rows = {asked.data(width), FILBERT_F32, columns, width};
      weight = Weight(ops, ops.load_weight(FILBERT_MATRIX, &rows, 1));
    }
    for_each_part(documents, kDocumentRows, [&](const Sets& searched) {
      if (columns > 0) find_largest(ops, weight, columns, searched, width, products, largest);
      for (std::size_t d = searched.begin; d < searched.end; ++d)
        for (std::size_t q = asked.begin; q < asked.end; ++q) {
          const float* const row = largest.data() + (d - searched.begin) * columns;
          scores[q * documents.count + d] =
              static_cast<float>(std::accumulate(row + asked.bound(q), row + asked.bound(q + 1), 0.0));
        }
    });
  });
}

}  // namespace filbert
