// Parameters of the kernels in cuda.cu.
#pragma once
#include "../../cuda/heads.h"

namespace shakti::cuda {

struct Rope {
  Heads x, y;
  HeadSizes sizes;
  Angles angles;
  float sign;  // -1 turns back
};

}  // namespace shakti::cuda
