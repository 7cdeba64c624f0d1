// What the tensor memory accelerator (TMA, sm_90) is told of a matrix in memory: made on the host by the driver
// (Launch::tensor_map), read by kernels out of their parameters.
#pragma once
#include <cstdint>

namespace shakti::cuda {

// CUtensorMap: the driver's secret. The manual asks for 64 bytes of alignment, cuda.h of CUDA 13 for 128.
struct alignas(128) TensorMap {
  uint64_t opaque[16];
};

// A stack of matrices of which tiles are copied: lines of elements that follow one another, lines `line_stride` apart,
// matrices `matrix_stride` apart, in elements.
struct TiledMatrices {
  const void* data;
  int64_t columns, lines, matrices;
  int64_t line_stride, matrix_stride;
  int tile_columns, tile_lines;  // 64 columns of 16 bits: 128 bytes, whose chunks of 16 are swizzled over eight lines
};

}  // namespace shakti::cuda
