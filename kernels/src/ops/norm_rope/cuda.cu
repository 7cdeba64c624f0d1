// RMSNorm of every head and its rotation, a warp for a head: x is read once, y written once. Backward, a warp goes through the heads of
// a part and keeps the sums for the gradient of the weight of the pairs that its lanes own.
#include "cuda.h"

#include "../../cuda/device/grid.cuh"
#include "../../cuda/device/numbers.cuh"
#include "../../cuda/device/reduce.cuh"
#include "../../cuda/device/row.cuh"

namespace shakti::cuda {
namespace {

constexpr int kKept = 4;  // pairs of a lane in registers: heads of up to 256

// What stands in a head at the pairs of this lane.
template <class C>
struct Pairs {
  C u[kKept], v[kKept];
};

template <class T, class W>
__device__ __forceinline__ void forward(const NormRope& p) {
  using C = compute_t<T>;
  const int64_t half = p.sizes.d / 2;
  const int lane = threadIdx.x % 32;
  const W* w = static_cast<const W*>(p.weight);
  for (int64_t i = thread_of_grid() / 32; i < p.sizes.count; i += threads_of_grid() / 32) {
    const HeadPlace place = p.sizes.place(i);
    const T* x = head_at<const T>(p.x, place);
    C sum = 0;
    for (int64_t j = lane; j < half; j += 32) {
      const C u = load(x[j]), v = load(x[j + half]);
      sum += u * u + v * v;
    }
    const C s = 1 / sqrt(warp_reduce(sum, Sum()) / static_cast<C>(p.sizes.d) + static_cast<C>(p.eps));
    if (lane == 0) static_cast<C*>(p.rstd)[i] = s;
    T* y = head_at<T>(p.y, place);
    const int64_t table = angles_at(p.angles, place, p.sizes);
    for (int64_t j = lane; j < half; j += 32) {
      C u = load(x[j]) * s, v = load(x[j + half]) * s;
      if (w) {
        u *= load(w[j]);
        v *= load(w[j + half]);
      }
      const C cs = static_cast<C>(p.angles.cosine[table + j]), sn = static_cast<C>(p.angles.sine[table + j]);
      y[j] = store<T>(u * cs - v * sn);
      y[j + half] = store<T>(v * cs + u * sn);
    }
  }
}

// The same where four neighbours can be read at once: four pairs a lane, and as many heads a warp as have room.
template <class T, class W>
__device__ __forceinline__ void forward_packed(const NormRope& p) {
  constexpr RowForm packed{1, true};
  const int64_t half = p.sizes.d / 2;
  const int lanes = 1 << p.log2_lanes, j = (static_cast<int>(threadIdx.x) & (lanes - 1)) * 4;
  // Whole warps, so that shuffles find all.
  for (int64_t t = thread_of_grid(); t - threadIdx.x % 32 < p.sizes.count << p.log2_lanes; t += threads_of_grid()) {
    const int64_t i = t >> p.log2_lanes;
    const bool there = i < p.sizes.count && j < half;
    const HeadPlace place = p.sizes.place(there ? i : 0);
    const T* x = head_at<const T>(p.x, place);
    float u[4] = {}, v[4] = {}, sum = 0;
    if (there) {
      load_run(x, packed, j, half, u);
      load_run(x + half, packed, j, half, v);
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) sum += u[k] * u[k] + v[k] * v[k];
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
      const float other = __shfl_xor_sync(kFullWarp, sum, step);
      if (step < lanes) sum += other;
    }
    if (!there) continue;
    const float s = 1 / sqrtf(sum / static_cast<float>(p.sizes.d) + static_cast<float>(p.eps));
    if (j == 0) static_cast<float*>(p.rstd)[i] = s;
    float wu[4] = {1, 1, 1, 1}, wv[4] = {1, 1, 1, 1}, cs[4], sn[4], yu[4], yv[4];
    if (const W* w = static_cast<const W*>(p.weight)) {
      load_run(w, packed, j, half, wu);
      load_run(w + half, packed, j, half, wv);
    }
    const int64_t table = angles_at(p.angles, place, p.sizes);
    load_run(p.angles.cosine + table, packed, j, half, cs);
    load_run(p.angles.sine + table, packed, j, half, sn);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const float a = u[k] * s * wu[k], b = v[k] * s * wv[k];
      yu[k] = a * cs[k] - b * sn[k];
      yv[k] = b * cs[k] + a * sn[k];
    }
    T* y = head_at<T>(p.y, place);
    store_run(y, packed, j, half, yu);
    store_run(y + half, packed, j, half, yv);
  }
}

