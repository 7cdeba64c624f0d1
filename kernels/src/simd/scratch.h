// Rows of a task's memory. Wide ones do not fit the stack, so they lie in the thread's scratch.
#pragma once
#include "../runtime/op.h"

namespace SHAKTI_ISA_NS {
namespace {

// The i-th row of n elements, on a whole line.
template <class T>
SHAKTI_INLINE T* buffer_of(Context& c, int thread, int64_t n, int i) {
  return static_cast<T*>(c.scratch(thread)) + i * ((n + 15) / 16 * 16);
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
