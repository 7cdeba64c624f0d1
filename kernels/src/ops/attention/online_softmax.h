// The running softmax of a strip of rows of scores (Milakov and Gimelshein, arXiv 1805.02867), in powers of two.
#pragma once
#include "../../simd/math.h"
#include "problem.h"
#include "split.h"

namespace SHAKTI_ISA_NS {
namespace {

constexpr int64_t kStrip = attention::Forward::kStrip;

// Powers are relative to a row's reference, which is raised to the highest score once one exceeds it by this much: what
// is summed hardly ever has to be multiplied again, at the price of powers of up to 2^8.
constexpr float kSlack = 8;

struct Running {
  alignas(64) float sum[kStrip][W];  // lane by lane
  float top[kStrip];                 // the reference; -inf: no score was seen yet
  float reference[kStrip];           // the same, 0 for -inf

  void start() {
    std::memset(sum, 0, sizeof sum);
    std::memset(reference, 0, sizeof reference);
    for (float& t : top) t = -__builtin_inff();
  }

  // Columns [c0, c1) of n rows of scores become their powers. A row of `out`, [n][dp], is multiplied by what its
  // weights lose when its reference is raised.
  void take(float* s, int64_t n, int64_t c0, int64_t c1, float* out, int64_t dp) {
    for (int64_t i = 0; i < n; ++i) {
      float* row = s + i * kKeys;
      vf high = load(row + c0);
      for (int64_t j = c0 + W; j < c1; j += W) high = vmax(load(row + j), high);
      see(i, high, out + i * dp, dp);
      const vf base = splat(reference[i]);
      vf total = load(sum[i]);
      for (int64_t j = c0; j < c1; j += W) {
        const vf e = vexp2(load(row + j) - base);
        store(row + j, e);
        total += e;
      }
      store(sum[i], total);
    }
  }

  // The same for R rows from `first` on that are in registers, with all columns. Their powers go to s.
  template <int R, int V>
  SHAKTI_INLINE void take(int64_t first, const vf (&scores)[R][V], float* s, float* out, int64_t dp) {
    static_assert(V * W <= kKeys, "a row has no more columns");
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      vf high = scores[r][0];
#pragma GCC unroll 4
      for (int v = 1; v < V; ++v) high = vmax(scores[r][v], high);
      see(first + r, high, out + (first + r) * dp, dp);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const vf base = splat(reference[first + r]);
      vf total = load(sum[first + r]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const vf e = vexp2(scores[r][v] - base);
        store(s + (first + r) * kKeys + v * W, e);
        total += e;
      }
      store(sum[first + r], total);
    }
  }

 private:
  // Raises the reference of row i where its highest scores ask for it.
  SHAKTI_INLINE void see(int64_t i, vf high, float* out, int64_t dp) {
    if (__builtin_expect(!any_above(high, splat(top[i] + kSlack)), 1)) return;
    const float now = hmax(high), before = top[i];
    top[i] = reference[i] = now;
    if (before > -__builtin_inff()) shrink(i, before - now, out, dp);
  }
  __attribute__((noinline)) void shrink(int64_t i, float by, float* out, int64_t dp) {
    const vf factor = vexp2(splat(by));
    store(sum[i], load(sum[i]) * factor);
    for (int64_t j = 0; j < dp; j += W) store(out + j, load(out + j) * factor);
  }
};

}  // namespace
}  // namespace SHAKTI_ISA_NS
