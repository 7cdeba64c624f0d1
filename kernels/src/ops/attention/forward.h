// Forward by blocks of rows and keys (Dao et al., arXiv 2205.14135). A row is a query of a head; the heads that share
// keys and values are rows of one block, query by query, so that these are read once for all of them.
#pragma once
#include "online_softmax.h"
#include "products.h"

namespace SHAKTI_ISA_NS {
namespace {

constexpr int64_t kRows = attention::kRowsOfBlock;
// Rows whose scores exist at a time; of tiles, one row.
template <Unit U>
constexpr int64_t kRowsAtOnce = U == Unit::amx ? 16 : kStrip;

// Rows of one batch element and one head of keys: row r is query r / group of head first_head + r % group.
struct RowsOf {
  const Problem& p;
  int64_t b, hk, group;

  int64_t query(int64_t r) const { return r / group; }
  int64_t head(int64_t r) const { return hk * group + r % group; }
  // Keys that any of the rows [first, first + n) may look at.
  Range span_of(int64_t first, int64_t n) const {
    return span(p, query(first), query(first + n - 1) - query(first) + 1);
  }
};

// What rows have seen of their keys: in `out` the values weighted by the powers of scores, not yet divided by their
// sum.
template <Unit U>
struct ForwardBlock {
  float* q;          // [kRows][words of a row]
  float* out;        // [kRows][dp]
  float* kt;         // [words of d][kKeys]
  float* v;          // [words of kKeys][dp]
  float* s;          // [kStrip][kKeys]
  float* w;          // the same in words
  float* buffer;     // [kKeys][dp]
  Running* running;  // [kRows / kRowsAtOnce]

  explicit ForwardBlock(const Problem& p, float* memory) {
    running = reinterpret_cast<Running*>(memory);
    q = memory + kRows / kRowsAtOnce<U> * static_cast<int64_t>(sizeof(Running) / sizeof(float));
    out = q + kRows * p.dp;
    kt = out + kRows * p.dp;
    v = kt + kKeys * p.dp;
    buffer = v + kKeys * p.dp;
    s = buffer + kKeys * p.dp;
    w = s + kStrip * kKeys;
  }

  // Rows [first, first + n) over the keys [begin, end).
  void run(const RowsOf& rows, int64_t first, int64_t n, Range keys) {
    const Problem& p = rows.p;
    begin_products<U>();
    const int64_t ld = words_of_row<U>(p);
    for (int64_t i = 0; i < n; ++i) {
      load_row<U>(*p.q, row_at(*p.q, rows.b, rows.query(first + i), rows.head(first + i)), p.d, ld, q + i * ld);
      for (int64_t j = 0; U == Unit::f32 && j < ld; ++j) q[i * ld + j] *= p.scale * kLog2E;
    }
    std::memset(out, 0, static_cast<size_t>(n * p.dp) * 4);
    for (int64_t i = 0; i < n; i += kRowsAtOnce<U>) running[i / kRowsAtOnce<U>].start();
    const Range all = rows.span_of(first, n);
    const int64_t begin = all.begin > keys.begin ? all.begin : keys.begin;
    const int64_t end = all.end < keys.end ? all.end : keys.end;
    for (int64_t k0 = begin; k0 < end; k0 += kKeys) {
      const int64_t m = end - k0 < kKeys ? end - k0 : kKeys;
      transpose(rows_of<U>(p, *p.k, rows.b, rows.hk, k0, m, buffer), m, words<U>(p.d), kt);
      const Rows values = stack<U>(rows_of<U>(p, *p.v, rows.b, rows.hk, k0, m, buffer), m, p.dp, v);
      for (int64_t i = 0; i < n; i += kRowsAtOnce<U>)
        strip(rows, first + i, n - i < kRowsAtOnce<U> ? n - i : kRowsAtOnce<U>, k0, m, i, values);
    }
    end_products<U>();
  }

