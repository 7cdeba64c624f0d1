// Forward by blocks of rows and keys (Dao et al., arXiv 2205.14135). A row is a query of a head; the heads that share
// keys and values are rows of one block, query by query, so that these are read once for all of them.
#pragma once
#include "few_rows.h"
#include "online_softmax.h"
#include "products.h"

namespace SHAKTI_ISA_NS {
namespace {

using attention::Forward;

// Rows of one batch element and one head of keys: row r is query r / group of head first_head + r % group.
struct RowsOf {
  const Problem& p;
  int64_t b, hk, group;

  int64_t query(int64_t r) const { return r / group; }
  int64_t head(int64_t r) const { return hk * group + r % group; }
  Sight sight_of(int64_t first, int64_t n) const {
    return sight(p, query(first), query(first + n - 1) - query(first) + 1);
  }
};

// Rows whose scores exist at a time; of tiles, one row.
template <Unit U>
constexpr int64_t kRowsAtOnce = U == Unit::amx ? 16 : kStrip;

// A block of keys and values as the products take them.
struct KeyBlock {
  Rows kt, values;
};

// What a block's numbers in bytes stand for: scores of a key, and weights of a value, times their scale.
struct Scales {
  alignas(64) float k[kKeys], v[kKeys];

  // `by`: what else scores are multiplied with.
  void load(const Problem& p, int64_t b, int64_t hk, int64_t k0, float by) {
    const int64_t n = p.lk - k0 < kKeys ? p.lk - k0 : kKeys;
    const auto gather = [&](float* to, const Operand& o) {
      gather_f32(to, o, row_at(o, b, k0, hk), o.strides[1], n);
      for (int64_t j = n; j < kKeys; ++j) to[j] = 0;
    };
    gather(k, *p.k_scale);
    gather(v, *p.v_scale);
    for (float& x : k) x *= by;
  }
};

// Laid out in `to`, of 2 * kKeys * dp floats. Values stay where they lie when they can be read there, unless they are
// to be packed.
template <Unit U>
KeyBlock load_keys(const Problem& p, int64_t b, int64_t hk, int64_t k0, bool packed, float* to, float* buffer) {
  const int64_t n = p.lk - k0 < kKeys ? p.lk - k0 : kKeys;
  float *kt = to, *v = to + kKeys * p.dp;
  transpose(rows_of<U>(p, *p.k, b, hk, k0, n, buffer), n, words<U>(p.d), kt);
  if (U == Unit::f32 && packed) return {{kt, kKeys}, copy_rows<U>(p, *p.v, b, hk, k0, n, v)};
  return {{kt, kKeys}, stack<U>(rows_of<U>(p, *p.v, b, hk, k0, n, buffer), n, p.dp, v)};
}

// Rows whose scores exist at a time, on their way through the keys.
struct Strip {
  Running running;
  Sight sight;
};

// Scores of a strip on their way out of the registers.
template <Unit U>
struct Weighed {
  const Problem& p;
  Running& running;
  float *weights, *out;
  template <int R, int V>
  SHAKTI_INLINE void operator()(int64_t i, int64_t, vf (&scores)[R][V]) const {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; U != Unit::f32 && v < V; ++v) scores[r][v] *= splat(p.scale * kLog2E);
    }
    running.take(i, scores, weights, out, p.dp);
  }
};

// What rows have seen of their keys: in `out` the values weighted by the powers of scores, not yet divided by their
// sum.
template <Unit U>
struct ForwardBlock {
  Strip* strips;  // [kRows / kRowsAtOnce]
  float* q;       // [kRows][words of a row]
  float* out;     // [kRows][dp]
  float* keys;    // a block of them and of values
  float* buffer;  // [kKeys][dp]
  float* s;       // [kStrip][kKeys]
  float* w;       // the same in words
  Scales scales;

  explicit ForwardBlock(const Problem& p, float* memory) {
    strips = reinterpret_cast<Strip*>(memory);
    q = memory + Forward::kRows / kRowsAtOnce<U> * static_cast<int64_t>(sizeof(Strip) / sizeof(float));
    out = q + Forward::kRows * p.dp;
    keys = out + Forward::kRows * p.dp;
    buffer = keys + 2 * kKeys * p.dp;
    s = buffer + kKeys * p.dp;
    w = s + kStrip * kKeys;
  }

