// The activations of a Transformer's hidden layers, over lanes and doubles: ops of their own, and part of a product's
// way out.
#pragma once
#include "math.h"

namespace SHAKTI_ISA_NS {
namespace {

struct Silu {
  SHAKTI_INLINE static vf run(vf x) { return x / (1.0f + vexp(-x)); }
  SHAKTI_INLINE static double run(double x) { return x / (1 + std::exp(-x)); }
};
struct Gelu {
  SHAKTI_INLINE static vf run(vf x) { return x * 0.5f * (1.0f + verf(x * 0.70710678118654752f)); }
  SHAKTI_INLINE static double run(double x) { return 0.5 * x * (1 + std::erf(x * 0.70710678118654752)); }
};
struct GeluTanh {
  SHAKTI_INLINE static vf run(vf x) {
    return x * 0.5f * (1.0f + vtanh((x + x * x * x * 0.044715f) * 0.79788456080286536f));
  }
  SHAKTI_INLINE static double run(double x) {
    return 0.5 * x * (1 + std::tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
  }
};

}  // namespace
}  // namespace SHAKTI_ISA_NS
