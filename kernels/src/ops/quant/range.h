// The range of a group of weights: which steps its bytes count. Found once, when a weight is packed; step for step the
// same arithmetic in range.cuh.
#pragma once
#include "../../simd/vec.h"
#include "layout.h"

namespace SHAKTI_ISA_NS {
namespace {

using quant::kMostGroup;
using quant::kPanel;

constexpr int H = kPanel / W;  // vectors of a panel's rows, and of 32 weights of a group

// Of all lanes. Compilers take them out one by one.
SHAKTI_INLINE int32_t largest_of(vi v) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_epi32((__m512i)v);
#else
  int32_t largest = v[0];
  for (int i = 1; i < W; ++i) largest = v[i] > largest ? v[i] : largest;
  return largest;
#endif
}
SHAKTI_INLINE int32_t sum_of(vi v) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_epi32((__m512i)v);
#else
  int32_t sum = 0;
  for (int i = 0; i < W; ++i) sum += v[i];
  return sum;
#endif
}

// The bits of the largest magnitude. From 0x7f800000 on not all are finite.
SHAKTI_INLINE int32_t largest_bits(const float* p, int64_t n) {
  vi most = {};
  lanes(n, [&](int64_t i, int64_t count, bool part) {
    const vi bits = (vi)load_n(p + i, count, part) & 0x7fffffff;
    most = bits > most ? bits : most;
  });
  return largest_of(most);
}
constexpr int32_t kNotFinite = 0x7f800000;

SHAKTI_INLINE float float_of(int32_t bits) {
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}
// A scale from what is stored of it.
SHAKTI_INLINE float scale_from(const void* upper_half) {
  uint16_t upper;
  std::memcpy(&upper, upper_half, sizeof upper);
  return float_of(static_cast<int32_t>(static_cast<uint32_t>(upper) << 16));
}
SHAKTI_INLINE int32_t bits_of(float f) {
  int32_t bits;
  std::memcpy(&bits, &f, sizeof bits);
  return bits;
}

// 32 sums, added up in one order on every instruction set.
struct Sum {
  vf part[H] = {};
  SHAKTI_INLINE float total() const {
    float t[kPanel];
    std::memcpy(t, part, sizeof t);
    for (int step = kPanel / 2; step > 0; step /= 2) {
      for (int i = 0; i < step; ++i) t[i] += t[i + step];
    }
    return t[0];
  }
};

// As a panel's head holds it.
struct Range {
  uint16_t scale = 0;  // the upper half of its bits
  int8_t zero = 0;
};

// What a step of the zero point is, in steps of the weight.
SHAKTI_INLINE float zero_step(int bits) { return bits == 8 ? 1.0f : 0.0625f; }

