// AdamW and the gradient norm over lists of tensors, as one range of chunks over all of them.
#include <cmath>

#include "../../simd/vec.h"

namespace SHAKTI_ISA_NS {
namespace {

constexpr int64_t kChunk = 16384;

SHAKTI_INLINE int64_t chunks_of(const Operand& o) { return (o.numel() + kChunk - 1) / kChunk; }

// The sum of n squares in f64.
SHAKTI_INLINE double squares(const float* p, int64_t n) {
  typedef double Doubles __attribute__((vector_size(W * 4)));
  typedef float Floats __attribute__((vector_size(W * 2)));
  constexpr int N = W / 2;
  Doubles s[4] = {};
  int64_t i = 0;
  for (; i + 4 * N <= n; i += 4 * N) {
    for (int u = 0; u < 4; ++u) {
      Floats v;
      std::memcpy(&v, p + i + u * N, sizeof v);
      const Doubles d = __builtin_convertvector(v, Doubles);
      s[u] += d * d;
    }
  }
  double sum = 0;
  for (; i < n; ++i) sum += static_cast<double>(p[i]) * static_cast<double>(p[i]);
  const Doubles all = (s[0] + s[1]) + (s[2] + s[3]);
  for (int k = 0; k < N; ++k) sum += all[k];
  return sum;
}

}  // namespace

void run_adamw(const Args& a, Context& c) {
  const Operand* grads = a.in + 3;
  const int n = a.n_in - 3;
  const bool copies = a.n_out == 4 * n;
  const double rate = a.in[1].present() ? *a.in[1].ptr<double>() : a.attr(0);
  const double step = a.in[2].present() ? *a.in[2].ptr<double>() : a.attr(5);
  if (!(rate >= 0 && std::isfinite(rate))) return c.fail("lr is %g, not a finite number from 0", rate);
  if (!(step >= 1)) return c.fail("step is %g, it counts from 1", step);
  const float lr = static_cast<float>(rate), b1 = static_cast<float>(a.attr(1)), b2 = static_cast<float>(a.attr(2));
  const float eps = static_cast<float>(a.attr(3));
  const float decay = static_cast<float>(1 - rate * a.attr(4));
  const float c1 = static_cast<float>(1 / (1 - std::pow(a.attr(1), step)));
  const float c2 = static_cast<float>(1 / (1 - std::pow(a.attr(2), step)));
  const float scale = a.in[0].present() ? *a.in[0].ptr<float>() : 1.0f;
  // A gradient that is not finite changes nothing: the run can stop, name the bad module and keep what it has.
  if (!std::isfinite(scale)) return;
  const auto update = [&](int i, int64_t begin, int64_t end) {
    const Operand& g = grads[i];
    float *p = a.out[i].ptr<float>(), *m = a.out[n + i].ptr<float>(), *v = a.out[2 * n + i].ptr<float>();
    for (int64_t k = begin; k < end; k += W) {
      const int64_t w = end - k < W ? end - k : W;
      const bool part = w < W;
      vf gv;
      if (g.dtype == DType::f32)
        gv = load_n(g.ptr<float>() + k, w, part);
      else
        gv = from_bf16(load_half(g.ptr<uint16_t>() + k, w, part));
      gv = gv * scale;
      const vf mv = load_n(m + k, w, part) * b1 + gv * (1 - b1);
      const vf vv = load_n(v + k, w, part) * b2 + gv * gv * (1 - b2);
      const vf pv = load_n(p + k, w, part) * decay - mv * c1 * lr / (vsqrt(vv * c2) + eps);
      store_n(m + k, mv, w, part);
      store_n(v + k, vv, w, part);
      store_n(p + k, pv, w, part);
      if (copies) store_half(a.out[3 * n + i].ptr<uint16_t>() + k, to_bf16(pv), w, part);
    }
  };
  int64_t total = 0;
  for (int i = 0; i < n; ++i) total += chunks_of(grads[i]);
  c.parallel_for(total, 1, [&](int64_t begin, int64_t end, int) {
    int i = 0;
    int64_t first = 0;
    for (int64_t k = begin; k < end; ++k) {
      while (k - first >= chunks_of(grads[i])) first += chunks_of(grads[i++]);
      const int64_t at = (k - first) * kChunk, size = grads[i].numel();
      update(i, at, at + kChunk < size ? at + kChunk : size);
    }
  });
}

void run_global_norm(const Args& a, Context& c) {
  int64_t total = 0;
  for (int i = 0; i < a.n_in; ++i) total += chunks_of(a.in[i]);
  auto* sums = static_cast<double*>(a.workspace);
  c.parallel_for(total, 4, [&](int64_t begin, int64_t end, int) {
    int i = 0;
    int64_t first = 0;
    for (int64_t k = begin; k < end; ++k) {
      while (k - first >= chunks_of(a.in[i])) first += chunks_of(a.in[i++]);
      const Operand& x = a.in[i];
      const int64_t at = (k - first) * kChunk, stop = at + kChunk < x.numel() ? at + kChunk : x.numel();
      double sum = 0;
      if (x.dtype == DType::f64) {
        for (int64_t j = at; j < stop; ++j) sum += x.ptr<double>()[j] * x.ptr<double>()[j];
      } else {
        for (int64_t j = at; j < stop; j += 1024) {
          const int64_t m = stop - j < 1024 ? stop - j : 1024;
          alignas(64) float buffer[1024];
          const float* p = row_f32(x, j, 1, m, buffer);
          sum += squares(p, m);
        }
      }
      sums[k] = sum;
    }
  });
  double sum = 0;
  for (int64_t k = 0; k < total; ++k) sum += sums[k];
  *a.out[0].ptr<float>() = static_cast<float>(std::sqrt(sum));
}

}  // namespace SHAKTI_ISA_NS
