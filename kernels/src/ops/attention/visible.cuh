// Which keys a query may look at: causality, window, packing and the mask.
#pragma once
#include "../../cuda/device/numbers.cuh"
#include "../../cuda/device/reduce.cuh"
#include "cuda.h"

namespace shakti::cuda {

struct KeyRange {
  int64_t begin, end;
};

__device__ __forceinline__ KeyRange keys_of(const Attention& p, int64_t query) {
  int64_t q0 = 0, q1 = p.lq, k0 = 0, k1 = p.lk;
  if (p.sequences > 0) {
    int low = 0, high = p.sequences - 1;
    while (low < high) {
      const int mid = (low + high) / 2;
      if (p.cu_q[mid + 1] > query)
        high = mid;
      else
        low = mid + 1;
    }
    q0 = p.cu_q[low];
    q1 = p.cu_q[low + 1];
    // Borders that do not ascend are reported; until then they must not lead outside.
    k0 = max(int64_t{0}, min(p.lk, static_cast<int64_t>(p.cu_k[low])));
    k1 = max(k0, min(p.lk, static_cast<int64_t>(p.cu_k[low + 1])));
  }
  if (!p.causal) return {k0, k1};
  const int64_t last = k0 + (query - q0) + (k1 - k0) - (q1 - q0);
  const int64_t first = p.window > 0 ? last - p.window + 1 : k0;
  return {first > k0 ? first : k0, last + 1 < k1 ? last + 1 : k1};
}

// The queries that may look at any key of [begin, end) lie in this range.
__device__ __forceinline__ KeyRange queries_of(const Attention& p, int64_t begin, int64_t end) {
  // Ranges of keys ascend with the query, so that the first and the last query are found by halving.
  int64_t low = 0, high = p.lq;
  while (low < high) {
    const int64_t mid = (low + high) / 2;
    if (keys_of(p, mid).end > begin)
      high = mid;
    else
      low = mid + 1;
  }
  const int64_t first = low;
  high = p.lq;
  while (low < high) {
    const int64_t mid = (low + high) / 2;
    if (keys_of(p, mid).begin >= end)
      high = mid;
    else
      low = mid + 1;
  }
  return {first, low};
}

// The scaled score of a query and a key, with the mask.
template <class T, class C>
__device__ __forceinline__ C masked(const Attention& p, C score, const KeyRange& range, int64_t b, int64_t h, int64_t i, int64_t j) {
  const C never = -static_cast<C>(INFINITY);
  if (j < range.begin || j >= range.end) return never;
  if (p.mask_kind == 0) return score;
  const int64_t at = b * p.mask_strides[0] + h * p.mask_strides[1] + i * p.mask_strides[2] + j * p.mask_strides[3];
  if (p.mask_kind == 1) return static_cast<const bool*>(p.mask)[at] ? score : never;
  return score + (p.mask_kind == 2 ? load(static_cast<const T*>(p.mask)[at]) : static_cast<C>(static_cast<const float*>(p.mask)[at]));
}

// What a row's values, summed by their weights, are multiplied with. No weights give 0, NaN scores NaN.
template <class C>
__device__ __forceinline__ C inverse_of_weights(C sum) {
  return sum > 0 ? 1 / sum : sum == 0 ? C(0) : sum;
}

template <class T>
__device__ __forceinline__ const T* row_of(const Rows4& x, int64_t b, int64_t i, int64_t h) {
  return static_cast<const T*>(x.data) + b * x.batch + i * x.row + h * x.head;
}

}  // namespace shakti::cuda
