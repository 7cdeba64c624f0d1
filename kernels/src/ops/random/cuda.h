// Parameters of the kernels in cuda.cu.
#pragma once
#include "../../cuda/random.h"
#include "../../cuda/report.h"
#include "../../cuda/view.h"

namespace shakti::cuda {

struct Draw {
  void* y;  // contiguous
  int64_t n;
  RandomStart start;
  double a, b, low, high;  // low and span; mean and deviation, and the bounds of a truncated normal
};
struct DrawIntegers {
  void* y;
  int64_t n;
  RandomStart start;
  int64_t low;
  uint64_t span;
};
struct Permutation {
  int32_t* y;
  int32_t* partner;
  int64_t n;
  RandomStart start;
};
struct Multinomial {
  const void* p;  // [rows, classes], contiguous
  int32_t* y;     // [rows, count]
  double* value;  // [rows, classes]: running sums, or times of arrival
  int64_t rows, classes, count;
  RandomStart start;
  Reporter reporter;
};
struct Dropout {
  const void* x;
  void* y;
  double p;
  RandomStart start;
  Walk<1> walk;
};

}  // namespace shakti::cuda
