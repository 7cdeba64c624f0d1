// Random numbers as functions of (seed, offset, place).
#include <cmath>

#include "../../simd/philox.h"
#include "../../simd/tiles.h"

namespace SHAKTI_ISA_NS {
namespace {

// Calls f(place, words, count) for runs of at most kTile places, each with its word. Whole blocks, but for the last
// run.
template <class F>
SHAKTI_INLINE void words(const Operand& y, const Stream& s, Context& c, const F& f) {
  c.parallel_for(y.numel(), 16 * kTile, [&](int64_t begin, int64_t end, int) {
    alignas(64) uint32_t w[kTile + 4];
    for (int64_t i = begin; i < end; i += kTile) {
      const int64_t n = end - i < kTile ? end - i : kTile;
      philox_words(s.offset + static_cast<uint64_t>(i / 4), s.key, (n + 3) / 4, w);
      f(i, w, n);
    }
  });
}

// The same for an output of floats: f(words, count, values).
template <class F>
SHAKTI_INLINE void floats(const Operand& y, const Stream& s, Context& c, const F& f) {
  words(y, s, c, [&](int64_t at, const uint32_t* w, int64_t n) {
    double v[kTile + 1];
    f(w, n, v);
    if (y.dtype == DType::f64) {
      std::memcpy(y.ptr<double>() + at, v, static_cast<size_t>(n) * sizeof(double));
    } else {
      alignas(64) float narrow[kTile];
      for (int64_t k = 0; k < n; ++k) narrow[k] = static_cast<float>(v[k]);
      scatter_f32(y, at, narrow, n);
    }
  });
}

// The inverse of the normal distribution function (Acklam's rational approximation, then one Newton-Halley step).
double probit(double p) {
  static const double a[] = {-39.69683028665376, 220.9460984245205,  -275.9285104469687,
                             138.3577518672690,  -30.66479806614716, 2.506628277459239};
  static const double b[] = {-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972,
                             -13.28068155288572};
  static const double c[] = {-0.007784894002430293, -0.3223964580411365, -2.400758277161838,
                             -2.549732539343734,    4.374664141464968,   2.938163982698783};
  static const double d[] = {0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416};
  double x;
  const double tail = p < 0.5 ? p : 1 - p;
  if (tail < 0.02425) {
    const double q = std::sqrt(-2 * std::log(tail));
    x = (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
        ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
    if (p > 0.5) x = -x;
  } else {
    const double q = p - 0.5, r = q * q;
    x = (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
        (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
  }
  const double e = 0.5 * std::erfc(-x * 0.70710678118654752) - p;
  const double u = e * 2.5066282746310002 * std::exp(x * x / 2);
  return x - u / (1 + x * u / 2);
}

}  // namespace

void run_uniform(const Args& a, Context& c) {
  const double low = a.attr(3), span = a.attr(4) - a.attr(3);
  floats(a.out[0], Stream(a, 0), c, [&](const uint32_t* w, int64_t n, double* v) {
    for (int64_t k = 0; k < n; ++k) v[k] = low + span * unit(w[k]);
  });
}

void run_normal(const Args& a, Context& c) {
  const double mean = a.attr(3), std_ = a.attr(4);
  floats(a.out[0], Stream(a, 0), c, [&](const uint32_t* w, int64_t n, double* v) {
    for (int64_t k = 0; k < n; k += 2) {
      const double r = std::sqrt(-2 * std::log(open_unit(w[k]))), angle = 6.283185307179586 * unit(w[k + 1]);
      v[k] = mean + std_ * r * std::cos(angle);
      v[k + 1] = mean + std_ * r * std::sin(angle);
    }
  });
}

void run_truncated_normal(const Args& a, Context& c) {
  const double mean = a.attr(3), std_ = a.attr(4), low = a.attr(5), high = a.attr(6);
  const auto cdf = [](double x) { return 0.5 * std::erfc(-x * 0.70710678118654752); };
  const double from = cdf((low - mean) / std_), span = cdf((high - mean) / std_) - from;
  floats(a.out[0], Stream(a, 0), c, [&](const uint32_t* w, int64_t n, double* v) {
    for (int64_t k = 0; k < n; ++k) {
      const double x = mean + std_ * probit(from + span * open_unit(w[k]));
      v[k] = x < low ? low : x > high ? high : x;
    }
  });
}

void run_randint(const Args& a, Context& c) {
  const int64_t low = a.attr_int(3);
  const auto span = static_cast<uint64_t>(a.attr_int(4) - low);
  const Operand& y = a.out[0];
  words(y, Stream(a, 0), c, [&](int64_t at, const uint32_t* w, int64_t n) {
    int64_t v[kTile];
    for (int64_t k = 0; k < n; ++k) v[k] = low + static_cast<int64_t>(w[k] * span >> 32);
    put_int(y, at, v, n);
  });
}

// Fisher-Yates; the word of each step decides the partner.
void run_permutation(const Args& a, Context&) {
  const Stream s(a, 0);
  const int64_t n = a.out[0].numel();
  auto* y = a.out[0].ptr<int32_t>();
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<int32_t>(i);
  for (int64_t i = n - 1; i > 0; --i) {
    const auto j = static_cast<int64_t>(s.word(i) * static_cast<uint64_t>(i + 1) >> 32);
    const int32_t t = y[i];
    y[i] = y[j];
    y[j] = t;
  }
}

void run_multinomial(const Args& a, Context& c) {
  const Operand &p = a.in[0], &y = a.out[0];
  const Stream s(a, 1);
  const int64_t n = p.size(-1), count = y.size(-1), rows = p.numel() / n;
  auto* value = static_cast<double*>(a.workspace);
  const auto weight = [&](int64_t r, int64_t i) {
    if (p.dtype == DType::f64) return p.ptr<double>()[r * n + i];
    float v[1];
    gather_f32(v, p, r * n + i, 1, 1);
    return static_cast<double>(v[0]);
  };
  for (int64_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double w = weight(r, i);
      if (!(w >= 0) || w == __builtin_inf()) {
        c.fail("weight %g of class %lld in row %lld is not a number from 0", w, static_cast<long long>(i),
               static_cast<long long>(r));
        return;
      }
      value[i] = sum += w;
    }
    if (sum <= 0) {
      c.fail("the weights of row %lld are all 0", static_cast<long long>(r));
      return;
    }
    int32_t* out = y.ptr<int32_t>() + r * count;
    if (a.attr_bool(0)) {
      for (int64_t k = 0; k < count; ++k) {
        const double u = unit(s.word(r * count + k)) * sum;
        int64_t low = 0, high = n - 1;
        while (low < high) {
          const int64_t mid = (low + high) / 2;
          if (value[mid] > u)
            high = mid;
          else
            low = mid + 1;
        }
        out[k] = static_cast<int32_t>(low);
      }
      continue;
    }
    // The exponential race: class i arrives at time -log(u) / weight; the first `count` win. Weightless ones come last.
    for (int64_t i = 0; i < n; ++i) {
      const double w = weight(r, i);
      value[i] = w > 0 ? -std::log(open_unit(s.word(r * n + i))) / w : __builtin_inf();
    }
    for (int64_t k = 0; k < count; ++k) {
      int64_t best = -1;
      for (int64_t i = 0; i < n; ++i) {
        if (value[i] >= 0 && (best < 0 || value[i] < value[best])) best = i;
      }
      out[k] = static_cast<int32_t>(best);
      value[best] = -1;
    }
  }
}

void run_dropout(const Args& a, Context& c) {
  const Operand &x = a.in[0], &y = a.out[0];
  const double p = a.attr(0), scale = 1 / (1 - p);
  const Walk walk(x, y);
  words(y, Stream(a, 1), c, [&](int64_t at, const uint32_t* w, int64_t n) {
    if (x.dtype == DType::f64) {
      double v[kTile];
      walk.tile_as(x.ptr<double>(), at, n, v);
      for (int64_t k = 0; k < n; ++k) y.ptr<double>()[at + k] = unit(w[k]) >= p ? v[k] * scale : 0;
    } else {
      alignas(64) float in[kTile], out[kTile];
      const float* v = walk.tile(x, at, n, in);
      const float factor = static_cast<float>(scale);
      for (int64_t k = 0; k < n; ++k) out[k] = unit(w[k]) >= p ? v[k] * factor : 0;
      scatter_f32(y, at, out, n);
    }
  });
}

}  // namespace SHAKTI_ISA_NS
