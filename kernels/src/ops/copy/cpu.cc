// Moving and converting. An element is moved by its size; only a change of dtype looks at its value.
#include <cmath>

#include "../../simd/tiles.h"

namespace SHAKTI_ISA_NS {
namespace {

constexpr int64_t kGrain = 16 * kTile;

template <class T>
void move_2d(const T* x, int64_t sr, int64_t sc, T* y, int64_t tr, int64_t tc, int64_t rows, int64_t cols) {
  // Blocks keep both sides in cache when one of them walks in large steps.
  constexpr int64_t kBlock = 32;
  for (int64_t r = 0; r < rows; r += kBlock) {
    const int64_t re = r + kBlock < rows ? r + kBlock : rows;
    for (int64_t q = 0; q < cols; q += kBlock) {
      const int64_t qe = q + kBlock < cols ? q + kBlock : cols;
      for (int64_t i = r; i < re; ++i) {
        for (int64_t j = q; j < qe; ++j) y[i * tr + j * tc] = x[i * sr + j * sc];
      }
    }
  }
}

// Sizes and both strides with mergeable dimensions merged.
struct Pair {
  int64_t shape[kMaxDims], xs[kMaxDims], ys[kMaxDims];
  int ndim = 0;
  Pair(const Operand& x, const Operand& y) {
    for (int d = 0; d < y.ndim; ++d) {
      const int64_t n = y.shape[d];
      if (n == 1) continue;
      if (ndim > 0 && xs[ndim - 1] == x.strides[d] * n && ys[ndim - 1] == y.strides[d] * n) {
        shape[ndim - 1] *= n;
        xs[ndim - 1] = x.strides[d];
        ys[ndim - 1] = y.strides[d];
      } else {
        shape[ndim] = n;
        xs[ndim] = x.strides[d];
        ys[ndim++] = y.strides[d];
      }
    }
  }
};

template <class T>
void move(const Operand& x, const Operand& y, Context& c) {
  const Pair p(x, y);
  const T* from = x.ptr<T>();
  T* to = y.ptr<T>();
  if (y.numel() == 0) return;
  if (p.ndim == 0) {
    to[0] = from[0];
    return;
  }
  if (p.ndim == 1) {
    c.parallel_for(p.shape[0], 4 * kGrain, [&](int64_t b, int64_t e, int) {
      if (p.xs[0] == 1 && p.ys[0] == 1) {
        std::memcpy(to + b, from + b, static_cast<size_t>(e - b) * sizeof(T));
      } else {
        for (int64_t i = b; i < e; ++i) to[i * p.ys[0]] = from[i * p.xs[0]];
      }
    });
    return;
  }
  // The last two dimensions as a plane; the others are walked.
  const int r = p.ndim - 2, q = p.ndim - 1;
  int64_t planes = 1;
  for (int d = 0; d < r; ++d) planes *= p.shape[d];
  const int64_t size = p.shape[r] * p.shape[q];
  const auto plane = [&](int64_t i, int64_t row, int64_t rows) {
    const int64_t xo = offset_of(i, p.shape, p.xs, r) + row * p.xs[r];
    const int64_t yo = offset_of(i, p.shape, p.ys, r) + row * p.ys[r];
    if (p.xs[q] == 1 && p.ys[q] == 1) {
      for (int64_t k = 0; k < rows; ++k) {
        std::memcpy(to + yo + k * p.ys[r], from + xo + k * p.xs[r], static_cast<size_t>(p.shape[q]) * sizeof(T));
      }
    } else {
      move_2d(from + xo, p.xs[r], p.xs[q], to + yo, p.ys[r], p.ys[q], rows, p.shape[q]);
    }
  };
  if (planes == 1) {
    const int64_t rows = (kGrain * 2 + p.shape[q] - 1) / p.shape[q];
    c.parallel_for(p.shape[r], rows, [&](int64_t b, int64_t e, int) { plane(0, b, e - b); });
  } else {
    const int64_t grain = size > 0 ? (kGrain * 2 + size - 1) / size : planes;
    c.parallel_for(planes, grain, [&](int64_t b, int64_t e, int) {
      for (int64_t i = b; i < e; ++i) plane(i, 0, p.shape[r]);
    });
  }
}

SHAKTI_INLINE int64_t to_int(double v, double low, double high) {
  if (v != v) return 0;
  return v <= low    ? static_cast<int64_t>(low)
         : v >= high ? (high >= 9.2e18 ? INT64_MAX : static_cast<int64_t>(high))
                     : static_cast<int64_t>(v);
}

SHAKTI_INLINE void put_double(const Operand& y, int64_t at, double v) {
  switch (y.dtype) {
    case DType::f32: y.ptr<float>()[at] = static_cast<float>(v); break;
    case DType::f64: y.ptr<double>()[at] = v; break;
    case DType::i32: y.ptr<int32_t>()[at] = static_cast<int32_t>(to_int(v, -2147483648.0, 2147483647.0)); break;
    case DType::i64: y.ptr<int64_t>()[at] = to_int(v, -9223372036854775808.0, 9223372036854775807.0); break;
    case DType::u8: y.ptr<uint8_t>()[at] = static_cast<uint8_t>(to_int(v, 0, 255)); break;
    case DType::boolean: y.ptr<uint8_t>()[at] = v != 0; break;
    default: {
      const vf lanes = splat(static_cast<float>(v));
      const vh h = y.dtype == DType::bf16 ? to_bf16(lanes) : to_f16(lanes);
      y.ptr<uint16_t>()[at] = h[0];
    }
  }
}

// Any dtype to any other, through f32 tiles where both are short floats, else element by element.
void convert(const Operand& x, const Operand& y, Context& c) {
  const Walk wx(x, y), wy(y, y);
  const bool fast = is_f32_class(x.dtype) && is_f32_class(y.dtype) && wy.dense();
  c.parallel_for(y.numel(), kGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; i += kTile) {
      const int64_t n = end - i < kTile ? end - i : kTile;
      if (fast) {
        alignas(64) float buffer[kTile];
        scatter_f32(y, i, wx.tile(x, i, n, buffer), n);
        continue;
      }
      double v[kTile];
      int64_t whole[kTile];
      const bool integers = !dtype_is_float(x.dtype);
      if (is_f32_class(x.dtype)) {
        alignas(64) float buffer[kTile];
        const float* p = wx.tile(x, i, n, buffer);
        for (int64_t k = 0; k < n; ++k) v[k] = static_cast<double>(p[k]);
      } else if (x.dtype == DType::f64) {
        wx.tile_as(x.ptr<double>(), i, n, v);
      } else {
        tile_int(wx, x, i, n, whole);
        for (int64_t k = 0; k < n; ++k) v[k] = static_cast<double>(whole[k]);
      }
      wy.runs(i, n, [&](int64_t from, int64_t at, int64_t stride, int64_t count) {
        for (int64_t k = 0; k < count; ++k) {
          // i64 keeps all its digits on the way to i64.
          if (integers && y.dtype == DType::i64)
            y.ptr<int64_t>()[at + k * stride] = whole[from + k];
          else
            put_double(y, at + k * stride, v[from + k]);
        }
      });
    }
  });
}

