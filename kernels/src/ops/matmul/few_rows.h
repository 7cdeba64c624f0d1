// Few rows of a (decoding): b is read once, where it lies and in its own dtype, since packing it would cost more than
// the product.
#pragma once
#include <type_traits>

#include "register_tile.h"

namespace SHAKTI_ISA_NS {
namespace {

constexpr int R4 = 4, C4 = 4;     // rows and columns (or vectors of them) that share registers
constexpr int kDots = C4 * 8;     // columns of a task, where columns of b lie along
constexpr int64_t kPiece = 1024;  // of the depth: a's part of it stays in L1 while the columns pass
static_assert(matmul::kFew * kDots <= kPut && R4 * C4 * W <= kPut, "put takes either");

struct FewRows {
  const void* a;  // [m, k] in what the products are made of
  int64_t a_row;  // elements from row to row
  int64_t m, k;
  const Matrix* b;
  const Target* t;

  template <class A>
  SHAKTI_INLINE const A* row(int64_t r) const {
    return static_cast<const A*>(a) + r * a_row;
  }
};

// How a product is summed: a lane for each k, in f32 ...
template <DType T>
struct Lanes {
  using A = float;
  using B = typename std::conditional<T == DType::f32, float, uint16_t>::type;
  using V = vf;
  static constexpr int64_t kStep = W;
  static SHAKTI_INLINE V load_a(const float* p, int64_t n, bool part) { return load_n(p, n, part); }
  static SHAKTI_INLINE V load_b(const Operand& o, int64_t at, int64_t n, bool part) {
    if (!part) return load_as_f32(o.data, T, at);
    alignas(64) float rest[W] = {};
    gather_f32(rest, o, at, 1, n);
    return load(rest);
  }
  static SHAKTI_INLINE vf add(vf sum, V a, V b) { return vfma(a, b, sum); }
};
#if defined(__AVX512F__)
// ... or a lane for two of them, in bf16.
struct Pairs {
  using A = uint16_t;
  using B = uint16_t;
  using V = vpairs;
  static constexpr int64_t kStep = 2 * W;
  static SHAKTI_INLINE V load_a(const uint16_t* p, int64_t n, bool part) {
    return part ? load_pairs(p, n) : _mm512_loadu_si512(p);
  }
  static SHAKTI_INLINE V load_b(const Operand& o, int64_t at, int64_t n, bool part) {
    return load_a(o.ptr<uint16_t>() + at, n, part);
  }
  static SHAKTI_INLINE vf add(vf sum, V a, V b) { return dot_pairs(sum, a, b); }
};
#endif

// f(rows, first row) over the rows in groups of four and a smaller last one, their number known to the compiler.
template <class F>
SHAKTI_INLINE void groups_of_rows(int64_t m, const F& f) {
  for (int64_t r = 0; r < m; r += R4) {
    switch (m - r) {
      case 1: f(std::integral_constant<int, 1>(), r); break;
      case 2: f(std::integral_constant<int, 2>(), r); break;
      case 3: f(std::integral_constant<int, 3>(), r); break;
      default: f(std::integral_constant<int, R4>(), r);
    }
  }
}

// R rows times C columns of b that lie one after another (a linear layer's weight), over n elements of the depth from
// x0: added to sums, a vector for each row and column. Meanwhile A columns of b from `next` on are fetched.
template <class S, int R, int C, int A = 0>
SHAKTI_INLINE void dots(const FewRows& f, int64_t r0, int64_t c0, int64_t x0, int64_t n, vf* sums,
                        const typename S::B* next = nullptr) {
  const auto* p = f.row<typename S::A>(r0) + x0;
  const int64_t q = f.b->at + c0 * f.b->cs + x0;
  vf sum[R][C];
#pragma GCC unroll 16
  for (int i = 0; i < R * C; ++i) sum[i / C][i % C] = sums[i];
  const auto step = [&](int64_t x, int64_t count, bool part) {
    typename S::V bv[C];
#pragma GCC unroll 4
    for (int i = 0; i < C; ++i) bv[i] = S::load_b(*f.b->o, q + i * f.b->cs + x, count, part);
    // A hint only, which may point anywhere.
#pragma GCC unroll 4
    for (int i = 0; i < A; ++i) __builtin_prefetch(next + i * f.b->cs + x);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const typename S::V av = S::load_a(p + r * f.a_row + x, count, part);
#pragma GCC unroll 4
      for (int i = 0; i < C; ++i) sum[r][i] = S::add(sum[r][i], av, bv[i]);
    }
  };
  int64_t x = 0;
  for (; x + S::kStep <= n; x += S::kStep) step(x, S::kStep, false);
  if (x < n) step(x, n - x, true);
#pragma GCC unroll 16
  for (int i = 0; i < R * C; ++i) sums[i] = sum[i / C][i % C];
}

// Columns [begin, end) of all rows, kDots at most.
template <class S>
void dot_columns(const FewRows& f, int64_t begin, int64_t end) {
  const int64_t piece = f.m > R4 ? kPiece : f.k;
  vf sums[kDots * matmul::kFew] = {};
  for (int64_t x = 0; x < f.k; x += piece) {
    const int64_t n = f.k - x < piece ? f.k - x : piece;
    int64_t c = begin;
    for (; c + C4 <= end; c += C4) {
      // Pieces are too short for the hardware to see the next one coming. Each group of rows asks for a part of it:
      // all at once would be more than can be on its way.
      const int64_t by = c + 2 * C4 <= end ? C4 * f.b->cs : (begin - c) * f.b->cs + piece;
      const auto* next = f.b->o->template ptr<typename S::B>() + f.b->at + c * f.b->cs + x + by;
      groups_of_rows(f.m, [&](auto rows, int64_t r) {
        vf* of = sums + (c - begin) * matmul::kFew + r * C4;
        if (f.m > 3 * R4)
          dots<S, rows, C4, 1>(f, r, c, x, n, of, next + r / R4 * f.b->cs);
        else if (f.m > R4)
          dots<S, rows, C4, 2>(f, r, c, x, n, of, next + r / R4 % 2 * 2 * f.b->cs);
        else
          dots<S, rows, C4>(f, r, c, x, n, of);
      });
    }
    for (; c < end; ++c) {
      groups_of_rows(
          f.m, [&](auto rows, int64_t r) { dots<S, rows, 1>(f, r, c, x, n, sums + (c - begin) * matmul::kFew + r); });
    }
  }
  // Four columns share the places of theirs, row by row; what is left over has one column each.
  const int64_t columns = end - begin, together = columns / C4 * C4;
  float out[matmul::kFew][kDots];
  for (int64_t r = 0; r < f.m; ++r) {
    for (int64_t c = 0; c < together; ++c) out[r][c] = hsum(sums[c / C4 * C4 * matmul::kFew + r * C4 + c % C4]);
    for (int64_t c = together; c < columns; ++c) out[r][c] = hsum(sums[c * matmul::kFew + r]);
  }
  put(*f.t, 0, begin, out[0], kDots, f.m, columns);
}

// R rows times up to C4 vectors of columns of b, whose rows lie without gaps.
template <class S, int R>
void strip(const FewRows& f, int64_t r0, int64_t c0, int64_t columns) {
  const float* p = f.row<float>(r0);
  vf sum[R][C4] = {};
  const bool whole = columns == C4 * W;
  for (int64_t x = 0; x < f.k; ++x) {
    const int64_t row = f.b->at + x * f.b->rs + c0;
    const auto vector = [&](int i, int64_t n, bool part) {
      const vf bv = S::load_b(*f.b->o, row + i * W, n, part);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) sum[r][i] = vfma(splat(p[r * f.a_row + x]), bv, sum[r][i]);
    };
    if (whole) {
#pragma GCC unroll 4
      for (int i = 0; i < C4; ++i) vector(i, W, false);
    } else {
      for (int i = 0; i * W < columns; ++i) vector(i, columns - i * W < W ? columns - i * W : W, columns - i * W < W);
    }
  }
  alignas(64) float out[R][C4 * W];
  for (int r = 0; r < R; ++r) {
    for (int i = 0; i < C4; ++i) store(out[r] + i * W, sum[r][i]);
  }
  put(*f.t, r0, c0, out[0], C4 * W, R, columns);
}

