// Parameters of the kernels in cuda.cu.
#pragma once
#include "../../cuda/view.h"

namespace shakti::cuda {

struct Swiglu {
  const void *gate, *up;
  void* y;  // contiguous
  int64_t n;
  bool packed;  // everything in order and on 16 bytes
  Walk<2> walk;
};
struct SwigluBackward {
  const void *g, *gate, *up;
  void *dgate, *dup;  // contiguous
  int64_t n;
  bool packed;
  Walk<3> walk;
};

}  // namespace shakti::cuda
