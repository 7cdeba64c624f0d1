// The running softmax of a strip of rows of scores (Milakov and Gimelshein, arXiv 1805.02867), in powers of two.
#pragma once
#include "../../simd/math.h"
#include "problem.h"
#include "split.h"

namespace SHAKTI_ISA_NS {
namespace {

constexpr int64_t kStrip = attention::kRowsOfStrip;

struct Running {
  alignas(64) float top[kStrip + W], sum[kStrip + W], shrink[kStrip + W];

  void start() {
    for (int64_t i = 0; i < kStrip + W; ++i) {
      top[i] = -__builtin_inff();
      sum[i] = 0;
    }
  }

  // Columns [c0, c1) of n rows of scores become their powers relative to the new maximum; what was summed before is to
  // be multiplied by `shrink`.
  void take(float* s, int64_t n, int64_t c0, int64_t c1) {
    const float low = -__builtin_inff();
    alignas(64) float best[kStrip + W];
    for (int64_t i = n; i < kStrip + W; ++i) best[i] = low;
    for (int64_t i = 0; i < n; ++i) {
      const float* row = s + i * kKeys;
      vf high = load(row + c0);
      for (int64_t j = c0 + W; j < c1; j += W) high = vmax(load(row + j), high);
      best[i] = hmax(high);
    }
    for (int64_t i = 0; i < n; i += W) {
      const vf old = load(top + i), now = vmax(old, load(best + i));
      // A row of which nothing was seen yet has nothing to shrink; its maximum may still be -inf.
      store(shrink + i, select(old == splat(low), splat(1.0f), vexp2(old - now)));
      store(top + i, now);
    }
    for (int64_t i = 0; i < n; ++i) {
      float* row = s + i * kKeys;
      if (top[i] == low) {
        std::memset(row + c0, 0, static_cast<size_t>(c1 - c0) * 4);
        continue;
      }
      const vf peak = splat(top[i]);
      vf total{};
      for (int64_t j = c0; j < c1; j += W) {
        const vf e = vexp2(load(row + j) - peak);
        store(row + j, e);
        total += e;
      }
      sum[i] = sum[i] * shrink[i] + hsum(total);
    }
  }
};

}  // namespace
}  // namespace SHAKTI_ISA_NS
