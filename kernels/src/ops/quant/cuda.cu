// Linear layers with weights in 8 or 4 bits, step for step the arithmetic of cpu.cc, so that a row gives the same bits: a group's
// products are integers, and what is left in f32 is never fused (__fmul_rn, __fadd_rn).
#include "../../cuda/device/grid.cuh"
#include "integer_product.cuh"
#include "range.cuh"

namespace shakti::cuda {
namespace {

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
template <class T>
constexpr float kLast = quant::kLastBf16;
template <>
constexpr float kLast<f16> = quant::kLastF16;

// A warp for a group of a row of the weight; rows that fill up the last panel too.
template <class T>
__device__ __forceinline__ void quantize_weight(const QuantizeWeight& p) {
  const quant::Layout layout(p.k, p.bits, p.group, p.zero_point);
  const int lane = threadIdx.x % 32, parts = static_cast<int>(p.group / 32);
  const int64_t all = p.panels * quant::kPanel * layout.groups;
  for (int64_t t = thread_of_grid() / 32; t < all; t += threads_of_grid() / 32) {
    const int64_t g = t % layout.groups, row = t / layout.groups, r = row % quant::kPanel;
    uint8_t* panel = p.packed + row / quant::kPanel * p.panel_bytes;
    uint8_t* bytes = panel + layout.head_bytes();
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
    const Range range = range_of(v, parts, p.bits, p.zero_point, largest, kLast<T>);
    if (lane == 0) {
      reinterpret_cast<uint16_t*>(panel)[g * quant::kPanel + r] = range.scale;
      if (p.zero_point) {
        uint8_t* zeros = panel + layout.scale_bytes() + r;
        zeros[g * quant::kPanel] = static_cast<uint8_t>(range.zero);
        // What fills the zero points up.
        if (g == layout.groups - 1 && layout.groups % 2 == 1) zeros[layout.groups * quant::kPanel] = 0;
      }
    }
    const float scale = scale_from(range.scale), zero = zero_of(range.zero, p.bits);
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      if (i >= parts) break;
      const int64_t k = g * p.group + i * 32 + lane;
      float q = scale == 0 ? 0.0f : rintf(__fadd_rn(__fdiv_rn(v[i], scale), zero));
      if (p.bits == 8) {
        q = fmaxf(fminf(q, 127), p.zero_point ? -128 : -127);
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
  const quant::Layout layout(p.k, p.bits, p.group, p.zero_point);
  for (int64_t t = thread_of_grid(); t < p.n * p.k; t += threads_of_grid()) {
    const int64_t row = t / p.k, k = t % p.k, r = row % quant::kPanel;
    const uint8_t* panel = p.packed + row / quant::kPanel * p.panel_bytes;
    const int64_t of_group = k / p.group * quant::kPanel + r;
    const float scale = scale_from(reinterpret_cast<const uint16_t*>(panel)[of_group]);
    const float zero = p.zero_point ? zero_of(static_cast<int8_t>(panel[layout.scale_bytes() + of_group]), p.bits) : 0.0f;
    const int byte = panel[layout.head_bytes() + layout.byte_of(r, k)];
    const int value = p.bits == 8 ? byte - 128 : (k % 8 >= 4 ? byte >> 4 : byte & 15) - 8;
    static_cast<T*>(p.w)[t] = store<T>(__fmul_rn(__fsub_rn(static_cast<float>(value), zero), scale));
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

#define QUANTIZED_LINEAR(t, T, Bits, name, zero)                                                                            \
  __global__ void __launch_bounds__(256) quantized_few_rows_##name##_##t(const __grid_constant__ QuantizedLinear p) {       \
    few_rows<T, Bits, zero>(p);                                                                                             \
  }                                                                                                                         \
  __global__ void __launch_bounds__(128) quantized_many_rows_##name##_##t(const __grid_constant__ QuantizedLinear p) {      \
    many_rows<T, Bits, zero>(p);                                                                                            \
  }
#define QUANT(t, T)                                                                                                         \
  __global__ void quantize_weight_##t(const __grid_constant__ QuantizeWeight p) { quantize_weight<T>(p); }                  \
  __global__ void dequantize_weight_##t(const __grid_constant__ DequantizeWeight p) { dequantize_weight<T>(p); }            \
  __global__ void quantize_rows_##t(const __grid_constant__ QuantizeRows p) { quantize_rows<T>(p); }                        \
  QUANTIZED_LINEAR(t, T, 8, 8, false)                                                                                       \
  QUANTIZED_LINEAR(t, T, 4, 4, false)                                                                                       \
  QUANTIZED_LINEAR(t, T, 8, 8_zero, true)                                                                                   \
  QUANTIZED_LINEAR(t, T, 4, 4_zero, true)
SHAKTI_HALVES_AND_F32(QUANT)

}  // extern "C"
}  // namespace shakti::cuda
