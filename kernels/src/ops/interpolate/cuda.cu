// Resizing planes: an output reads up to four places of a line with weights. The gradient of an input place is gathered from the
// outputs that read it, in their order.
#include "cuda.h"

#include "../../cuda/device/grid.cuh"
#include "../../cuda/device/numbers.cuh"

namespace shakti::cuda {
namespace {

struct Taps {
  int64_t at[4];
  double w[4];
};

__device__ __forceinline__ double ratio_of(int64_t from, int64_t to, bool align) {
  return align ? (to > 1 ? static_cast<double>(from - 1) / static_cast<double>(to - 1) : 0.0)
               : static_cast<double>(from) / static_cast<double>(to);
}

// Where output place i of `to` reads in `from` places (PyTorch's rules). Returns how many it reads.
__device__ __forceinline__ int taps(int64_t i, int64_t from, int64_t to, int mode, bool align, Taps& t) {
  const auto clamp = [&](int64_t v) { return v < 0 ? 0 : v >= from ? from - 1 : v; };
  if (mode == 0) {
    t.at[0] = clamp(static_cast<int64_t>(floor(static_cast<double>(i) * static_cast<double>(from) / static_cast<double>(to))));
    t.w[0] = 1;
    return 1;
  }
  const double ratio = ratio_of(from, to, align);
  double x = align ? static_cast<double>(i) * ratio : (static_cast<double>(i) + 0.5) * ratio - 0.5;
  if (mode == 1) {
    x = x < 0 ? 0 : x;
    const int64_t low = static_cast<int64_t>(x);
    t.at[0] = clamp(low);
    t.at[1] = clamp(low + 1);
    t.w[1] = x - static_cast<double>(low);
    t.w[0] = 1 - t.w[1];
    return 2;
  }
  const double low = floor(x), f = x - low, a = -0.75;
  const auto near_ = [&](double d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
  const auto far_ = [&](double d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
#pragma unroll
  for (int k = 0; k < 4; ++k) t.at[k] = clamp(static_cast<int64_t>(low) - 1 + k);
  t.w[0] = far_(f + 1);
  t.w[1] = near_(f);
  t.w[2] = near_(1 - f);
  t.w[3] = far_(2 - f);
  return 4;
}

template <class T>
__device__ __forceinline__ void forward(const Interpolate& p) {
  const int64_t total = p.planes * p.oh * p.ow;
  for (int64_t t = thread_of_grid(); t < total; t += threads_of_grid()) {
    const int64_t j = t % p.ow, i = t / p.ow % p.oh, plane = t / p.ow / p.oh;
    const T* x = static_cast<const T*>(p.x) + plane / p.c * p.strides[0] + plane % p.c * p.strides[1];
    Taps r, q;
    const int rows = taps(i, p.h, p.oh, p.mode, p.align, r), columns = taps(j, p.w, p.ow, p.mode, p.align, q);
    double sum = 0;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
#pragma unroll
      for (int l = 0; l < 4; ++l)
        if (k < rows && l < columns)
          sum += r.w[k] * q.w[l] * static_cast<double>(load(x[r.at[k] * p.strides[2] + q.at[l] * p.strides[3]]));
    }
    static_cast<T*>(p.y)[t] = store<T>(static_cast<compute_t<T>>(sum));
  }
}

// Outputs [first, last] outside of which none reads input place `at`: a tap lies at most two places from where an output stands, and
// the places at the ends stand for all beyond.
__device__ __forceinline__ void readers(int64_t at, int64_t from, int64_t to, int mode, bool align, int64_t* first, int64_t* last) {
  const double ratio = mode == 0 ? static_cast<double>(from) / static_cast<double>(to) : ratio_of(from, to, align);
  *first = 0;
  *last = to - 1;
  if (ratio <= 0) return;
  const double low = (static_cast<double>(at) - 3) / ratio - 1, high = (static_cast<double>(at) + 3) / ratio + 1;
  if (at > 0 && low > 0) *first = static_cast<int64_t>(low);
  if (at < from - 1 && high < static_cast<double>(to - 1)) *last = static_cast<int64_t>(high);
}

// The weight with which output i reads input place `at`.
__device__ __forceinline__ double weight(int64_t i, int64_t at, int64_t from, int64_t to, int mode, bool align) {
  Taps t;
  const int n = taps(i, from, to, mode, align, t);
  double w = 0;
#pragma unroll
  for (int k = 0; k < 4; ++k)
    if (k < n && t.at[k] == at) w += t.w[k];
  return w;
}

template <class T>
__device__ __forceinline__ void backward(const Interpolate& p) {
  const int64_t total = p.planes * p.h * p.w;
  for (int64_t t = thread_of_grid(); t < total; t += threads_of_grid()) {
    const int64_t column = t % p.w, row = t / p.w % p.h, plane = t / p.w / p.h;
    const T* g = static_cast<const T*>(p.x) + plane / p.c * p.strides[0] + plane % p.c * p.strides[1];
    int64_t i0, i1, j0, j1;
    readers(row, p.h, p.oh, p.mode, p.align, &i0, &i1);
    readers(column, p.w, p.ow, p.mode, p.align, &j0, &j1);
    double sum = 0;
    for (int64_t i = i0; i <= i1; ++i) {
      const double of_row = weight(i, row, p.h, p.oh, p.mode, p.align);
      if (of_row == 0) continue;
      for (int64_t j = j0; j <= j1; ++j) {
        const double of_column = weight(j, column, p.w, p.ow, p.mode, p.align);
        if (of_column != 0) sum += of_row * of_column * static_cast<double>(load(g[i * p.strides[2] + j * p.strides[3]]));
      }
    }
    static_cast<T*>(p.y)[t] = store<T>(static_cast<compute_t<T>>(sum));
  }
}

}  // namespace

extern "C" {

#define INTERPOLATE(t, T)                                                                             \
  __global__ void interpolate_##t(const __grid_constant__ Interpolate p) { forward<T>(p); }           \
  __global__ void interpolate_backward_##t(const __grid_constant__ Interpolate p) { backward<T>(p); }
SHAKTI_FLOATS(INTERPOLATE)

}  // extern "C"
}  // namespace shakti::cuda
