// Parameters of the kernels in cuda.cu.
#pragma once
#include "../../cuda/rows.h"

namespace shakti::cuda {

// An element as it is ordered: by an unsigned key, equals by their place.
struct SortItem {
  uint64_t key;
  int64_t place;
};
struct Sort {
  const void* x;
  void* values;      // [rows, k]
  int32_t* indices;  // [rows, k]
  SortItem* items;   // [rows, padded]
  int64_t n, padded, k;
  bool descending;
  int64_t stride;
  Walk<1> rows;
};

}  // namespace shakti::cuda
