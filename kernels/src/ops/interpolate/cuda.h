// Parameters of the kernels in cuda.cu.
#pragma once
#include "../../cuda/view.h"

namespace shakti::cuda {

struct Interpolate {
  const void* x;  // [n, c, h, w]; backward: the gradient
  void* y;        // contiguous
  int64_t planes, c;
  int64_t strides[4];    // of x
  int64_t h, w, oh, ow;  // of the input and the output of the forward op
  int mode;              // 0 nearest, 1 bilinear, 2 bicubic
  bool align;
};

}  // namespace shakti::cuda
