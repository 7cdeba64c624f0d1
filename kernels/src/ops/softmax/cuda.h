// Parameters of the kernels in cuda.cu.
#pragma once
#include "../../cuda/rows.h"

namespace shakti::cuda {

struct Softmax {
  const void* x;
  void* y;  // contiguous
  int64_t n;
  RowForm x_form, y_form;
  Walk<1> rows;  // of x
};
struct SoftmaxBackward {
  const void *g, *y;
  void* dx;
  int64_t n;
  RowForm g_form, y_form, dx_form;
  Walk<2> rows;  // of g and y
};

}  // namespace shakti::cuda
