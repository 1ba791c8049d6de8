// Runs something in a forked child.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

namespace filbert::testing {

// Sanitizers have locks of their own, which a child may find taken, start no threads after a fork, and end the process
// where there is no memory.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// The wait status of a child that runs body: 0 if that returned true. One that hangs is ended by SIGALRM.
template <typename Body>
int forked(const Body& body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(body() ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

}  // namespace filbert::testing
