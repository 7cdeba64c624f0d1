// The functions of simd/math.h, what they should give, and how far from it they may be: for math_test.cc, which tries
// some of the 2^32 floats, and math_sweep.cc, which tries all. libm's doubles are the reference: off by 2^-50 of the
// value at worst, which is 1e-8 of a float's ulp (GELU's 1e-6, since erfc enlarges the rounding of its argument).
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace exact {
inline double exp(double x) { return std::exp(x); }
inline double exp2(double x) { return std::exp2(x); }
inline double log(double x) { return std::log(x); }
inline double tanh(double x) { return std::tanh(x); }
inline double erf(double x) { return std::erf(x); }
inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
inline double gelu(double x) { return x == -INFINITY ? 0 : x * 0.5 * std::erfc(-x * std::sqrt(0.5)); }
inline double gelu_slope(double x) {
  return std::isinf(x) ? x > 0 : 0.5 * std::erfc(-x * std::sqrt(0.5)) + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
}
}  // namespace exact

// Distance in units of the last place that a float has at the true value.
inline double ulps(float got, double want) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : 1e30;
  const auto nearest = static_cast<float>(want);
  if (std::isinf(nearest) || std::isinf(got)) return nearest == got ? 0 : 1e30;
  uint64_t bits;
  std::memcpy(&bits, &want, 8);
  const int exponent = static_cast<int>(bits >> 52 & 2047) - 1023;
  const uint64_t in_one = static_cast<uint64_t>(1023 + 23 - (exponent < -126 ? -126 : exponent)) << 52;
  double scale;
  std::memcpy(&scale, &in_one, 8);
  return std::fabs(static_cast<double>(got) - want) * scale;
}
inline double difference(float got, double want) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : 1e30;
  return std::fabs(static_cast<double>(got) - want);
}

// F(name, bound, distance). Bounds: what the sweep of all floats found at worst, on any instruction set, and a little.
#define MATH_FUNCTIONS(F) \
  F(exp, 1.2, ulps)       \
  F(exp2, 1.9, ulps)      \
  F(log, 0.85, ulps)      \
  F(tanh, 1.15, ulps)     \
  F(erf, 1.7, ulps)       \
  F(sigmoid, 2, ulps)     \
  F(gelu, 1.85, ulps)     \
  F(gelu_slope, 1.2e-7, difference)
