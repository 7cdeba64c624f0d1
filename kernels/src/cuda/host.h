// What launchers (ops/<family>/cuda.cc) share: names of kernels by dtype, grids, walks over strided operands.
#pragma once
#include <algorithm>
#include <cstdio>

#include "../runtime/op.h"
#include "launch.h"
#include "view.h"

namespace shakti::cuda {

// "softmax_bf16": kernels carry the dtype of their elements at the end of their name.
struct KernelName {
  char text[64];
  KernelName(const char* op, DType t) { std::snprintf(text, sizeof text, "%s_%s", op, dtype_name(t)); }
  KernelName(const char* op, DType t, DType u) {
    std::snprintf(text, sizeof text, "%s_%s_%s", op, dtype_name(t), dtype_name(u));
  }
  operator const char*() const { return text; }
};

// "move_16": kernels that only move elements carry their bits.
struct SizeName {
  char text[48];
  SizeName(const char* op, DType t) {
    std::snprintf(text, sizeof text, "%s_%d", op, static_cast<int>(8 * dtype_size(t)));
  }
  operator const char*() const { return text; }
};

constexpr int64_t kThreads = 256;  // of a block that walks over elements

inline int64_t blocks_of(int64_t n, int64_t each) { return (n + each - 1) / each; }

// Blocks of a grid-stride loop over n pieces of work for a thread: enough to fill the GPU a few times.
inline int64_t grid_for(const Launch& launch, int64_t n, int64_t threads = kThreads) {
  return std::min<int64_t>(blocks_of(n, threads), int64_t{launch.gpu().multiprocessors} * 16);
}

// A common walk over operands of one shape. Dimensions that all of them step through without a gap become one; those of
// size 1 go.
template <int N>
Walk<N> walk(const Operand* const (&operands)[N]) {
  Walk<N> w{};
  const Operand& first = *operands[0];
  w.numel = first.numel();
  for (int d = first.ndim - 1; d >= 0; --d) {
    if (first.shape[d] == 1) continue;
    const int last = w.ndim - 1;
    bool joins = w.ndim > 0;
    for (int n = 0; joins && n < N; ++n) joins = operands[n]->strides[d] == w.strides[n][last] * w.shape[last];
    if (joins) {
      w.shape[last] *= first.shape[d];
      continue;
    }
    w.shape[w.ndim] = first.shape[d];
    for (int n = 0; n < N; ++n) w.strides[n][w.ndim] = operands[n]->strides[d];
    ++w.ndim;
  }
  return w;
}

// Whether the walk steps through operand n from one element to the next.
template <int N>
bool dense(const Walk<N>& w, int n) {
  return w.ndim == 0 || (w.ndim == 1 && w.strides[n][0] == 1);
}

inline bool aligned16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace shakti::cuda
