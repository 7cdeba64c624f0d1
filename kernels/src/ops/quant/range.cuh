// The range of a group of weights, which a warp finds: step for step the arithmetic of range.h.
#pragma once
#include "../../cuda/device/reduce.cuh"
#include "integer_product.cuh"

namespace shakti::cuda {

constexpr int kParts = quant::kMostGroup / 32;  // elements of a group that a lane has
constexpr int kNotFinite = 0x7f800000;

struct MaxInt {
  __device__ __forceinline__ int operator()(int a, int b) const { return a > b ? a : b; }
};
// The bits of the largest magnitude of a group that a warp holds.
__device__ __forceinline__ int largest_bits(const float (&v)[kParts]) {
  int most = 0;
#pragma unroll
  for (float x : v) most = MaxInt()(most, __float_as_int(x) & 0x7fffffff);
  return warp_reduce(most, MaxInt());
}
// 32 sums, added up in the CPU's order; lane 0's is the one.
__device__ __forceinline__ float total(float v) {
  for (int step = 16; step > 0; step /= 2) v = __fadd_rn(v, __shfl_down_sync(kFullWarp, v, step));
  return __shfl_sync(kFullWarp, v, 0);
}

__device__ __forceinline__ float to_4_bits(float v) { return fmaxf(fminf(rintf(v), 7), -8); }

// The scale under which 16 steps from -8 fit v, whose largest magnitude is 1 and has this sign, with the least squared error.
__device__ __forceinline__ float scale_of_4_bits(const float (&v)[kParts], int parts, float sign) {
  float best = 0, least = __int_as_float(kNotFinite);
  for (float most = 6; most <= 9; most += 0.5f) {
    float scale = __fdiv_rn(-sign, most);
    float vq = 0, qq = 0, squares = 0;
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      if (i >= parts) break;
      const float q = to_4_bits(__fdiv_rn(v[i], scale));
      vq = __fadd_rn(vq, __fmul_rn(v[i], q));
      qq = __fadd_rn(qq, __fmul_rn(q, q));
    }
    scale = __fdiv_rn(total(vq), total(qq));
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      if (i >= parts) break;
      const float off = __fsub_rn(v[i], __fmul_rn(to_4_bits(__fdiv_rn(v[i], scale)), scale));
      squares = __fadd_rn(squares, __fmul_rn(off, off));
    }
    const float error = total(squares);
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  return best;
}

// As a panel's head holds it.
struct Range {
  uint16_t scale;
  int8_t zero;
};

__device__ __forceinline__ float zero_step(int bits) { return bits == 8 ? 1.0f : 0.0625f; }
__device__ __forceinline__ float zero_of(int8_t zero, int bits) { return static_cast<float>(zero) * zero_step(bits); }
__device__ __forceinline__ float to_zero(float zero, int bits) {
  return fmaxf(fminf(rintf(zero / zero_step(bits)), 127), -128) * zero_step(bits);
}
__device__ __forceinline__ uint16_t rounded_up(float scale) { return static_cast<uint16_t>((__float_as_int(scale) + 0xffff) >> 16); }
__device__ __forceinline__ uint16_t rounded(float f) {
  const int scale = __float_as_int(f);
  return static_cast<uint16_t>((scale + 0x7fff + (scale >> 16 & 1)) >> 16);
}

__device__ __forceinline__ uint16_t no_more_than(uint16_t scale, float most) {
  const int limit = __float_as_int(most) >> 16, magnitude = scale & 0x7fff;
  return static_cast<uint16_t>((scale & 0x8000) | (magnitude < limit ? magnitude : limit));
}

struct Steps {
  float scale, zero;
};

