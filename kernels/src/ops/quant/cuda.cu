// Linear layers with weights in 8 or 4 bits, step for step the arithmetic of cpu.cc, so that a row gives the same bits: a group's
// products are integers, and what is left in f32 is never fused (__fmul_rn, __fadd_rn).
#include "../../cuda/device/grid.cuh"
#include "integer_product.cuh"

namespace shakti::cuda {
namespace {

constexpr int kParts = quant::kMostGroup / 32;   // elements of a group that a lane has
constexpr int kNotFinite = 0x7f800000;

__device__ __forceinline__ quant::Layout layout_of(int64_t k, int bits, int64_t group) { return {k, bits, group}; }

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
// Over so many neighbouring lanes, a power of two.
template <class F>
__device__ __forceinline__ int reduce_over(int v, int64_t lanes, F f) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    const int other = __shfl_xor_sync(kFullWarp, v, step);
    if (step < lanes) v = f(v, other);
  }
  return v;
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

__device__ __forceinline__ uint16_t scale_of(const float (&v)[kParts], int parts, int bits, int largest) {
  const float most = __int_as_float(largest);
  if (bits == 8) return static_cast<uint16_t>((__float_as_int(__fdiv_rn(most, 127)) + 0xffff) >> 16);
  if (largest == 0) return 0;
  float unit[kParts], highest = 0;
#pragma unroll
  for (int i = 0; i < kParts; ++i) {
    unit[i] = i < parts ? __fdiv_rn(v[i], most) : 0.0f;
    highest = fmaxf(highest, unit[i]);
  }
  highest = warp_reduce(highest, Max());
  const int scale = __float_as_int(__fmul_rn(scale_of_4_bits(unit, parts, highest < 1 ? -1.0f : 1.0f), most));
  return static_cast<uint16_t>((scale + 0x7fff + (scale >> 16 & 1)) >> 16);
}

// A warp for a group of a row of the weight; rows that fill up the last panel too.
template <class T>
__device__ __forceinline__ void quantize_weight(const QuantizeWeight& p) {
  const quant::Layout layout = layout_of(p.k, p.bits, p.group);
  const int lane = threadIdx.x % 32, parts = static_cast<int>(p.group / 32);
  const int64_t all = p.panels * quant::kPanel * layout.groups;
  for (int64_t t = thread_of_grid() / 32; t < all; t += threads_of_grid() / 32) {
    const int64_t g = t % layout.groups, row = t / layout.groups, r = row % quant::kPanel;
    uint8_t* panel = p.packed + row / quant::kPanel * p.panel_bytes;
    uint8_t* bytes = panel + layout.scale_bytes();
    float v[kParts];
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      const int64_t k = g * p.group + i * 32 + lane;
      v[i] = i < parts && row < p.n && k < p.k
                 ? load(static_cast<const T*>(p.w)[row * p.row_stride + k * p.column_stride])
                 : 0.0f;
    }
    const int largest = largest_bits(v);
    if (largest >= kNotFinite) {
      if (lane == 0) p.reporter.say(Wrong::not_finite, row);
      continue;
    }
    const uint16_t upper = scale_of(v, parts, p.bits, largest);
    if (lane == 0) reinterpret_cast<uint16_t*>(panel)[g * quant::kPanel + r] = upper;
    const float scale = scale_from(upper);
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      if (i >= parts) break;
      const int64_t k = g * p.group + i * 32 + lane;
      float q = scale == 0 ? 0.0f : rintf(__fdiv_rn(v[i], scale));
      if (p.bits == 8) {
        bytes[layout.byte_of(r, k)] = static_cast<uint8_t>(static_cast<int>(q) + 128);
        continue;
      }
      // k .. k + 3 in lower halves, k + 4 .. k + 7 in upper ones of the same bytes.
      const int value = static_cast<int>(fmaxf(fminf(q, 7), -8)) + 8;
      const int other = __shfl_xor_sync(kFullWarp, value, 4);
      if (lane % 8 < 4) bytes[layout.byte_of(r, k)] = static_cast<uint8_t>(value | other << 4);
    }
  }
}

