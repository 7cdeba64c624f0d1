// Cross-entropy, a row of logits at a time; rows are read in pieces, once, so any number of classes will do.
#include <cmath>

#include "../../simd/math.h"
#include "../../simd/output.h"
#include "../../simd/scratch.h"

namespace SHAKTI_ISA_NS {
namespace {

constexpr int64_t kPiece = 1024;

SHAKTI_INLINE int64_t target_of(const Operand& t, int64_t i) {
  const int64_t at = i * t.strides[0];
  return t.dtype == DType::i32 ? t.ptr<int32_t>()[at] : t.ptr<int64_t>()[at];
}

// Calls f(first column, count, values as f32, what comes behind them).
template <class F>
SHAKTI_INLINE void pieces(const Operand& x, int64_t row, const F& f) {
  alignas(64) float buffer[kPiece];
  const int64_t v = x.shape[1];
  for (int64_t j = 0; j < v; j += kPiece) {
    const int64_t n = v - j < kPiece ? v - j : kPiece;
    const int64_t at = row * x.strides[0] + j * x.strides[1];
    f(j, n, row_f32(x, at, x.strides[1], n, buffer), Ahead(x, at + n));
  }
}

SHAKTI_INLINE double at_f64(const Operand& x, int64_t i, int64_t j) {
  return x.ptr<double>()[i * x.strides[0] + j * x.strides[1]];
}

bool usable(const Operand& target, int64_t i, int64_t classes, int64_t ignore, int64_t* t, Context& c) {
  *t = target_of(target, i);
  if (*t == ignore) return false;
  if (*t >= 0 && *t < classes) return true;
  c.fail("target %lld at place %lld is not a class (0 .. %lld) nor ignore_index %lld", static_cast<long long>(*t),
         static_cast<long long>(i), static_cast<long long>(classes - 1), static_cast<long long>(ignore));
  return false;
}

}  // namespace

void run_cross_entropy(const Args& a, Context& c) {
  const Operand &x = a.in[0], &target = a.in[1];
  const int64_t n = x.shape[0], v = x.shape[1], ignore = a.attr_int(0);
  const double smooth = a.attr(1);
  c.parallel_for(n, rows_of_task(c, n, v), [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; ++i) {
      int64_t t;
      const bool counts = usable(target, i, v, ignore, &t, c);
      double m = -__builtin_inf(), sum = 0, mean = 0, hit = 0;
      if (x.dtype == DType::f64) {
        for (int64_t j = 0; j < v; ++j) m = at_f64(x, i, j) > m ? at_f64(x, i, j) : m;
        for (int64_t j = 0; j < v; ++j) {
          sum += std::exp(at_f64(x, i, j) - m);
          mean += at_f64(x, i, j);
        }
        if (counts) hit = at_f64(x, i, t);
      } else {
        // The sum is of exp(x - m) for the largest m so far.
        float top = -__builtin_inff();
        pieces(x, i, [&](int64_t first, int64_t k, const float* p, const Ahead& ahead) {
          const float here = lane_max(p, k);
          if (here > top) {
            if (sum > 0) sum *= std::exp(static_cast<double>(top - here));
            top = here;
          }
          const float shift = top == -__builtin_inff() ? 0 : top;
          sum += static_cast<double>(lane_sum(k, [&](int64_t j, int64_t w, bool part) {
            ahead.fetch(j);
            return exp_capped(load_n(p + j, w, part) - shift);
          }));
          if (smooth > 0)
            mean += static_cast<double>(
                lane_sum(k, [&](int64_t j, int64_t w, bool part) { return load_n(p + j, w, part); }));
          if (counts && t >= first && t < first + k) hit = static_cast<double>(p[t - first]);
        });
        m = static_cast<double>(top);
      }
      const double lse = m + std::log(sum);
      const double loss =
          counts ? lse - (1 - smooth) * hit - (smooth > 0 ? smooth * mean / static_cast<double>(v) : 0) : 0;
      if (x.dtype == DType::f64) {
        a.out[0].ptr<double>()[i] = loss;
        a.out[1].ptr<double>()[i] = lse;
      } else {
        a.out[0].ptr<float>()[i] = static_cast<float>(loss);
        a.out[1].ptr<float>()[i] = static_cast<float>(lse);
      }
    }
  });
}

// dlogits = g * (softmax - (1 - s) onehot - s / classes)
void run_cross_entropy_backward(const Args& a, Context& c) {
  const Operand &g = a.in[0], &x = a.in[1], &target = a.in[2], &lse = a.in[3], &y = a.out[0];
  const int64_t n = x.shape[0], v = x.shape[1], ignore = a.attr_int(0);
  const double smooth = a.attr(1);
  const Output result(a, 0, c);
  c.parallel_for(n, rows_of_task(c, n, v), [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; ++i) {
      int64_t t;
      if (!usable(target, i, v, ignore, &t, c)) {
        std::memset(static_cast<char*>(y.data) + i * v * static_cast<int64_t>(dtype_size(y.dtype)), 0,
                    static_cast<size_t>(v) * dtype_size(y.dtype));
        continue;
      }
      if (x.dtype == DType::f64) {
        const double scale = g.ptr<double>()[i * g.strides[0]], l = lse.ptr<double>()[i * lse.strides[0]];
        for (int64_t j = 0; j < v; ++j) {
          const double want = (j == t ? 1 - smooth : 0) + smooth / static_cast<double>(v);
          y.ptr<double>()[i * v + j] = scale * (std::exp(at_f64(x, i, j) - l) - want);
        }
        continue;
      }
      const float scale = g.ptr<float>()[i * g.strides[0]], l = lse.ptr<float>()[i * lse.strides[0]];
      const float each = static_cast<float>(smooth / static_cast<double>(v));
      pieces(x, i, [&](int64_t first, int64_t k, const float* p, const Ahead& ahead) {
        alignas(64) float buffer[kPiece];
        float* out = result.place(i * v + first, buffer);
        lanes(k, [&](int64_t j, int64_t w, bool part) {
          ahead.fetch(j);
          store_n(out + j, (exp_capped(load_n(p + j, w, part) - l) - each) * scale, w, part);
        });
        if (t >= first && t < first + k) out[t - first] -= scale * static_cast<float>(1 - smooth);
        result.put(i * v + first, out, k);
      });
    }
    result.finish();
  });
}

}  // namespace SHAKTI_ISA_NS
