// RMSNorm of every head and its rotation while the head is in registers and the nearest cache: x is read once from
// memory, y written once. A head is seen as pairs (i, i + d/2), the two that turn into each other.
#include <cmath>

#include "../../simd/scratch.h"
#include "../../simd/vec.h"
#include "../norm/parts.h"

namespace SHAKTI_ISA_NS {
namespace {

using norm::kPart;
using norm::parts_of;

// The type that a head is computed in: `float`, many pairs at a time, for 16 and 32 bits; `double` for f64.
template <class T>
struct Pairs;

template <>
struct Pairs<float> {
  using V = vf;
  static constexpr int64_t kWidth = W;
  SHAKTI_INLINE static float sum(vf v) { return hsum(v); }
  // Of scratch, in whole vectors: a load right behind the store of part of a vector waits until that is in the cache.
  SHAKTI_INLINE static vf kept(const float* p) { return load(p); }
  SHAKTI_INLINE static void keep(float* p, vf v) { store(p, v); }
  // Calls f(i, load, store) along the first half: load(p) is what stands in p at i, store(p, v) puts it. Behind the end
  // loads give 0.
  template <class F>
  SHAKTI_INLINE static void each(int64_t half, const F& f) {
    lanes(half, [&](int64_t i, int64_t m, bool part) {
      f(i, [&](const float* p) { return load_n(p + i, m, part); }, [&](float* p, vf v) { store_n(p + i, v, m, part); });
    });
  }
  SHAKTI_INLINE static const float* read(const Operand& o, int64_t at, int64_t n, float* buffer) {
    return row_f32(o, at, 1, n, buffer);
  }
  // Where a result of n elements is to be written; then `written` brings it to its place.
  SHAKTI_INLINE static float* place(const Operand& o, int64_t at, float* buffer) {
    return o.dtype == DType::f32 ? o.ptr<float>() + at : buffer;
  }
  SHAKTI_INLINE static void written(const Operand& o, int64_t at, const float* from, int64_t n) {
    if (o.dtype != DType::f32) scatter_f32(o, at, from, n);
  }
};

template <>
struct Pairs<double> {
  using V = double;
  static constexpr int64_t kWidth = 1;
  SHAKTI_INLINE static double sum(double v) { return v; }
  SHAKTI_INLINE static double kept(const double* p) { return *p; }
  SHAKTI_INLINE static void keep(double* p, double v) { *p = v; }
  template <class F>
  SHAKTI_INLINE static void each(int64_t half, const F& f) {
    for (int64_t i = 0; i < half; ++i)
      f(i, [&](const auto* p) { return static_cast<double>(p[i]); }, [&](double* p, double v) { p[i] = v; });
  }
  SHAKTI_INLINE static const double* read(const Operand& o, int64_t at, int64_t, double*) {
    return o.ptr<double>() + at;
  }
  SHAKTI_INLINE static double* place(const Operand& o, int64_t at, double*) { return o.ptr<double>() + at; }
  SHAKTI_INLINE static void written(const Operand&, int64_t, const double*, int64_t) {}
};

// Goes through the heads of x [b, l, h, d] in order.
class Head {
 public:
  SHAKTI_INLINE Head(const Operand& x, int64_t index)
      : x_(x),
        index_(index),
        i_(index / x.shape[2] / x.shape[1]),
        j_(index / x.shape[2] % x.shape[1]),
        k_(index % x.shape[2]) {}
  SHAKTI_INLINE void next() {
    ++index_;
    if (++k_ < x_.shape[2]) return;
    k_ = 0;
    if (++j_ < x_.shape[1]) return;
    j_ = 0;
    ++i_;
  }
  SHAKTI_INLINE int64_t index() const { return index_; }
  // Where the head starts in an operand of x's shape.
  SHAKTI_INLINE int64_t start_in(const Operand& o) const {
    return i_ * o.strides[0] + j_ * o.strides[1] + k_ * o.strides[2];
  }
  // Its angles in a table [b or 1, l, d / 2].
  SHAKTI_INLINE const float* angles(const Operand& table) const {
    return table.ptr<float>() + ((table.shape[0] == 1 ? 0 : i_) * table.shape[1] + j_) * table.shape[2];
  }

