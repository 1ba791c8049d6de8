// softmax(scale (q k^T + q position_k^T + k position_q^T)) v for a head of one sequence, where a query and a key take
// the row of the tables that their distance names. Rows of distances that occur go into panels, once a task.
//
// The products of a tile of queries with position_k lie query by query, and what a key takes of them lies beside what
// the one before it takes, but for keys that are far. Those of keys with position_q are wanted by queries: of a block
// of keys they are [keys, distances] for all queries of the task, and the one of key j and query q is at distance
// first + j - q, so that what a query takes steps to the right with each key. A transposition that steps along makes
// [queries, keys] of them, before the tiles begin. Every product sums over the head size in one order, so that a
// result does not depend on what else is in its block.
#pragma once

#include "cpu/attention_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// Rows of a table that are a panel: few, because a tile wants a range that begins anywhere, in whole panels.
inline constexpr std::size_t kRowPanel = 2 * kWidth;

// Rows of a table, in panels.
template <typename A>
struct RowPanels {
  using T = typename A::Operand;

  std::size_t rows, words;
  const typename T::Cell* cells;

  std::size_t columns(std::size_t row) const { return rows - row < kRowPanel ? rows - row : kRowPanel; }

  // products [n, rows] = x table^T for the panels with rows begin to end; returns the row of the first column.
  std::size_t multiply(std::size_t begin, std::size_t end, std::size_t n, const typename T::Word* x,
                       std::size_t x_stride, float* products, std::size_t stride) const {
    const std::size_t first = begin / kRowPanel * kRowPanel;
    for (std::size_t row = first; row < end; row += kRowPanel)
      multiply_panel<T>(n, words, x, x_stride, cells + row * words, products + (row - first), stride, columns(row),
                        T::block(words));
    return first;
  }
};

// `from`: of the first of the rows.
template <typename A>
inline RowPanels<A> pack_rows(const typename A::Number* from, std::size_t stride, std::size_t rows, std::size_t d,
                              float* scratch, float* panels) {
  using Cell = typename A::Operand::Cell;
  const RowPanels<A> made = {rows, A::words(d), reinterpret_cast<const Cell*>(panels)};
  for (std::size_t row = 0; row < rows; row += kRowPanel)
    A::pack_keys(from + row * stride, stride, made.columns(row), d, scratch, panels + row * made.words);
  return made;
}

// The parts of the scratch, in floats.
template <typename A>
struct DisentangledScratch {
  static constexpr std::size_t kKeys = (A::kQueries + 15) / 16 * 16;  // of a block: whole tiles and whole vectors

  std::size_t attention, places, panels, turned_stride, turned, product_stride, products, spread_stride, spread, rows;

  explicit DisentangledScratch(const DisentangledSizes& of)
      : attention(attention_scratch<A>(of.keys, of.head_size)),
        places(round_up(of.distances, 16)),
        panels(round_up(A::words(of.head_size) * round_up(of.rows, kWidth), 16)),
        turned_stride(round_up(of.keys, kKeys) + 16),
        turned(round_up(of.queries, 16) * turned_stride),
        product_stride(round_up(of.rows, 16) + 16),
        products(kKeys * product_stride),
        spread_stride(round_up(of.queries, 16) + kKeys + 16),
        spread(kKeys * spread_stride),
        rows(round_up(A::row_scratch(kKeys, of.head_size), 16)) {
    const std::size_t padded = round_up(A::key_scratch(kRowPanel, of.head_size), 16);
    if (padded > products) products = padded;  // before there are any
  }
  std::size_t total() const { return attention + places + 2 * panels + turned + products + spread + rows; }
};

template <typename A>
inline std::size_t disentangled_scratch(const DisentangledSizes& most) {
  return DisentangledScratch<A>(most).total();
}

// The distances of a task, and the rows of the tables that they name, counted from the first one.
struct Distances {
  std::int64_t first, last;
  std::size_t first_row, rows;

  explicit Distances(const DisentangledTask& task)
      : first(std::int64_t{task.attention.key_columns[0]} - task.attention.query_columns[task.attention.queries - 1]),
        last(std::int64_t{task.attention.key_columns[task.attention.keys - 1]} - task.attention.query_columns[0]),
        first_row(row_of(task, first)),
        rows(row_of(task, last) - first_row + 1) {}