// Calls f with a value of the unsigned type that has an element's size.
template <class F>
SHAKTI_INLINE void by_size(DType t, const F& f) {
  switch (dtype_size(t)) {
    case 8: return f(uint64_t{});
    case 4: return f(uint32_t{});
    case 2: return f(uint16_t{});
    default: return f(uint8_t{});
  }
}

void triangle(const Args& a, Context& c, bool lower) {
  const Operand &x = a.in[0], &y = a.out[0];
  const int64_t rows = y.size(-2), cols = y.size(-1), diagonal = a.attr_int(0);
  by_size(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t all = y.numel() / (cols > 0 ? cols : 1);
    c.parallel_for(all, 1 + kGrain / (cols + 1), [&](int64_t b, int64_t e, int) {
      for (int64_t r = b; r < e; ++r) {
        const int64_t row = r % rows;
        const int64_t from = offset_of(r, y.shape, x.strides, y.ndim - 1);
        for (int64_t j = 0; j < cols; ++j) {
          const bool keep = lower ? j <= row + diagonal : j >= row + diagonal;
          y.ptr<T>()[r * cols + j] = keep ? x.ptr<T>()[from + j * x.stride(-1)] : T{0};
        }
      }
    });
  });
}

}  // namespace

void run_copy(const Args& a, Context& c) {
  const Operand &x = a.in[0], &y = a.out[0];
  if (x.dtype != y.dtype) return convert(x, y, c);
  by_size(y.dtype, [&](auto t) { move<decltype(t)>(x, y, c); });
}

