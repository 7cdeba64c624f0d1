// Moving and converting. An element is moved by its size; only a change of dtype looks at its value.
#include <cmath>

#include "../../simd/tiles.h"
#include "../../simd/transpose.h"

namespace SHAKTI_ISA_NS {
namespace {

constexpr int64_t kGrain = 16 * kTile;

// Bytes that lie together; past the caches when the whole result is too large for them.
SHAKTI_INLINE void move_bytes(void* to, const void* from, size_t n, bool past) {
  if (past)
    stream_bytes(to, from, n);
  else
    std::memcpy(to, from, n);
}

// The plane is moved in blocks, which keeps both sides in cache when one of them walks in large steps.
constexpr int64_t kBlockRows = 64, kBlockColumns = 512;

// A block of y's plane from x, step by step, for any strides.
template <class T>
void move_block(const T* x, int64_t sr, int64_t sc, T* y, int64_t tr, int64_t tc, int64_t rows, int64_t cols) {
  constexpr int64_t kTogether = 32;
  for (int64_t q = 0; q < cols; q += kTogether) {
    const int64_t qe = q + kTogether < cols ? q + kTogether : cols;
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = q; j < qe; ++j) y[i * tr + j * tc] = x[i * sr + j * sc];
    }
  }
}

// The same where x is dense along y's rows and y along its columns: squares of whole cache lines, through a buffer, so
// that each line is read once and written once.
template <class T>
void transpose_block(const T* x, int64_t sc, T* y, int64_t tr, int64_t rows, int64_t cols, bool past) {
  constexpr int64_t N = 64 / sizeof(T), K = 16 / sizeof(T);
  const int64_t whole_rows = rows / N * N, whole_cols = cols / N * N;
  const size_t step = static_cast<size_t>(tr) * sizeof(T);
  const bool stream = past && (reinterpret_cast<uintptr_t>(y) | step) % 64 == 0;
  alignas(64) T square[N * N];
  for (int64_t j = 0; j < whole_cols; j += N) {
    for (int64_t i = 0; i < whole_rows; i += N) {
      // Steps so large are not foreseen by the CPU; lines a power of two apart would push each other out of L1.
      for (int64_t k = 0; k < N; ++k) __builtin_prefetch(x + (j + N + k) * sc + i, 0, 2);
      for (int64_t k = 0; k < N; k += K) {
        for (int64_t l = 0; l < N; l += K) transpose_square(x + (j + k) * sc + i + l, sc, square + l * N + k, N);
      }
      for (int64_t l = 0; l < N; ++l) move_bytes(y + (i + l) * tr + j, square + l * N, 64, stream);
    }
  }
  move_block(x + whole_cols * sc, 1, sc, y + whole_cols, tr, 1, whole_rows, cols - whole_cols);
  move_block(x + whole_rows, 1, sc, y + whole_rows * tr, tr, 1, rows - whole_rows, cols);
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
  const bool past = static_cast<size_t>(y.numel()) * sizeof(T) > c.cache_bytes();
  if (p.ndim == 0) {
    to[0] = from[0];
    return;
  }
  if (p.ndim == 1) {
    c.parallel_for(p.shape[0], 4 * kGrain, [&](int64_t b, int64_t e, int) {
      if (p.xs[0] == 1 && p.ys[0] == 1) {
        move_bytes(to + b, from + b, static_cast<size_t>(e - b) * sizeof(T), past);
      } else {
        for (int64_t i = b; i < e; ++i) to[i * p.ys[0]] = from[i * p.xs[0]];
      }
      if (past) finish_streams();
    });
    return;
  }
  // The last two dimensions as a plane; the others are walked.
  const int r = p.ndim - 2, q = p.ndim - 1;
  int64_t planes = 1;
  for (int d = 0; d < r; ++d) planes *= p.shape[d];
  const bool lines = p.xs[q] == 1 && p.ys[q] == 1, turned = p.xs[r] == 1 && p.ys[q] == 1;
  // Lines a multiple of 4 KiB apart fall into one set of L1, where so many do not fit: they are written past it, if the
  // result is too large for L2 anyway (f32 [4096, 1024]: 0.57 ms for 1.09, 2026-11-26).
  const size_t bytes = static_cast<size_t>(y.numel()) * sizeof(T);
  const bool crowded = turned && bytes > (size_t{4} << 20) && static_cast<size_t>(p.ys[r]) * sizeof(T) % 4096 == 0;
  // Lines that lie together are never cut.
  const int64_t block_cols = lines ? p.shape[q] : kBlockColumns;
  const int64_t down = (p.shape[r] + kBlockRows - 1) / kBlockRows, across = (p.shape[q] + block_cols - 1) / block_cols;
  const int64_t least =
      (p.shape[r] < kBlockRows ? p.shape[r] : kBlockRows) * (p.shape[q] < block_cols ? p.shape[q] : block_cols);
  c.parallel_for(planes * down * across, 1 + 2 * kGrain / (least + 1), [&](int64_t b, int64_t e, int) {
    for (int64_t t = b; t < e; ++t) {
      const int64_t row = t / across % down * kBlockRows, col = t % across * block_cols, at = t / across / down;
      const int64_t rows = p.shape[r] - row < kBlockRows ? p.shape[r] - row : kBlockRows;
      const int64_t cols = p.shape[q] - col < block_cols ? p.shape[q] - col : block_cols;
      const T* u = from + offset_of(at, p.shape, p.xs, r) + row * p.xs[r] + col * p.xs[q];
      T* v = to + offset_of(at, p.shape, p.ys, r) + row * p.ys[r] + col * p.ys[q];
      if (lines) {
        for (int64_t k = 0; k < rows; ++k)
          move_bytes(v + k * p.ys[r], u + k * p.xs[r], static_cast<size_t>(cols) * sizeof(T), past);
      } else if (turned) {
        transpose_block(u, p.xs[q], v, p.ys[r], rows, cols, past || crowded);
      } else {
        move_block(u, p.xs[r], p.xs[q], v, p.ys[r], p.ys[q], rows, cols);
      }
    }
    if (past || crowded) finish_streams();
  });
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
void convert(const Args& a, Context& c) {
  const Operand &x = a.in[0], &y = a.out[0];
  const Walk wx(x, y), wy(y, y);
  const Output result(a, 0, c);
  const bool fast = is_f32_class(x.dtype) && is_f32_class(y.dtype) && wy.dense();
  c.parallel_for(y.numel(), kGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; i += kTile) {
      const int64_t n = end - i < kTile ? end - i : kTile;
      if (fast) {
        alignas(64) float buffer[kTile];
        const float* p = wx.tile(x, i, n, buffer);
        result.write(i, p, n);
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
    if (fast) result.finish();
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
  if (x.dtype != y.dtype) return convert(a, c);
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