SHAKTI_INLINE float zero_of(int8_t zero, int bits) { return static_cast<float>(zero) * zero_step(bits); }
// The zero point, in steps of the weight, as an i8 can hold it.
SHAKTI_INLINE float to_zero(float zero, int bits) {
  const float z = __builtin_rintf(zero / zero_step(bits));
  return (z > 127 ? 127 : z < -128 ? -128 : z) * zero_step(bits);
}
SHAKTI_INLINE uint16_t rounded_up(float scale) { return static_cast<uint16_t>((bits_of(scale) + 0xffff) >> 16); }
SHAKTI_INLINE uint16_t rounded(float scale) {
  const int32_t bits = bits_of(scale);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// As stored, so that no step is more than most.
SHAKTI_INLINE uint16_t no_more_than(uint16_t scale, float most) {
  const int32_t limit = bits_of(most) >> 16, magnitude = scale & 0x7fff;
  return static_cast<uint16_t>((scale & 0x8000) | (magnitude < limit ? magnitude : limit));
}

SHAKTI_INLINE vf to_4_bits(vf v) { return vmax(vmin(vround_small(v), splat(7)), splat(-8)); }

// The scale under which 16 steps from -8 fit v, whose largest magnitude is 1 and has this sign, with the least squared
// error: for several first guesses, the steps are chosen, then the best scale for these steps.
float scale_of_4_bits(const float* v, int64_t n, float sign) {
  float best = 0, least = float_of(kNotFinite);
  for (float most = 6; most <= 9; most += 0.5f) {
    float scale = -sign / most;
    Sum vq, qq;
    for (int64_t i = 0; i < n; i += kPanel) {
      for (int h = 0; h < H; ++h) {
        const vf x = load(v + i + h * W), q = to_4_bits(x / splat(scale));
        vq.part[h] += x * q;
        qq.part[h] += q * q;
      }
    }
    scale = vq.total() / qq.total();
    Sum squares;
    for (int64_t i = 0; i < n; i += kPanel) {
      for (int h = 0; h < H; ++h) {
        const vf x = load(v + i + h * W), off = x - to_4_bits(x / splat(scale)) * splat(scale);
        squares.part[h] += off * off;
      }
    }
    const float error = squares.total();
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  return best;
}

struct Steps {
  float scale, zero;
};

// The scale and zero point under which 16 steps fit v, whose largest magnitude is 1, with the least squared error: for
// several first guesses, which spread more steps or fewer over what lies between the ends, the steps are chosen, then
// the best line through them (least squares), then, with its zero point rounded, the best scale.
Steps steps_of_4_bits(const float* v, int64_t n, float lowest, float highest) {
  const float range = highest - lowest, middle = (highest + lowest) * 0.5f, count = static_cast<float>(n);
  const auto sums = [&](const auto& add) {
    for (int64_t i = 0; i < n; i += kPanel) {
      for (int h = 0; h < H; ++h) add(h, load(v + i + h * W));
    }
  };
  const auto rounded_with = [](vf x, Steps s) { return to_4_bits(x / splat(s.scale) + splat(s.zero)); };
  Sum all;
  sums([&](int h, vf x) { all.part[h] += x; });
  const float of_v = all.total();
  Steps best = {};
  float least = float_of(kNotFinite);
  for (float steps = 11; steps <= 17; ++steps) {
    Steps s;
    s.scale = range / steps;
    s.zero = to_zero(-0.5f - middle / s.scale, 4);
    const Steps guess = s;
    Sum q, qq, vq;
    sums([&](int h, vf x) {
      const vf step = rounded_with(x, guess);
      q.part[h] += step;
      qq.part[h] += step * step;
      vq.part[h] += x * step;
    });
    const float of_q = q.total();
    const float above = count * vq.total() - of_v * of_q, below = count * qq.total() - of_q * of_q;
    if (above > 0 && below > 0) {
      s.scale = above / below;
      s.zero = to_zero((of_q - of_v / s.scale) / count, 4);
    }
    Sum vd, dd;
    sums([&](int h, vf x) {
      const vf from_zero = rounded_with(x, guess) - splat(s.zero);
      vd.part[h] += x * from_zero;
      dd.part[h] += from_zero * from_zero;
    });
    const float of_vd = vd.total(), of_dd = dd.total();
    if (of_vd > 0 && of_dd > 0) s.scale = of_vd / of_dd;
    Sum squares;
    sums([&](int h, vf x) {
      const vf off = x - (rounded_with(x, s) - splat(s.zero)) * splat(s.scale);
      squares.part[h] += off * off;
    });
    const float error = squares.total();
    if (error < least) {
      least = error;
      best = s;
    }
  }
  return best;
}

// Of n finite weights, a whole group. A scale that must reach the ends is rounded up.
Range free_range_of(const float* w, int64_t n, int bits, bool zero_point, int32_t largest) {
  const float most = float_of(largest);
  if (largest == 0) return {};
  if (bits == 8 && !zero_point) return {rounded_up(most / 127), 0};
  alignas(64) float unit[kMostGroup];
  float lowest = 0, highest = 0;
  for (int64_t i = 0; i < n; ++i) {
    unit[i] = w[i] / most;
    lowest = unit[i] < lowest ? unit[i] : lowest;
    highest = unit[i] > highest ? unit[i] : highest;
  }
  if (!zero_point) return {rounded(scale_of_4_bits(unit, n, highest < 1 ? -1.0f : 1.0f) * most), 0};
  if (bits == 8) {
    const uint16_t scale = rounded_up((highest - lowest) / 255 * most);
    const float zero = -128 - lowest * most / scale_from(&scale);
    return {scale, static_cast<int8_t>(to_zero(zero, bits))};
  }
  const Steps s = steps_of_4_bits(unit, n, lowest, highest);
  return {rounded(s.scale * most), static_cast<int8_t>(s.zero / zero_step(bits))};
}
// So that none of its steps is beyond `limit`, a dtype's last number, where the range above may reach further than its
// weights.
Range range_of(const float* w, int64_t n, int bits, bool zero_point, int32_t largest, float limit) {
  Range range = free_range_of(w, n, bits, zero_point, largest);
  range.scale = no_more_than(range.scale, limit / quant::reach_of(bits, zero_point, zero_of(range.zero, bits)));
  return range;
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
