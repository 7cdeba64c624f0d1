// Folding dimensions. The dimensions of x are put into an order of kept (outer) and folded (inner) ones. Two forms:
// rows (the folded places of one output lie together) and columns (the innermost dimension is kept: many outputs at
// once). Work is split by outputs, or, for few outputs, by fixed pieces of the fold whose results are folded in order.
#include <cmath>

#include "../../simd/tiles.h"
#include "pieces.h"

namespace SHAKTI_ISA_NS {
namespace {

using reduce::kColumnTasks;
using reduce::kPiece;

struct Plan {
  int64_t ks[kMaxDims], kx[kMaxDims];  // kept sizes and strides
  int64_t fs[kMaxDims], fx[kMaxDims];  // folded ones
  int nk = 0, nf = 0;
  int64_t kept = 1, folded = 1;

  static void push(int64_t* size, int64_t* stride, int& n, int64_t s, int64_t st) {
    if (s == 1) return;
    if (n > 0 && stride[n - 1] == st * s) {
      size[n - 1] *= s;
      stride[n - 1] = st;
    } else {
      size[n] = s;
      stride[n++] = st;
    }
  }
  Plan(const Operand& x, const Operand& y) {
    for (int d = 0; d < x.ndim; ++d) {
      if (y.shape[d] == 1 && x.shape[d] != 1) {
        push(fs, fx, nf, x.shape[d], x.strides[d]);
        folded *= x.shape[d];
      } else {
        push(ks, kx, nk, x.shape[d], x.strides[d]);
        kept *= x.shape[d];
      }
    }
  }
};

// Operations on f32 lanes / f32 / double / int64.
struct Sum {
  template <class T>
  SHAKTI_INLINE static T start() {
    return T{0};
  }
  template <class T>
  SHAKTI_INLINE static T run(T a, T b) {
    return a + b;
  }
  // Beyond 64 bits integers wrap around.
  SHAKTI_INLINE static int64_t run(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  }
  SHAKTI_INLINE static float across(vf v) { return hsum(v); }
};
struct Prod {
  template <class T>
  SHAKTI_INLINE static T start() {
    return T{1};
  }
  template <class T>
  SHAKTI_INLINE static T run(T a, T b) {
    return a * b;
  }
  SHAKTI_INLINE static int64_t run(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  }
  SHAKTI_INLINE static float across(vf v) {
    float p = 1;
    for (int i = 0; i < W; ++i) p *= v[i];
    return p;
  }
};
template <class T>
SHAKTI_INLINE T lowest() {
  return -__builtin_inff();
}
template <>
SHAKTI_INLINE int64_t lowest<int64_t>() {
  return INT64_MIN;
}
template <class T>
SHAKTI_INLINE T highest() {
  return __builtin_inff();
}
template <>
SHAKTI_INLINE int64_t highest<int64_t>() {
  return INT64_MAX;
}
struct Max {
  template <class T>
  SHAKTI_INLINE static T start() {
    return lowest<T>();
  }
  template <class T>
  SHAKTI_INLINE static T run(T a, T b) {
    return a != a ? a : b > a || b != b ? b : a;
  }
  SHAKTI_INLINE static vf run(vf a, vf b) { return select(a != a, a, vmax(a, b)); }
  SHAKTI_INLINE static float across(vf v) {
    float m = v[0];
    for (int i = 1; i < W; ++i) m = run(m, static_cast<float>(v[i]));
    return m;
  }
};
struct Min {
  template <class T>
  SHAKTI_INLINE static T start() {
    return highest<T>();
  }
  template <class T>
  SHAKTI_INLINE static T run(T a, T b) {
    return a != a ? a : b < a || b != b ? b : a;
  }
  SHAKTI_INLINE static vf run(vf a, vf b) { return select(a != a, a, vmin(a, b)); }
  SHAKTI_INLINE static float across(vf v) {
    float m = v[0];
    for (int i = 1; i < W; ++i) m = run(m, static_cast<float>(v[i]));
    return m;
  }
};

template <bool largest>
struct ExtremeOf {
  using Type = Max;
};
template <>
struct ExtremeOf<false> {
  using Type = Min;
};
template <bool largest>
using Extreme = typename ExtremeOf<largest>::Type;

template <class R>
SHAKTI_INLINE float fold_f32(const float* p, int64_t n) {
  const vf start = splat(R::template start<float>());
  vf v[4] = {start, start, start, start};
  int64_t i = 0;
  for (; i + 4 * W <= n; i += 4 * W) {
    for (int u = 0; u < 4; ++u) {
      __builtin_prefetch(p + i + u * W + kTile, 0, 2);
      v[u] = R::run(v[u], load(p + i + u * W));
    }
  }
  for (; i + W <= n; i += W) v[0] = R::run(v[0], load(p + i));
  float tail = R::template start<float>();
  for (; i < n; ++i) tail = R::run(tail, p[i]);
  return R::run(R::across(R::run(R::run(v[0], v[1]), R::run(v[2], v[3]))), tail);
}

// The fold of places [begin, end) of the folded dimensions at x + base.
template <class R>
float fold_row(const Plan& p, const Operand& x, int64_t base, int64_t begin, int64_t end) {
  float acc = R::template start<float>();
  if (p.nf == 0) {
    float one[1];
    gather_f32(one, x, base, 1, 1);
    return one[0];
  }
  const int64_t inner = p.fs[p.nf - 1], stride = p.fx[p.nf - 1];
  for (int64_t i = begin; i < end;) {
    const int64_t col = i % inner;
    int64_t n = inner - col;
    if (n > end - i) n = end - i;
    if (n > kTile) n = kTile;
    alignas(64) float buffer[kTile];
    const int64_t at = base + offset_of(i / inner, p.fs, p.fx, p.nf - 1) + col * stride;
    const float* v =
        x.dtype == DType::f32 && stride == 1 ? x.ptr<float>() + at : (gather_f32(buffer, x, at, stride, n), buffer);
    acc = R::run(acc, fold_f32<R>(v, n));
    i += n;
  }
  return acc;
}

// Kept innermost: folds rows of `n` neighbouring outputs, folded places [begin, end), at most kBlock of them.
constexpr int64_t kBlock = 64;
template <class R>
SHAKTI_INLINE void columns_block(const Plan& p, const Operand& x, int64_t base, int64_t n, int64_t begin, int64_t end,
                                 float* acc) {
  for (int64_t j = 0; j < n; ++j) acc[j] = R::template start<float>();
  // Four rows at a time, folded among themselves first: less traffic, and a rounding error a quarter as long.
  alignas(64) float buffer[4][kTile];
  const float* v[4];
  for (int64_t i = begin; i < end; i += 4) {
    const int64_t rows = end - i < 4 ? end - i : 4;
    for (int64_t r = 0; r < rows; ++r) v[r] = row_f32(x, base + offset_of(i + r, p.fs, p.fx, p.nf), 1, n, buffer[r]);
    if (rows == 4) {
      const auto next = [&](int64_t r) {
        return Ahead(x, base + offset_of(i + r < p.folded ? i + r : 0, p.fs, p.fx, p.nf));
      };
      const Ahead ahead[4] = {next(4), next(5), next(6), next(7)};
      lanes(n, [&](int64_t j, int64_t m, bool part) {
        for (const Ahead& row : ahead) row.fetch(j);
        const vf a = R::run(load_n(v[0] + j, m, part), load_n(v[1] + j, m, part));
        const vf b = R::run(load_n(v[2] + j, m, part), load_n(v[3] + j, m, part));
        store_n(acc + j, R::run(load_n(acc + j, m, part), R::run(a, b)), m, part);
      });
    } else {
      for (int64_t r = 0; r < rows; ++r) {
        lanes(n, [&](int64_t j, int64_t m, bool part) {
          store_n(acc + j, R::run(load_n(acc + j, m, part), load_n(v[r] + j, m, part)), m, part);
        });
      }
    }
  }
}
// Any number of them, block by block, so that rounding errors stay short.
template <class R>
void columns_f32(const Plan& p, const Operand& x, int64_t base, int64_t n, int64_t begin, int64_t end, float* acc) {
  columns_block<R>(p, x, base, n, begin, end < begin + kBlock ? end : begin + kBlock, acc);
  alignas(64) float more[kTile];
  for (int64_t i = begin + kBlock; i < end; i += kBlock) {
    columns_block<R>(p, x, base, n, i, end < i + kBlock ? end : i + kBlock, more);
    lanes(n, [&](int64_t j, int64_t m, bool part) {
      store_n(acc + j, R::run(load_n(acc + j, m, part), load_n(more + j, m, part)), m, part);
    });
  }
}

// Integers are folded in 64 bits. What y's dtype cannot hold is an error, not another number.
SHAKTI_INLINE void put_folded(const Operand& y, int64_t at, int64_t v, Context& c) {
  if (y.dtype == DType::i32 && v != static_cast<int32_t>(v))
    c.fail("the result %lld at place %lld does not fit into i32. Convert to i64 first", static_cast<long long>(v),
           static_cast<long long>(at));
  put_int(y, at, &v, 1);
}

template <class T, class R, class Get>
SHAKTI_INLINE T fold_any(const Plan& p, int64_t base, const Get& get) {
  T acc = R::template start<T>();
  for (int64_t i = 0; i < p.folded; ++i) acc = R::run(acc, get(base + offset_of(i, p.fs, p.fx, p.nf)));
  return acc;
}

template <class R>
void fold(const Args& a, Context& c) {
  const Operand &x = a.in[0], &y = a.out[0];
  const Plan p(x, y);
  const int64_t outputs = y.numel();
  if (outputs == 0) return;
  if (!is_f32_class(x.dtype)) {
    c.parallel_for(outputs, 1 + kPiece / (p.folded + 1), [&](int64_t b, int64_t e, int) {
      for (int64_t i = b; i < e; ++i) {
        const int64_t base = offset_of(i, p.ks, p.kx, p.nk);
        if (x.dtype == DType::f64) {
          y.ptr<double>()[i] = fold_any<double, R>(p, base, [&](int64_t at) { return x.ptr<double>()[at]; });
          continue;
        }
        int64_t v;
        if (x.dtype == DType::i32)
          v = fold_any<int64_t, R>(p, base, [&](int64_t at) { return int64_t{x.ptr<int32_t>()[at]}; });
        else if (x.dtype == DType::i64)
          v = fold_any<int64_t, R>(p, base, [&](int64_t at) { return x.ptr<int64_t>()[at]; });
        else
          v = fold_any<int64_t, R>(p, base, [&](int64_t at) { return int64_t{x.ptr<uint8_t>()[at]}; });
        put_folded(y, i, v, c);
      }
    });
    return;
  }
  if (p.folded == 0) {
    const float start = R::template start<float>();
    for (int64_t i = 0; i < outputs; ++i) scatter_f32(y, i, &start, 1);
    return;
  }
  const bool columns = p.nk > 0 && p.kx[p.nk - 1] == 1 && p.nf > 0 && p.fx[p.nf - 1] != 1 && p.ks[p.nk - 1] >= 4;
  // Strips of neighbouring outputs.
  const int64_t width = columns ? p.ks[p.nk - 1] : 1;
  const int64_t strip = width < kTile ? width : kTile;
  const int64_t strips = (width + strip - 1) / strip;
  // Pieces of the fold, when the outputs alone do not make enough tasks (op.cc has room for as many).
  const int64_t enough = columns ? kColumnTasks : 64, independent = outputs / width * strips;
  int64_t pieces = 1;
  if (independent < enough) {
    pieces = (p.folded * width + kPiece - 1) / kPiece;
    if (columns && pieces * independent > enough) pieces = (enough + independent - 1) / independent;
  }
  const int64_t piece = (p.folded + pieces - 1) / pieces;
  const int64_t parts = (p.folded + piece - 1) / piece;
  auto* partial = static_cast<float*>(a.workspace);
  if (columns) {
    const int64_t tasks = independent * parts;
    c.parallel_for(tasks, 1 + kPiece / (strip * piece + 1), [&](int64_t b, int64_t e, int) {
      for (int64_t t = b; t < e; ++t) {
        const int64_t s = t % strips, part = t / strips % parts, o = t / strips / parts;
        const int64_t n = width - s * strip < strip ? width - s * strip : strip;
        const int64_t base = offset_of(o, p.ks, p.kx, p.nk - 1) + s * strip;
        const int64_t end = (part + 1) * piece < p.folded ? (part + 1) * piece : p.folded;
        alignas(64) float acc[kTile];
        columns_f32<R>(p, x, base, n, part * piece, end, acc);
        if (parts == 1)
          scatter_f32(y, o * width + s * strip, acc, n);
        else
          std::memcpy(partial + part * outputs + o * width + s * strip, acc, static_cast<size_t>(n) * 4);
      }
    });
  } else {
    const int64_t tasks = outputs * parts;
    c.parallel_for(tasks, 1 + kPiece / (piece + 1), [&](int64_t b, int64_t e, int) {
      for (int64_t t = b; t < e; ++t) {
        const int64_t part = t % parts, o = t / parts;
        const int64_t end = (part + 1) * piece < p.folded ? (part + 1) * piece : p.folded;
        const float v = fold_row<R>(p, x, offset_of(o, p.ks, p.kx, p.nk), part * piece, end);
        if (parts == 1)
          scatter_f32(y, o, &v, 1);
        else
          partial[part * outputs + o] = v;
      }
    });
  }
  if (parts == 1) return;
  c.parallel_for(outputs, kTile, [&](int64_t b, int64_t e, int) {
    float* acc = partial + b;
    for (int64_t part = 1; part < parts; ++part) {
      const float* more = partial + part * outputs + b;
      for (int64_t o = 0; o < e - b; ++o) acc[o] = R::run(acc[o], more[o]);
    }
    scatter_f32(y, b, acc, e - b);
  });
}

// Rows of the last dimension as T, one after the other.
template <class T, class F>
void rows(const Operand& x, Context& c, const F& f) {
  const int64_t n = x.size(-1);
  const int64_t count = n > 0 ? x.numel() / n : 0;
  c.parallel_for(count, 1 + kPiece / (n + 1), [&](int64_t b, int64_t e, int) {
    for (int64_t r = b; r < e; ++r) {
      const int64_t at = offset_of(r, x.shape, x.strides, x.ndim - 1);
      const int64_t stride = x.stride(-1);
      f(r, n, [&](int64_t i) -> T {
        const int64_t k = at + i * stride;
        switch (x.dtype) {
          case DType::f64: return static_cast<T>(x.ptr<double>()[k]);
          case DType::f32: return static_cast<T>(x.ptr<float>()[k]);
          case DType::i32: return static_cast<T>(x.ptr<int32_t>()[k]);
          case DType::i64: return static_cast<T>(x.ptr<int64_t>()[k]);
          case DType::u8:
          case DType::boolean: return static_cast<T>(x.ptr<uint8_t>()[k]);
          default: {
            float v[1];
            gather_f32(v, x, k, 1, 1);
            return static_cast<T>(v[0]);
          }
        }
      });
    }
  });
}

SHAKTI_INLINE bool is_nan(double v) { return v != v; }
SHAKTI_INLINE bool is_nan(int64_t) { return false; }

template <class T, bool largest>
void find(const Args& a, Context& c) {
  const Operand &x = a.in[0], &values = a.out[0];
  auto* indices = a.out[1].ptr<int32_t>();
  rows<T>(x, c, [&](int64_t r, int64_t n, const auto& get) {
    int64_t best = 0;
    T v = get(0);
    for (int64_t i = 1; i < n && !is_nan(v); ++i) {
      const T u = get(i);
      if (is_nan(u) || (largest ? u > v : u < v)) {
        v = u;
        best = i;
      }
    }
    indices[r] = static_cast<int32_t>(best);
    if (dtype_is_float(x.dtype)) {
      if (x.dtype == DType::f64)
        values.ptr<double>()[r] = static_cast<double>(v);
      else {
        const float f = static_cast<float>(v);
        scatter_f32(values, r, &f, 1);
      }
    } else {
      const int64_t i = static_cast<int64_t>(v);
      put_int(values, r, &i, 1);
    }
  });
}

// The same for f32, bf16 and f16: the piece that holds the extreme first, then its place there.
template <class R>
void find_f32(const Args& a, Context& c) {
  const Operand &x = a.in[0], &values = a.out[0];
  auto* indices = a.out[1].ptr<int32_t>();
  const int64_t n = x.size(-1), stride = x.stride(-1), count = n > 0 ? x.numel() / n : 0;
  c.parallel_for(count, 1 + kPiece / (n + 1), [&](int64_t b, int64_t e, int) {
    alignas(64) float buffer[kTile];
    for (int64_t r = b; r < e; ++r) {
      const int64_t row = offset_of(r, x.shape, x.strides, x.ndim - 1);
      const auto piece = [&](int64_t at) {
        return row_f32(x, row + at * stride, stride, n - at < kTile ? n - at : kTile, buffer);
      };
      float best = 0;
      int64_t at = -1;
      for (int64_t i = 0; i < n && best == best; i += kTile) {
        const float here = fold_f32<R>(piece(i), n - i < kTile ? n - i : kTile);
        if (at >= 0 && R::run(best, here) == best) continue;
        best = here;
        at = i;
      }
      const float* p = piece(at);
      const auto found = [&](auto v) { return best == best ? v == best : v != v; };
      int64_t i = 0;
      while (i + W <= n - at && !any(found(load(p + i)))) i += W;
      while (!found(p[i])) ++i;
      indices[r] = static_cast<int32_t>(at + i);
      scatter_f32(values, r, p + i, 1);
    }
  });
}

template <bool largest>
void find_any(const Args& a, Context& c) {
  if (is_f32_class(a.in[0].dtype))
    find_f32<Extreme<largest>>(a, c);
  else if (a.in[0].dtype == DType::i64)
    find<int64_t, largest>(a, c);
  else
    find<double, largest>(a, c);
}

}  // namespace

void run_sum(const Args& a, Context& c) { fold<Sum>(a, c); }
void run_prod(const Args& a, Context& c) { fold<Prod>(a, c); }
void run_amax(const Args& a, Context& c) { fold<Max>(a, c); }
void run_amin(const Args& a, Context& c) { fold<Min>(a, c); }
void run_max_index(const Args& a, Context& c) { find_any<true>(a, c); }
void run_min_index(const Args& a, Context& c) { find_any<false>(a, c); }

void run_cumsum(const Args& a, Context& c) {
  const Operand &x = a.in[0], &y = a.out[0];
  const bool reverse = a.attr_bool(0);
  const auto go = [&](auto zero) {
    using T = decltype(zero);
    rows<T>(x, c, [&](int64_t r, int64_t n, const auto& get) {
      T sum{0};
      for (int64_t k = 0; k < n; ++k) {
        const int64_t i = reverse ? n - 1 - k : k;
        sum = Sum::run(sum, get(i));
        const int64_t at = r * n + i;
        if (x.dtype == DType::f64)
          y.ptr<double>()[at] = static_cast<double>(sum);
        else if (dtype_is_float(x.dtype)) {
          const float f = static_cast<float>(sum);
          scatter_f32(y, at, &f, 1);
        } else {
          put_folded(y, at, static_cast<int64_t>(sum), c);
        }
      }
    });
  };
  if (dtype_is_float(x.dtype))
    go(double{0});
  else
    go(int64_t{0});
}

}  // namespace SHAKTI_ISA_NS
