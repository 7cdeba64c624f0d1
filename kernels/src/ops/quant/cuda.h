// Parameters of the kernels in cuda.cu. How packed bytes lie is said in layout.h, for both sides.
#pragma once
#include "../../cuda/report.h"
#include "../../cuda/view.h"
#include "layout.h"

namespace shakti::cuda {

struct QuantizeWeight {
  const void* w;  // [n, k] with strides
  uint8_t* packed;
  int64_t n, k, row_stride, column_stride, panels, panel_bytes;
  int bits;
  int64_t group;
  Reporter reporter;
};
struct DequantizeWeight {
  const uint8_t* packed;
  void* w;  // [n, k], contiguous
  int64_t n, k, panel_bytes;
  int bits;
  int64_t group;
};
// x in 8 bits: bytes [m, depth], scales and starts of sums [m, groups].
struct QuantizeRows {
  const void* x;
  int64_t m, k, row_stride, column_stride, group, groups;
  int bias;  // what a weight's byte has too much
  int8_t* bytes;
  float* scales;
  int32_t* starts;
};
struct QuantizedLinear {
  const int8_t* bytes;
  const float* scales;
  const int32_t* starts;
  const uint8_t* packed;
  const void* bias;  // or null
  void* y;           // [m, n], contiguous
  int64_t m, n, k, panel_bytes, bias_stride, group;
  int bits;
};

}  // namespace shakti::cuda
