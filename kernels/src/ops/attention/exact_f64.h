// f64: rows of scores one after the other. It serves gradient checks.
#pragma once
#include <cmath>

#include "problem.h"

namespace SHAKTI_ISA_NS {
namespace {

struct Exact {
  const Problem& p;
  double score(int64_t b, int64_t h, int64_t i, int64_t j) const {
    const double* q = p.q->ptr<double>() + row_at(*p.q, b, i, h);
    const double* k = p.k->ptr<double>() + row_at(*p.k, b, j, h / (p.h / p.hk));
    double s = 0;
    for (int64_t x = 0; x < p.d; ++x) s += q[x] * k[x];
    s *= scale;
    if (!p.mask->present()) return s;
    const Operand& m = *p.mask;
    const int64_t at = b * m.strides[0] + h * m.strides[1] + i * m.strides[2] + j * m.strides[3];
    if (m.dtype == DType::boolean) return m.ptr<uint8_t>()[at] ? s : -__builtin_inf();
    return s + m.ptr<double>()[at];
  }
  double scale;
};

void forward_f64(const Problem& p, const Args& a) {
  const Exact e{p, a.attr(0)};
  auto* s = static_cast<double*>(a.workspace);
  auto *y = a.out[0].ptr<double>(), *lse = a.out[1].ptr<double>();
  for (int64_t b = 0; b < p.b; ++b) {
    for (int64_t h = 0; h < p.h; ++h) {
      for (int64_t i = 0; i < p.lq; ++i) {
        const Range r = p.keys(i);
        double* out = y + ((b * p.lq + i) * p.h + h) * p.d;
        for (int64_t x = 0; x < p.d; ++x) out[x] = 0;
        double top = -__builtin_inf(), sum = 0;
        for (int64_t j = r.begin; j < r.end; ++j) {
          s[j] = e.score(b, h, i, j);
          top = s[j] > top ? s[j] : top;
        }
        double* l = lse + (b * p.h + h) * p.lq + i;
        *l = -__builtin_inf();
        if (top == -__builtin_inf()) continue;
        for (int64_t j = r.begin; j < r.end; ++j) sum += s[j] = std::exp(s[j] - top);
        for (int64_t j = r.begin; j < r.end; ++j) {
          const double* v = p.v->ptr<double>() + row_at(*p.v, b, j, h / (p.h / p.hk));
          for (int64_t x = 0; x < p.d; ++x) out[x] += s[j] / sum * v[x];
        }
        *l = top + std::log(sum);
      }
    }
  }
}

void backward_f64(const Problem& p, const Args& a) {
  const Exact e{p, a.attr(0)};
  const Operand &g = a.in[0], &y = a.in[4];
  const auto* lse = a.in[5].ptr<double>();
  for (int k = 0; k < 3; ++k) std::memset(a.out[k].data, 0, static_cast<size_t>(a.out[k].numel()) * 8);
  for (int64_t b = 0; b < p.b; ++b) {
    for (int64_t h = 0; h < p.h; ++h) {
      const int64_t hk = h / (p.h / p.hk);
      for (int64_t i = 0; i < p.lq; ++i) {
        const double l = lse[(b * p.h + h) * p.lq + i];
        if (l == -__builtin_inf()) continue;
        const double *go = g.ptr<double>() + row_at(g, b, i, h), *out = y.ptr<double>() + row_at(y, b, i, h);
        const double* q = p.q->ptr<double>() + row_at(*p.q, b, i, h);
        double* dq = a.out[0].ptr<double>() + ((b * p.lq + i) * p.h + h) * p.d;
        double delta = 0;
        // The gradient may be an expanded tensor.
        const int64_t gs = g.strides[3], ys = y.strides[3];
        for (int64_t x = 0; x < p.d; ++x) delta += go[x * gs] * out[x * ys];
        const Range r = p.keys(i);
        for (int64_t j = r.begin; j < r.end; ++j) {
          const double w = std::exp(e.score(b, h, i, j) - l);
          const double *k = p.k->ptr<double>() + row_at(*p.k, b, j, hk),
                       *v = p.v->ptr<double>() + row_at(*p.v, b, j, hk);
          double *dk = a.out[1].ptr<double>() + ((b * p.lk + j) * p.hk + hk) * p.d,
                 *dv = a.out[2].ptr<double>() + ((b * p.lk + j) * p.hk + hk) * p.d;
          double dw = 0;
          for (int64_t x = 0; x < p.d; ++x) dw += go[x * gs] * v[x];
          const double ds = w * (dw - delta) * e.scale;
          for (int64_t x = 0; x < p.d; ++x) {
            dv[x] += w * go[x * gs];
            dk[x] += ds * q[x];
            dq[x] += ds * k[x];
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
