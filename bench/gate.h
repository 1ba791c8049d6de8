// How fast the processor is at this moment. What others do on the same machine can halve its rate for a tenth of a
// second or for minutes: samples are only comparable if such a loop ran fast before and after each of them.
#pragma once

extern "C" {

// Starts a thread for each of the first `threads` processors that the process may use, and leaves them asleep.
// isa as FILBERT_CPU_ISA names them. 0 if there is no loop for it.
__attribute__((visibility("default"))) int filbert_gate_open(const char* isa, int threads);

// The rate of the slowest of those processors, in GFLOP/s, over some 75 us.
__attribute__((visibility("default"))) double filbert_gate_rate(void);
}