void run_fill(const Args& a, Context& c) {
  const Operand& y = a.out[0];
  alignas(8) char one[8];
  Operand cell = y;
  cell.data = one;
  put_double(cell, 0, a.attr(0));
  const Walk w(y, y);
  by_size(y.dtype, [&](auto t) {
    using T = decltype(t);
    T v;
    std::memcpy(&v, one, sizeof v);
    c.parallel_for(y.numel(), 8 * kGrain, [&](int64_t b, int64_t e, int) {
      w.runs(b, e - b, [&](int64_t, int64_t at, int64_t stride, int64_t n) {
        for (int64_t i = 0; i < n; ++i) y.ptr<T>()[at + i * stride] = v;
      });
    });
  });
}

void run_arange(const Args& a, Context&) {
  const Operand& y = a.out[0];
  for (int64_t i = 0; i < y.numel(); ++i) put_double(y, i, a.attr(0) + a.attr(1) * static_cast<double>(i));
}

void run_tril(const Args& a, Context& c) { triangle(a, c, true); }
void run_triu(const Args& a, Context& c) { triangle(a, c, false); }

void run_cat(const Args& a, Context& c) {
  const int dim = static_cast<int>(a.attr_int(0));
  Operand part = a.out[0];
  for (int i = 0; i < a.n_in; ++i) {
    const Operand& x = a.in[i];
    part.shape[dim] = x.shape[dim];
    by_size(part.dtype, [&](auto t) {
      move<decltype(t)>(x, part, c);
      part.data = part.ptr<decltype(t)>() + x.shape[dim] * part.strides[dim];
    });
  }
}

void run_pad(const Args& a, Context& c) {
  const Operand &x = a.in[0], &y = a.out[0];
  run_fill(a, c);
  by_size(y.dtype, [&](auto t) {
    using T = decltype(t);
    Operand part = y;
    int64_t at = 0;
    for (int d = 0; d < y.ndim; ++d) {
      part.shape[d] = x.shape[d];
      at += a.attr_int(2 + d) * y.strides[d];
    }
    part.data = y.ptr<T>() + at;
    if (x.numel() > 0) move<T>(x, part, c);
  });
}

void run_flip(const Args& a, Context& c) {
  const Operand &x = a.in[0], &y = a.out[0];
  by_size(y.dtype, [&](auto t) {
    using T = decltype(t);
    int64_t strides[kMaxDims];
    int64_t start = 0;
    for (int d = 0; d < x.ndim; ++d) strides[d] = x.strides[d];
    for (int64_t i = 0; i < a.attr_int(0); ++i) {
      const int d = static_cast<int>(a.attr_int(static_cast<int>(1 + i)));
      start += (x.shape[d] - 1) * x.strides[d];
      strides[d] = -x.strides[d];
    }
    c.parallel_for(y.numel(), kGrain, [&](int64_t b, int64_t e, int) {
      for (int64_t i = b; i < e; ++i) y.ptr<T>()[i] = x.ptr<T>()[start + offset_of(i, y.shape, strides, y.ndim)];
    });
  });
}

}  // namespace SHAKTI_ISA_NS
