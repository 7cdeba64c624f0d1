// The loops of all elementwise ops: tiles of f32 lanes (f32, bf16, f16), doubles, or int64 (integers and bool).
#include "../../simd/tiles.h"
#include "functors.h"

namespace SHAKTI_ISA_NS {
namespace {

constexpr int64_t kGrain = 16 * kTile;

template <class T>
SHAKTI_INLINE void fill_tile(T* tile, T v) {
  for (int64_t i = 0; i < kTile; ++i) tile[i] = v;
}
template <class F>
SHAKTI_INLINE void each_tile(int64_t begin, int64_t end, const F& f) {
  for (int64_t i = begin; i < end; i += kTile) f(i, end - i < kTile ? end - i : kTile);
}
// Runs f(begin, count) over the places of y, tile by tile, on all threads.
template <class F>
SHAKTI_INLINE void tiles(const Operand& y, Context& c, const F& f) {
  c.parallel_for(y.numel(), kGrain, [&](int64_t begin, int64_t end, int) { each_tile(begin, end, f); });
}

template <class F>
void unary(const Args& a, Context& c) {
  const Operand &x = a.in[0], &y = a.out[0];
  const Walk w(x, y);
  if (is_f32_class(x.dtype)) {
    const Output result(a, 0, c);
    c.parallel_for(y.numel(), kGrain, [&](int64_t begin, int64_t end, int) {
      alignas(64) float in[kTile], out[kTile];
      each_tile(begin, end, [&](int64_t at, int64_t n) {
        const Ahead next = w.ahead(x, at + n);
        const float* p = w.tile(x, at, n, in);
        float* q = result.place(at, out);
        lanes(n, [&](int64_t i, int64_t m, bool part) {
          next.fetch(i);
          store_n(q + i, F::run(load_n(p + i, m, part)), m, part);
        });
        result.put(at, q, n);
      });
      result.finish();
    });
  } else {
    tiles(y, c, [&](int64_t at, int64_t n) {
      double in[kTile];
      w.tile_as(x.ptr<double>(), at, n, in);
      for (int64_t i = 0; i < n; ++i) y.ptr<double>()[at + i] = F::run(in[i]);
    });
  }
}

template <class F>
void unary_int(const Args& a, Context& c) {
  const Operand &x = a.in[0], &y = a.out[0];
  if (dtype_is_float(x.dtype)) return unary<F>(a, c);
  const Walk w(x, y);
  tiles(y, c, [&](int64_t at, int64_t n) {
    int64_t v[kTile];
    tile_int(w, x, at, n, v);
    for (int64_t i = 0; i < n; ++i) v[i] = F::run(v[i]);
    put_int(y, at, v, n);
  });
}

// An operand that may be a number instead.
struct Side {
  const Operand* o;
  Walk w;
  double scalar;

