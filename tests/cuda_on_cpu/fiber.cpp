#include "fiber.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// void switch_stack(void** save, void* load): the registers that a call keeps go onto the stack.
#if defined(__x86_64__)
asm(R"(
.text
.hidden filbert_switch_stack
.globl filbert_switch_stack
.type filbert_switch_stack, @function
filbert_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size filbert_switch_stack, .-filbert_switch_stack
)");
#elif defined(__aarch64__)
asm(R"(
.text
.hidden filbert_switch_stack
.globl filbert_switch_stack
.type filbert_switch_stack, %function
filbert_switch_stack:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size filbert_switch_stack, .-filbert_switch_stack
)");
#else
#error "no stack switch for this processor"
#endif
extern "C" void filbert_switch_stack(void** save, void* load);

namespace filbert::cuda_on_cpu {
namespace {

constexpr std::size_t kGuard = 64 << 10;  // a page of any size
constexpr std::size_t kStack = 256 << 10;

// What a switch pops, in words; the entry is where it returns to. x86-64 wants the stack pointer as after a call.
#if defined(__x86_64__)
constexpr std::size_t kFrame = 8, kReturn = 6;
#else
constexpr std::size_t kFrame = 20, kReturn = 11;
#endif

}  // namespace

Fiber::~Fiber() {
  if (stack_) munmap(stack_, kGuard + kStack);
}

void Fiber::start(void (*entry)(), unsigned number) {
  if (!stack_) {
    void* memory =
        mmap(nullptr, kGuard + kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    stack_ = static_cast<std::byte*>(memory);
    mprotect(stack_, kGuard, PROT_NONE);
    bottom_ = stack_ + kGuard;
    size_ = kStack;
  }
  std::byte* const top = stack_ + kGuard + kStack;
#if defined(__SANITIZE_ADDRESS__)
  // Frames that were abandoned; what lies below them has returned.
  auto* const abandoned = stack_pointer_ ? static_cast<std::byte*>(stack_pointer_) : stack_ + kGuard;
  __asan_unpoison_memory_region(abandoned, static_cast<std::size_t>(top - abandoned));
#endif
  auto* frame = reinterpret_cast<std::uintptr_t*>(top - number % 64 * 320) - kFrame;
  std::fill_n(frame, kFrame, 0);
  frame[kReturn] = reinterpret_cast<std::uintptr_t>(entry);
  stack_pointer_ = frame;
}

#if defined(__SANITIZE_ADDRESS__)

namespace {
Fiber* leaving = nullptr;
}

void Fiber::switch_to(Fiber& from, Fiber& to, bool last) {
  leaving = &from;
  __sanitizer_start_switch_fiber(last ? nullptr : &from.fake_stack_, to.bottom_, to.size_);
  filbert_switch_stack(&from.stack_pointer_, to.stack_pointer_);
  __sanitizer_finish_switch_fiber(from.fake_stack_, nullptr, nullptr);
}

void Fiber::started() {
  const void* bottom;
  std::size_t size;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
  if (!leaving->stack_) {  // a thread of the host: only the sanitizer knows its stack
    leaving->bottom_ = bottom;
    leaving->size_ = size;
  }
}

#else

void Fiber::switch_to(Fiber& from, Fiber& to, bool) { filbert_switch_stack(&from.stack_pointer_, to.stack_pointer_); }

void Fiber::started() {}

#endif

}  // namespace filbert::cuda_on_cpu
