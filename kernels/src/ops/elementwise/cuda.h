// Parameters of the kernels in cuda.cu.
#pragma once
#include "../../cuda/view.h"

namespace shakti::cuda {

// Where the elements of an operand come from.
enum class From : int {
  walk,   // by strides
  dense,  // one behind the other, on 16 bytes
  one,    // the same element for all
  number  // none: the scalar
};

struct Unary {
  const void* x;
  void* y;  // contiguous, on 16 bytes
  int64_t n;
  double low, high;  // clamp
  From from;
  Walk<1> walk;
};
struct Binary {
  const void* in[2];
  void* y;
  int64_t n;
  double scalar;
  From from[2];
  Walk<2> walk;  // over `in`; an operand that is a number has strides of 0
};
struct Where {
  const bool* condition;
  const void* in[2];
  void* y;
  int64_t n;
  double scalars[2];
  bool number[2];
  Walk<3> walk;  // over the condition and `in`
};

}  // namespace shakti::cuda