 private:
  const Operand& x_;
  int64_t index_, i_, j_, k_;
};

template <class T>
SHAKTI_INLINE const T* weight_of(const Operand& weight, int64_t d, T* buffer) {
  if (weight.present()) return Pairs<T>::read(weight, 0, d, buffer);
  for (int64_t i = 0; i < d; ++i) buffer[i] = 1;
  return buffer;
}

template <class T>
void forward(const Args& a, Context& c) {
  using P = Pairs<T>;
  const Operand &x = a.in[0], &y = a.out[0];
  const int64_t d = x.shape[3], half = d / 2;
  const T eps = static_cast<T>(a.attr(0));
  T* rstd = a.out[1].ptr<T>();
  c.parallel_for(x.numel() / d, 1 + 16384 / d, [&](int64_t begin, int64_t end, int thread) {
    const T* w = weight_of<T>(a.in[1], d, buffer_of<T>(c, thread, d, 0));
    T *in = buffer_of<T>(c, thread, d, 1), *out = buffer_of<T>(c, thread, d, 2);
    for (Head head(x, begin); head.index() < end; head.next()) {
      const T* p = P::read(x, head.start_in(x), d, in);
      const float *cosine = head.angles(a.in[2]), *sine = head.angles(a.in[3]);
      typename P::V first{}, second{};
      P::each(half, [&](int64_t, const auto& load, const auto&) {
        const auto u = load(p), v = load(p + half);
        first += u * u;
        second += v * v;
      });
      const T s = 1 / std::sqrt(P::sum(first + second) / static_cast<T>(d) + eps);
      rstd[head.index()] = s;
      T* to = P::place(y, head.index() * d, out);
      P::each(half, [&](int64_t, const auto& load, const auto& store) {
        const auto u = load(p) * s * load(w), v = load(p + half) * s * load(w + half);
        const auto cs = load(cosine), sn = load(sine);
        store(to, u * cs - v * sn);
        store(to + half, v * cs + u * sn);
      });
      P::written(y, head.index() * d, to, d);
    }
  });
}

// With gr = g rotated back, xhat = x * rstd and gw = gr * weight: dx = rstd * (gw - xhat * mean(gw * xhat)), and
// dweight is the sum of gr * xhat.
template <class T>
void backward(const Args& a, Context& c) {
  using P = Pairs<T>;
  const Operand &g = a.in[0], &x = a.in[1], &dx = a.out[0], &dweight = a.out[1];
  const int64_t d = x.shape[3], half = d / 2, heads = x.numel() / d, parts = parts_of(heads);
  const int64_t behind = (half + P::kWidth - 1) / P::kWidth * P::kWidth;  // where scratch has the second halves
  const int64_t room = 2 * behind;
  const T* rstd = a.in[3].ptr<T>();
  T* sums = static_cast<T*>(a.workspace);  // [parts][d]
  c.parallel_for(parts, 1 + 16384 / (d * kPart), [&](int64_t first_part, int64_t last_part, int thread) {
    const T* w = weight_of<T>(a.in[2], d, buffer_of<T>(c, thread, room, 0));
    T *gb = buffer_of<T>(c, thread, room, 1), *xb = buffer_of<T>(c, thread, room, 2),
      *out = buffer_of<T>(c, thread, room, 3);
    T *dw = buffer_of<T>(c, thread, room, 4), *turned = buffer_of<T>(c, thread, room, 5);
    for (int64_t part = first_part; part < last_part; ++part) {
      std::memset(dw, 0, static_cast<size_t>(room) * sizeof(T));
      const int64_t end = (part + 1) * kPart < heads ? (part + 1) * kPart : heads;
      for (Head head(x, part * kPart); head.index() < end; head.next()) {
        const T* gp = P::read(g, head.start_in(g), d, gb);
        const T* xp = P::read(x, head.start_in(x), d, xb);
        const float *cosine = head.angles(a.in[4]), *sine = head.angles(a.in[5]);
        const T s = rstd[head.index()];
        T* to = P::place(dx, head.index() * d, out);
        typename P::V first{}, second{};
        // Called for whole vectors and for a part, which is why the compiler would not inline it: 1.7 times the time.
        P::each(half, [&](int64_t i, const auto& load, const auto&) __attribute__((always_inline)) {
          const auto cs = load(cosine), sn = load(sine), gu = load(gp), gv = load(gp + half);
          const auto u = gu * cs + gv * sn, v = gv * cs - gu * sn;
          const auto uw = u * load(w), vw = v * load(w + half);
          const auto uhat = load(xp) * s, vhat = load(xp + half) * s;
          first += uw * uhat;
          second += vw * vhat;
          P::keep(dw + i, P::kept(dw + i) + u * uhat);
          P::keep(dw + behind + i, P::kept(dw + behind + i) + v * vhat);
          P::keep(turned + i, uw);
          P::keep(turned + behind + i, vw);
        });
        const T mean = P::sum(first + second) / static_cast<T>(d);
        P::each(half, [&](int64_t i, const auto& load, const auto& store) {
          store(to, (P::kept(turned + i) - load(xp) * s * mean) * s);
          store(to + half, (P::kept(turned + behind + i) - load(xp + half) * s * mean) * s);
        });
        P::written(dx, head.index() * d, to, d);
      }
      std::memcpy(sums + part * d, dw, static_cast<size_t>(half) * sizeof(T));
      std::memcpy(sums + part * d + half, dw + behind, static_cast<size_t>(half) * sizeof(T));
    }
  });
  if (!dweight.present()) return;
  T* all = P::place(dweight, 0, buffer_of<T>(c, 0, d, 0));
  std::memset(all, 0, static_cast<size_t>(d) * sizeof(T));
  for (int64_t part = 0; part < parts; ++part) {
    for (int64_t i = 0; i < d; ++i) all[i] += sums[part * d + i];
  }
  P::written(dweight, 0, all, d);
}

}  // namespace

void run_norm_rope(const Args& a, Context& c) {
  if (a.in[0].dtype == DType::f64)
    forward<double>(a, c);
  else
    forward<float>(a, c);
}
void run_norm_rope_backward(const Args& a, Context& c) {
  if (a.in[1].dtype == DType::f64)
    backward<double>(a, c);
  else
    backward<float>(a, c);
}

}  // namespace SHAKTI_ISA_NS