  // Rows [first, first + n) over the keys of `part`, which begins with a block. Blocks of keys lie one behind the other
  // at `packed`, or are loaded here.
  void run(const RowsOf& rows, int64_t first, int64_t n, Range part, const float* packed) {
    const Problem& p = rows.p;
    begin_products<U>();
    const int64_t ld = words_of_row<U>(p);
    for (int64_t i = 0; i < n; ++i) {
      load_row<U>(*p.q, row_at(*p.q, rows.b, rows.query(first + i), rows.head(first + i)), p.d, ld, q + i * ld);
      for (int64_t j = 0; U == Unit::f32 && j < ld; ++j) q[i * ld + j] *= p.scale * kLog2E;
    }
    std::memset(out, 0, static_cast<size_t>(n * p.dp) * 4);
    Range seen{p.lk, 0};
    for (int64_t i = 0; i < n; i += kRowsAtOnce<U>) {
      Strip& strip = strips[i / kRowsAtOnce<U>];
      strip.running.start();
      strip.sight = rows.sight_of(first + i, n - i < kRowsAtOnce<U> ? n - i : kRowsAtOnce<U>);
      seen = hull(seen, strip.sight.any);
    }
    seen = common(seen, part);
    const bool few = U == Unit::f32 && few_rows(p);
    for (int64_t k0 = seen.begin / kKeys * kKeys; k0 < seen.end; k0 += kKeys) {
      KeyBlock block{};
      if (p.bytes()) scales.load(p, rows.b, rows.hk, k0, U == Unit::f32 ? 1 : p.scale * kLog2E);
      if (few) {
        // read where they lie
      } else if (packed != nullptr) {
        const float* at = packed + k0 / kKeys * 2 * kKeys * p.dp;
        block = {{at, kKeys}, {at + kKeys * p.dp, p.dp}};
      } else {
        block = load_keys<U>(p, rows.b, rows.hk, k0, false, keys, buffer);
      }
      for (int64_t i = 0; i < n; i += kRowsAtOnce<U>)
        take(rows, first, i, n - i < kRowsAtOnce<U> ? n - i : kRowsAtOnce<U>, k0, block);
    }
    end_products<U>();
  }

