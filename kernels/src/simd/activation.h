// The activations of a Transformer's hidden layers, over lanes and doubles (on a GPU a lane is one number): ops of
// their own, and part of a product's way out.
#pragma once
#ifdef __CUDACC__
#include "../cuda/device/lane.cuh"
#else
#include "math.h"
#endif

namespace SHAKTI_ISA_NS {
namespace {

struct Silu {
  SHAKTI_INLINE static vf run(vf x) { return x * vsigmoid(x); }
  SHAKTI_INLINE static double run(double x) { return x / (1 + std::exp(-x)); }
};
struct Gelu {
  SHAKTI_INLINE static vf run(vf x) { return vgelu(x); }
  SHAKTI_INLINE static double run(double x) { return 0.5 * x * std::erfc(x * -0.70710678118654752); }
};
// (1 + tanh(u)) / 2 is the sigmoid of 2u, whose small values keep their digits.
struct GeluTanh {
  SHAKTI_INLINE static vf run(vf x) { return x * vsigmoid((x + x * x * x * 0.044715f) * 1.59576912160573072f); }
  SHAKTI_INLINE static double run(double x) {
    return x / (1 + std::exp(-(x + x * x * x * 0.044715) * 1.59576912160573072));
  }
};

}  // namespace
}  // namespace SHAKTI_ISA_NS