// f(first column, column behind the last) over n columns, `width` a task.
template <class F>
void columns_of_tasks(const FewRows& f, int64_t n, int64_t width, Context& c, const F& columns) {
  const int64_t groups = (n + width - 1) / width;
  c.parallel_for(groups, 1 + 65536 / (width * (f.k + 1)), [&](int64_t first, int64_t last, int) {
    for (int64_t g = first; g < last; ++g) columns(g * width, g * width + width < n ? g * width + width : n);
  });
}

template <DType T>
void few_rows(const FewRows& f, int64_t n, Context& c) {
  if (f.b->cs != 1) {
    columns_of_tasks(f, n, kDots, c, [&](int64_t begin, int64_t end) { dot_columns<Lanes<T>>(f, begin, end); });
    return;
  }
  columns_of_tasks(f, n, C4 * W, c, [&](int64_t begin, int64_t end) {
    groups_of_rows(f.m, [&](auto rows, int64_t r) { strip<Lanes<T>, rows>(f, r, begin, end - begin); });
  });
}

SHAKTI_INLINE bool are_few(const Matrix& b, int64_t m) { return m <= matmul::kFew && (b.cs == 1 || b.rs == 1); }

// `rows`: m rows of few_row(k) words. `pairs`: products of bf16 may be summed in pairs.
void few_product(const Matrix& a, const Matrix& b, int64_t m, int64_t n, int64_t k, const Target& t, float* rows,
                 bool pairs, Context& c) {
  FewRows f = {rows, matmul::few_row(k), m, k, &b, &t};
#if defined(__AVX512F__)
  if (pairs && b.o->dtype == DType::bf16 && b.cs != 1) {
    auto* halves = reinterpret_cast<uint16_t*>(rows);
    f.a_row = 2 * matmul::few_row((k + 1) / 2);
    for (int64_t r = 0; r < m; ++r) gather_bf16(halves + r * f.a_row, *a.o, a.at + r * a.rs, a.cs, k);
    columns_of_tasks(f, n, kDots, c, [&](int64_t begin, int64_t end) { dot_columns<Pairs>(f, begin, end); });
    return;
  }
#endif
  if (a.o->dtype == DType::f32 && a.cs == 1 && m <= R4) {
    f.a = a.o->ptr<float>() + a.at;
    f.a_row = a.rs;
  } else {
    for (int64_t r = 0; r < m; ++r) gather_f32(rows + r * f.a_row, *a.o, a.at + r * a.rs, a.cs, k);
  }
  switch (b.o->dtype) {
    case DType::bf16: return few_rows<DType::bf16>(f, n, c);
    case DType::f16: return few_rows<DType::f16>(f, n, c);
    default: return few_rows<DType::f32>(f, n, c);
  }
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