 private:
  // A block of keys for the strip of n rows from first + at on.
  void take(const RowsOf& rows, int64_t first, int64_t at, int64_t n, int64_t k0, const KeyBlock& block) {
    const Problem& p = rows.p;
    auto& [running, sight] = strips[at / kRowsAtOnce<U>];
    const Range any = common({sight.any.begin - k0, sight.any.end - k0}, {0, kKeys});
    if (any.empty()) return;
    const bool whole = !p.mask->present() && sight.all.begin <= k0 && sight.all.end >= k0 + kKeys;
    // Columns in whole vectors, from an even one.
    const int64_t c0 = any.begin / (2 * W) * (2 * W), c1 = (any.end + W - 1) / W * W;
    const int64_t ld = words_of_row<U>(p), d = words<U>(p.d);
    const Left queries{q + at * ld, ld, 1};
    float* sums = out + at * p.dp;
    const bool few = block.kt.p == nullptr;
    const auto there = [&](auto t, const Operand& o) {
      return NumberRows<decltype(t)::value>(o, row_at(o, rows.b, k0, rows.hk), p.d);
    };
    if (U != Unit::amx && 4 * W == kKeys && whole && !p.bytes() && !few) {
      multiply_vectors<U>(n, kKeys, d, queries, block.kt, Weighed<U>{p, running, s, sums});
    } else {
      if (few)
        by_number_type(p.k->dtype, [&](auto t) {
          few_scores(n, q + at * ld, ld, there(t, *p.k), there(t, *p.v), c0, any.end, s, kKeys);
        });
      else
        multiply<U>(n, c1 - c0, d, queries, {block.kt.p + c0, kKeys}, s + c0, kKeys, false);
      for (int64_t i = 0; i < n; ++i) {
        float* row = s + i * kKeys;
        for (int64_t j = c0; p.bytes() && j < c1; j += W) store(row + j, load(row + j) * load(scales.k + j));
        for (int64_t j = c0; U != Unit::f32 && !p.bytes() && j < c1; j += W)
          store(row + j, load(row + j) * splat(p.scale * kLog2E));
        const int64_t r = first + at + i, query = rows.query(r);
        if (!whole) apply_mask(p, rows.b, rows.head(r), query, p.keys(query), k0, any.end, c0, c1, row);
      }
      running.take(s, n, c0, c1, sums, p.dp);
      for (int64_t i = 0; p.bytes() && i < n; ++i) {
        float* row = s + i * kKeys;
        for (int64_t j = c0; j < c1; j += W) store(row + j, load(row + j) * load(scales.v + j));
      }
    }
    if (few) {
      return by_number_type(p.v->dtype,
                            [&](auto t) { few_sums(n, s, kKeys, there(t, *p.v), any.begin, any.end, sums, p.dp); });
    }
    multiply<U>(n, p.dp, words<U>(any.end - c0), over_keys<U>(s, n, c0, c1, w),
                {block.values.p + c0 / kPerWord<U> * block.values.ld, block.values.ld}, sums, p.dp, true);
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
  const Forward cut(p.b * p.hk, rows, p.lk);
  const int64_t parts = cut.parts.count, part = cut.part_row(p.dp);
  auto* packed = static_cast<float*>(a.workspace);
  float* kept = packed + cut.heads * cut.packed_head(p.dp);
  if (cut.packed()) {
    const int64_t blocks = (p.lk + kKeys - 1) / kKeys;
    c.parallel_for(cut.heads * blocks, 1 + (1 << 14) / (kKeys * p.d), [&](int64_t begin, int64_t end, int thread) {
      for (int64_t t = begin; t < end; ++t) {
        load_keys<U>(p, t / blocks / p.hk, t / blocks % p.hk, t % blocks * kKeys, true,
                     packed + t * cut.packed_block(p.dp), static_cast<float*>(c.scratch(thread)));
      }
    });
  }
  const int64_t work = cut.rows * cut.parts.keys * p.d;
  c.parallel_for(cut.heads * cut.blocks * parts, 1 + (1 << 16) / (work + 1),
                 [&](int64_t begin, int64_t end, int thread) {
                   ForwardBlock<U> block(p, static_cast<float*>(c.scratch(thread)));
                   for (int64_t t = begin; t < end; ++t) {
                     const int64_t k = t % parts, of = t / parts;
                     // The last rows see most when attention is causal, and go first.
                     const int64_t bh = of / cut.blocks, first = (cut.blocks - 1 - of % cut.blocks) * cut.rows;
                     const int64_t n = rows - first < cut.rows ? rows - first : cut.rows;
                     const RowsOf mine{p, bh / p.hk, bh % p.hk, group};
                     block.run(mine, first, n, {k * cut.parts.keys, (k + 1) * cut.parts.keys},
                               cut.packed() ? packed + bh * cut.packed_head(p.dp) : nullptr);
                     for (int64_t i = 0; i < n; ++i) {
                       float* out = block.out + i * p.dp;
                       const Running& state = block.strips[i / kRowsAtOnce<U>].running;
                       const float top = state.top[i % kRowsAtOnce<U>], sum = hsum(load(state.sum[i % kRowsAtOnce<U>]));
                       if (parts == 1) {
                         finish_row(p, y, lse, mine.b, mine.query(first + i), mine.head(first + i), out, top, sum);
                         continue;
                       }
                       float* to = kept + ((bh * rows + first + i) * parts + k) * part;
                       std::memcpy(to, out, static_cast<size_t>(p.dp) * 4);
                       to[p.dp] = top;
                       to[p.dp + 1] = sum;
                     }
                   }
                 });
  if (parts == 1) return;
  c.parallel_for(p.b * p.hk * rows, 1 + 4096 / (parts * part), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      float* first = kept + r * parts * part;
      float top = -__builtin_inff(), sum = 0;
      for (int64_t k = 0; k < parts; ++k) {
        const float its = first[k * part + p.dp];
        top = its > top || its != its ? its : top;
      }
      alignas(64) float out[kMaxDim] = {};
      for (int64_t k = 0; k < parts; ++k) {
        const float* from = first + k * part;
        const float its = from[p.dp];
        if (from[p.dp + 1] == 0) continue;
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