template <class T>
__device__ __forceinline__ void dequantize_weight(const DequantizeWeight& p) {
  const quant::Layout layout = layout_of(p.k, p.bits, p.group);
  for (int64_t t = thread_of_grid(); t < p.n * p.k; t += threads_of_grid()) {
    const int64_t row = t / p.k, k = t % p.k, r = row % quant::kPanel;
    const uint8_t* panel = p.packed + row / quant::kPanel * p.panel_bytes;
    const float scale = scale_from(reinterpret_cast<const uint16_t*>(panel)[k / p.group * quant::kPanel + r]);
    const int byte = panel[layout.scale_bytes() + layout.byte_of(r, k)];
    const int value = p.bits == 8 ? byte - 128 : (k % 8 >= 4 ? byte >> 4 : byte & 15) - 8;
    static_cast<T*>(p.w)[t] = store<T>(__fmul_rn(static_cast<float>(value), scale));
  }
}

// A lane for four neighbours of a row of x; 8, 16 or 32 lanes have a group. One that
// is not finite makes the row NaN.
template <class T>
__device__ __forceinline__ void quantize_rows(const QuantizeRows& p) {
  const int64_t fours = p.depth / 4, threads_of_group = p.group / 4;
  // Whole warps, so that shuffles find all.
  for (int64_t t = thread_of_grid(); t - threadIdx.x % 32 < p.m * fours; t += threads_of_grid()) {
    const int64_t row = t / fours, k = t % fours * 4;
    const bool there = row < p.m;
    float v[4] = {};
    if (there) load_run(static_cast<const T*>(p.x) + row * p.row_stride, p.form, k, p.k, v);
    int largest = 0;
#pragma unroll
    for (float x : v) largest = MaxInt()(largest, __float_as_int(x) & 0x7fffffff);
    largest = reduce_over(largest, threads_of_group, MaxInt());
    const float most = __int_as_float(largest);
    int sum = 0;
    char4 bytes{};
    signed char* q = reinterpret_cast<signed char*>(&bytes);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float step = __fmul_rn(__fdiv_rn(v[i], most), 127);
      q[i] = static_cast<signed char>(largest > 0 && largest < kNotFinite ? static_cast<int>(rintf(step)) : 0);
      sum += q[i];
    }
    sum = reduce_over(sum, threads_of_group, Sum());
    if (!there) continue;
    *reinterpret_cast<char4*>(p.bytes + row * p.depth + k) = bytes;
    if (k % p.group == 0)
      p.scales[k / p.group * p.m + row] = {largest < kNotFinite ? __fdiv_rn(most, 127) : __int_as_float(0x7fc00000),
                                           kZero + static_cast<float>(p.bias * sum)};
  }
}

}  // namespace

extern "C" {

#define QUANTIZED_LINEAR(t, T, Bits)                                                                                        \
  __global__ void __launch_bounds__(256) quantized_few_rows_##Bits##_##t(const __grid_constant__ QuantizedLinear p) {       \
    few_rows<T, Bits>(p);                                                                                                   \
  }                                                                                                                         \
  __global__ void __launch_bounds__(128) quantized_many_rows_##Bits##_##t(const __grid_constant__ QuantizedLinear p) {      \
    many_rows<T, Bits>(p);                                                                                                  \
  }
#define QUANT(t, T)                                                                                                         \
  __global__ void quantize_weight_##t(const __grid_constant__ QuantizeWeight p) { quantize_weight<T>(p); }                  \
  __global__ void dequantize_weight_##t(const __grid_constant__ DequantizeWeight p) { dequantize_weight<T>(p); }            \
  __global__ void quantize_rows_##t(const __grid_constant__ QuantizeRows p) { quantize_rows<T>(p); }                        \
  QUANTIZED_LINEAR(t, T, 8)                                                                                                 \
  QUANTIZED_LINEAR(t, T, 4)
SHAKTI_HALVES_AND_F32(QUANT)

}  // extern "C"
}  // namespace shakti::cuda