 private:
  void strip(const RowsOf& rows, int64_t first, int64_t n, int64_t k0, int64_t m, int64_t at, Rows values) {
    const Problem& p = rows.p;
    const Range seen = rows.span_of(first, n);
    const int64_t from = seen.begin - k0, to = seen.end - k0 < m ? seen.end - k0 : m;
    if (from >= to) return;
    // Columns in whole vectors, from an even one.
    const int64_t c0 = from > 0 ? from / 32 * 32 : 0, c1 = (to + W - 1) / W * W;
    const int64_t ld = words_of_row<U>(p);
    multiply<U>(n, c1 - c0, words<U>(p.d), {q + at * ld, ld, 1}, {kt + c0, kKeys}, s + c0, kKeys, false);
    for (int64_t i = 0; i < n; ++i) {
      float* row = s + i * kKeys;
      for (int64_t j = c0; U != Unit::f32 && j < c1; j += W) store(row + j, load(row + j) * splat(p.scale * kLog2E));
      const int64_t query = rows.query(first + i);
      const Range r = p.keys(query);
      if (p.mask->present() || r.begin > k0 + c0 || r.end < k0 + c1 || c1 > m)
        apply_mask(p, rows.b, rows.head(first + i), query, r, k0, m, c0, c1, row);
    }
    Running& state = running[at / kRowsAtOnce<U>];
    state.take(s, n, c0, c1);
    for (int64_t i = 0; i < n; ++i) {
      if (state.shrink[i] == 1) continue;
      float* o = out + (at + i) * p.dp;
      for (int64_t j = 0; j < p.dp; j += W) store(o + j, load(o + j) * splat(state.shrink[i]));
    }
    multiply<U>(n, p.dp, words<U>((c1 < m ? c1 : m) - c0), over_keys<U>(s, n, c0, c1, w),
                {values.p + c0 / kPerWord<U> * values.ld, values.ld}, out + at * p.dp, p.dp, true);
  }
};

// A row's result from its weighted sum, the sum of its weights and its maximum. NaN scores give NaN.
SHAKTI_INLINE void finish_row(const Problem& p, const Operand& y, float* lse, int64_t b, int64_t query, int64_t h,
                              float* out, float top, float sum) {
  const float scale = sum > 0 ? 1 / sum : sum == 0 ? 0 : sum;
  for (int64_t j = 0; j < p.dp; j += W) store(out + j, load(out + j) * splat(scale));
  scatter_f32(y, ((b * p.lq + query) * p.h + h) * p.d, out, p.d);
  lse[(b * p.h + h) * p.lq + query] = sum == 0 ? -__builtin_inff() : top * 0.693147180559945309f + std::log(sum);
}

// Long caches and few rows leave threads without work: then the keys are split too, each part's rows are kept and put
// together. The split depends on sizes alone, so the result does not depend on the number of threads.
template <Unit U>
void forward(const Problem& p, const Args& a, Context& c) {
  const Operand& y = a.out[0];
  auto* lse = a.out[1].ptr<float>();
  const int64_t group = p.h / p.hk, rows = p.lq * group;
  if (p.b * p.hk * rows == 0) return;
  const attention::Split cut(p.b * p.hk, rows, p.lk);
  const int64_t part = p.dp + 2;  // floats of a row's part: what ForwardBlock has in out, top and sum
  auto* parts = static_cast<float*>(a.workspace);
  const int64_t work = cut.rows * cut.keys * p.d;
  c.parallel_for(p.b * p.hk * cut.blocks * cut.parts, 1 + (1 << 16) / (work + 1),
                 [&](int64_t begin, int64_t end, int thread) {
                   ForwardBlock<U> block(p, static_cast<float*>(c.scratch(thread)));
                   for (int64_t t = begin; t < end; ++t) {
                     const int64_t k = t % cut.parts, of = t / cut.parts;
                     const int64_t bh = of / cut.blocks, first = of % cut.blocks * cut.rows;
                     const int64_t n = rows - first < cut.rows ? rows - first : cut.rows;
                     const RowsOf mine{p, bh / p.hk, bh % p.hk, group};
                     block.run(mine, first, n, {k * cut.keys, (k + 1) * cut.keys});
                     for (int64_t i = 0; i < n; ++i) {
                       float* out = block.out + i * p.dp;
                       const Running& state = block.running[i / kRowsAtOnce<U>];
                       const float top = state.top[i % kRowsAtOnce<U>], sum = state.sum[i % kRowsAtOnce<U>];
                       if (cut.parts == 1) {
                         finish_row(p, y, lse, mine.b, mine.query(first + i), mine.head(first + i), out, top, sum);
                         continue;
                       }
                       float* to = parts + ((bh * rows + first + i) * cut.parts + k) * part;
                       std::memcpy(to, out, static_cast<size_t>(p.dp) * 4);
                       to[p.dp] = top;
                       to[p.dp + 1] = sum;
                     }
                   }
                 });
  if (cut.parts == 1) return;
  c.parallel_for(p.b * p.hk * rows, 1 + 4096 / (cut.parts * part), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      float* first = parts + r * cut.parts * part;
      float top = -__builtin_inff(), sum = 0;
      for (int64_t k = 0; k < cut.parts; ++k) {
        const float its = first[k * part + p.dp];
        top = its > top || its != its ? its : top;
      }
      alignas(64) float out[kMaxDim] = {};
      for (int64_t k = 0; k < cut.parts; ++k) {
        const float* from = first + k * part;
        const float its = from[p.dp];
        if (its == -__builtin_inff()) continue;
        const float weight = std::exp2(its - top);
        sum += weight * from[p.dp + 1];
        for (int64_t j = 0; j < p.dp; j += W) store(out + j, vfma(load(from + j), splat(weight), load(out + j)));
      }
      const RowsOf mine{p, r / rows / p.hk, r / rows % p.hk, group};
      finish_row(p, y, lse, mine.b, mine.query(r % rows), mine.head(r % rows), out, top, sum);
    }
  });
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
