// The functions of simd/math.h for one instruction set, called by math_sweep.cc.
#include "../../src/simd/math.h"
#include "math_functions.h"

namespace SHAKTI_ISA_NS {

#define DEFINE(name, bound, distance)                                                                             \
  void sweep_##name(const float* x, float* y, int64_t n) {                                                        \
    lanes(n, [&](int64_t i, int64_t m, bool part) { store_n(y + i, v##name(load_n(x + i, m, part)), m, part); }); \
  }
MATH_FUNCTIONS(DEFINE)

}  // namespace SHAKTI_ISA_NS
