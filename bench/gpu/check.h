// Ends the program with the error of a failed call, as a line of JSON.
#pragma once

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

#define CHECK(call)                                                                \
  do {                                                                             \
    const cudaError_t error_ = (call);                                             \
    if (error_ != cudaSuccess) {                                                   \
      std::printf("{\"error\": \"%s: %s\"}\n", #call, cudaGetErrorString(error_)); \
      std::exit(1);                                                                \
    }                                                                              \
  } while (0)
