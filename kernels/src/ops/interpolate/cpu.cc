// Resizing planes. An output line reads up to four input lines with weights; rows and columns are worked out alike, and
// the gradient adds with the same weights.
#include <cmath>

#include "../../simd/vec.h"

namespace SHAKTI_ISA_NS {
namespace {

struct Taps {
  int64_t at[4];
  double w[4];
  int n;
};

// Where output place i of `to` reads in `from` places (PyTorch's rules).
Taps taps(int64_t i, int64_t from, int64_t to, int mode, bool align) {
  Taps t;
  const double ratio = align ? (to > 1 ? static_cast<double>(from - 1) / static_cast<double>(to - 1) : 0.0)
                             : static_cast<double>(from) / static_cast<double>(to);
  const auto clamp = [&](int64_t v) { return v < 0 ? 0 : v >= from ? from - 1 : v; };
  if (mode == 0) {
    t.n = 1;
    t.at[0] = clamp(
        static_cast<int64_t>(std::floor(static_cast<double>(i) * static_cast<double>(from) / static_cast<double>(to))));
    t.w[0] = 1;
    return t;
  }
  double x = align ? static_cast<double>(i) * ratio : (static_cast<double>(i) + 0.5) * ratio - 0.5;
  if (mode == 1) {
    x = x < 0 ? 0 : x;
    const auto low = static_cast<int64_t>(x);
    t.n = 2;
    t.at[0] = clamp(low);
    t.at[1] = clamp(low + 1);
    t.w[1] = x - static_cast<double>(low);
    t.w[0] = 1 - t.w[1];
    return t;
  }
  const double low = std::floor(x), f = x - low, a = -0.75;
  const auto near_ = [&](double d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
  const auto far_ = [&](double d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
  t.n = 4;
  for (int k = 0; k < 4; ++k) t.at[k] = clamp(static_cast<int64_t>(low) - 1 + k);
  t.w[0] = far_(f + 1);
  t.w[1] = near_(f);
  t.w[2] = near_(1 - f);
  t.w[3] = far_(2 - f);
  return t;
}

SHAKTI_INLINE double get(const Operand& o, int64_t at) {
  if (o.dtype == DType::f64) return o.ptr<double>()[at];
  float v[1];
  gather_f32(v, o, at, 1, 1);
  return static_cast<double>(v[0]);
}
SHAKTI_INLINE void put(const Operand& o, int64_t at, double v) {
  if (o.dtype == DType::f64)
    o.ptr<double>()[at] = v;
  else {
    const float f = static_cast<float>(v);
    scatter_f32(o, at, &f, 1);
  }
}

}  // namespace

void run_interpolate(const Args& a, Context& c) {
  const Operand &x = a.in[0], &y = a.out[0];
  const int mode = static_cast<int>(a.attr_int(0));
  const bool align = a.attr_bool(1);
  const int64_t oh = y.shape[2], ow = y.shape[3];
  c.parallel_for(y.shape[0] * y.shape[1], 1 + 8192 / (oh * ow), [&](int64_t begin, int64_t end, int) {
    for (int64_t p = begin; p < end; ++p) {
      const int64_t base = p / x.shape[1] * x.strides[0] + p % x.shape[1] * x.strides[1];
      for (int64_t i = 0; i < oh; ++i) {
        const Taps r = taps(i, x.shape[2], oh, mode, align);
        for (int64_t j = 0; j < ow; ++j) {
          const Taps q = taps(j, x.shape[3], ow, mode, align);
          double sum = 0;
          for (int k = 0; k < r.n; ++k) {
            for (int l = 0; l < q.n; ++l)
              sum += r.w[k] * q.w[l] * get(x, base + r.at[k] * x.strides[2] + q.at[l] * x.strides[3]);
          }
          put(y, (p * oh + i) * ow + j, sum);
        }
      }
    }
  });
}

void run_interpolate_backward(const Args& a, Context& c) {
  const Operand &g = a.in[0], &dx = a.out[0];
  const int mode = static_cast<int>(a.attr_int(0));
  const bool align = a.attr_bool(1);
  const int64_t h = dx.shape[2], w = dx.shape[3];
  c.parallel_for(dx.shape[0] * dx.shape[1], 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t p = begin; p < end; ++p) {
      const int64_t base = p / g.shape[1] * g.strides[0] + p % g.shape[1] * g.strides[1], to = p * h * w;
      for (int64_t i = 0; i < h * w; ++i) put(dx, to + i, 0);
      for (int64_t i = 0; i < g.shape[2]; ++i) {
        const Taps r = taps(i, h, g.shape[2], mode, align);
        for (int64_t j = 0; j < g.shape[3]; ++j) {
          const Taps q = taps(j, w, g.shape[3], mode, align);
          const double v = get(g, base + i * g.strides[2] + j * g.strides[3]);
          for (int k = 0; k < r.n; ++k) {
            for (int l = 0; l < q.n; ++l) {
              const int64_t at = to + r.at[k] * w + q.at[l];
              put(dx, at, get(dx, at) + r.w[k] * q.w[l] * v);
            }
          }
        }
      }
    }
  });
}

}  // namespace SHAKTI_ISA_NS
