// Rotary embedding, half-split: the pair (i, i + d/2) of every head turns by the angle of its position.
#include "../../simd/vec.h"

namespace SHAKTI_ISA_NS {

void run_rope(const Args& a, Context& c) {
  const Operand &x = a.in[0], &y = a.out[0];
  const int64_t b = x.shape[0], l = x.shape[1], h = x.shape[2], d = x.shape[3], half = d / 2;
  const float sign = a.attr_bool(0) ? -1.0f : 1.0f;
  c.parallel_for(b * l, 1 + 8192 / (h * d + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = (a.in[1].shape[0] == 1 ? 0 : i / l) * l + i % l;
      const float *cosine = a.in[1].ptr<float>() + row * half, *sine = a.in[2].ptr<float>() + row * half;
      for (int64_t k = 0; k < h; ++k) {
        const int64_t from = i / l * x.strides[0] + i % l * x.strides[1] + k * x.strides[2];
        const int64_t to = (i * h + k) * d;
        if (x.dtype == DType::f64) {
          const double* p = x.ptr<double>() + from;
          double* q = y.ptr<double>() + to;
          for (int64_t j = 0; j < half; ++j) {
            const double cs = static_cast<double>(cosine[j]), sn = static_cast<double>(sign * sine[j]);
            q[j] = p[j] * cs - p[j + half] * sn;
            q[j + half] = p[j + half] * cs + p[j] * sn;
          }
          continue;
        }
        alignas(64) float in[4096], out[4096];
        const float* p = row_f32(x, from, 1, d, in);
        float* q = y.dtype == DType::f32 ? y.ptr<float>() + to : out;
        lanes(half, [&](int64_t j, int64_t m, bool part) {
          const vf u = load_n(p + j, m, part), v = load_n(p + half + j, m, part);
          const vf cs = load_n(cosine + j, m, part), sn = load_n(sine + j, m, part) * sign;
          store_n(q + j, u * cs - v * sn, m, part);
          store_n(q + half + j, v * cs + u * sn, m, part);
        });
        if (q == out) scatter_f32(y, to, out, d);
      }
    }
  });
}

}  // namespace SHAKTI_ISA_NS
