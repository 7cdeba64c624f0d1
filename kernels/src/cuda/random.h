// Where a command's random numbers begin; included by kernels too.
#pragma once
#include <cstdint>

namespace shakti::cuda {

struct RandomStart {
  uint64_t key, offset;
};

}  // namespace shakti::cuda
