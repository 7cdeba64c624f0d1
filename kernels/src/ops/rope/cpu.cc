// Rotary embedding, half-split: the pair (i, i + d/2) of every head turns by the angle of its position.
#include "../../simd/vec.h"

namespace SHAKTI_ISA_NS {
namespace {

// Calls f(offset in x, offset in y, cosines, sines) for every head.
template <class F>
SHAKTI_INLINE void heads(const Args& a, Context& c, const F& f) {
  const Operand& x = a.in[0];
  const int64_t b = x.shape[0], l = x.shape[1], h = x.shape[2], d = x.shape[3];
  c.parallel_for(b * l, 1 + 8192 / (h * d + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = ((a.in[1].shape[0] == 1 ? 0 : i / l) * l + i % l) * (d / 2);
      const int64_t from = i / l * x.strides[0] + i % l * x.strides[1];
      for (int64_t k = 0; k < h; ++k)
        f(from + k * x.strides[2], (i * h + k) * d, a.in[1].ptr<float>() + row, a.in[2].ptr<float>() + row);
    }
  });
}

}  // namespace

void run_rope(const Args& a, Context& c) {
  const Operand &x = a.in[0], &y = a.out[0];
  const int64_t half = x.shape[3] / 2;
  const float sign = a.attr_bool(0) ? -1.0f : 1.0f;
  if (x.dtype == DType::f64) {
    heads(a, c, [&](int64_t from, int64_t to, const float* cosine, const float* sine) {
      const double* p = x.ptr<double>() + from;
      double* q = y.ptr<double>() + to;
      for (int64_t j = 0; j < half; ++j) {
        const double cs = static_cast<double>(cosine[j]), sn = static_cast<double>(sign * sine[j]);
        q[j] = p[j] * cs - p[j + half] * sn;
        q[j + half] = p[j + half] * cs + p[j] * sn;
      }
    });
    return;
  }
  by_float_type(x.dtype, [&](auto type) {
    constexpr DType t = decltype(type)::value;
    heads(a, c, [&](int64_t from, int64_t to, const float* cosine, const float* sine) {
      lanes(half, [&](int64_t j, int64_t m, bool part) {
        const vf u = load_float<t>(x.data, from + j, m, part), v = load_float<t>(x.data, from + half + j, m, part);
        const vf cs = load_n(cosine + j, m, part), sn = load_n(sine + j, m, part) * sign;
        store_float<t>(y.data, to + j, u * cs - v * sn, m, part);
        store_float<t>(y.data, to + half + j, v * cs + u * sn, m, part);
      });
    });
  });
}

}  // namespace SHAKTI_ISA_NS
