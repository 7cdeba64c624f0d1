// Parameters of the kernels in cuda.cu.
#pragma once
#include "../../cuda/view.h"

namespace shakti::cuda {

struct Move {
  const void* x;
  void* y;
  Walk<2> walk;  // over x and y
};
struct Transpose {
  const void* x;  // [planes][cols][rows], by their strides
  void* y;        // [planes][rows][cols]
  int64_t rows, cols;
  int64_t x_col, y_row;  // x steps by 1 from row to row, y by 1 from column to column
  int64_t x_plane, y_plane;
};
struct Fill {
  void* y;
  double value;
  bool packed;  // in order and on 16 bytes
  Walk<1> walk;
};
struct Arange {
  void* y;
  int64_t n;
  double start, step;
};
struct Triangle {
  const void* x;
  void* y;  // contiguous
  int64_t rows, cols, diagonal;
  bool lower;
  Walk<1> walk;  // over x
};

}  // namespace shakti::cuda
