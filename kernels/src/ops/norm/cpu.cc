// LayerNorm and RMSNorm over the last dimension: one pass for the statistics, one for the result, a row at a time. The
// gradients of weight and bias are added up in parts of kPart rows, then part by part: the order never changes.
#include <cmath>

#include "../../simd/vec.h"

namespace SHAKTI_ISA_NS {
namespace {

constexpr int64_t kPart = 64;

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

// Sum of f(i) over n, in lanes for float.
template <class F>
SHAKTI_INLINE float total(int64_t n, const float* a, const float* b, const F& f) {
  vf s{};
  lanes(n, [&](int64_t i, int64_t m, bool part) {
    vf v = f(load_n(a + i, m, part), load_n(b + i, m, part));
    if (part) {
      // Lanes behind the end must not count.
      float t[W] = {};
      store_part(t, v, m);
      v = load(t);
    }
    s += v;
  });
  return hsum(s);
}
template <class F>
SHAKTI_INLINE double total(int64_t n, const double* a, const double* b, const F& f) {
  double s = 0;
  for (int64_t i = 0; i < n; ++i) s += f(a[i], b[i]);
  return s;
}
template <class F>
SHAKTI_INLINE void map(int64_t n, const float* a, const float* b, const float* c, float* y, const F& f) {
  lanes(n, [&](int64_t i, int64_t m, bool part) {
    store_n(y + i, f(load_n(a + i, m, part), load_n(b + i, m, part), load_n(c + i, m, part)), m, part);
  });
}
template <class F>
SHAKTI_INLINE void map(int64_t n, const double* a, const double* b, const double* c, double* y, const F& f) {
  for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i], c[i]);
}

// Memory of a task: six rows. Wide rows do not fit the stack, so it comes from the thread's scratch.

template <class T>
SHAKTI_INLINE T* buffer_of(Context& c, int thread, int64_t n, int i) {
  return static_cast<T*>(c.scratch(thread)) + i * ((n + 15) / 16 * 16);
}

template <class T>
SHAKTI_INLINE const T* parameter(const Operand& p, int64_t n, T* buffer, T absent) {
  if (p.present()) return Rows<T>::get(p, 0, p.strides[0], n, buffer);
  for (int64_t i = 0; i < n; ++i) buffer[i] = absent;
  return buffer;
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
  c.parallel_for(count, 1 + 16384 / n, [&](int64_t begin, int64_t end, int thread) {
    const T* w = parameter(a.in[1], n, buffer_of<T>(c, thread, n, 0), T{1});
    const T* b = centred ? parameter(a.in[2], n, buffer_of<T>(c, thread, n, 1), T{0}) : w;
    T *in = buffer_of<T>(c, thread, n, 2), *out = buffer_of<T>(c, thread, n, 3);
    for (int64_t r = begin; r < end; ++r) {
      const T* p = Rows<T>::get(x, offset_of(r, x.shape, x.strides, x.ndim - 1), x.stride(-1), n, in);
      T m = 0;
      if (centred) {
        m = total(n, p, p, [](auto v, auto) { return v; }) / static_cast<T>(n);
        mean[r] = m;
      }
      const T var = total(n, p, p, [&](auto v, auto) { return (v - m) * (v - m); }) / static_cast<T>(n);
      const T s = 1 / std::sqrt(var + eps);
      rstd[r] = s;
      T* to = y.dtype == DType::f32 || y.dtype == DType::f64 ? y.ptr<T>() + r * n : out;
      if (centred)
        map(n, p, w, b, to, [&](auto v, auto wv, auto bv) { return (v - m) * s * wv + bv; });
      else
        map(n, p, w, w, to, [&](auto v, auto wv, auto) { return v * s * wv; });
      if (to == out) Rows<T>::put(y, r * n, out, n);
    }
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
  const int64_t parts = (count + kPart - 1) / kPart;
  T* sums = static_cast<T*>(a.workspace);  // [parts][1 or 2][n]
  const int kinds = centred ? 2 : 1;
  const int64_t grain = 1 + 16384 / (n * kPart);
  c.parallel_for(parts, grain, [&](int64_t first, int64_t last, int thread) {
    const T* w = parameter(weight, n, buffer_of<T>(c, thread, n, 0), T{1});
    T *gb = buffer_of<T>(c, thread, n, 1), *xb = buffer_of<T>(c, thread, n, 2), *hat = buffer_of<T>(c, thread, n, 3);
    T *gw = buffer_of<T>(c, thread, n, 4), *out = buffer_of<T>(c, thread, n, 5);
    for (int64_t part = first; part < last; ++part) {
      T* dw = sums + part * kinds * n;
      T* db = dw + n;
      std::memset(dw, 0, static_cast<size_t>(kinds * n) * sizeof(T));
      const int64_t end = (part + 1) * kPart < count ? (part + 1) * kPart : count;
      for (int64_t r = part * kPart; r < end; ++r) {
        const T* gp = Rows<T>::get(g, offset_of(r, g.shape, g.strides, g.ndim - 1), g.stride(-1), n, gb);
        const T* xp = Rows<T>::get(x, offset_of(r, x.shape, x.strides, x.ndim - 1), x.stride(-1), n, xb);
        const T s = rstd[r], m = centred ? mean[r] : T{0};
        map(n, xp, xp, xp, hat, [&](auto v, auto, auto) { return (v - m) * s; });
        map(n, gp, w, w, gw, [&](auto v, auto wv, auto) { return v * wv; });
        const T k1 = centred ? total(n, gw, gw, [](auto v, auto) { return v; }) / static_cast<T>(n) : T{0};
        const T k2 = total(n, gw, hat, [](auto v, auto h) { return v * h; }) / static_cast<T>(n);
        T* to = dx.dtype == DType::f32 || dx.dtype == DType::f64 ? dx.ptr<T>() + r * n : out;
        map(n, gw, hat, hat, to, [&](auto v, auto h, auto) { return (v - k1 - h * k2) * s; });
        if (to == out) Rows<T>::put(dx, r * n, out, n);
        map(n, gp, hat, dw, dw, [&](auto v, auto h, auto d) { return d + v * h; });
        if (centred) map(n, gp, gp, db, db, [&](auto v, auto, auto d) { return d + v; });
      }
    }
  });
  for (int64_t part = 1; part < parts; ++part) {
    for (int64_t i = 0; i < kinds * n; ++i) sums[i] += sums[part * kinds * n + i];
  }
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
