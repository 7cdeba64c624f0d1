// Parameters of the kernels in cuda.cu.
#pragma once
#include "../../cuda/view.h"
#include "activation.h"

namespace shakti::cuda {

struct Matrix {
  const void* data;
  int64_t row, column;  // strides
};

struct Product {
  Matrix a, b;  // [m, k], [k, n]
  void* y;      // [m, n], contiguous
  int64_t m, n, k, batches;
  Walk<4> batch;  // over a, b, residual and gate: where each matrix of the batch begins; y's follow one another
  // y = activation(scale * sum + bias) * silu(gate) + residual
  Matrix residual, gate;  // null: none; y's dtype
  const void* bias;       // null: none; a's dtype
  int64_t bias_stride;
  double scale;
  matmul::Activation activation;
  bool accumulate;  // adds to what y holds
  bool runs;        // y, bias, gate and residual can be read and written 16 bytes of y at a time
  // The depth in pieces, each by blocks of its own: sums in partial [pieces][batches][m][n], f32. One piece: straight
  // into y.
  int64_t pieces, piece;
  float* partial;
  bool a_by_rows, b_by_rows;   // the contiguous dimension is k of a, n of b; else m, k
  int64_t blocks_m, blocks_n;  // of one matrix of y
};

// Weights that are kept packed, as packed_weight.h says; size is that of an element, 2 or 4 bytes.
struct PackWeight {
  const void* w;
  void* packed;
  int64_t n, k, row, column, words;  // strides of w; words of a line
};

}  // namespace shakti::cuda
