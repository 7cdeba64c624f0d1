// Parameters of the kernels in cuda.cu. How packed bytes lie is said in layout.h, for both sides.
#pragma once
#include "../../cuda/report.h"
#include "../../cuda/rows.h"
#include "../../cuda/view.h"
#include "layout.h"

namespace shakti::cuda {

struct QuantizeWeight {
  const void* w;  // [n, k] with strides
  uint8_t* packed;
  int64_t n, k, row_stride, column_stride, panels, panel_bytes;
  int bits;
  bool zero_point;
  int64_t group;
  Reporter reporter;
};
struct DequantizeWeight {
  const uint8_t* packed;
  void* w;  // [n, k], contiguous
  int64_t n, k, panel_bytes;
  int bits;
  bool zero_point;
  int64_t group;
};
// Of a group of a row of x in 8 bits: its scale, and which float stands for 0 among those that its sums of products end
// as (see integer_product.cuh). It takes off what a weight's byte has too much.
struct alignas(8) RowScale {
  float scale, zero;
};
// x in 8 bits: bytes [m, depth], scales [groups, m].
struct QuantizeRows {
  const void* x;
  int64_t m, k, row_stride, group, depth;
  RowForm form;
  int bias;  // what a weight's byte has too much
  int8_t* bytes;
  RowScale* scales;
};
struct QuantizedLinear {
  const int8_t* bytes;
  const RowScale* scales;
  const uint8_t* packed;
  const void* bias;  // or null
  void* y;           // [m, n], contiguous
  RowForm y_form;
  int64_t m, n, k, panel_bytes, bias_stride, group;
};

}  // namespace shakti::cuda
