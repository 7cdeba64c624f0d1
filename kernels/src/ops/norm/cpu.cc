// LayerNorm and RMSNorm over the last dimension: passes for the statistics, one for the result, over a row that stays
// in the caches. The gradients of weight and bias are added up in parts of kPart rows, then part by part: the order
// never changes.
#include <cmath>

#include "../../simd/output.h"
#include "../../simd/scratch.h"
#include "parts.h"

namespace SHAKTI_ISA_NS {
namespace {

using norm::kPart;
using norm::parts_of;

// A row in the type that it is computed in (float or double), wherever and however it lies.
template <class T>
struct Rows;

template <>
struct Rows<float> {
  SHAKTI_INLINE static const float* get(const Operand& o, int64_t at, int64_t stride, int64_t n, float* buffer) {
    return row_f32(o, at, stride, n, buffer);
  }
  SHAKTI_INLINE static void put(const Operand& o, int64_t at, const float* v, int64_t n) { scatter_f32(o, at, v, n); }
};
template <>
struct Rows<double> {
  SHAKTI_INLINE static const double* get(const Operand& o, int64_t at, int64_t stride, int64_t n, double* buffer) {
    const double* p = o.ptr<double>() + at;
    if (stride == 1) return p;
    for (int64_t i = 0; i < n; ++i) buffer[i] = p[i * stride];
    return buffer;
  }
  SHAKTI_INLINE static void put(const Operand& o, int64_t at, const double* v, int64_t n) {
    std::memcpy(o.ptr<double>() + at, v, static_cast<size_t>(n) * 8);
  }
};

// Sum of f(a[i]) over n, in lanes for float.
template <class F>
SHAKTI_INLINE float total(int64_t n, const float* a, const F& f) {
  return lane_sum(n, [&](int64_t i, int64_t m, bool part) { return f(load_n(a + i, m, part)); });
}
template <class F>
SHAKTI_INLINE double total(int64_t n, const double* a, const F& f) {
  double s = 0;
  for (int64_t i = 0; i < n; ++i) s += f(a[i]);
  return s;
}
// Sums of a * w and of a * w * (b - m) * s.
SHAKTI_INLINE void projections(int64_t n, const float* a, const float* w, const float* b, float m, float s,
                               float (&sums)[2]) {
  lane_sums(
      n,
      [&](int64_t i, int64_t k, bool part, vf(&terms)[2]) {
        terms[0] = load_n(a + i, k, part) * load_n(w + i, k, part);
        terms[1] = terms[0] * ((load_n(b + i, k, part) - m) * s);
      },
      sums);
}
SHAKTI_INLINE void projections(int64_t n, const double* a, const double* w, const double* b, double m, double s,
                               double (&sums)[2]) {
  sums[0] = sums[1] = 0;
  for (int64_t i = 0; i < n; ++i) {
    sums[0] += a[i] * w[i];
    sums[1] += a[i] * w[i] * ((b[i] - m) * s);
  }
}

// A place in a row, for a step of each(): W values, fewer at the end, or one double.
struct Lanes {
  int64_t i, n;
  bool part;
  SHAKTI_INLINE vf load(const float* p) const { return load_n(p + i, n, part); }
  SHAKTI_INLINE void add(float* p, vf v) const { store_n(p + i, load(p) + v, n, part); }
};
struct One {
  int64_t i;
  SHAKTI_INLINE double load(const double* p) const { return p[i]; }
  SHAKTI_INLINE void add(double* p, double v) const { p[i] += v; }
};

// Writes f(place) to each of n places from `at` of y, and fetches rows meanwhile.
template <int K, class F>
SHAKTI_INLINE void write_row(const Output& y, const Operand&, int64_t at, int64_t n, float* buffer,
                             const Ahead (&rows)[K], const F& f) {
  y.row(at, n, buffer, [&](const auto& write) {
    lanes(n, [&](int64_t i, int64_t m, bool part) {
      for (const Ahead& row : rows) row.fetch(i);
      write(i, f(Lanes{i, m, part}), m, part);
    });
  });
}
template <int K, class F>
SHAKTI_INLINE void write_row(const Output&, const Operand& y, int64_t at, int64_t n, double*, const Ahead (&)[K],
                             const F& f) {
  for (int64_t i = 0; i < n; ++i) y.ptr<double>()[at + i] = f(One{i});
}

template <class T>
SHAKTI_INLINE const T* parameter(const Operand& p, int64_t n, T* buffer, T absent) {
  if (p.present()) return Rows<T>::get(p, 0, p.strides[0], n, buffer);
  for (int64_t i = 0; i < n; ++i) buffer[i] = absent;
  return buffer;
}

SHAKTI_INLINE Ahead row_ahead(const Operand& x, int64_t r) {
  return Ahead(x, offset_of(r, x.shape, x.strides, x.ndim - 1));
}

// Mean of n values, and their mean squared distance from it.
template <class T>
struct Moments {
  T mean, variance;
};
// In one pass, around what the first values have for a mean: distances from it are small, so their squares cancel by
// half at most. Where they would by more, since the row begins unlike the rest, a second pass starts from the mean.
SHAKTI_INLINE Moments<float> moments_of(int64_t n, const float* x) {
  const float count = static_cast<float>(n);
  const int64_t some = n < 4 * W ? n : 4 * W;
  float near = total(some, x, [](vf v) { return v; }) / static_cast<float>(some);
  for (bool last = false;; last = true) {
    float sums[2];
    lane_sums(
        n,
        [&](int64_t i, int64_t m, bool part, vf(&terms)[2]) {
          terms[0] = load_n(x + i, m, part) - near;
          terms[1] = terms[0] * terms[0];
        },
        sums);
    const float off = sums[0] / count, apart = sums[0] * off;
    // Of equal values no more than rounding is left, which may be negative.
    if (last || apart < sums[1] * 0.5f) return {near + off, (sums[1] < apart ? 0 : sums[1] - apart) / count};
    near += off;
  }
}
SHAKTI_INLINE Moments<double> moments_of(int64_t n, const double* x) {
  const double count = static_cast<double>(n), mean = total(n, x, [](double v) { return v; }) / count;
  return {mean, total(n, x, [&](double v) { return (v - mean) * (v - mean); }) / count};
}

template <class T, bool centred>
void forward(const Args& a, Context& c) {
  const Operand &x = a.in[0], &y = a.out[0];
  const int64_t n = x.size(-1);
  if (x.numel() == 0) return;
  const int64_t count = x.numel() / n;
  const T eps = static_cast<T>(a.attr(0));
  T* mean = centred ? a.out[1].ptr<T>() : nullptr;
  T* rstd = a.out[centred ? 2 : 1].ptr<T>();
  const Output result(a, 0, c);
  c.parallel_for(count, rows_of_task(c, count, n), [&](int64_t begin, int64_t end, int thread) {
    const T* w = parameter(a.in[1], n, buffer_of<T>(c, thread, n, 0), T{1});
    const T* b = centred ? parameter(a.in[2], n, buffer_of<T>(c, thread, n, 1), T{0}) : w;
    T *in = buffer_of<T>(c, thread, n, 2), *out = buffer_of<T>(c, thread, n, 3);
    for (int64_t r = begin; r < end; ++r) {
      const T* p = Rows<T>::get(x, offset_of(r, x.shape, x.strides, x.ndim - 1), x.stride(-1), n, in);
      Moments<T> moments{};
      if (centred) {
        moments = moments_of(n, p);
        mean[r] = moments.mean;
      } else {
        moments.variance = total(n, p, [](auto v) { return v * v; }) / static_cast<T>(n);
      }
      const T m = moments.mean, s = 1 / std::sqrt(moments.variance + eps);
      rstd[r] = s;
      const Ahead next[] = {row_ahead(x, r + 1 < count ? r + 1 : r)};
      write_row(result, y, r * n, n, out, next, [&](const auto& at) __attribute__((always_inline)) {
        const auto scaled = (at.load(p) - m) * s * at.load(w);
        return centred ? scaled + at.load(b) : scaled;
      });
    }
    result.finish();
  });
}

// dx = rstd * (gw - mean(gw) - xhat * mean(gw * xhat)), gw = g * weight; without the first mean for RMSNorm.
template <class T, bool centred>
void backward(const Args& a, Context& c) {
  const Operand &g = a.in[0], &x = a.in[1], &weight = a.in[2], &dx = a.out[0], &dweight = a.out[1];
  const int64_t n = x.size(-1);
  if (x.numel() == 0) {
    for (int k = 1; k < a.n_out; ++k) {
      if (a.out[k].present())
        std::memset(a.out[k].data, 0, static_cast<size_t>(a.out[k].numel()) * dtype_size(a.out[k].dtype));
    }
    return;
  }
  const int64_t count = x.numel() / n;
  const T* mean = centred ? a.in[3].ptr<T>() : nullptr;
  const T* rstd = a.in[centred ? 4 : 3].ptr<T>();
  const int64_t parts = parts_of(count);
  T* sums = static_cast<T*>(a.workspace);  // [parts][1 or 2][n]
  constexpr int kinds = centred ? 2 : 1;
  const Output result(a, 0, c);
  c.parallel_for(parts, 1 + 16384 / (n * kPart), [&](int64_t first, int64_t last, int thread) {
    const T* w = parameter(weight, n, buffer_of<T>(c, thread, n, 0), T{1});
    T *gb = buffer_of<T>(c, thread, n, 1), *xb = buffer_of<T>(c, thread, n, 2), *out = buffer_of<T>(c, thread, n, 3);
    for (int64_t part = first; part < last; ++part) {
      T* dw = sums + part * kinds * n;
      T* db = dw + n;
      std::memset(dw, 0, static_cast<size_t>(kinds * n) * sizeof(T));
      const int64_t end = (part + 1) * kPart < count ? (part + 1) * kPart : count;
      for (int64_t r = part * kPart; r < end; ++r) {
        const T* gp = Rows<T>::get(g, offset_of(r, g.shape, g.strides, g.ndim - 1), g.stride(-1), n, gb);
        const T* xp = Rows<T>::get(x, offset_of(r, x.shape, x.strides, x.ndim - 1), x.stride(-1), n, xb);
        const T s = rstd[r], m = centred ? mean[r] : T{0};
        T k[2];
        projections(n, gp, w, xp, m, s, k);
        const T k1 = centred ? k[0] / static_cast<T>(n) : T{0}, k2 = k[1] / static_cast<T>(n);
        const int64_t following = r + 1 < count ? r + 1 : r;
        const Ahead next[] = {row_ahead(g, following), row_ahead(x, following)};
        write_row(result, dx, r * n, n, out, next, [&](const auto& at) __attribute__((always_inline)) {
          const auto gv = at.load(gp), hat = (at.load(xp) - m) * s;
          at.add(dw, gv * hat);
          if (centred) at.add(db, gv);
          return (gv * at.load(w) - k1 - hat * k2) * s;
        });
      }
    }
    result.finish();
  });
  // Part by part, a strip of columns a task.
  c.parallel_for(kinds * n, 4096, [&](int64_t begin, int64_t end, int) {
    for (int64_t part = 1; part < parts; ++part) {
      const T* more = sums + part * kinds * n + begin;
      for (int64_t i = begin; i < end; ++i) sums[i] += more[i - begin];
    }
  });
  if (dweight.present()) Rows<T>::put(dweight, 0, sums, n);
  if (centred && a.out[2].present()) Rows<T>::put(a.out[2], 0, sums + n, n);
}

}  // namespace

void run_layer_norm(const Args& a, Context& c) {
  if (a.in[0].dtype == DType::f64)
    forward<double, true>(a, c);
  else
    forward<float, true>(a, c);
}
void run_rms_norm(const Args& a, Context& c) {
  if (a.in[0].dtype == DType::f64)
    forward<double, false>(a, c);
  else
    forward<float, false>(a, c);
}
void run_layer_norm_backward(const Args& a, Context& c) {
  if (a.in[1].dtype == DType::f64)
    backward<double, true>(a, c);
  else
    backward<float, true>(a, c);
}
void run_rms_norm_backward(const Args& a, Context& c) {
  if (a.in[1].dtype == DType::f64)
    backward<double, false>(a, c);
  else
    backward<float, false>(a, c);
}

}  // namespace SHAKTI_ISA_NS
