// A run on an instruction set that this machine lacks ends with the code that CTest shows as skipped.
#include <doctest/doctest.h>

#include <cstdio>
#include <string>

#include "cpu/dispatch.h"

int main(int count, char** arguments) {
  constexpr int kSkipped = 77;
  std::string error;
  if (!filbert::cpu::select_kernels(error)) {
    std::fprintf(stderr, "skipped: %s\n", error.c_str());
    return kSkipped;
  }
  return doctest::Context(count, arguments).run();
}
