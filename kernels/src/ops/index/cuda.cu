// Reading and adding at given places. Every index is checked where it is used: a bad one is reported and skipped. Sums have one
// order, that of the places.
#include "cuda.h"

#include "../../cuda/device/grid.cuh"
#include "../../cuda/device/numbers.cuh"
#include "../../cuda/device/reduce.cuh"

namespace shakti::cuda {
namespace {

__device__ __forceinline__ int64_t index_at(const Indices& x, int64_t at) {
  return x.wide ? static_cast<const int64_t*>(x.data)[at] : static_cast<const int32_t*>(x.data)[at];
}
__device__ __forceinline__ bool inside(const Indices& x, int64_t index, int64_t place) {
  if (index >= 0 && index < x.size) return true;
  x.reporter.say(Wrong::index, index, place, x.size);
  return false;
}

// A warp for a place.
template <class T>
__device__ __forceinline__ void embed(const Embedding& p) {
  for (int64_t i = thread_of_grid() / 32; i < p.places.numel; i += threads_of_grid() / 32) {
    int64_t at[1];
    p.places.at(i, at);
    const int64_t id = index_at(p.ids, at[0]);
    const bool there = id >= 0 && id < p.ids.size;
    if (!there && threadIdx.x % 32 == 0) inside(p.ids, id, i);
    const T* from = static_cast<const T*>(p.weight) + id * p.row_stride;
    T* to = static_cast<T*>(p.y) + i * p.width;
    for (int64_t j = threadIdx.x % 32; j < p.width; j += 32) to[j] = there ? from[j * p.column_stride] : T{0};
  }
}

__device__ __forceinline__ bool counts(const EmbeddingOrder& p, int64_t i, int64_t* id) {
  int64_t at[1];
  p.places.at(i, at);
  *id = index_at(p.ids, at[0]);
  return *id >= 0 && *id < p.ids.size && *id != p.padding;
}

// A block for a row of the table.
template <class T>
__device__ __forceinline__ void embed_backward(const EmbeddingBackward& p) {
  using C = compute_t<T>;
  for (int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
    const int64_t begin = p.start[row], end = p.start[row + 1];
    for (int64_t j = threadIdx.x; j < p.width; j += blockDim.x) {
      C sum = 0;
      for (int64_t k = begin; k < end; ++k) {
        int64_t at[1];
        p.g_rows.at(p.order[k], at);
        sum += load(static_cast<const T*>(p.g)[at[0] + j * p.g_stride]);
      }
      static_cast<T*>(p.dweight)[row * p.width + j] = store<T>(sum);
    }
  }
}

template <class T>
__device__ __forceinline__ void gather(const Gather& p) {
  for (int64_t i = thread_of_grid(); i < p.walk.numel; i += threads_of_grid()) {
    int64_t at[2];
    p.walk.at(i, at);
    const int64_t v = index_at(p.indices, at[0]);
    static_cast<T*>(p.y)[i] = inside(p.indices, v, i) ? static_cast<const T*>(p.x)[at[1] + v * p.step] : T{0};
  }
}

// In y's own dtype; bf16 and f16 through f32, integers wrap.
template <class T>
__device__ __forceinline__ void add_to(T* y, T v) {
  *y = store<T>(load(*y) + load(v));
}
template <>
__device__ __forceinline__ void add_to<int64_t>(int64_t* y, int64_t v) {
  *y = static_cast<int64_t>(static_cast<uint64_t>(*y) + static_cast<uint64_t>(v));
}
template <>
__device__ __forceinline__ void add_to<bool>(bool* y, bool v) {
  *y = *y || v;
}

template <class T>
__device__ __forceinline__ void scatter_add(const ScatterAdd& p) {
  for (int64_t line = thread_of_grid(); line < p.lines.numel; line += threads_of_grid()) {
    int64_t at[3];
    p.lines.at(line, at);
    for (int64_t k = 0; k < p.length; ++k) {
      const int64_t v = index_at(p.indices, at[0] + k * p.index_step);
      if (!inside(p.indices, v, line * p.length + k)) continue;
      add_to(static_cast<T*>(p.y) + at[2] + v * p.y_step, static_cast<const T*>(p.src)[at[1] + k * p.src_step]);
    }
  }
}

// A warp for a line whose places follow one another, 32 at a time. Of the lanes that add to one place the first does it for all, in their
// order: the sums are those of scatter_add.
template <class T>
__device__ __forceinline__ void scatter_add_lines(const ScatterAdd& p) {
  const int lane = threadIdx.x % 32;
  for (int64_t line = thread_of_grid() / 32; line < p.lines.numel; line += threads_of_grid() / 32) {
    int64_t at[3];
    p.lines.at(line, at);
    for (int64_t k = lane; k - lane < p.length; k += 32) {
      int64_t v = -1;
      if (k < p.length) {
        v = index_at(p.indices, at[0] + k * p.index_step);
        if (!inside(p.indices, v, line * p.length + k)) v = -1;
      }
      const compute_t<T> mine = v >= 0 ? load(static_cast<const T*>(p.src)[at[1] + k * p.src_step]) : compute_t<T>(0);
      unsigned left = __match_any_sync(kFullWarp, static_cast<unsigned long long>(v));
      const bool first = v >= 0 && __ffs(left) - 1 == lane;
      T* to = static_cast<T*>(p.y) + at[2] + v * p.y_step;
      T sum = first ? *to : T{0};
      while (__any_sync(kFullWarp, left != 0)) {
        const compute_t<T> other = __shfl_sync(kFullWarp, mine, left ? __ffs(left) - 1 : lane);
        if (first && left) add_to(&sum, store<T>(other));
        left &= left - 1;
      }
      if (first) *to = sum;
      __syncwarp();
    }
  }
}

template <class T>
__device__ __forceinline__ void index_select(const IndexSelect& p) {
  for (int64_t i = thread_of_grid(); i < p.n; i += threads_of_grid()) {
    const int64_t j = i % p.inner, k = i / p.inner % p.count, o = i / p.inner / p.count;
    const int64_t v = index_at(p.indices, k * p.index_stride);
    int64_t outer[1], inner[1];
    p.outer.at(o, outer);
    p.inside.at(j, inner);
    static_cast<T*>(p.y)[i] =
        inside(p.indices, v, k) ? static_cast<const T*>(p.x)[outer[0] + v * p.step + inner[0]] : T{0};
  }
}

template <class T>
__device__ __forceinline__ void index_copy(const IndexCopy& p) {
  for (int64_t i = thread_of_grid(); i < p.n; i += threads_of_grid()) {
    int64_t outer[2], inner[2];
    p.outer.at(i / p.inner, outer);
    p.inside.at(i % p.inner, inner);
    for (int64_t k = 0; k < p.count; ++k) {
      const int64_t v = index_at(p.indices, k * p.index_stride);
      if (!inside(p.indices, v, k)) continue;
      static_cast<T*>(p.y)[outer[1] + v * p.y_step + inner[1]] =
          static_cast<const T*>(p.src)[outer[0] + k * p.step + inner[0]];
    }
  }
}

template <class T>
__device__ __forceinline__ void index_add(const IndexAdd& p) {
  for (int64_t i = thread_of_grid(); i < p.n; i += threads_of_grid()) {
    const int64_t j = i % p.inner, o = i / p.inner;
    int64_t outer[1], inner[1];
    p.outer.at(o, outer);
    p.inside.at(j, inner);
    for (int64_t k = 0; k < p.count; ++k) {
      const int64_t v = index_at(p.indices, k * p.index_stride);
      if (!inside(p.indices, v, k)) continue;
      add_to(static_cast<T*>(p.y) + (o * p.size + v) * p.inner + j,
             static_cast<const T*>(p.src)[outer[0] + k * p.step + inner[0]]);
    }
  }
}

}  // namespace

extern "C" {

__global__ void embedding_count(const __grid_constant__ EmbeddingOrder p) {
  for (int64_t i = thread_of_grid(); i < p.places.numel; i += threads_of_grid()) {
    int64_t id;
    if (counts(p, i, &id))
      atomicAdd(reinterpret_cast<unsigned long long*>(p.start + id), 1ull);
    else if (id != p.padding)
      inside(p.ids, id, i);
  }
}

// From counts to where each id begins; one block.
__global__ void __launch_bounds__(1024) embedding_start(const __grid_constant__ EmbeddingOrder p) {
  __shared__ int64_t warps[32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t before = 0;
  for (int64_t tile = 0; tile < p.ids.size; tile += blockDim.x) {
    const int64_t i = tile + threadIdx.x;
    const int64_t mine = i < p.ids.size ? p.start[i] : 0;
    int64_t v = mine;
    for (int step = 1; step < 32; step *= 2) {
      const int64_t left = __shfl_up_sync(kFullWarp, v, step);
      if (lane >= step) v += left;
    }
    if (lane == 31) warps[warp] = v;
    __syncthreads();
    int64_t all = 0;
    for (int w = 0; w < blockDim.x / 32; ++w) {
      if (w == warp) v += all;
      all += warps[w];
    }
    if (i < p.ids.size) p.start[i] = p.cursor[i] = before + v - mine;
    before += all;
    __syncthreads();
  }
  if (threadIdx.x == 0) p.start[p.ids.size] = before;
}

__global__ void embedding_place(const __grid_constant__ EmbeddingOrder p) {
  for (int64_t i = thread_of_grid(); i < p.places.numel; i += threads_of_grid()) {
    int64_t id;
    if (counts(p, i, &id))
      p.unsorted[atomicAdd(reinterpret_cast<unsigned long long*>(p.cursor + id), 1ull)] = i;
  }
}

// A place's rank among those of its id: how many of them are smaller.
__global__ void embedding_rank(const __grid_constant__ EmbeddingOrder p) {
  const int64_t n = p.start[p.ids.size];
  for (int64_t k = thread_of_grid(); k < n; k += threads_of_grid()) {
    const int64_t place = p.unsorted[k];
    int64_t id;
    counts(p, place, &id);
    int64_t rank = 0;
    for (int64_t j = p.start[id]; j < p.start[id + 1]; ++j) rank += p.unsorted[j] < place;
    p.order[p.start[id] + rank] = place;
  }
}

#define OF_SIZE(bits)                                                                                              \
  __global__ void embedding_##bits(const __grid_constant__ Embedding p) { embed<uint##bits##_t>(p); }              \
  __global__ void gather_##bits(const __grid_constant__ Gather p) { gather<uint##bits##_t>(p); }                   \
  __global__ void index_select_##bits(const __grid_constant__ IndexSelect p) { index_select<uint##bits##_t>(p); }   \
  __global__ void index_copy_##bits(const __grid_constant__ IndexCopy p) { index_copy<uint##bits##_t>(p); }
OF_SIZE(8)
OF_SIZE(16)
OF_SIZE(32)
OF_SIZE(64)

#define EMBEDDING_BACKWARD(t, T) \
  __global__ void embedding_backward_##t(const __grid_constant__ EmbeddingBackward p) { embed_backward<T>(p); }
SHAKTI_FLOATS(EMBEDDING_BACKWARD)

#define ADDS(t, T)                                                                                 \
  __global__ void scatter_add_##t(const __grid_constant__ ScatterAdd p) { scatter_add<T>(p); }     \
  __global__ void scatter_add_lines_##t(const __grid_constant__ ScatterAdd p) { scatter_add_lines<T>(p); } \
  __global__ void index_add_##t(const __grid_constant__ IndexAdd p) { index_add<T>(p); }
SHAKTI_ALL(ADDS)

}  // extern "C"
}  // namespace shakti::cuda