  Side(const Operand& operand, const Operand& like, double s) : o(&operand), w(operand, like), scalar(s) {}
  // f32 tiles of one number are filled by start(), once a chunk.
  SHAKTI_INLINE bool one_number() const { return !o->present() || w.constant(); }
  SHAKTI_INLINE void start(float* buffer) const {
    if (o->present() && w.constant()) w.gather(*o, 0, kTile, buffer);
    if (!o->present()) fill_tile(buffer, static_cast<float>(scalar));
  }
  SHAKTI_INLINE const float* tile(int64_t at, int64_t n, float* buffer) const {
    return one_number() ? buffer : w.tile(*o, at, n, buffer);
  }
  SHAKTI_INLINE Ahead ahead(int64_t at) const { return one_number() ? Ahead(*o, 0) : w.ahead(*o, at); }
  SHAKTI_INLINE void tile(int64_t at, int64_t n, double* buffer) const {
    if (o->present()) return w.tile_as(o->ptr<double>(), at, n, buffer);
    for (int64_t i = 0; i < n; ++i) buffer[i] = scalar;
  }
  SHAKTI_INLINE void tile(int64_t at, int64_t n, int64_t* buffer) const {
    if (o->present()) return tile_int(w, *o, at, n, buffer);
    for (int64_t i = 0; i < n; ++i) buffer[i] = saturate(scalar);
  }
};

struct Sides {
  Side a, b;
  explicit Sides(const Args& args)
      : a(args.in[0], args.out[0], 0), b(args.in[1], args.out[0], args.n_attrs > 0 ? args.attr(0) : 0) {
    if (!args.in[1].present() && args.n_attrs > 1 && args.attr_bool(1)) {
      const Side t = a;
      a = b;
      b = t;
    }
  }
};

template <class F>
void binary_float(const Args& args, Context& c) {
  const Operand& y = args.out[0];
  const Sides s(args);
  if (is_f32_class(args.in[0].dtype)) {
    const Output result(args, 0, c);
    c.parallel_for(y.numel(), kGrain, [&](int64_t begin, int64_t end, int) {
      alignas(64) float buffer[3][kTile];
      s.a.start(buffer[0]);
      s.b.start(buffer[1]);
      each_tile(begin, end, [&](int64_t at, int64_t n) {
        const float* p = s.a.tile(at, n, buffer[0]);
        const float* q = s.b.tile(at, n, buffer[1]);
        float* r = result.place(at, buffer[2]);
        const Ahead next_a = s.a.ahead(at + n), next_b = s.b.ahead(at + n);
        lanes(n, [&](int64_t i, int64_t m, bool part) {
          next_a.fetch(i);
          next_b.fetch(i);
          store_n(r + i, F::run(load_n(p + i, m, part), load_n(q + i, m, part)), m, part);
        });
        result.put(at, r, n);
      });
      result.finish();
    });
  } else {
    tiles(y, c, [&](int64_t at, int64_t n) {
      double p[kTile], q[kTile];
      s.a.tile(at, n, p);
      s.b.tile(at, n, q);
      for (int64_t i = 0; i < n; ++i) y.ptr<double>()[at + i] = F::run(p[i], q[i]);
    });
  }
}

template <class F>
void binary(const Args& args, Context& c) {
  if (dtype_is_float(args.in[0].dtype)) return binary_float<F>(args, c);
  const Operand& y = args.out[0];
  const Sides s(args);
  tiles(y, c, [&](int64_t at, int64_t n) {
    int64_t p[kTile], q[kTile];
    s.a.tile(at, n, p);
    s.b.tile(at, n, q);
    for (int64_t i = 0; i < n; ++i) p[i] = F::run(p[i], q[i]);
    put_int(y, at, p, n);
  });
}

template <class F>
void compare(const Args& args, Context& c) {
  const Operand& y = args.out[0];
  uint8_t* out = y.ptr<uint8_t>();
  const Sides s(args);
  const DType t = args.in[0].dtype;
  if (is_f32_class(t)) {
    c.parallel_for(y.numel(), kGrain, [&](int64_t begin, int64_t end, int) {
      alignas(64) float buffer[2][kTile];
      s.a.start(buffer[0]);
      s.b.start(buffer[1]);
      each_tile(begin, end, [&](int64_t at, int64_t n) {
        const float* p = s.a.tile(at, n, buffer[0]);
        const float* q = s.b.tile(at, n, buffer[1]);
        lanes(n, [&](int64_t i, int64_t m, bool part) {
          store_bools(out + at + i, F::run(load_n(p + i, m, part), load_n(q + i, m, part)), m, part);
        });
      });
    });
    return;
  }
  tiles(y, c, [&](int64_t at, int64_t n) {
    if (t == DType::f64) {
      double p[kTile], q[kTile];
      s.a.tile(at, n, p);
      s.b.tile(at, n, q);
      for (int64_t i = 0; i < n; ++i) out[at + i] = F::run(p[i], q[i]);
    } else {
      int64_t p[kTile], q[kTile];
      s.a.tile(at, n, p);
      s.b.tile(at, n, q);
      for (int64_t i = 0; i < n; ++i) out[at + i] = F::run(p[i], q[i]);
    }
  });
}

// The byte size of an element decides how it is moved; the value does not matter.
template <class T>
void choose(const Args& a, Context& c, T va, T vb) {
  const Operand &cond = a.in[0], &x = a.in[1], &z = a.in[2], &y = a.out[0];
  const Walk wc(cond, y), wx(x, y), wz(z, y);
  const Output result(a, 0, c);
  c.parallel_for(y.numel(), kGrain, [&](int64_t begin, int64_t end, int) {
    uint8_t m[kTile];
    T p[kTile], q[kTile], out[kTile];
    if (!x.present()) fill_tile(p, va);
    if (!z.present()) fill_tile(q, vb);
    each_tile(begin, end, [&](int64_t at, int64_t n) {
      const uint8_t* __restrict here = wc.tile_of(cond.ptr<uint8_t>(), at, n, m);
      const T* __restrict yes = x.present() ? wx.tile_of(x.ptr<T>(), at, n, p) : p;
      const T* __restrict no = z.present() ? wz.tile_of(z.ptr<T>(), at, n, q) : q;
      for (int64_t i = 0; i < n; ++i) {
        const T u = yes[i], v = no[i];
        out[i] = here[i] != 0 ? u : v;
      }
      result.copy(y.ptr<T>() + at, out, static_cast<size_t>(n) * sizeof(T));
    });
    result.finish();
  });
}

SHAKTI_INLINE uint16_t half_bits(DType t, double v) {
  const vh h = t == DType::bf16 ? to_bf16(splat(static_cast<float>(v))) : to_f16(splat(static_cast<float>(v)));
  return h[0];
}

}  // namespace

#define RUN(name, ...) \
  void run_##name(const Args& a, Context& c) { __VA_ARGS__(a, c); }

RUN(neg, unary_int<Neg>)
RUN(abs, unary_int<Abs>)
RUN(sign, unary_int<Sign>)
RUN(square, unary_int<Square>)
RUN(relu, unary_int<Relu>)
RUN(reciprocal, unary<Reciprocal>)
RUN(sqrt, unary<Sqrt>)
RUN(rsqrt, unary<Rsqrt>)
RUN(exp, unary<Exp>)
RUN(expm1, unary<Expm1>)
RUN(log, unary<Log>)
RUN(log1p, unary<Log1p>)
RUN(sin, unary<Sin>)
RUN(cos, unary<Cos>)
RUN(tanh, unary<Tanh>)
RUN(erf, unary<Erf>)
RUN(sigmoid, unary<Sigmoid>)
RUN(gelu, unary<Gelu>)
RUN(gelu_tanh, unary<GeluTanh>)
RUN(silu, unary<Silu>)
RUN(floor, unary<Floor>)
RUN(ceil, unary<Ceil>)
RUN(round, unary<Round>)
RUN(add, binary<Add>)
RUN(sub, binary<Sub>)
RUN(mul, binary<Mul>)
RUN(div, binary_float<Div>)
RUN(pow, binary<Pow>)
RUN(maximum, binary<Maximum>)
RUN(minimum, binary<Minimum>)
RUN(eq, compare<Eq>)
RUN(ne, compare<Ne>)
RUN(lt, compare<Lt>)
RUN(le, compare<Le>)
RUN(gt, compare<Gt>)
RUN(ge, compare<Ge>)
RUN(logical_and, compare<LogicalAnd>)
RUN(logical_or, compare<LogicalOr>)
RUN(relu_backward, binary_float<ReluBackward>)
RUN(gelu_backward, binary_float<GeluBackward>)
RUN(gelu_tanh_backward, binary_float<GeluTanhBackward>)
RUN(silu_backward, binary_float<SiluBackward>)
RUN(tanh_backward, binary_float<TanhBackward>)
RUN(sigmoid_backward, binary_float<SigmoidBackward>)

void run_logical_not(const Args& a, Context& c) {
  const Operand &x = a.in[0], &y = a.out[0];
  const Walk w(x, y);
  uint8_t* out = y.ptr<uint8_t>();
  tiles(y, c, [&](int64_t at, int64_t n) {
    if (dtype_is_float(x.dtype)) {
      double v[kTile];
      float f[kTile];
      if (x.dtype == DType::f64) {
        w.tile_as(x.ptr<double>(), at, n, v);
        for (int64_t i = 0; i < n; ++i) out[at + i] = v[i] == 0;
      } else {
        const float* p = w.tile(x, at, n, f);
        for (int64_t i = 0; i < n; ++i) out[at + i] = p[i] == 0;
      }
    } else {
      int64_t v[kTile];
      tile_int(w, x, at, n, v);
      for (int64_t i = 0; i < n; ++i) out[at + i] = v[i] == 0;
    }
  });
}

void run_isfinite(const Args& a, Context& c) {
  const Operand &x = a.in[0], &y = a.out[0];
  const Walk w(x, y);
  uint8_t* out = y.ptr<uint8_t>();
  tiles(y, c, [&](int64_t at, int64_t n) {
    if (x.dtype == DType::f64) {
      double v[kTile];
      w.tile_as(x.ptr<double>(), at, n, v);
      for (int64_t i = 0; i < n; ++i) out[at + i] = v[i] - v[i] == 0;
    } else if (is_f32_class(x.dtype)) {
      float f[kTile];
      const float* p = w.tile(x, at, n, f);
      for (int64_t i = 0; i < n; ++i) out[at + i] = p[i] - p[i] == 0;
    } else {
      for (int64_t i = 0; i < n; ++i) out[at + i] = 1;
    }
  });
}

void run_where(const Args& a, Context& c) {
  const DType t = a.out[0].dtype;
  const double p = a.attr(0), q = a.attr(1);
  switch (t) {
    case DType::f32: return choose<float>(a, c, static_cast<float>(p), static_cast<float>(q));
    case DType::f64: return choose<double>(a, c, p, q);
    case DType::bf16:
    case DType::f16: return choose<uint16_t>(a, c, half_bits(t, p), half_bits(t, q));
    case DType::i32: return choose<int32_t>(a, c, static_cast<int32_t>(saturate(p)), static_cast<int32_t>(saturate(q)));
    case DType::i64: return choose<int64_t>(a, c, saturate(p), saturate(q));
    case DType::u8: return choose<uint8_t>(a, c, static_cast<uint8_t>(saturate(p)), static_cast<uint8_t>(saturate(q)));
    default: return choose<uint8_t>(a, c, p != 0, q != 0);
  }
}

void run_clamp(const Args& a, Context& c) {
  const Operand &x = a.in[0], &y = a.out[0];
  const Walk w(x, y);
  const double low = a.attr(0), high = a.attr(1);
  const Output result(a, 0, c);
  tiles(y, c, [&](int64_t at, int64_t n) {
    if (is_f32_class(x.dtype)) {
      float in[kTile], out[kTile];
      const float* p = w.tile(x, at, n, in);
      float* q = result.place(at, out);
      const float l = static_cast<float>(low), h = static_cast<float>(high);
      for (int64_t i = 0; i < n; ++i) {
        const float v = p[i], above = v > h ? h : v;
        q[i] = v < l ? l : above;
      }
      result.put(at, q, n);
      result.finish();
    } else if (x.dtype == DType::f64) {
      double v[kTile];
      w.tile_as(x.ptr<double>(), at, n, v);
      for (int64_t i = 0; i < n; ++i) y.ptr<double>()[at + i] = v[i] < low ? low : v[i] > high ? high : v[i];
    } else {
      int64_t v[kTile];
      tile_int(w, x, at, n, v);
      for (int64_t i = 0; i < n; ++i) {
        const double d = static_cast<double>(v[i]);
        v[i] = d < low ? saturate(low) : d > high ? saturate(high) : v[i];
      }
      put_int(y, at, v, n);
    }
  });
}

}  // namespace SHAKTI_ISA_NS
