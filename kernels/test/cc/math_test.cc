// Every function of simd/math.h against libm in f64, over all exponents and at the ends, and tails against whole
// vectors. An argument is the stride through the bit patterns of f32: `math-avx512 1` tries all 2^32 of them (a quarter
// of an hour), the default every 1009th.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "../../src/simd/math.h"

using namespace SHAKTI_ISA_NS;

namespace {

int failures = 0;
uint64_t stride = 1009;

float from_bits(uint32_t u) {
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}

// Distance in units of the last place of the true value.
double ulps(float got, double want) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : 1e30;
  const float nearest = static_cast<float>(want);
  if (std::isinf(nearest) || std::isinf(got)) return nearest == got ? 0 : 1e30;
  int e;
  std::frexp(want == 0 ? 1e-45 : want, &e);
  const double ulp = std::ldexp(1.0, e - 24 < -149 ? -149 : e - 24);
  return std::fabs(static_cast<double>(got) - want) / ulp;
}

double difference(float got, double want) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : 1e30;
  return std::fabs(static_cast<double>(got) - want);
}

template <class F>
void check(const char* name, const F& f, double (*exact)(double), double bound,
           double (*distance)(float, double) = ulps) {
  double worst = 0;
  float at = 0;
  // Both signs, subnormals, infinities and NaN among them.
  float x[W], y[W];
  for (uint64_t u = 0; u < uint64_t{1} << 32; u += stride * W) {
    for (int i = 0; i < W; ++i) x[i] = from_bits(static_cast<uint32_t>(u + static_cast<uint64_t>(i) * stride));
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

double gelu(double x) { return x == -INFINITY ? 0 : x * 0.5 * std::erfc(-x * std::sqrt(0.5)); }
double gelu_slope(double x) {
  return std::isinf(x) ? x > 0 : 0.5 * std::erfc(-x * std::sqrt(0.5)) + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
}

int main(int argc, char** argv) {
  if (argc > 1) stride = std::strtoull(argv[1], nullptr, 10);
  // Bounds: what was measured and a little.
  check("exp", [](vf x) { return vexp(x); }, std::exp, 1.3);
  check("exp2", [](vf x) { return vexp2(x); }, [](double x) { return std::exp2(x); }, 1.5);
  check("log", [](vf x) { return vlog(x); }, std::log, 1);
  check("tanh", [](vf x) { return vtanh(x); }, std::tanh, 1.2);
  check("erf", [](vf x) { return verf(x); }, std::erf, 1.7);
  check("sigmoid", [](vf x) { return vsigmoid(x); }, [](double x) { return 1 / (1 + std::exp(-x)); }, 2);
  check("gelu", [](vf x) { return vgelu(x); }, gelu, 3.2);
  check("gelu'", [](vf x) { return vgelu_slope(x); }, gelu_slope, 2e-7, difference);
  check_halves();
  std::printf(failures ? "%d failures\n" : "all good\n", failures);
  return failures ? 1 : 0;
}
