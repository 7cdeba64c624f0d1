// How a quantised weight [n, k] lies in memory: the one place that checks, workspace and kernels read.
//
// A panel holds 32 rows of the weight. First come the scales of all its groups, bf16 [groups][32 rows], a multiple of
// 64 bytes; with zero points these, i8 [groups][32 rows], filled up to a multiple of 64; then the weights.
// 8 bits: [k / 4][32 rows][4], each byte a weight plus 128. 4 bits: [k / 8][32 rows][4], each byte two weights plus 8:
// in its lower half k .. k + 3, in its upper half k + 4 .. k + 7. So one load of 64 bytes feeds one vpdpbusd (or two),
// whose lanes are rows, and a product reads a panel once from end to end. Tiles of AMX lie so too. Rows and columns
// that fill up are 0.
//
// A weight is scale * (q - zero), where q is its byte less those 128, or 8. The zero point is the i8 in 8 bits and
// a 16th of it in 4, so that 0 means the form without zero points, and a byte places the range as well as a bf16 would.
#pragma once
#include "../../runtime/dtype.h"

namespace shakti {
namespace quant {

constexpr int64_t kPanel = 32;       // rows of the weight
constexpr int64_t kMostGroup = 128;  // along k

SHAKTI_INLINE int64_t blocks_of(int64_t n, int64_t size) { return (n + size - 1) / size; }

struct Layout {
  int bits;
  bool zero_point;
  int64_t group, groups;

  SHAKTI_INLINE Layout(int64_t k, int64_t bits, int64_t group, bool zero_point)
      : bits(static_cast<int>(bits)), zero_point(zero_point), group(group), groups(blocks_of(k, group)) {}
  SHAKTI_INLINE int64_t depth() const { return groups * group; }
  SHAKTI_INLINE int64_t scale_bytes() const { return groups * kPanel * 2; }
  SHAKTI_INLINE int64_t zero_bytes() const { return zero_point ? blocks_of(groups * kPanel, 64) * 64 : 0; }
  // Where the weights begin.
  SHAKTI_INLINE int64_t head_bytes() const { return scale_bytes() + zero_bytes(); }
  SHAKTI_INLINE int64_t group_bytes() const { return group * kPanel * bits / 8; }
  SHAKTI_INLINE int64_t panel_bytes() const { return head_bytes() + groups * group_bytes(); }
  // Where the weight (row, k) of a panel stands, behind the head. In 4 bits it shares its byte.
  SHAKTI_INLINE int64_t byte_of(int64_t row, int64_t k) const {
    return bits == 8 ? (k / 4 * kPanel + row) * 4 + k % 4 : (k / 8 * kPanel + row) * 4 + k % 4;
  }
};

// The last numbers that weights come back with: those of f32 too may come back as bf16.
constexpr float kLastF16 = 65504.0f, kLastBf16 = 0x1.fep127f;
// How many steps a weight may lie from 0, under its zero point.
SHAKTI_INLINE float reach_of(int bits, bool zero_point, float zero) {
  const float half = bits == 8 ? 128 : 8;
  if (!zero_point) return bits == 8 ? half - 1 : half;
  return half + zero > half - 1 - zero ? half + zero : half - 1 - zero;
}

// x in 8 bits. Its rows go in blocks of a few, each [depth / 4][rows][4] bytes (for the tile unit
// [groups][rows][group]), [groups][rows] scales, [groups][rows] starts of sums and, for zero points, [groups][rows]
// sums of the bytes in their steps.
struct Rows {
  int64_t m, each;  // rows of a block; the last may have fewer

  SHAKTI_INLINE Rows(int64_t m, int64_t most) : m(m), each(blocks_of(m, blocks_of(m, most))) {}
  SHAKTI_INLINE int64_t blocks() const { return blocks_of(m, each); }
};
SHAKTI_INLINE int64_t bytes_of_rows(int64_t m, const Layout& w) { return blocks_of(m * w.depth(), 64) * 64; }
SHAKTI_INLINE int64_t workspace(int64_t m, const Layout& w) {
  return bytes_of_rows(m, w) + (w.zero_point ? 12 : 8) * m * w.groups;
}

}  // namespace quant
}  // namespace shakti
