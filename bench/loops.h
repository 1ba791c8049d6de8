// Loops of one instruction on registers that hold random numbers: what a processor multiplies at most.
#pragma once

#include <string>

namespace filbert::bench {

struct Loop {
  double work;  // of one round, a multiply-add counted as two
  void (*run)(long rounds);
};

// Null where there is none. isa as FILBERT_CPU_ISA names them.
struct Loops {
  Loop fp32 = {}, bf16 = {}, int8 = {};
  Loop tile = {};  // what a matrix product issues: fp32 with a load or broadcast for each one or two. A core that has a
                   // busy thread beside it may multiply as fast as alone, but does not issue as much.
};
Loops loops_of(const std::string& isa);

}  // namespace filbert::bench