  static std::size_t row_of(const DisentangledTask& task, std::int64_t distance) {
    const std::int64_t reach = task.reach;
    return static_cast<std::size_t>(task.rows[distance < -reach ? -reach : distance > reach ? reach : distance]);
  }
  std::size_t count() const { return static_cast<std::size_t>(last - first) + 1; }
};

// n columns without a hole.
inline bool are_neighbours(const std::int32_t* columns, std::size_t n) {
  return static_cast<std::size_t>(std::int64_t{columns[n - 1]} - columns[0]) == n - 1;
}

template <typename A>
class PositionTerms {
 public:
  using T = typename A::Operand;
  using Word = typename T::Word;
  using Scratch = DisentangledScratch<A>;

  explicit PositionTerms(const DisentangledTask& task)
      : task_(task),
        of_(task.attention),
        distances_(task),
        sizes_({of_.queries, of_.keys, distances_.count(), distances_.rows, of_.head_size}) {
    float* const places = of_.scratch + sizes_.attention;
    float* const panels = places + sizes_.places;
    turned_ = panels + 2 * sizes_.panels;
    products_ = turned_ + sizes_.turned;
    spread_ = products_ + sizes_.products;
    operand_ = spread_ + sizes_.spread;
    places_ = reinterpret_cast<std::int32_t*>(places);
    for (std::size_t i = 0; i < distances_.count(); ++i)
      places_[i] = static_cast<std::int32_t>(Distances::row_of(task, distances_.first + static_cast<std::int64_t>(i)) -
                                             distances_.first_row);
    if (task.position_k.data) of_keys_ = pack(task.position_k, panels);
    if (task.position_q.data) turn(pack(task.position_q, panels + sizes_.panels));
  }

  // To the scores of `rows` queries from `query` on, given as an operand.
  void add(std::size_t query, std::size_t rows, const Word* q, std::size_t q_stride, float* scores,
           std::size_t stride) const {
    if (task_.position_k.data) {
      const std::int32_t* const columns = of_.query_columns + query;
      const std::size_t first = of_keys_.multiply(place(0, query + rows - 1), place(of_.keys - 1, query) + 1, rows, q,
                                                  q_stride, products_, sizes_.product_stride);
      for (std::size_t r = 0; r < rows; ++r)
        add_products(columns[r], products_ + r * sizes_.product_stride, first, scores + r * stride);
    }
    if (task_.position_q.data)
      for (std::size_t r = 0; r < rows; ++r) {
        const float* const row = turned_ + (of_.queries - 1 - query - r) * sizes_.turned_stride;
        float* const to = scores + r * stride;
        for_each_vector(of_.keys, [&](std::size_t j, std::size_t lanes) {
          store_first(to + j, load_first(to + j, lanes) + load_first(row + j, lanes), lanes);
        });
      }
  }

 private:
  RowPanels<A> pack(const HeadRows& table, float* panels) const {
    return pack_rows<A>(row_of<A>(table, distances_.first_row), table.stride, distances_.rows, of_.head_size, products_,
                        panels);
  }

  std::int64_t distance(std::size_t key, std::size_t query) const {
    return std::int64_t{of_.key_columns[key]} - of_.query_columns[query];
  }
  // Of the row that a key and a query take.
  std::size_t place(std::size_t key, std::size_t query) const {
    return static_cast<std::size_t>(places_[distance(key, query) - distances_.first]);
  }

