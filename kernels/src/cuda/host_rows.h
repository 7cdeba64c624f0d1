// Launchers of kernels that give each row of the last dimension to a block.
#pragma once
#include "host.h"
#include "rows.h"

namespace shakti::cuda {

inline RowForm row_form(const Operand& x) {
  const auto pack = static_cast<int64_t>(16 / dtype_size(x.dtype));
  RowForm f{x.stride(-1), x.stride(-1) == 1 && aligned16(x.data)};
  for (int d = 0; d < x.ndim - 1; ++d) f.packed = f.packed && (x.shape[d] == 1 || x.strides[d] % pack == 0);
  return f;
}

// A walk over where the rows of operands of one shape begin.
template <int N>
Walk<N> row_walk(const Operand* const (&operands)[N]) {
  Operand starts[N];
  const Operand* pointers[N];
  for (int n = 0; n < N; ++n) {
    starts[n] = *operands[n];
    --starts[n].ndim;
    pointers[n] = &starts[n];
  }
  return walk(pointers);
}

// Threads for a row of n elements: whole warps, at most `most`. Each has two runs of 16 bytes, as many as it keeps
// (device/row.cuh): with twice the threads a row's sums cost twice as much.
inline int64_t row_threads(const Operand& x, int64_t most = 256) {
  const auto pack = static_cast<int64_t>(16 / dtype_size(x.dtype));
  return std::min(most, blocks_of(blocks_of(x.size(-1), 2 * pack), 32) * 32);
}

}  // namespace shakti::cuda
