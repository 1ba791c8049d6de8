// What the CPU backend keeps between calls.
#pragma once

#include "cpu/kernels.h"
#include "cpu/share_buffers.h"
#include "cpu/spares.h"
#include "cpu/threads.h"

struct filbert_context {
  const filbert::cpu::Kernels& kernels;
  filbert_dtype dtype;
  const filbert::cpu::LinearKernel& linear;
  const filbert::cpu::AttentionKernel& attention;
  filbert::cpu::ThreadPool pool;
  filbert::cpu::Spares<filbert::cpu::ShareBuffers> buffers = {};
};
