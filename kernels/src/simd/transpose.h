// Transposing copies in squares of four by four.
#pragma once
#include "vec.h"

namespace SHAKTI_ISA_NS {
namespace {

// Lines of `depth` floats, `step` apart, laid side by side: to[k * P + i] = from[i * step + k].
template <int P>
SHAKTI_INLINE void interleave(const float* from, int64_t step, int64_t lines, int64_t depth, float* to) {
  typedef float v4 __attribute__((vector_size(16)));
  typedef int32_t i4 __attribute__((vector_size(16)));
  int64_t i = 0;
  for (; i + 4 <= lines; i += 4) {
    const float* p = from + i * step;
    float* q = to + i;
    int64_t k = 0;
    // Squares of four by four: a store of one float at a time would take as long as the product when b is narrow.
    for (; k + 4 <= depth; k += 4) {
      v4 a, b, c, d;
      std::memcpy(&a, p + k, 16);
      std::memcpy(&b, p + step + k, 16);
      std::memcpy(&c, p + 2 * step + k, 16);
      std::memcpy(&d, p + 3 * step + k, 16);
      const v4 ab = __builtin_shuffle(a, b, i4{0, 4, 1, 5}), cd = __builtin_shuffle(c, d, i4{0, 4, 1, 5});
      const v4 ef = __builtin_shuffle(a, b, i4{2, 6, 3, 7}), gh = __builtin_shuffle(c, d, i4{2, 6, 3, 7});
      a = __builtin_shuffle(ab, cd, i4{0, 1, 4, 5});
      b = __builtin_shuffle(ab, cd, i4{2, 3, 6, 7});
      c = __builtin_shuffle(ef, gh, i4{0, 1, 4, 5});
      d = __builtin_shuffle(ef, gh, i4{2, 3, 6, 7});
      std::memcpy(q + k * P, &a, 16);
      std::memcpy(q + (k + 1) * P, &b, 16);
      std::memcpy(q + (k + 2) * P, &c, 16);
      std::memcpy(q + (k + 3) * P, &d, 16);
    }
    for (; k < depth; ++k) {
      for (int j = 0; j < 4; ++j) q[k * P + j] = p[j * step + k];
    }
  }
  for (; i < lines; ++i) {
    for (int64_t k = 0; k < depth; ++k) to[k * P + i] = from[i * step + k];
  }
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
