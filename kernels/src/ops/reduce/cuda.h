// Parameters of the kernels in cuda.cu.
#pragma once
#include "../../cuda/report.h"
#include "../../cuda/rows.h"

namespace shakti::cuda {

// The folded places are cut into pieces; what each piece of each output gives lies in partial [pieces][outputs].
struct Fold {
  const void* x;
  void* partial;
  int64_t outputs, folded, pieces, piece;  // piece: folded places of one
  bool packed;                             // folded places lie in order, and every piece begins on 16 bytes
  Walk<1> kept_dims, folded_dims;
};
struct Finish {
  const void* partial;
  void* y;
  int64_t outputs, pieces;
  Reporter reporter;
};
struct Find {
  const void* x;
  void* values;
  int32_t* indices;
  int64_t n;
  RowForm form;
  Walk<1> rows;
};
struct CumulativeSum {
  const void* x;
  void* y;
  int64_t n;
  bool reverse;
  RowForm form;
  Walk<1> rows;
  Reporter reporter;
};

}  // namespace shakti::cuda
