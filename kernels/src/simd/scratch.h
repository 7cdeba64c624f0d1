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

// How many of `count` rows of n elements a task takes, of rows that do not depend on each other. At its start nothing
// is fetched yet, so large tasks lose less (RMS norm of f32 [4096, 1024] by 17 rows 85 % of a copy, by 65 rows 95 %),
// but every thread should have several. A row of more than half of L1 is best a task of its own ([2048, 32768]: 87 %
// for 83 % by threes; Zen 5, 2 threads, 2026-11-26).
SHAKTI_INLINE int64_t rows_of_task(const Context& c, int64_t count, int64_t n) {
  if (n > 8192) return 1;
  const int64_t least = 1 + 16384 / n, most = 1 + 65536 / n, share = count / (8 * c.threads());
  return share < least ? least : share > most ? most : share;
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
