// Softmax over rows of the last dimension.
#include <cmath>

#include "../../simd/math.h"

namespace SHAKTI_ISA_NS {
namespace {

SHAKTI_INLINE float row_max(const float* p, int64_t n) {
  vf m = splat(-__builtin_inff());
  int64_t i = 0;
  for (; i + W <= n; i += W) m = vmax(load(p + i), m);
  float best = hmax(m);
  for (; i < n; ++i) best = p[i] > best ? p[i] : best;
  return best;
}

// y[i] = exp(x[i] - shift); returns the sum. y may be null.
SHAKTI_INLINE float row_exp(const float* p, int64_t n, float shift, float* y) {
  vf s{};
  lanes(n, [&](int64_t i, int64_t m, bool part) {
    vf v = vexp(load_n(p + i, m, part) - shift);
    if (part) {
      float t[W] = {};
      store_part(t, v, m);
      v = load(t);
    }
    s += v;
    if (y) store_n(y + i, v, m, part);
  });
  return hsum(s);
}

// Runs f(row, count, pointers to each operand's row as f32, output row) over all rows.
template <class F>
void rows_f32(const Args& a, Context& c, const F& f) {
  const Operand& y = a.out[0];
  const int64_t n = y.size(-1);
  const int64_t count = n > 0 ? y.numel() / n : 0;
  const int64_t padded = (n + 15) / 16 * 16;
  c.parallel_for(count, 1 + 8192 / n, [&](int64_t b, int64_t e, int thread) {
    auto* buffer = static_cast<float*>(c.scratch(thread));
    for (int64_t r = b; r < e; ++r) {
      const float* in[2] = {};
      for (int i = 0; i < a.n_in; ++i) {
        const Operand& x = a.in[i];
        in[i] = row_f32(x, offset_of(r, x.shape, x.strides, x.ndim - 1), x.stride(-1), n, buffer + i * padded);
      }
      float* out = y.dtype == DType::f32 ? y.ptr<float>() + r * n : buffer + 2 * padded;
      f(n, in, out);
      if (y.dtype != DType::f32) scatter_f32(y, r * n, out, n);
    }
  });
}

template <class F>
void rows_f64(const Args& a, Context& c, const F& f) {
  const Operand& y = a.out[0];
  const int64_t n = y.size(-1);
  const int64_t count = n > 0 ? y.numel() / n : 0;
  c.parallel_for(count, 1 + 4096 / n, [&](int64_t b, int64_t e, int) {
    for (int64_t r = b; r < e; ++r) {
      const auto get = [&](int i, int64_t k) {
        const Operand& x = a.in[i];
        return x.ptr<double>()[offset_of(r, x.shape, x.strides, x.ndim - 1) + k * x.stride(-1)];
      };
      f(n, get, y.ptr<double>() + r * n);
    }
  });
}

template <bool logarithm>
void forward(const Args& a, Context& c) {
  if (a.out[0].dtype == DType::f64) {
    rows_f64(a, c, [](int64_t n, const auto& get, double* y) {
      double m = -__builtin_inf(), s = 0;
      for (int64_t i = 0; i < n; ++i) m = get(0, i) > m ? get(0, i) : m;
      const double shift = std::isinf(m) ? 0 : m;
      for (int64_t i = 0; i < n; ++i) s += y[i] = std::exp(get(0, i) - shift);
      for (int64_t i = 0; i < n; ++i)
        y[i] = logarithm ? get(0, i) - shift - std::log(s) : s > 0 || s != s ? y[i] / s : 0;
    });
    return;
  }
  rows_f32(a, c, [](int64_t n, const float* const* in, float* y) {
    const float m = row_max(in[0], n);
    const float shift = m == -__builtin_inff() ? 0 : m;
    const float s = row_exp(in[0], n, shift, logarithm ? nullptr : y);
    if (logarithm) {
      // Not x - (shift + log(s)): for large logits the sum in brackets would lose the digits that count.
      const float log_sum = std::log(s);
      lanes(n, [&](int64_t i, int64_t k, bool part) {
        store_n(y + i, load_n(in[0] + i, k, part) - shift - log_sum, k, part);
      });
    } else {
      const float scale = s == 0 ? 0 : 1 / s;
      lanes(n, [&](int64_t i, int64_t k, bool part) { store_n(y + i, load_n(y + i, k, part) * scale, k, part); });
    }
  });
}

// softmax: dx = y * (g - sum(g * y)); log_softmax: dx = g - exp(y) * sum(g)
template <bool logarithm>
void backward(const Args& a, Context& c) {
  if (a.out[0].dtype == DType::f64) {
    rows_f64(a, c, [](int64_t n, const auto& get, double* dx) {
      double s = 0;
      for (int64_t i = 0; i < n; ++i) s += logarithm ? get(0, i) : get(0, i) * get(1, i);
      for (int64_t i = 0; i < n; ++i)
        dx[i] = logarithm ? get(0, i) - std::exp(get(1, i)) * s : get(1, i) * (get(0, i) - s);
    });
    return;
  }
  rows_f32(a, c, [](int64_t n, const float* const* in, float* dx) {
    vf acc{};
    lanes(n, [&](int64_t i, int64_t k, bool part) {
      const vf g = load_n(in[0] + i, k, part);
      acc += logarithm ? g : g * load_n(in[1] + i, k, part);
    });
    const float s = hsum(acc);
    lanes(n, [&](int64_t i, int64_t k, bool part) {
      const vf g = load_n(in[0] + i, k, part), y = load_n(in[1] + i, k, part);
      store_n(dx + i, logarithm ? g - vexp(y) * s : y * (g - s), k, part);
    });
  });
}

}  // namespace

void run_softmax(const Args& a, Context& c) { forward<false>(a, c); }
void run_log_softmax(const Args& a, Context& c) { forward<true>(a, c); }
void run_softmax_backward(const Args& a, Context& c) { backward<false>(a, c); }
void run_log_softmax_backward(const Args& a, Context& c) { backward<true>(a, c); }

}  // namespace SHAKTI_ISA_NS
