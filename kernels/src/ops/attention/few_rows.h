// Products of a few rows with keys and values that are read where they lie and made f32 in registers: a token's step
// reads the whole cache for a few rows' sake, so that every copy of it would show.
#pragma once
#include "../../simd/bytes.h"
#include "../../simd/transpose.h"
#include "problem.h"

namespace SHAKTI_ISA_NS {
namespace {

// Up to so many rows of a head of keys; more take blocks, whose numbers are laid out once for all rows. From 9 rows on
// blocks would be a little faster, but round otherwise: a few guessed tokens read at once have to give what each gives
// alone.
constexpr int64_t kFewRows = attention::Forward::kStrip;
SHAKTI_INLINE bool few_rows(const Problem& p) {
  const bool dense = p.d == 1 || (p.k->strides[3] == 1 && p.v->strides[3] == 1);
  return dense && p.lq * (p.h / p.hk) <= kFewRows;
}

// Rows of d numbers, `step` apart: floats, or bytes without their scales.
template <DType t>
struct NumberRows {
  static constexpr int64_t kSize = t == DType::u8 ? 1 : t == DType::f32 ? 4 : 2;
  const char* p;
  int64_t step, d;

  NumberRows(const Operand& o, int64_t at, int64_t d_) : p(o.ptr<char>() + at * kSize), step(o.strides[1]), d(d_) {}

  // Brings a row towards the caches: rows of other heads may lie between those of one, which the CPU does not foresee.
  SHAKTI_INLINE void fetch(int64_t row) const {
    for (int64_t c = 0; c < d * kSize; c += 64) __builtin_prefetch(p + row * step * kSize + c, 0, 2);
  }
  SHAKTI_INLINE const char* row(int64_t i) const { return p + i * step * kSize; }
  // n of a row from c on; 0 in the other lanes.
  static SHAKTI_INLINE vf load(const char* row, int64_t c, int64_t n, bool part) {
    if (t != DType::u8) return load_float<t == DType::u8 ? DType::f32 : t>(row, c, n, part);
    const auto* bytes = reinterpret_cast<const uint8_t*>(row) + c;
    return part ? load_bytes_part(bytes, n) : load_bytes(bytes);
  }
};

// Calls f with a dtype of keys and values as a constant.
template <class F>
SHAKTI_INLINE void by_number_type(DType t, const F& f) {
  if (t == DType::u8)
    f(FloatType<DType::u8>());
  else
    by_float_type(t, f);
}

// Scores of R rows of q, [R][ld] of f32, with keys [begin, end): s[r * lds + key], whole fours of them from `begin` on.
// Meanwhile their values come, and the keys of the next block.
template <int R, DType t>
__attribute__((noinline)) void scores_of(const float* q, int64_t ld, const NumberRows<t>& keys,
                                         const NumberRows<t>& values, int64_t begin, int64_t end, float* s,
                                         int64_t lds) {
  for (int64_t j = begin; j < end; j += 4) {
    for (int i = 0; i < 4; ++i) {
      values.fetch(j + i);
      keys.fetch(j + i + kKeys);
    }
    const char* key[4];
    for (int i = 0; i < 4; ++i) key[i] = keys.row(j + i < end ? j + i : end - 1);
    vf sums[R][4] = {};
    lanes(keys.d, [&](int64_t c, int64_t n, bool part) {
      vf k[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) k[i] = keys.load(key[i], c, n, part);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const vf x = load(q + r * ld + c);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) sums[r][i] = vfma(x, k[i], sums[r][i]);
      }
    });
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) hsum_four(sums[r][0], sums[r][1], sums[r][2], sums[r][3], s + r * lds + j);
  }
}

// out[r * ldo + c] += the values [begin, end), times the rows' weights for them, in V vectors of columns from c on;
// `part`: the last of them is not whole.
template <int R, int V, DType t>
SHAKTI_INLINE void sums_of(const float* w, int64_t ldw, const NumberRows<t>& values, int64_t begin, int64_t end,
                           int64_t c, bool part, float* out, int64_t ldo) {
  vf sums[R][V];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sums[r][v] = load(out + r * ldo + c + v * W);
  }
  for (int64_t j = begin; j < end; ++j) {
    const char* value = values.row(j);
    vf x[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) x[v] = values.load(value, c + v * W, part ? values.d - c : W, part);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const vf by = splat(w[r * ldw + j]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sums[r][v] = vfma(by, x[v], sums[r][v]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) store(out + r * ldo + c + v * W, sums[r][v]);
  }
}

template <int R, DType t>
__attribute__((noinline)) void sums_of(const float* w, int64_t ldw, const NumberRows<t>& values, int64_t begin,
                                       int64_t end, float* out, int64_t ldo) {
  int64_t c = 0;
  for (; c + 4 * W <= values.d; c += 4 * W) sums_of<R, 4>(w, ldw, values, begin, end, c, false, out, ldo);
  for (; c + W <= values.d; c += W) sums_of<R, 1>(w, ldw, values, begin, end, c, false, out, ldo);
  if (c < values.d) sums_of<R, 1>(w, ldw, values, begin, end, c, true, out, ldo);
}

// Calls f(number, row) for n rows: four at a time, then one by one.
template <class F>
SHAKTI_INLINE void by_fours(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) f(std::integral_constant<int, 4>(), i);
  for (; i < n; ++i) f(std::integral_constant<int, 1>(), i);
}

template <DType t>
void few_scores(int64_t n, const float* q, int64_t ld, const NumberRows<t>& keys, const NumberRows<t>& values,
                int64_t begin, int64_t end, float* s, int64_t lds) {
  by_fours(n,
           [&](auto R, int64_t i) { scores_of<R.value>(q + i * ld, ld, keys, values, begin, end, s + i * lds, lds); });
}

template <DType t>
void few_sums(int64_t n, const float* w, int64_t ldw, const NumberRows<t>& values, int64_t begin, int64_t end,
              float* out, int64_t ldo) {
  by_fours(n, [&](auto R, int64_t i) { sums_of<R.value>(w + i * ldw, ldw, values, begin, end, out + i * ldo, ldo); });
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
