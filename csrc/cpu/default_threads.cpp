// How many threads there are unless somebody says so.
#include "cpu/default_threads.h"

#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace filbert::cpu {
namespace {

// Cores granted by the cgroup quota (v2, then v1), or 0 for no limit.
int quota_cores() {
  long long quota = -1, period = 0;
  if (std::FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "re")) {
    if (std::fscanf(file, "%lld %lld", &quota, &period) != 2) quota = -1;
    std::fclose(file);
  } else {
    const auto read = [](const char* path, long long& value) {
      if (std::FILE* number = std::fopen(path, "re")) {
        if (std::fscanf(number, "%lld", &value) != 1) value = -1;
        std::fclose(number);
      }
    };
    read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota);
    read("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period);
  }
  if (quota <= 0 || period <= 0) return 0;
  return static_cast<int>(std::clamp<long long>((quota + period - 1) / period, 1, kMaxThreads));
}

int allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

int default_threads(const char** error) {
  *error = nullptr;
  if (const char* text = std::getenv("FILBERT_NUM_THREADS"); text && *text) {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (*end == '\0' && value >= 1 && value <= kMaxThreads) return static_cast<int>(value);
    *error = text;
    return 0;
  }
  const int cores = allowed_cores();
  const int quota = quota_cores();
  return std::min(kMaxThreads, quota > 0 ? std::min(cores, quota) : cores);
}

}  // namespace filbert::cpu