  // To the scores of the query in that column; the products of row `first` come first.
  void add_products(std::int32_t column, const float* products, std::size_t first, float* scores) const {
    const auto low = static_cast<std::int32_t>(first);
    std::size_t begin = of_.keys, end = of_.keys;  // keys whose rows follow each other
    if (are_neighbours(of_.key_columns, of_.keys)) {
      const std::int64_t before = std::int64_t{of_.key_columns[0]} - column;
      begin = key_at(task_.near_first - before);
      end = key_at(task_.near_last + 1 - before);
    }
    const auto add_far = [&](std::size_t key, std::size_t stop) {
      for (; key < stop; ++key)
        scores[key] += products[places_[of_.key_columns[key] - column - distances_.first] - low];
    };
    add_far(0, begin);
    if (begin < end) {
      const std::int64_t at = std::int64_t{of_.key_columns[begin]} - column - distances_.first;
      const float* const from = products + (places_[at] - low);
      float* const to = scores + begin;
      for_each_vector(end - begin, [&](std::size_t j, std::size_t lanes) {
        store_first(to + j, load_first(to + j, lanes) + load_first(from + j, lanes), lanes);
      });
    }
    add_far(end, of_.keys);
  }
  std::size_t key_at(std::int64_t place) const {
    const auto keys = static_cast<std::int64_t>(of_.keys);
    return static_cast<std::size_t>(place < 0 ? 0 : place > keys ? keys : place);
  }

  // turned_ [queries, keys] = q's numbers of k position_q^T. The last query comes first, so that distances grow from
  // one to the next.
  void turn(const RowPanels<A>& of_queries) const {
    const std::size_t last = of_.queries - 1;
    const bool are_in_turn = are_neighbours(of_.query_columns, of_.queries);
    for (std::size_t key = 0; key < of_.keys; key += Scratch::kKeys) {
      const std::size_t keys = of_.keys - key < Scratch::kKeys ? of_.keys - key : Scratch::kKeys;
      std::size_t k_stride = of_.k.stride;
      const Word* const k = A::rows(row_of<A>(of_.k, key), k_stride, keys, of_.head_size, operand_);
      const std::size_t first = of_queries.multiply(place(key, last), place(key + keys - 1, 0) + 1, keys, k, k_stride,
                                                    products_, sizes_.product_stride);
      if (are_in_turn && are_neighbours(of_.key_columns + key, keys))
        turn_block(key, keys, first);
      else
        turn_with_holes(key, keys, first);
    }
  }

  void turn_with_holes(std::size_t key, std::size_t keys, std::size_t first) const {
    for (std::size_t j = 0; j < keys; ++j)
      for (std::size_t i = 0; i < of_.queries; ++i)
        turned_[i * sizes_.turned_stride + key + j] =
            products_[j * sizes_.product_stride + place(key + j, of_.queries - 1 - i) - first];
  }

  // What lies past the keys and queries that there are is copied, too: there is room, and nobody reads it.
  void turn_block(std::size_t key, std::size_t keys, std::size_t first) const {
    const std::int64_t before = distance(key, of_.queries - 1);
    const std::int32_t* const places = places_ + (before - distances_.first);
    const std::size_t queries = of_.queries;
    const float* by_distance = products_ + (static_cast<std::size_t>(places[0]) - first);
    std::size_t stride = sizes_.product_stride;
    if (before < task_.near_first || distance(key + keys - 1, 0) > task_.near_last) {
      for (std::size_t j = 0; j < keys; ++j) {
        const float* const from = products_ + j * sizes_.product_stride;
        float* const to = spread_ + j * sizes_.spread_stride;
        for (std::size_t i = j; i < j + queries; ++i) to[i] = from[static_cast<std::size_t>(places[i]) - first];
      }
      by_distance = spread_;
      stride = sizes_.spread_stride;
    }
    for (std::size_t i = 0; i < queries; i += kWidth)
      for (std::size_t j = 0; j < Scratch::kKeys; j += kWidth)
        transpose(by_distance + j * stride + i + j, stride + 1, turned_ + i * sizes_.turned_stride + key + j,
                  sizes_.turned_stride);
  }

  const DisentangledTask& task_;
  const AttentionTask& of_;
  Distances distances_;
  Scratch sizes_;
  RowPanels<A> of_keys_ = {};
  std::int32_t* places_;  // by distance, from the first one on: of its row, among those of the task
  float *turned_, *products_, *spread_, *operand_;
};

template <typename A>
inline void disentangled(const DisentangledTask& task) {
  const PositionTerms<A> terms(task);
  attend<A>(task.attention, [&terms](auto... tile) { terms.add(tile...); });
}

template <typename A>
constexpr AttentionKernel attention_kernel() {
  return {attention_scratch<A>, attention<A>, disentangled_scratch<A>, disentangled<A>, A::kPutHeads};
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
