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

// Neighbours of two vectors of 16 bytes, alternating: of their lower halves, of their upper ones.
template <class T>
struct Alternating;
#define SHAKTI_ALTERNATING(T, I, ...)                                              \
  template <>                                                                      \
  struct Alternating<T> {                                                          \
    typedef T Vector __attribute__((vector_size(16)));                             \
    typedef I Index __attribute__((vector_size(16)));                              \
    SHAKTI_INLINE static void run(Vector a, Vector b, Vector* low, Vector* high) { \
      constexpr Index pairs = {__VA_ARGS__};                                       \
      *low = __builtin_shuffle(a, b, pairs);                                       \
      *high = __builtin_shuffle(a, b, pairs + static_cast<I>(8 / sizeof(T)));      \
    }                                                                              \
  };
SHAKTI_ALTERNATING(uint64_t, int64_t, 0, 2)
SHAKTI_ALTERNATING(uint32_t, int32_t, 0, 4, 1, 5)
SHAKTI_ALTERNATING(uint16_t, int16_t, 0, 8, 1, 9, 2, 10, 3, 11)
SHAKTI_ALTERNATING(uint8_t, int8_t, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#undef SHAKTI_ALTERNATING

// A square of as many lines as 16 bytes have elements: to[i * to_step + k] = from[k * from_step + i].
template <class T>
SHAKTI_INLINE void transpose_square(const T* from, int64_t from_step, T* to, int64_t to_step) {
  using A = Alternating<T>;
  constexpr int K = 16 / sizeof(T);
  typename A::Vector v[K], w[K];
  for (int k = 0; k < K; ++k) std::memcpy(&v[k], from + k * from_step, 16);
  // Each round alternates line k with line k + K / 2: after log2(K) of them lines are columns.
  for (int rounds = 1; rounds < K; rounds *= 2) {
    for (int k = 0; k < K / 2; ++k) A::run(v[k], v[k + K / 2], &w[2 * k], &w[2 * k + 1]);
    for (int k = 0; k < K; ++k) v[k] = w[k];
  }
  for (int k = 0; k < K; ++k) std::memcpy(to + k * to_step, &v[k], 16);
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
