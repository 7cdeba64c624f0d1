// How a product is cut: the one place that both the workspace's size and the kernel read. Depth counts words of 32
// bits: one element of f32, or a pair of bf16.
#pragma once
#include <cstdint>

#include "../../runtime/dtype.h"

namespace shakti {
namespace matmul {

constexpr int64_t kPanel = 32;      // columns of b are padded to this: the widest register tile of all instruction sets
constexpr int64_t kDepth = 512;     // of a block: a panel of a (24 KiB) stays in L1 while one of b passes
constexpr int64_t kRows = 96;       // of a task: a multiple of every register tile's rows; 192 KiB of a
constexpr int64_t kColumns = 2048;  // of b packed at a time
constexpr int64_t kFew = 16;        // rows of a up to which b is read where it lies
// Words of b packed at a time, which all threads share: a quarter of the last cache, 8 MiB at most.
int64_t packed_words();
constexpr int64_t kTileWords = 16;  // the tile unit sums whole tiles along the depth

struct Blocking {
  int64_t columns;  // of b packed at a time
  int64_t depth;    // of b packed at a time: several blocks when b is narrow

  SHAKTI_INLINE Blocking(int64_t n, int64_t k) {
    const int64_t padded = (n + kPanel - 1) / kPanel * kPanel;
    columns = padded > kColumns ? kColumns : padded > 0 ? padded : kPanel;
    depth = packed_words() / columns / kDepth * kDepth;
    if (depth > k) depth = k > 0 ? k : 1;
  }
  SHAKTI_INLINE int64_t packed() const { return depth * columns; }
};

// Words from one of few rows of a to the next: rows a power of two apart would share one set of L1.
SHAKTI_INLINE int64_t few_row(int64_t k) { return (k + 15) / 16 * 16 + 16; }

// y in 16 bits cannot hold a partial sum: with more than one block of depth it is summed in f32 first.
SHAKTI_INLINE bool sums_apart(DType t, int64_t k) { return (t == DType::bf16 || t == DType::f16) && k > kDepth; }

}  // namespace matmul
}  // namespace shakti