// The scale and zero point under which 16 steps fit v, whose largest magnitude is 1, with the least squared error.
__device__ __forceinline__ Steps steps_of_4_bits(const float (&v)[kParts], int parts, float lowest, float highest) {
  const float range = __fsub_rn(highest, lowest), middle = __fmul_rn(__fadd_rn(highest, lowest), 0.5f);
  const float count = static_cast<float>(parts * 32);
  const auto step_of = [](float x, Steps s) { return to_4_bits(__fadd_rn(__fdiv_rn(x, s.scale), s.zero)); };
  float all = 0;
#pragma unroll
  for (int i = 0; i < kParts; ++i) {
    if (i < parts) all = __fadd_rn(all, v[i]);
  }
  const float of_v = total(all);
  Steps best{};
  float least = __int_as_float(kNotFinite);
  for (float steps = 11; steps <= 17; ++steps) {
    Steps s;
    s.scale = __fdiv_rn(range, steps);
    s.zero = to_zero(__fsub_rn(-0.5f, __fdiv_rn(middle, s.scale)), 4);
    float step[kParts], q = 0, qq = 0, vq = 0;
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      if (i >= parts) break;
      step[i] = step_of(v[i], s);
      q = __fadd_rn(q, step[i]);
      qq = __fadd_rn(qq, __fmul_rn(step[i], step[i]));
      vq = __fadd_rn(vq, __fmul_rn(v[i], step[i]));
    }
    const float of_q = total(q);
    const float above = __fsub_rn(__fmul_rn(count, total(vq)), __fmul_rn(of_v, of_q));
    const float below = __fsub_rn(__fmul_rn(count, total(qq)), __fmul_rn(of_q, of_q));
    if (above > 0 && below > 0) {
      s.scale = __fdiv_rn(above, below);
      s.zero = to_zero(__fdiv_rn(__fsub_rn(of_q, __fdiv_rn(of_v, s.scale)), count), 4);
    }
    float vd = 0, dd = 0;
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      if (i >= parts) break;
      const float from_zero = __fsub_rn(step[i], s.zero);
      vd = __fadd_rn(vd, __fmul_rn(v[i], from_zero));
      dd = __fadd_rn(dd, __fmul_rn(from_zero, from_zero));
    }
    const float of_vd = total(vd), of_dd = total(dd);
    if (of_vd > 0 && of_dd > 0) s.scale = __fdiv_rn(of_vd, of_dd);
    float squares = 0;
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      if (i >= parts) break;
      const float off = __fsub_rn(v[i], __fmul_rn(__fsub_rn(step_of(v[i], s), s.zero), s.scale));
      squares = __fadd_rn(squares, __fmul_rn(off, off));
    }
    const float error = total(squares);
    if (error < least) {
      least = error;
      best = s;
    }
  }
  return best;
}

__device__ __forceinline__ Range free_range_of(const float (&v)[kParts], int parts, int bits, bool zero_point,
                                               int largest) {
  const float most = __int_as_float(largest);
  if (largest == 0) return {};
  if (bits == 8 && !zero_point) return {rounded_up(__fdiv_rn(most, 127)), 0};
  float unit[kParts], lowest = 0, highest = 0;
#pragma unroll
  for (int i = 0; i < kParts; ++i) {
    unit[i] = i < parts ? __fdiv_rn(v[i], most) : 0.0f;
    lowest = fminf(lowest, unit[i]);
    highest = fmaxf(highest, unit[i]);
  }
  highest = warp_reduce(highest, Max());
  if (!zero_point) return {rounded(__fmul_rn(scale_of_4_bits(unit, parts, highest < 1 ? -1.0f : 1.0f), most)), 0};
  lowest = -warp_reduce(-lowest, Max());
  if (bits == 8) {
    const uint16_t scale = rounded_up(__fmul_rn(__fdiv_rn(__fsub_rn(highest, lowest), 255), most));
    const float zero = __fsub_rn(-128, __fdiv_rn(__fmul_rn(lowest, most), scale_from(scale)));
    return {scale, static_cast<int8_t>(to_zero(zero, bits))};
  }
  const Steps s = steps_of_4_bits(unit, parts, lowest, highest);
  return {rounded(__fmul_rn(s.scale, most)), static_cast<int8_t>(s.zero / zero_step(bits))};
}
__device__ __forceinline__ Range range_of(const float (&v)[kParts], int parts, int bits, bool zero_point, int largest,
                                          float limit) {
  Range range = free_range_of(v, parts, bits, zero_point, largest);
  const float reach = quant::reach_of(bits, zero_point, zero_of(range.zero, bits));
  range.scale = no_more_than(range.scale, __fdiv_rn(limit, reach));
  return range;
}

}  // namespace shakti::cuda
