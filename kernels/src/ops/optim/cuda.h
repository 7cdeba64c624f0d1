// Parameters of the kernels in cuda.cu: tables of tensors, as many as a kernel's parameters hold.
#pragma once
#include "../../cuda/report.h"
#include "../../cuda/view.h"

namespace shakti::cuda {

constexpr int kTensorsOfLaunch = 56;
constexpr int64_t kChunk = 16384;  // elements of a tensor that a block goes through

struct AdamWTensor {
  const void* g;
  float *p, *m, *v;
  void* copy;  // bf16, or null
  int64_t n;
  int64_t first;        // chunk of the launch
  bool short_gradient;  // bf16, else f32
};
struct AdamW {
  AdamWTensor tensors[kTensorsOfLaunch];
  int count;
  const float* scale;         // or null
  const double *rate, *step;  // or null: lr and step_number
  double lr, step_number, beta1, beta2, eps, weight_decay;
  Reporter reporter;
};

struct NormTensor {
  const void* x;
  int64_t n, first;
};
struct GlobalNorm {
  NormTensor tensors[kTensorsOfLaunch];
  int count;
  double* sums;  // of the chunks of this launch
};
struct GlobalNormSum {
  const double* sums;
  int64_t chunks;
  float* y;
};

}  // namespace shakti::cuda
