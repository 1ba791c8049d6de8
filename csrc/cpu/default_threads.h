#pragma once

namespace filbert::cpu {

inline constexpr int kMaxThreads = 1024;

// FILBERT_NUM_THREADS, else the cores this process may use: affinity mask and cgroup quota. Null `error`: fine.
int default_threads(const char** error);

}  // namespace filbert::cpu
