// Softmax over rows of the last dimension.
#include <cmath>

#include "../../simd/math.h"
#include "../../simd/output.h"

namespace SHAKTI_ISA_NS {
namespace {

// Runs f(count, pointers to each operand's row as f32, output row, the next rows of the first and the last operand)
// over all rows.
template <class F>
void rows_f32(const Args& a, Context& c, const F& f) {
  const Operand& y = a.out[0];
  const int64_t n = y.size(-1);
  const int64_t count = n > 0 ? y.numel() / n : 0;
  const int64_t padded = (n + 15) / 16 * 16;
  const Output result(a, 0, c);
  c.parallel_for(count, 1 + 8192 / n, [&](int64_t b, int64_t e, int thread) {
    auto* buffer = static_cast<float*>(c.scratch(thread));
    for (int64_t r = b; r < e; ++r) {
      const float* in[2] = {};
      for (int i = 0; i < a.n_in; ++i) {
        const Operand& x = a.in[i];
        in[i] = row_f32(x, offset_of(r, x.shape, x.strides, x.ndim - 1), x.stride(-1), n, buffer + i * padded);
      }
      float* out = result.place(r * n, buffer + 2 * padded);
      const Operand& x = a.in[0];
      const int64_t next = r + 1 < count ? r + 1 : r;
      const Operand& z = a.in[a.n_in - 1];
      f(n, in, out, Ahead(x, offset_of(next, x.shape, x.strides, x.ndim - 1)),
        Ahead(z, offset_of(next, z.shape, z.strides, z.ndim - 1)));
      result.put(r * n, out, n);
    }
    result.finish();
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
  rows_f32(a, c, [](int64_t n, const float* const* in, float* y, const Ahead& ahead, const Ahead&) {
    const float* x = in[0];
    const float m = lane_max(x, n);
    const float shift = m == -__builtin_inff() ? 0 : m;
    const float s = lane_sum(n, [&](int64_t i, int64_t k, bool part) {
      ahead.fetch(i);
      const vf v = exp_capped(load_n(x + i, k, part) - shift);
      if (!logarithm) store_n(y + i, v, k, part);
      return v;
    });
    if (logarithm) {
      // Not x - (shift + log(s)): for large logits the sum in brackets would lose the digits that count.
      const float log_sum = std::log(s);
      lanes(n, [&](int64_t i, int64_t k, bool part) {
        store_n(y + i, load_n(x + i, k, part) - shift - log_sum, k, part);
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
  rows_f32(a, c, [](int64_t n, const float* const* in, float* dx, const Ahead& next_g, const Ahead& next_y) {
    const float s = lane_sum(n, [&](int64_t i, int64_t k, bool part) {
      const vf g = load_n(in[0] + i, k, part);
      return logarithm ? g : g * load_n(in[1] + i, k, part);
    });
    lanes(n, [&](int64_t i, int64_t k, bool part) {
      next_g.fetch(i);
      next_y.fetch(i);
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
