// Parameters of the kernels in cuda.cu.
#pragma once
#include "../../cuda/rows.h"

namespace shakti::cuda {

struct Norm {
  const void *x, *weight, *bias;  // weight and bias may be null
  void* y;                        // contiguous
  void *mean, *rstd;              // mean: null for RMSNorm
  int64_t n;
  double eps;
  RowForm x_form, y_form, weight_form, bias_form;
  Walk<1> rows;  // of x
};

// dx = rstd * (gw - mean(gw) - xhat * mean(gw * xhat)), gw = g * weight; without the first mean for RMSNorm.
struct NormBackward {
  const void *g, *x, *weight;
  const void *mean, *rstd;
  void* dx;
  void* sums;  // [parts][dweight, dbias][n], or null
  int64_t n, rows_of_part;
  RowForm g_form, x_form, dx_form, parameter_form;
  Walk<2> rows;  // of g and x
};
struct NormSums {
  const void* sums;  // [parts][kinds][n]
  void* to[2];       // dweight and dbias; null: not wanted
  int64_t n, parts;
  int kinds;
};

}  // namespace shakti::cuda
