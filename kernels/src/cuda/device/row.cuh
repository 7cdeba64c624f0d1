// A row as a block works on it: runs of N elements, N being those of 16 bytes. Run r of a row belongs to thread r % blockDim.x, whose
// first runs stay in registers; what a row has beyond is read again.
#pragma once
#include "../rows.h"
#include "numbers.cuh"

namespace shakti::cuda {

// N elements as they are read: at once where they can be.
template <class T, int N>
__device__ __forceinline__ void load_run(const T* row, RowForm form, int64_t at, int64_t n, compute_t<T> (&v)[N]) {
  if (form.packed && at + N <= n) {
    constexpr int size = Pack<T>::size < N ? Pack<T>::size : N;
    struct alignas(size * sizeof(T)) Part {
      T v[size];
    };
#pragma unroll
    for (int k = 0; k < N; k += size) {
      const Part part = *reinterpret_cast<const Part*>(row + at + k);
#pragma unroll
      for (int j = 0; j < size; ++j) v[k + j] = load(part.v[j]);
    }
    return;
  }
#pragma unroll
  for (int k = 0; k < N; ++k) v[k] = at + k < n ? load(row[(at + k) * form.stride]) : compute_t<T>(0);
}

template <class T, int N>
__device__ __forceinline__ void store_run(T* row, RowForm form, int64_t at, int64_t n, const compute_t<T> (&v)[N]) {
  if (form.packed && at + N <= n) {
    constexpr int size = Pack<T>::size < N ? Pack<T>::size : N;
    if constexpr (sizeof(T) == 2) {
      static_assert(size == 4 || size == 8, "runs of 16-bit elements are whole words of 8 or 16 bytes");
#pragma unroll
      for (int k = 0; k < N; k += size) {
        // By name: plain stores of these words are at times taken apart into elements.
        const uint2 first{pair<T>(v[k], v[k + 1]), pair<T>(v[k + 2], v[k + 3])};
        if constexpr (size == 8)
          __stwb(reinterpret_cast<uint4*>(row + at + k), uint4{first.x, first.y, pair<T>(v[k + 4], v[k + 5]), pair<T>(v[k + 6], v[k + 7])});
        else
          __stwb(reinterpret_cast<uint2*>(row + at + k), first);
      }
    } else {
      struct alignas(size * sizeof(T)) Part {
        T v[size];
      };
#pragma unroll
      for (int k = 0; k < N; k += size) {
        Part part;
#pragma unroll
        for (int j = 0; j < size; ++j) part.v[j] = store<T>(v[k + j]);
        *reinterpret_cast<Part*>(row + at + k) = part;
      }
    }
    return;
  }
#pragma unroll
  for (int k = 0; k < N; ++k)
    if (at + k < n) row[(at + k) * form.stride] = store<T>(v[k]);
}

constexpr int kKeptRuns = 2;  // more cost registers, and so warps that hide the time of loads

template <class T>
struct Row {
  using C = compute_t<T>;
  static constexpr int N = Pack<T>::size;

  const T* row;
  RowForm form;
  int64_t n;
  C kept[kKeptRuns][N];

  __device__ __forceinline__ Row(const T* r, RowForm f, int64_t size) : row(r), form(f), n(size) {
#pragma unroll
    for (int c = 0; c < kKeptRuns; ++c) {
      const int64_t at = start(c);
      if (at < n) load_run(row, form, at, n, kept[c]);
    }
  }
  __device__ __forceinline__ static int64_t start(int c) {
    return (static_cast<int64_t>(c) * blockDim.x + threadIdx.x) * N;
  }
  // Calls f(at, v) for each run of this thread: v holds elements at .. at + N of the row, 0 behind its end.
  template <class F>
  __device__ __forceinline__ void each(const F& f) const {
    each_kept([&](int, int64_t at, const C(&v)[N]) { f(at, v); });
    each_beyond(f);
  }
  // Its two halves. Of a kept run f is told the number, a constant once the loop is unrolled.
  template <class F>
  __device__ __forceinline__ void each_kept(const F& f) const {
#pragma unroll
    for (int c = 0; c < kKeptRuns; ++c) {
      const int64_t at = start(c);
      if (at < n) f(c, at, kept[c]);
    }
  }
  template <class F>
  __device__ __forceinline__ void each_beyond(const F& f) const {
    for (int c = kKeptRuns; start(c) < n; ++c) {
      C v[N];
      load_run(row, form, start(c), n, v);
      f(start(c), v);
    }
  }
  // The same with the runs of another row of this length.
  template <class F>
  __device__ __forceinline__ void each_beside(const Row& other, const F& f) const {
    each_kept([&](int c, int64_t at, const C(&v)[N]) { f(at, v, other.kept[c]); });
    each_beyond([&](int64_t at, const C(&v)[N]) {
      C w[N];
      load_run(other.row, other.form, at, n, w);
      f(at, v, w);
    });
  }
  // Elements of a run that the row has.
  __device__ __forceinline__ int count(int64_t at) const { return n - at < N ? static_cast<int>(n - at) : N; }
};

}  // namespace shakti::cuda