// With gr = g rotated back, xhat = x * rstd and gw = gr * weight: dx = rstd * (gw - xhat * mean(gw * xhat)), and dweight is the
// sum of gr * xhat.
template <class T, class W>
__device__ __forceinline__ void backward(const NormRopeBackward& p) {
  using C = compute_t<T>;
  const int64_t half = p.sizes.d / 2;
  const int lane = threadIdx.x % 32;
  const W* w = static_cast<const W*>(p.weight);
  const int64_t parts = (p.sizes.count + p.heads_of_part - 1) / p.heads_of_part;
  for (int64_t part = thread_of_grid() / 32; part < parts; part += threads_of_grid() / 32) {
    C* sums = p.sums ? static_cast<C*>(p.sums) + part * p.sizes.d : nullptr;
    Pairs<C> kept{};
    const int64_t first = part * p.heads_of_part;
    const int64_t last = first + p.heads_of_part < p.sizes.count ? first + p.heads_of_part : p.sizes.count;
    for (int64_t i = first; i < last; ++i) {
      const HeadPlace place = p.sizes.place(i);
      const T *g = head_at<const T>(p.g, place), *x = head_at<const T>(p.x, place);
      T* dx = head_at<T>(p.dx, place);
      const int64_t table = angles_at(p.angles, place, p.sizes);
      const C s = static_cast<const C*>(p.rstd)[i];
      // The gradient rotated back, without the weight.
      const auto turned = [&](int64_t j, C* u, C* v) {
        const C cs = static_cast<C>(p.angles.cosine[table + j]), sn = static_cast<C>(p.angles.sine[table + j]);
        const C gu = load(g[j]), gv = load(g[j + half]);
        *u = gu * cs + gv * sn;
        *v = gv * cs - gu * sn;
      };
      C mean = 0;
      // Adds what pair j gives to the two sums of its lane.
      const auto add = [&](int64_t j, C* du, C* dv) {
        C u, v;
        turned(j, &u, &v);
        const C uhat = load(x[j]) * s, vhat = load(x[j + half]) * s;
        *du += u * uhat;
        *dv += v * vhat;
        mean += (w ? u * load(w[j]) : u) * uhat + (w ? v * load(w[j + half]) : v) * vhat;
      };
#pragma unroll
      for (int k = 0; k < kKept; ++k)
        if (k * 32 + lane < half) add(k * 32 + lane, &kept.u[k], &kept.v[k]);
      for (int64_t j = kKept * 32 + lane; j < half; j += 32) {
        C du = sums && i > first ? sums[j] : C(0), dv = sums && i > first ? sums[j + half] : C(0);
        add(j, &du, &dv);
        if (sums) {
          sums[j] = du;
          sums[j + half] = dv;
        }
      }
      mean = warp_reduce(mean, Sum()) / static_cast<C>(p.sizes.d);
      for (int64_t j = lane; j < half; j += 32) {
        C u, v;
        turned(j, &u, &v);
        if (w) {
          u *= load(w[j]);
          v *= load(w[j + half]);
        }
        dx[j] = store<T>((u - load(x[j]) * s * mean) * s);
        dx[j + half] = store<T>((v - load(x[j + half]) * s * mean) * s);
      }
    }
    if (!sums) continue;
#pragma unroll
    for (int k = 0; k < kKept; ++k) {
      if (k * 32 + lane >= half) continue;
      sums[k * 32 + lane] = kept.u[k];
      sums[k * 32 + lane + half] = kept.v[k];
    }
  }
}

template <class W, class C>
__device__ __forceinline__ void add_up(const NormRopeSums& p) {
  const int64_t i = thread_of_grid();
  if (i >= p.d) return;
  C sum = 0;
  for (int64_t part = 0; part < p.parts; ++part) sum += static_cast<const C*>(p.sums)[part * p.d + i];
  static_cast<W*>(p.dweight)[i] = store<W>(sum);
}

}  // namespace

extern "C" {

// The dtype of x, then that of the weight. Two blocks a multiprocessor, told: else ptxas takes 150 registers, and one has room.
#define NORM_ROPE(t, T, w, W)                                                                                    \
  __global__ void norm_rope_##t##_##w(const __grid_constant__ NormRope p) { forward<T, W>(p); }                  \
  __global__ void __launch_bounds__(256, 2) norm_rope_backward_##t##_##w(const __grid_constant__ NormRopeBackward p) { backward<T, W>(p); }
NORM_ROPE(f32, float, f32, float)
NORM_ROPE(bf16, shakti::cuda::bf16, bf16, shakti::cuda::bf16)
NORM_ROPE(bf16, shakti::cuda::bf16, f32, float)
NORM_ROPE(f16, shakti::cuda::f16, f16, shakti::cuda::f16)
NORM_ROPE(f16, shakti::cuda::f16, f32, float)
NORM_ROPE(f64, double, f64, double)

#define NORM_ROPE_PACKED(t, T, w, W) \
  __global__ void norm_rope_packed_##t##_##w(const __grid_constant__ NormRope p) { forward_packed<T, W>(p); }
NORM_ROPE_PACKED(f32, float, f32, float)
NORM_ROPE_PACKED(bf16, shakti::cuda::bf16, bf16, shakti::cuda::bf16)
NORM_ROPE_PACKED(bf16, shakti::cuda::bf16, f32, float)
NORM_ROPE_PACKED(f16, shakti::cuda::f16, f16, shakti::cuda::f16)
NORM_ROPE_PACKED(f16, shakti::cuda::f16, f32, float)

__global__ void norm_rope_sums_f32(const __grid_constant__ NormRopeSums p) { add_up<float, float>(p); }
__global__ void norm_rope_sums_bf16(const __grid_constant__ NormRopeSums p) { add_up<shakti::cuda::bf16, float>(p); }
__global__ void norm_rope_sums_f16(const __grid_constant__ NormRopeSums p) { add_up<shakti::cuda::f16, float>(p); }
__global__ void norm_rope_sums_f64(const __grid_constant__ NormRopeSums p) { add_up<double, double>(p); }

}  // extern "C"
}  // namespace shakti::cuda
