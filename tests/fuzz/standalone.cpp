// Runs a fuzz target without libFuzzer: mutates its seeds, reproducibly.
//   TARGET [EXECUTIONS [FIRST]]   execution i depends on i alone, so that a failure is repeated by `TARGET 1 i`
//   TARGET FILE...                runs these inputs
//   TARGET --seeds FOLDER         writes the seeds, as a corpus for libFuzzer
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>

#include "fuzz_target.h"

// Present where a sanitizer is linked.
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace {

volatile std::uint64_t current_execution = 0;

void report_death() {
  std::fprintf(stderr, "failed in execution %llu\n", static_cast<unsigned long long>(current_execution));
}

void on_signal(int number) {
  report_death();
  std::signal(number, SIG_DFL);
  std::raise(number);
}

const char* const kTokens[] = {
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud83d",
    "null",
    "true",
    "-",
    "0",
    "1e999",
    "NaN",
    "Infinity",
    ".",
    "..",
    "/",
    "../",
    "version https://git-lfs.github.com/spec/v1",
    "<html>",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775808",
    "4294967296",
    "2147483648",
    "-1",
    "0.5",
    "[0,0]",
    "\"dtype\":\"F4\"",
    "\"__metadata__\":{}",
    "\xef\xbb\xbf",
    "\xed\xa0\x80",
    "\xff",
};

class Mutator {
 public:
  Mutator(const std::vector<std::string>& seeds, std::uint64_t execution) : seeds_(seeds), random_(execution) {}

  std::string input() {
    std::string text = seeds_[below(seeds_.size())];
    for (std::size_t step = below(6) + (below(16) == 0 ? 40 : 1); step > 0; --step) mutate(text);
    return text;
  }

 private:
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : static_cast<std::size_t>(random_() % bound); }

  void mutate(std::string& text) {
    const std::size_t at = below(text.size() + 1);
    const std::size_t length = std::min(below(16) + 1, text.size() - at);
    switch (below(8)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
        break;
      case 1:
        if (at < text.size()) text[at] = static_cast<char>(below(256));
        break;
      case 2:
        text.erase(at, length);
        break;
      case 3:
        text.insert(at, text.substr(below(text.size() + 1), length));
        break;
      case 4:
        text.insert(at, kTokens[below(std::size(kTokens))]);
        break;
      case 5:
        replace_number(text, at);
        break;
      case 6:
        splice(text, at);
        break;
      case 7:
        fix_length(text);
        break;
      default:
        break;
    }
    if (text.size() > kMaxInput) text.resize(kMaxInput);
  }

  void replace_number(std::string& text, std::size_t at) {
    const std::size_t begin = text.find_first_of("0123456789", at);
    if (begin == std::string::npos) return;
    const std::size_t end = std::min(text.find_first_not_of("0123456789", begin), text.size());
    const std::uint64_t any = random_() >> below(64);
    text.replace(begin, end - begin, std::to_string(below(2) == 0 ? any : below(20)));
  }

  void splice(std::string& text, std::size_t at) {
    const std::string& other = seeds_[below(seeds_.size())];
    text = text.substr(0, at) + other.substr(below(other.size() + 1));
  }

  // Makes the first eight bytes the length of a safetensors header again, so that changes reach what is behind them.
  void fix_length(std::string& text) {
    const std::size_t end = text.rfind('}');
    if (end == std::string::npos || end < 8) return;
    for (std::size_t i = 0; i < 8; ++i) text[i] = static_cast<char>((end - 7) >> (8 * i) & 0xff);
  }

  static constexpr std::size_t kMaxInput = 1 << 16;
  const std::vector<std::string>& seeds_;
  std::mt19937_64 random_;
};

void run(const std::string& input) {
  // A heap block of exactly this size: AddressSanitizer then sees a read past its end.
  const std::vector<std::uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

int write_seeds(const std::string& folder) {
  int number = 0;
  for (const std::string& seed : fuzz_seeds()) {
    std::ofstream file(folder + "/seed" + std::to_string(number++), std::ios::binary);
    file.write(seed.data(), static_cast<std::streamsize>(seed.size()));
    if (!file.flush()) return 1;
  }
  return 0;
}

int run_mutations(std::uint64_t executions, std::uint64_t first) {
  const std::vector<std::string> seeds = fuzz_seeds();
  for (const std::string& seed : seeds) run(seed);
  double slowest = 0;
  const auto start = std::chrono::steady_clock::now();
  auto before = start;
  for (std::uint64_t i = first; i - first < executions; ++i) {
    current_execution = i;
    run(Mutator(seeds, i).input());
    const auto now = std::chrono::steady_clock::now();
    slowest = std::max(slowest, std::chrono::duration<double>(now - before).count());
    before = now;
  }
  const double seconds = std::chrono::duration<double>(before - start).count();
  std::printf("%llu executions in %.1f s, the slowest in %.3f s\n", static_cast<unsigned long long>(executions),
              seconds, slowest);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(report_death);
  std::signal(SIGABRT, on_signal);
  std::signal(SIGSEGV, on_signal);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 2 && arguments[0] == "--seeds") return write_seeds(arguments[1]);
  const bool is_count = arguments.empty() || arguments[0].find_first_not_of("0123456789") == std::string::npos;
  if (is_count) {
    const std::uint64_t executions = arguments.empty() ? 100'000 : std::strtoull(arguments[0].c_str(), nullptr, 10);
    return run_mutations(executions, arguments.size() < 2 ? 0 : std::strtoull(arguments[1].c_str(), nullptr, 10));
  }
  for (const std::string& path : arguments) {
    std::ifstream file(path, std::ios::binary);
    run(std::string(std::istreambuf_iterator<char>(file), {}));
  }
  return 0;
}
