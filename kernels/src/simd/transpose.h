// Transposing copies of 32-bit elements (f32, or pairs of bf16), four lines at a time.
#pragma once
#include "vec.h"

namespace SHAKTI_ISA_NS {
namespace {

// b's and a's elements of every group of four, taken in turn: the two halves of a transposition of four by four.
#if defined(__AVX512F__)
#define SHAKTI_FOUR(a, b, c, d) \
  {a, b, c, d, a + 4, b + 4, c + 4, d + 4, a + 8, b + 8, c + 8, d + 8, a + 12, b + 12, c + 12, d + 12}
#elif defined(__AVX2__)
#define SHAKTI_FOUR(a, b, c, d) {a, b, c, d, a + 4, b + 4, c + 4, d + 4}
#else
#define SHAKTI_FOUR(a, b, c, d) {a, b, c, d}
#endif

// Lines of `depth` elements, `step` bytes apart, laid side by side: to[k * P + i] = from[i * step + k].
template <int P>
SHAKTI_INLINE void interleave(const void* from, int64_t step, int64_t lines, int64_t depth, float* to) {
  const auto* base = static_cast<const char*>(from);
  int64_t i = 0;
  for (; i + 4 <= lines; i += 4) {
    const char* p = base + i * step;
    float* q = to + i;
    const auto at = [&](int64_t line, int64_t k) {
      vf v;
      std::memcpy(&v, p + line * step + k * 4, sizeof v);
      return v;
    };
    int64_t k = 0;
    for (; k + W <= depth; k += W) {
      const vf a = at(0, k), b = at(1, k), c = at(2, k), d = at(3, k);
      const vf ab = __builtin_shuffle(a, b, vi SHAKTI_FOUR(0, W, 1, W + 1));
      const vf cd = __builtin_shuffle(c, d, vi SHAKTI_FOUR(0, W, 1, W + 1));
      const vf ef = __builtin_shuffle(a, b, vi SHAKTI_FOUR(2, W + 2, 3, W + 3));
      const vf gh = __builtin_shuffle(c, d, vi SHAKTI_FOUR(2, W + 2, 3, W + 3));
      const vf out[4] = {__builtin_shuffle(ab, cd, vi SHAKTI_FOUR(0, 1, W, W + 1)),
                         __builtin_shuffle(ab, cd, vi SHAKTI_FOUR(2, 3, W + 2, W + 3)),
                         __builtin_shuffle(ef, gh, vi SHAKTI_FOUR(0, 1, W, W + 1)),
                         __builtin_shuffle(ef, gh, vi SHAKTI_FOUR(2, 3, W + 2, W + 3))};
      typedef float v4 __attribute__((vector_size(16)));
#pragma GCC unroll 4
      for (int g = 0; g < W / 4; ++g) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
          v4 four;
          std::memcpy(&four, reinterpret_cast<const char*>(&out[j]) + g * 16, 16);
          std::memcpy(q + (k + 4 * g + j) * P, &four, 16);
        }
      }
    }
    for (; k < depth; ++k) {
      for (int j = 0; j < 4; ++j) std::memcpy(q + k * P + j, p + j * step + k * 4, 4);
    }
  }
  for (; i < lines; ++i) {
    for (int64_t k = 0; k < depth; ++k) std::memcpy(to + k * P + i, base + i * step + k * 4, 4);
  }
}

// The sums of the lanes of each of four vectors.
SHAKTI_INLINE void hsum_four(vf a, vf b, vf c, vf d, float* to) {
  const auto fold = [](vf a, vf b) {
    return __builtin_shuffle(a, b, vi SHAKTI_FOUR(0, 1, W, W + 1)) +
           __builtin_shuffle(a, b, vi SHAKTI_FOUR(2, 3, W + 2, W + 3));
  };
  const vf ab = fold(a, b), cd = fold(c, d);
  const vf sums = __builtin_shuffle(ab, cd, vi SHAKTI_FOUR(0, 2, W, W + 2)) +
                  __builtin_shuffle(ab, cd, vi SHAKTI_FOUR(1, 3, W + 1, W + 3));
  typedef float v4 __attribute__((vector_size(16)));
  v4 part[W / 4];
  std::memcpy(part, &sums, sizeof part);
  for (int width = W / 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) part[i] += part[i + width];
  }
  std::memcpy(to, part, sizeof part[0]);
}

#undef SHAKTI_FOUR
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
