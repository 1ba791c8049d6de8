// Attention where a query sees some keys only (causal, within a window), or adds to a score by the distance of the key
// in columns. Columns grow from token to token, so what a query sees is a range of keys, and further queries see ranges
// that begin and end no earlier.
#pragma once

#include "cpu/matmul_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// Keys, counted from the sequence's first.
struct KeyRange {
  std::size_t begin, end;
};

// The first of n ascending numbers that is at least `least`.
inline std::size_t first_at_least(const std::int32_t* numbers, std::size_t n, std::int64_t least) {
  std::size_t begin = 0;
  while (n > 0) {
    const std::size_t half = n / 2;
    if (numbers[begin + half] < least) {
      begin += half + 1;
      n -= half + 1;
    } else {
      n = half;
    }
  }
  return begin;
}

inline KeyRange keys_of(const AttentionTask& task, std::size_t query) {
  KeyRange range = {0, task.keys};
  if (task.causal) {
    const std::ptrdiff_t last = task.first_query + static_cast<std::ptrdiff_t>(query);
    const std::size_t end = last < 0 ? 0 : static_cast<std::size_t>(last) + 1;
    if (end < range.end) range.end = end;
  }
  if (task.window > 0) {
    const std::int64_t column = task.query_columns[query];
    range.begin = first_at_least(task.key_columns, range.end, column - task.window);
    range.end = first_at_least(task.key_columns, range.end, column + task.window + 1);
  }
  return range;
}

// Whole blocks of keys, of which queries [first, last] see no others.
inline KeyRange blocks_of(const AttentionTask& task, std::size_t first, std::size_t last) {
  if (!task.relative) return {0, task.keys};
  const std::size_t begin = keys_of(task, first).begin / kKeyBlock * kKeyBlock;
  const std::size_t end = round_up(keys_of(task, last).end, kKeyBlock);
  return {begin, end < begin ? begin : (end < task.keys ? end : task.keys)};
}

// row[i] = scale row[i] + what the distance of key i adds. bias: of no distance.
inline void add_bias(float* row, std::size_t n, float scale, const float* bias, std::int64_t reach, std::int32_t column,
                     const std::int32_t* columns) {
  const std::int64_t first = std::int64_t{columns[0]} - column;
  const std::int64_t last = std::int64_t{columns[n - 1]} - column;
  if (last - first != static_cast<std::int64_t>(n) - 1) {  // columns are missing
    for (std::size_t i = 0; i < n; ++i) {
      const std::int64_t distance = std::int64_t{columns[i]} - column;
      const std::int64_t clipped = distance < -reach ? -reach : distance > reach ? reach : distance;
      row[i] = __builtin_fmaf(row[i], scale, bias[clipped]);
    }
    return;
  }
  const auto add = [&](std::int64_t begin, std::int64_t end, const auto& load_bias) {  // distances
    for_each_vector(end > begin ? static_cast<std::size_t>(end - begin) : 0, [&](std::size_t j, std::size_t lanes) {
      float* const to = row + (begin - first) + static_cast<std::ptrdiff_t>(j);
      const Vec more = load_bias(begin + static_cast<std::int64_t>(j), lanes);
      store_first(to, fma(load_first(to, lanes), set(scale), more), lanes);
    });
  };
  const std::int64_t low = first > -reach ? first : (last + 1 < -reach ? last + 1 : -reach);
  const std::int64_t high = last < reach ? last + 1 : (first > reach + 1 ? first : reach + 1);
  add(first, low, [&](std::int64_t, std::size_t) { return set(bias[-reach]); });
  add(low, high, [&](std::int64_t distance, std::size_t lanes) { return load_first(bias + distance, lanes); });
  add(high, last + 1, [&](std::int64_t, std::size_t) { return set(bias[reach]); });
}

inline void clear(float* row, std::size_t n) {
  for_each_vector(n, [&](std::size_t j, std::size_t lanes) { store_first(row + j, set(0.0f), lanes); });
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
