// Parameters of the kernels in cuda.cu.
#pragma once
#include "../../cuda/view.h"

namespace shakti::cuda {

// A block's tile of what is written: channels and places. As launcher and kernel agree on.
constexpr int kConvRows = 32, kConvColumns = 64, kConvThreads = 128;

// Strides of a 4-D operand.
struct Planes {
  void* data;
  int64_t strides[4];
};
struct Convolution {
  Planes x, w, y;    // x [n, c, h, w], w [o, c / groups, kh, kw], y [n, o, oh, ow]
  const void* bias;  // or null
  int64_t bias_stride;
  int64_t n, c, h, width, o, cg, kh, kw, oh, ow;
  int64_t stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups;
};

}  // namespace shakti::cuda
