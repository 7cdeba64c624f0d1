// Parameters of the kernels in cuda.cu.
#pragma once
#include "../../cuda/heads.h"

namespace shakti::cuda {

struct NormRope {
  Heads x, y;
  HeadSizes sizes;
  Angles angles;
  const void* weight;  // may be null
  void* rstd;          // [b, l, h]
  double eps;
  int log2_lanes;  // of a head, where it is read four pairs at a time
};
struct NormRopeBackward {
  Heads g, x, dx;
  HeadSizes sizes;
  Angles angles;
  const void *weight, *rstd;
  void* sums;  // [parts][d], or null
  int64_t heads_of_part;
};
struct NormRopeSums {
  const void* sums;
  void* dweight;
  int64_t d, parts;
};

}  // namespace shakti::cuda
