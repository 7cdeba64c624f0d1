// Softmax over rows of the last dimension.
#include <cmath>

#include "../../simd/math.h"
#include "../../simd/output.h"
#include "../../simd/scratch.h"

namespace SHAKTI_ISA_NS {
namespace {

// A row of each operand as f32, and what comes after them.
struct Row {
  int64_t n;
  const float* in[2];
  float* buffer;
  Ahead next[2];  // of the first and the last operand
  Ahead result;   // where this row goes
  bool past;      // the caches
};

// Runs f(row, put) over all rows; put(g) is Output::row.
template <class F>
void rows_f32(const Args& a, Context& c, const F& f) {
  const Operand& y = a.out[0];
  const int64_t n = y.size(-1);
  const int64_t count = n > 0 ? y.numel() / n : 0;
  const Output result(a, 0, c);
  c.parallel_for(count, rows_of_task(c, count, n), [&](int64_t b, int64_t e, int thread) {
    const auto buffer = [&](int i) { return buffer_of<float>(c, thread, n, i); };
    for (int64_t r = b; r < e; ++r) {
      const auto at = [&](const Operand& x, int64_t row) { return offset_of(row, x.shape, x.strides, x.ndim - 1); };
      const auto next = [&](const Operand& x) { return Ahead(x, at(x, r + 1 < count ? r + 1 : r)); };
      Row row{n, {}, buffer(2), {next(a.in[0]), next(a.in[a.n_in - 1])}, Ahead(y, r * n), result.past()};
      for (int i = 0; i < a.n_in; ++i) row.in[i] = row_f32(a.in[i], at(a.in[i], r), a.in[i].stride(-1), n, buffer(i));
      f(row, [&](const auto& g) { result.row(r * n, n, buffer(2), g); });
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
  rows_f32(a, c, [](const Row& row, const auto& put) {
    const float* x = row.in[0];
    float* exps = row.buffer;
    const float m = lane_max(x, row.n);
    const float shift = m == -__builtin_inff() ? 0 : m;
    const float s = lane_sum(row.n, [&](int64_t i, int64_t k, bool part) {
      row.next[0].fetch(i);
      if (!row.past) row.result.claim(i);
      const vf v = exp_capped(load_n(x + i, k, part) - shift);
      if (!logarithm) store_n(exps + i, v, k, part);
      return v;
    });
    // Not x - (shift + log(s)): for large logits the sum in brackets would lose the digits that count.
    const float log_sum = std::log(s), scale = s == 0 ? 0 : 1 / s;
    put([&](const auto& write) {
      lanes(row.n, [&](int64_t i, int64_t k, bool part) {
        write(i, logarithm ? load_n(x + i, k, part) - shift - log_sum : load_n(exps + i, k, part) * scale, k, part);
      });
    });
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
  rows_f32(a, c, [](const Row& row, const auto& put) {
    const float s = lane_sum(row.n, [&](int64_t i, int64_t k, bool part) {
      const vf g = load_n(row.in[0] + i, k, part);
      return logarithm ? g : g * load_n(row.in[1] + i, k, part);
    });
    put([&](const auto& write) {
      lanes(row.n, [&](int64_t i, int64_t k, bool part) {
        for (const Ahead& next : row.next) next.fetch(i);
        const vf g = load_n(row.in[0] + i, k, part), y = load_n(row.in[1] + i, k, part);
        write(i, logarithm ? g - vexp(y) * s : y * (g - s), k, part);
      });
    });
  });
}

}  // namespace

void run_softmax(const Args& a, Context& c) { forward<false>(a, c); }
void run_log_softmax(const Args& a, Context& c) { forward<true>(a, c); }
void run_softmax_backward(const Args& a, Context& c) { backward<false>(a, c); }
void run_log_softmax_backward(const Args& a, Context& c) { backward<true>(a, c); }

}  // namespace SHAKTI_ISA_NS
