// Every function of simd/math.h against libm in f64, over all exponents and at the ends, and tails against whole
// vectors. Every 1009th float is tried; run.sh sweep tries all.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "../../src/simd/math.h"
#include "math_functions.h"

using namespace SHAKTI_ISA_NS;

namespace {

int failures = 0;
constexpr uint64_t kStride = 1009;

float from_bits(uint32_t u) {
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}

template <class F>
void check(const char* name, const F& f, double (*exact)(double), double bound, double (*distance)(float, double)) {
  double worst = 0;
  float at = 0;
  // Both signs, subnormals, infinities and NaN among them.
  float x[W], y[W];
  for (uint64_t u = 0; u < uint64_t{1} << 32; u += kStride * W) {
    for (int i = 0; i < W; ++i) x[i] = from_bits(static_cast<uint32_t>(u + static_cast<uint64_t>(i) * kStride));
    store(y, f(load(x)));
    for (int i = 0; i < W; ++i) {
      const double d = distance(y[i], exact(static_cast<double>(x[i])));
      if (!(d <= worst)) {
        worst = d;
        at = x[i];
      }
    }
  }
  const float special[] = {0.0f,   -0.0f,  INFINITY, -INFINITY, NAN,   1.0f,  -1.0f, 88.72283f,
                           88.73f, -87.4f, -103.9f,  -104.1f,   -4.0f, -4.2f, 7.0f,  1e-40f};
  for (float s : special) {
    store(y, f(splat(s)));
    const double d = distance(y[0], exact(static_cast<double>(s)));
    if (!(d <= worst)) {
      worst = d;
      at = s;
    }
    // A lane's value must not depend on its place or its neighbours, which may have taken another way.
    for (const float other : {0.0f, 1.5f, -9.0f}) {
      float row[2 * W], out[W];
      for (float& v : row) v = other;
      row[W - 1] = s;
      store(out, f(load(row)));
      const bool whole = std::memcmp(&out[W - 1], &y[0], 4) == 0;
      store(out, f(load_part(row + W - 1, 1)));
      if (!whole || std::memcmp(&out[0], &y[0], 4) != 0) {
        std::printf("FAIL %s(%g) depends on where it stands\n", name, static_cast<double>(s));
        ++failures;
      }
    }
  }
  const bool ok = worst <= bound;
  if (!ok) ++failures;
  std::printf("%s %-10s %.3g ulp at %.9g (bound %g)\n", ok ? "ok  " : "FAIL", name, worst, static_cast<double>(at),
              bound);
}

// All 2^16 values of a 16-bit type there and back; and rounding at halves.
void check_halves() {
  for (uint32_t u = 0; u < 65536; ++u) {
    vh h = {};
    h[0] = static_cast<uint16_t>(u);
    const float b = from_bf16(h)[0];
    if (from_bits(u << 16) != b && !std::isnan(b)) ++failures;
    const vh back = to_bf16(splat(b));
    if (back[0] != u && !std::isnan(b)) {
      std::printf("FAIL bf16 %04x\n", u);
      ++failures;
    }
    const float f = from_f16(h)[0];
    const int e = static_cast<int>(u >> 10 & 31);
    const double m = u & 1023;
    const double want = (u & 0x8000 ? -1 : 1) * (e == 0    ? m * 0x1p-24
                                                 : e == 31 ? (m == 0 ? INFINITY : NAN)
                                                           : std::ldexp(1024 + m, e - 25));
    const bool same = std::isnan(want) ? std::isnan(f) : static_cast<double>(f) == want;
    const vh again = to_f16(splat(f));
    if (!same || (again[0] != u && !std::isnan(f))) {
      std::printf("FAIL f16 %04x\n", u);
      ++failures;
    }
    // Half way to the next value: to even. A little above: up.
    if (!std::isnan(f) && !std::isinf(f) && e < 30) {
      const float next = from_f16((vh)(h + 1))[0], middle = (f + next) / 2;
      const uint32_t even = u & 1 ? u + 1 : u;
      if (to_f16(splat(middle))[0] != even) {
        std::printf("FAIL f16 half after %04x\n", u);
        ++failures;
      }
    }
  }
  const vh nan16 = to_f16(splat(NAN)), nanb = to_bf16(splat(from_bits(0x7f800001)));
  if (!std::isnan(from_f16(nan16)[0]) || !std::isnan(from_bf16(nanb)[0])) {
    std::printf("FAIL NaN is lost in a 16-bit float\n");
    ++failures;
  }
}

}  // namespace

int main() {
#define CHECK(name, bound, distance) check(#name, [](vf x) { return v##name(x); }, exact::name, bound, distance);
  MATH_FUNCTIONS(CHECK)
  check_halves();
  std::printf(failures ? "%d failures\n" : "all good\n", failures);
  return failures ? 1 : 0;
}
