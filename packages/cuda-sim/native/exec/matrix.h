// Products of small matrices, as tensor cores form them.
#pragma once
#include "block.h"

namespace sim {

constexpr int kMaxM = 32, kMaxN = 32, kMaxK = 32;

// Row-major, as f64: every element and every product of two fits.
struct Matrices {
  double a[kMaxM][kMaxK], b[kMaxK][kMaxN], c[kMaxM][kMaxN];
};
struct Shape {
  int m, n, k;
};

double widen(ptx::Type, uint32_t bits);
// c += a b, in the rounding that the run asks for.
void multiply(Warp&, Matrices&, const Shape&, bool integers);
void count_product(Warp&, const Shape&);

}  // namespace sim
