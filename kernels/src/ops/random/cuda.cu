// Random numbers as functions of (seed, offset, place): those of the CPU, computed in f64 as there. A thread for a block of four words.
#include "cuda.h"

#include "../../cuda/device/grid.cuh"
#include "../../cuda/device/numbers.cuh"
#include "../../cuda/device/philox.cuh"
#include "../../cuda/device/reduce.cuh"

namespace shakti::cuda {
namespace {

template <class T>
__device__ __forceinline__ T narrow(double v) {
  return store<T>(static_cast<compute_t<T>>(v));
}

// f turns four words into four numbers.
template <class T, class F>
__device__ __forceinline__ void draw(const Draw& p, const F& f) {
  for (int64_t i = thread_of_grid(); 4 * i < p.n; i += threads_of_grid()) {
    double v[4];
    f(block_of(p.start, i), v);
    const Four<T> drawn{{narrow<T>(v[0]), narrow<T>(v[1]), narrow<T>(v[2]), narrow<T>(v[3])}};
    store_four(static_cast<T*>(p.y), 4 * i, p.n, drawn);
  }
}

template <class T>
__device__ __forceinline__ void uniform(const Draw& p) {
  draw<T>(p, [&](const Words& words, double(&v)[4]) {
#pragma unroll
    for (int k = 0; k < 4; ++k) v[k] = p.a + p.b * unit(words.w[k]);
  });
}

// Box-Muller over pairs of words.
template <class T>
__device__ __forceinline__ void normal(const Draw& p) {
  draw<T>(p, [&](const Words& words, double(&v)[4]) {
#pragma unroll
    for (int k = 0; k < 4; k += 2) {
      const double r = sqrt(-2 * log(open_unit(words.w[k])));
      double sine, cosine;
      sincospi(2 * unit(words.w[k + 1]), &sine, &cosine);  // no reduction of large angles, which takes local memory
      v[k] = p.a + p.b * r * cosine;
      v[k + 1] = p.a + p.b * r * sine;
    }
  });
}

// The inverse of the normal distribution function, as ops/random/cpu.cc has it (Acklam's approximation and a Newton-Halley step).
__device__ double probit(double p) {
  const double a[] = {-39.69683028665376, 220.9460984245205,  -275.9285104469687,
                      138.3577518672690,  -30.66479806614716, 2.506628277459239};
  const double b[] = {-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572};
  const double c[] = {-0.007784894002430293, -0.3223964580411365, -2.400758277161838,
                      -2.549732539343734,    4.374664141464968,   2.938163982698783};
  const double d[] = {0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416};
  double x;
  const double tail = p < 0.5 ? p : 1 - p;
  if (tail < 0.02425) {
    const double q = sqrt(-2 * log(tail));
    x = (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
        ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
    if (p > 0.5) x = -x;
  } else {
    const double q = p - 0.5, r = q * q;
    x = (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
        (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
  }
  const double e = 0.5 * erfc(-x * 0.70710678118654752) - p;
  const double u = e * 2.5066282746310002 * exp(x * x / 2);
  return x - u / (1 + x * u / 2);
}
__device__ __forceinline__ double distribution(double x) { return 0.5 * erfc(-x * 0.70710678118654752); }

template <class T>
__device__ __forceinline__ void truncated_normal(const Draw& p) {
  const double from = distribution((p.low - p.a) / p.b), span = distribution((p.high - p.a) / p.b) - from;
  draw<T>(p, [&](const Words& words, double(&v)[4]) {
    for (int k = 0; k < 4; ++k) {
      const double x = p.a + p.b * probit(from + span * open_unit(words.w[k]));
      v[k] = x < p.low ? p.low : x > p.high ? p.high : x;
    }
  });
}

template <class T>
__device__ __forceinline__ void randint(const DrawIntegers& p) {
  for (int64_t i = thread_of_grid(); i < p.n; i += threads_of_grid())
    static_cast<T*>(p.y)[i] = static_cast<T>(p.low + static_cast<int64_t>(word_of(p.start, i) * p.span >> 32));
}

template <class T>
__device__ __forceinline__ void dropout(const Dropout& p) {
  using C = compute_t<T>;
  const C scale = static_cast<C>(1 / (1 - p.p));
  const bool dense = p.walk.ndim == 0 || (p.walk.ndim == 1 && p.walk.strides[0][0] == 1);
  for (int64_t i = thread_of_grid(); 4 * i < p.walk.numel; i += threads_of_grid()) {
    const Words words = block_of(p.start, i);
    const T* x = static_cast<const T*>(p.x);
    Four<T> four{};
    if (dense) {
      four = load_four(x, 4 * i, p.walk.numel);
    } else {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (4 * i + k >= p.walk.numel) break;
        int64_t at[1];
        p.walk.at(4 * i + k, at);
        four.v[k] = x[at[0]];
      }
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) four.v[k] = store<T>(unit(words.w[k]) >= p.p ? load(four.v[k]) * scale : C(0));
    store_four(static_cast<T*>(p.y), 4 * i, p.walk.numel, four);
  }
}

// Weight i of a row; *good becomes false where there can be none such.
template <class T>
__device__ __forceinline__ double weight_at(const Multinomial& p, int64_t row, int64_t i, bool* good) {
  const double w = static_cast<double>(load(static_cast<const T*>(p.p)[row * p.classes + i]));
  if (!(w >= 0) || isinf(w)) {
    p.reporter.say(Wrong::weight, i, row, 0, 0, w);
    *good = false;
  }
  return w;
}

// A block for a row: running sums of the weights in f64, then a search for each draw.
template <class T>
__device__ __forceinline__ bool running_sums(const Multinomial& p, double* total) {
  __shared__ double warps[32];
  const int64_t row = blockIdx.x;
  double* value = p.value + row * p.classes;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  double before = 0;
  bool good = true;
  for (int64_t tile = 0; tile < p.classes; tile += blockDim.x) {
    const int64_t i = tile + threadIdx.x;
    double v = i < p.classes ? weight_at<T>(p, row, i, &good) : 0;
    for (int step = 1; step < 32; step *= 2) {
      const double left = __shfl_up_sync(kFullWarp, v, step);
      if (lane >= step) v += left;
    }
    if (lane == 31) warps[warp] = v;
    __syncthreads();
    double all = 0;
    for (int k = 0; k < blockDim.x / 32; ++k) {
      if (k == warp) v += all;
      all += warps[k];
    }
    if (i < p.classes) value[i] = before + v;
    before += all;
    __syncthreads();
  }
  good = __syncthreads_and(good);
  if (good && !(before > 0)) {
    if (threadIdx.x == 0) p.reporter.say(Wrong::weights, row);
    good = false;
  }
  *total = before;
  return good;
}

template <class T>
__device__ __forceinline__ void with_replacement(const Multinomial& p) {
  double total;
  if (!running_sums<T>(p, &total)) return;
  const int64_t row = blockIdx.x;
  const double* value = p.value + row * p.classes;
  for (int64_t k = threadIdx.x; k < p.count; k += blockDim.x) {
    const double u = unit(word_of(p.start, row * p.count + k)) * total;
    int64_t low = 0, high = p.classes - 1;
    while (low < high) {
      const int64_t mid = (low + high) / 2;
      if (value[mid] > u)
        high = mid;
      else
        low = mid + 1;
    }
    p.y[row * p.count + k] = static_cast<int32_t>(low);
  }
}

// The exponential race: class i arrives at time -log(u) / weight; the first `count` win. Weightless ones come last. The first winner is found
// while the times are made; only where there are more to win are they kept.
template <class T>
__device__ __forceinline__ void without_replacement(const Multinomial& p) {
  __shared__ double times[32];
  __shared__ int64_t places[32];
  const int64_t row = blockIdx.x;
  double* value = p.value + row * p.classes;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int64_t k = 0; k < p.count; ++k) {
    double best = 0;
    int64_t place = -1;
    const auto take = [&](double v, int64_t i) {
      if (i < 0 || v < 0 || (place >= 0 && !(v < best || (v == best && i < place)))) return;
      best = v;
      place = i;
    };
    const auto over_warp = [&] {
      for (int step = 16; step > 0; step /= 2) {
        const double v = __shfl_xor_sync(kFullWarp, best, step);
        const int64_t i = __shfl_xor_sync(kFullWarp, place, step);
        take(v, i);
      }
    };
    if (k == 0) {
      bool good = true, some = false;
      for (int64_t i = threadIdx.x; i < p.classes; i += blockDim.x) {
        const double w = weight_at<T>(p, row, i, &good);
        const double v = w > 0 ? -log(open_unit(word_of(p.start, row * p.classes + i))) / w : static_cast<double>(INFINITY);
        some = some || w > 0;
        if (p.count > 1) value[i] = v;
        take(v, i);
      }
      if (!__syncthreads_and(good)) return;
      if (!__syncthreads_or(some)) {
        if (threadIdx.x == 0) p.reporter.say(Wrong::weights, row);
        return;
      }
    } else {
      for (int64_t i = threadIdx.x; i < p.classes; i += blockDim.x) take(value[i], i);
    }
    over_warp();
    if (lane == 0) {
      times[warp] = best;
      places[warp] = place;
    }
    __syncthreads();
    if (warp == 0) {
      const bool there = lane < blockDim.x / 32;
      best = there ? times[lane] : 0;
      place = there ? places[lane] : -1;
      over_warp();
      if (lane == 0) {
        p.y[row * p.count + k] = static_cast<int32_t>(place);
        value[place] = -1;
      }
    }
    __syncthreads();
  }
}

}  // namespace

extern "C" {

#define DRAWS(t, T)                                                                                        \
  __global__ void uniform_##t(const __grid_constant__ Draw p) { uniform<T>(p); }                           \
  __global__ void normal_##t(const __grid_constant__ Draw p) { normal<T>(p); }                             \
  __global__ void truncated_normal_##t(const __grid_constant__ Draw p) { truncated_normal<T>(p); }         \
  __global__ void dropout_##t(const __grid_constant__ Dropout p) { dropout<T>(p); }                        \
  __global__ void multinomial_again_##t(const __grid_constant__ Multinomial p) { with_replacement<T>(p); } \
  __global__ void multinomial_once_##t(const __grid_constant__ Multinomial p) { without_replacement<T>(p); }
SHAKTI_FLOATS(DRAWS)

__global__ void randint_i32(const __grid_constant__ DrawIntegers p) { randint<int32_t>(p); }
__global__ void randint_i64(const __grid_constant__ DrawIntegers p) { randint<int64_t>(p); }

// Fisher-Yates: the word of each step decides the partner. The steps depend on each other, so one thread takes them.
__global__ void permutation_partners(const __grid_constant__ Permutation p) {
  for (int64_t i = thread_of_grid(); i < p.n; i += threads_of_grid()) {
    p.y[i] = static_cast<int32_t>(i);
    p.partner[i] = static_cast<int32_t>(word_of(p.start, i) * static_cast<uint64_t>(i + 1) >> 32);
  }
}
__global__ void permutation_swaps(const __grid_constant__ Permutation p) {
  for (int64_t i = p.n - 1; i > 0; --i) {
    const int32_t j = p.partner[i], t = p.y[i];
    p.y[i] = p.y[j];
    p.y[j] = t;
  }
}

}  // extern "C"
}  // namespace shakti::cuda
