// What a call on a few tokens needs beside the scratch of its threads.
#pragma once

#include <vector>

#include "cpu/row_share.h"
#include "cpu/scratch.h"

namespace filbert::cpu {

struct ShareBuffers {
  std::vector<RowShare> shares;
  Scratch floats;  // of all shares

  float* reserve(std::size_t wanted) {
    if (wanted > floats.floats()) {
      floats = {};
      floats = Scratch(wanted);
    }
    return floats.data();
  }
};

}  // namespace filbert::cpu
