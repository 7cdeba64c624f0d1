// How a weight [n, k] lies that is packed once and kept, for inference: the one place that checks, workspace and
// kernels read.
//
// A panel holds 32 rows of the weight, which are columns of the product. f32: [k][32]; bf16: [k / 2][32][2], pairs
// along k, to whole tiles of 16 pairs. Rows and depth that fill up are 0. So the panels are those of panels.h, and the
// same on every instruction set: AVX-512, vdpbf16ps and the tile unit multiply from them as they are, AVX2 and NEON
// half a panel or less at a time.
#pragma once
#include "blocking.h"

namespace shakti {
namespace matmul {

SHAKTI_INLINE int64_t panels_of(int64_t n) { return (n + kPanel - 1) / kPanel; }

struct PackedLayout {
  int64_t words;  // of 32 bits along the depth, padded

  SHAKTI_INLINE PackedLayout(DType t, int64_t k)
      : words(t == DType::f32 ? k : (k + 2 * kTileWords - 1) / (2 * kTileWords) * kTileWords) {}
  SHAKTI_INLINE int64_t panel() const { return words * kPanel; }  // in words
  SHAKTI_INLINE int64_t panel_bytes() const { return panel() * 4; }
};

// Rows of x that pass a panel together: so many that reading it costs little beside the products, so few that a block
// of their depth stays in the second cache. Whole register tiles of every unit.
constexpr int64_t kPackedRows = 192;

// Rows of x that are laid out at a time: those, or several times as many where the panels alone are too few tasks.
SHAKTI_INLINE int64_t packed_chunk(int64_t m, int64_t n) {
  constexpr int64_t kTasks = 64;
  const int64_t rows = kPackedRows * (n < kTasks * kPanel ? (kTasks + panels_of(n) - 1) / panels_of(n) : 1);
  return m < rows ? m : rows;
}
// Words from one of them to the next, and of all: whole tiles, with words for what the widest layout of a line takes.
SHAKTI_INLINE int64_t packed_row(int64_t k) { return few_row(k); }
SHAKTI_INLINE int64_t packed_rows_words(int64_t m, int64_t n, int64_t k) {
  return (packed_chunk(m, n) + 15) / 16 * 16 * packed_row(k);
}

}  // namespace matmul
}  // namespace shakti
