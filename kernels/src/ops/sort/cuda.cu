// Sorting along the last dimension, a block for a row: elements become keys (NaN above all, -0 equal to 0), and a bitonic network sorts
// (key, place) pairs, which makes it stable. What spans fewer than kTile items is sorted in shared memory.
#include "cuda.h"

#include "../../cuda/device/numbers.cuh"

namespace shakti::cuda {
namespace {

constexpr int kTile = 1024;

__device__ __forceinline__ uint64_t key_of(double v) {
  if (v != v) return ~uint64_t{0};
  const uint64_t u = static_cast<uint64_t>(__double_as_longlong(v == 0 ? 0.0 : v));
  return u >> 63 ? ~u : u | uint64_t{1} << 63;
}
__device__ __forceinline__ uint64_t key_of(float v) { return key_of(static_cast<double>(v)); }
__device__ __forceinline__ uint64_t key_of(int64_t v) { return static_cast<uint64_t>(v) ^ uint64_t{1} << 63; }

__device__ __forceinline__ bool after(const SortItem& a, const SortItem& b) {
  return a.key > b.key || (a.key == b.key && a.place > b.place);
}

// One step of the network over n items: item i against i + step, so that runs of `run` items ascend and descend in turns.
__device__ __forceinline__ void exchange(SortItem* items, int64_t first, int64_t i, int64_t step, int64_t run) {
  const int64_t low = i / step * 2 * step + i % step, high = low + step;
  const bool up = ((first + low) & run) == 0;
  const SortItem a = items[low], b = items[high];
  if (after(a, b) != up) return;
  items[low] = b;
  items[high] = a;
}

template <class T>
__device__ __forceinline__ void sort(const Sort& p) {
  __shared__ SortItem tile[kTile];
  int64_t at[1];
  p.rows.at(blockIdx.x, at);
  const T* row = static_cast<const T*>(p.x) + at[0];
  SortItem* items = p.items + static_cast<int64_t>(blockIdx.x) * p.padded;
  // Of `items` a thread has every blockDim.x-th to itself, in the steps that span tiles too, since blockDim.x divides kTile: only what
  // happens in `tile` needs barriers.
  const int64_t span = p.padded < kTile ? p.padded : kTile;
  // Runs that a tile holds, from the keys on.
  for (int64_t first = 0; first < p.padded; first += span) {
    for (int64_t i = threadIdx.x; i < span; i += blockDim.x) {
      // Padding comes behind every item, a NaN too, by its place. Descending is ascending by the complement; equals keep their order.
      const int64_t place = first + i;
      const uint64_t key = place < p.n ? key_of(load(row[place * p.stride])) : 0;
      tile[i] = {place < p.n ? (p.descending ? ~key : key) : ~uint64_t{0}, place};
    }
    __syncthreads();
    for (int64_t run = 2; run <= span; run *= 2) {
      for (int64_t step = run / 2; step > 0; step /= 2) {
        for (int64_t i = threadIdx.x; i < span / 2; i += blockDim.x) exchange(tile, first, i, step, run);
        __syncthreads();
      }
    }
    for (int64_t i = threadIdx.x; i < span; i += blockDim.x) items[first + i] = tile[i];
  }
  for (int64_t run = 2 * span; run <= p.padded; run *= 2) {
    int64_t step = run / 2;
    for (; 2 * step > span; step /= 2) {
      for (int64_t i = threadIdx.x; i < p.padded / 2; i += blockDim.x) exchange(items, 0, i, step, run);
    }
    for (int64_t first = 0; first < p.padded; first += span) {
      for (int64_t i = threadIdx.x; i < span; i += blockDim.x) tile[i] = items[first + i];
      __syncthreads();
      for (int64_t s = step; s > 0; s /= 2) {
        for (int64_t i = threadIdx.x; i < span / 2; i += blockDim.x) exchange(tile, first, i, s, run);
        __syncthreads();
      }
      for (int64_t i = threadIdx.x; i < span; i += blockDim.x) items[first + i] = tile[i];
    }
  }
  for (int64_t i = threadIdx.x; i < p.k; i += blockDim.x) {
    const int64_t place = items[i].place, to = blockIdx.x * p.k + i;
    static_cast<T*>(p.values)[to] = row[place * p.stride];
    p.indices[to] = static_cast<int32_t>(place);
  }
}

}  // namespace

extern "C" {

#define SORT(t, T) \
  __global__ void sort_##t(const __grid_constant__ Sort p) { sort<T>(p); }
SHAKTI_ALL(SORT)

}  // extern "C"
}  // namespace shakti::cuda
