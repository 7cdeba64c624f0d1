// Backward: scores are computed again, block by block, from the logarithms of the sums that the forward pass kept.
// A block of keys stays, with its gradients, while the queries of a head pass by. Keys are in parts, each with its own
// sum of the gradients of queries; these are added in order at the end.
#pragma once
#include "../../simd/math.h"
#include "products.h"

namespace SHAKTI_ISA_NS {
namespace {

using attention::Backward;
// Queries whose keys are known together: tiles sum over 32, and pairs gain nothing from fewer.
template <Unit U>
constexpr int64_t kFew = U == Unit::f32 ? Backward::kQueries : 32;
constexpr int64_t kMany = 64;  // that are multiplied together, at most

// The queries of a head or their gradients as the products take them: rows, and the same as a right side of sums over
// queries.
template <Unit U>
struct Side {
  const Operand& operand;
  bool in_place;
  float* memory;
  Rows rows, stacked;

  Side(const Problem& p, const Operand& o, int64_t b, int64_t h, float* memory_)
      : operand(o), memory(memory_), rows(rows_in_place<U>(p, o, b, h, 0, p.lq)) {
    in_place = rows.p != nullptr;
    float* behind = memory + (U == Unit::f32 ? 0 : (p.lq + 31) / 32 * 16 * p.dp);
    if (!in_place) rows = {behind, words_of_row<U>(p)};
    stacked = U == Unit::f32 ? rows : Rows{memory, p.dp};
  }
  // From query `first` on, which is even.
  Left left(int64_t first) const { return {rows.p + first * rows.ld, rows.ld, 1}; }
  Rows right(int64_t first) const { return {stacked.p + first / kPerWord<U> * stacked.ld, stacked.ld}; }

  void load(const Problem& p, int64_t b, int64_t h, int64_t first, int64_t n) const {
    if (!in_place) copy_rows<U>(p, operand, b, h, first, n, const_cast<float*>(rows.p) + first * rows.ld);
    stack<U>({rows.p + first * rows.ld, rows.ld}, n, p.dp, memory + first / kPerWord<U> * p.dp);
  }
};

// The queries of one head.
template <Unit U>
struct Queries {
  const Problem& p;
  int64_t b, h;
  Side<U> q, go;
  float* shift;  // the power of two by which weights are divided; infinite where nothing was seen
  float* delta;  // the sum over a query's output times its gradient

  Queries(const Problem& p_, const Backward& cut, const Operand& g, int64_t head, float* memory)
      : p(p_),
        b(head / p_.h),
        h(head % p_.h),
        q(p_, *p_.q, b, h, memory),
        go(p_, g, b, h, memory + cut.side(p_.dp)),
        shift(memory + 2 * cut.side(p_.dp)),
        delta(shift + p_.lq) {}

  void load(const Operand& y, const float* lse, int64_t first, int64_t n) const {
    q.load(p, b, h, first, n);
    go.load(p, b, h, first, n);
    for (int64_t i = first; i < first + n; ++i) {
      alignas(64) float out_buffer[kMaxDim], gradient_buffer[kMaxDim];
      const Operand& g = go.operand;
      const float* out = row_f32(y, row_at(y, b, i, h), y.strides[3], p.d, out_buffer);
      const float* gradient = row_f32(g, row_at(g, b, i, h), g.strides[3], p.d, gradient_buffer);
      vf sum{};
      lanes(p.d, [&](int64_t j, int64_t count, bool part) {
        sum = vfma(load_n(out + j, count, part), load_n(gradient + j, count, part), sum);
      });
      delta[i] = hsum(sum);
      const float l = lse[(b * p.h + h) * p.lq + i];
      shift[i] = l == -__builtin_inff() ? __builtin_inff() : l * kLog2E;
    }
  }
};

// Scores on their way out of the registers: as weights ...
struct Weights {
  const float* shift;
  float scale;
  float* s;
  template <int R, int V>
  SHAKTI_INLINE void operator()(int64_t i, int64_t j, vf (&scores)[R][V]) const {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const vf base = splat(shift[i + r]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v)
        store(s + (i + r) * kKeys + j + v * W, vexp2(vfma(scores[r][v], splat(scale), -base)));
    }
  }
};
// ... and gradients of weights as those of scores, not yet multiplied by the scale.
struct Slopes {
  const float *delta, *s;
  float* ds;
  template <int R, int V>
  SHAKTI_INLINE void operator()(int64_t i, int64_t j, vf (&gradients)[R][V]) const {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const vf mean = splat(delta[i + r]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const int64_t at = (i + r) * kKeys + j + v * W;
        store(ds + at, load(s + at) * (gradients[r][v] - mean));
      }
    }
  }
};

// A head of queries against a block of keys at a time.
template <Unit U>
struct BackwardBlock {
  const Problem& p;
  float *k, *kt, *vt;  // [kKeys][dp]: rows of words, or two by two; [words of d][kKeys]
  float *dk, *dv;      // [kKeys][dp]
  float* buffer;       // [kKeys][dp]
  float *s, *ds, *w;   // [kMany][kKeys]; w: one of them in words

  BackwardBlock(const Problem& p_, float* memory) : p(p_) {
    for (float** at : {&k, &kt, &vt, &dk, &dv, &buffer}) {
      *at = memory;
      memory += kKeys * p.dp;
    }
    for (float** at : {&s, &ds, &w}) {
      *at = memory;
      memory += kMany * kKeys;
    }
  }

  // All queries against the keys from k0 on, of `part`: dk and dv are theirs. Adds to dq, [lq][dp], which has nothing
  // before the first keys of the part that a query sees.
  void run(const Queries<U>& queries, const Sight* sights, Range part, int64_t k0, float* dq) {
    const int64_t hk = queries.h / (p.h / p.hk), m = p.lk - k0 < kKeys ? p.lk - k0 : kKeys, d = words<U>(p.d);
    const Rows rows = copy_rows<U>(p, *p.k, queries.b, hk, k0, m, U == Unit::f32 ? k : buffer);
    stack<U>(rows, m, p.dp, k);
    transpose(rows, m, d, kt);
    transpose(rows_of<U>(p, *p.v, queries.b, hk, k0, m, buffer), m, d, vt);
    std::memset(dk, 0, static_cast<size_t>(kKeys * p.dp) * 4);
    std::memset(dv, 0, static_cast<size_t>(kKeys * p.dp) * 4);
    const int64_t few = (p.lq + kFew<U> - 1) / kFew<U>;
    for (int64_t at = 0; at < few;) {
      const Seen its = seen(sights[at], part, k0);
      int64_t end = at + 1;
      while (its.alike && end < few && end - at < kMany / kFew<U> && its == seen(sights[end], part, k0)) ++end;
      const int64_t first = at * kFew<U>, n = (end * kFew<U> < p.lq ? end * kFew<U> : p.lq) - first;
      if (!its.any.empty()) take(queries, first, n, k0, its, dq);
      at = end;
    }
  }

 private:
  // What a few queries see of the block: queries for which it is the same go together.
  struct Seen {
    Range any;          // of the block's columns
    bool alike, first;  // each of the queries sees all of these; none saw a key before
    bool operator==(Seen o) const { return any == o.any && alike == o.alike && first == o.first; }
  };
  static Seen seen(const Sight& sight, Range part, int64_t k0) {
    const auto columns = [&](Range r) { return common({r.begin - k0, r.end - k0}, {0, kKeys}); };
    const Range any = columns(sight.any);
    return {any, any == columns(sight.all), common(sight.any, part).begin >= k0};
  }

  void take(const Queries<U>& queries, int64_t first, int64_t n, int64_t k0, const Seen& its, float* dq) {
    const int64_t d = words<U>(p.d), dp = p.dp;
    // Columns in whole vectors, from an even one.
    const Range any = its.any;
    const int64_t c0 = any.begin / (2 * W) * (2 * W), c1 = (any.end + W - 1) / W * W, columns = c1 - c0;
    const Left q = queries.q.left(first), go = queries.go.left(first);
    const float *shift = queries.shift + first, *delta = queries.delta + first, scale = p.scale * kLog2E;
    if (U != Unit::amx && !p.mask->present()) {
      multiply_vectors<U>(n, columns, d, q, {kt + c0, kKeys}, Weights{shift, scale, s + c0});
      for (int64_t i = 0; i < n && !(its.alike && columns == any.end - any.begin); ++i) {
        const Range r = p.keys(first + i);
        clip(r.begin - k0, r.end - k0, c0, c1, 0, s + i * kKeys);
      }
      multiply_vectors<U>(n, columns, d, go, {vt + c0, kKeys}, Slopes{delta, s + c0, ds + c0});
    } else {
      multiply<U>(n, columns, d, q, {kt + c0, kKeys}, s + c0, kKeys, false);
      multiply<U>(n, columns, d, go, {vt + c0, kKeys}, ds + c0, kKeys, false);
      for (int64_t i = 0; i < n; ++i) {
        float *scores = s + i * kKeys, *gradients = ds + i * kKeys;
        for (int64_t j = c0; j < c1; j += W) store(scores + j, load(scores + j) * splat(scale));
        apply_mask(p, queries.b, queries.h, first + i, p.keys(first + i), k0, any.end, c0, c1, scores);
        for (int64_t j = c0; j < c1; j += W) {
          const vf e = vexp2(load(scores + j) - splat(shift[i]));
          store(scores + j, e);
          store(gradients + j, e * (load(gradients + j) - splat(delta[i])));
        }
      }
    }
    multiply<U>(columns, dp, words<U>(n), over_rows<U>(s, n, c0, c1, w), queries.go.right(first), dv + c0 * dp, dp,
                true);
    multiply<U>(columns, dp, words<U>(n), over_rows<U>(ds, n, c0, c1, w), queries.q.right(first), dk + c0 * dp, dp,
                true);
    multiply<U>(n, dp, words<U>(any.end - c0), over_keys<U>(ds, n, c0, c1, w), {k + c0 / kPerWord<U> * dp, dp},
                dq + first * dp, dp, !its.first);
  }
};

template <Unit U>
void backward(const Problem& p, const Args& a, Context& c) {
  const Operand &g = a.in[0], &y = a.in[4];
  const auto* lse = a.in[5].ptr<float>();
  const int64_t heads = p.b * p.h, group = p.h / p.hk, dp = p.dp;
  const Backward cut(heads, group, p.lq, p.lk, p.d);
  const int64_t parts = cut.parts.count, few = (p.lq + kFew<U> - 1) / kFew<U>;
  auto* sights = static_cast<Sight*>(a.workspace);
  float* by_head = static_cast<float*>(a.workspace) + cut.sights();  // gradients of keys and values, [heads][lk][2][dp]
  float* space = by_head + heads * cut.by_head(dp);
  const auto count = [&](int64_t i) { return p.lq - i * kFew<U> < kFew<U> ? p.lq - i * kFew<U> : kFew<U>; };
  for (int64_t i = 0; i < few; ++i) sights[i] = sight(p, i * kFew<U>, count(i));

  // A head's queries and, behind them, the sums of their gradients, [parts][lq][dp].
  const auto space_of = [&](int64_t head) { return space + head * (cut.queries(dp) + cut.sums(dp)); };
  const auto keys_of = [&](int64_t part) {
    return common({part * cut.parts.keys, (part + 1) * cut.parts.keys}, {0, p.lk});
  };
  const auto load_queries = [&](int64_t head, int64_t i, float* memory) {
    Queries<U>(p, cut, g, head, memory).load(y, lse, i * kFew<U>, count(i));
  };
  const auto give_queries = [&](int64_t head, int64_t i, const float* memory) {
    for (int64_t r = i * kFew<U>; r < i * kFew<U> + count(i); ++r) {
      alignas(64) float sum[kMaxDim] = {};
      for (int64_t part = 0; part < parts; ++part) {
        if (common(keys_of(part), sights[i].any).empty()) continue;
        const float* its = memory + cut.queries(dp) + (part * p.lq + r) * dp;
        for (int64_t j = 0; j < dp; j += W) store(sum + j, vfma(load(its + j), splat(p.scale), load(sum + j)));
      }
      scatter_f32(a.out[0], ((head / p.h * p.lq + r) * p.h + head % p.h) * p.d, sum, p.d);
    }
  };
  const auto give_key = [&](int64_t b, int64_t hk, int64_t key, float* dk, const float* dv) {
    const int64_t to = ((b * p.lk + key) * p.hk + hk) * p.d;
    for (int64_t j = 0; j < dp; j += W) store(dk + j, load(dk + j) * splat(p.scale));
    scatter_f32(a.out[1], to, dk, p.d);
    scatter_f32(a.out[2], to, dv, p.d);
  };

  const int64_t grain = 1 + (1 << 12) / (kFew<U> * p.d);
  if (!cut.local) {
    c.parallel_for(heads * few, grain, [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; ++t) load_queries(t / few, t % few, space_of(t / few));
    });
  }
  c.parallel_for(heads * parts, 1, [&](int64_t begin, int64_t end, int thread) {
    auto* scratch = static_cast<float*>(c.scratch(thread));
    BackwardBlock<U> block(p, scratch + (cut.local ? Backward::kScratch : 0));
    for (int64_t t = begin; t < end; ++t) {
      // The first keys are seen by most queries when attention is causal, and go first.
      const int64_t head = t % heads, part = t / heads;
      float* memory = cut.local ? scratch : space_of(head);
      for (int64_t i = 0; i < few && cut.local; ++i) load_queries(head, i, memory);
      const Queries<U> queries(p, cut, g, head, memory);
      const Range keys = keys_of(part);
      float* dq = memory + cut.queries(dp) + part * p.lq * dp;
      begin_products<U>();
      for (int64_t k0 = keys.begin; k0 < keys.end; k0 += kKeys) {
        block.run(queries, sights, keys, k0, dq);
        for (int64_t i = 0; i < kKeys && k0 + i < keys.end; ++i) {
          float *dk = block.dk + i * dp, *dv = block.dv + i * dp, *to = by_head + (head * p.lk + k0 + i) * 2 * dp;
          if (group == 1) {
            give_key(queries.b, queries.h, k0 + i, dk, dv);
            continue;
          }
          std::memcpy(to, dk, static_cast<size_t>(dp) * 4);
          std::memcpy(to + dp, dv, static_cast<size_t>(dp) * 4);
        }
      }
      end_products<U>();
      for (int64_t i = 0; i < few && cut.local; ++i) give_queries(head, i, memory);
    }
  });
  if (!cut.local) {
    c.parallel_for(heads * few, grain, [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; ++t) give_queries(t / few, t % few, space_of(t / few));
    });
  }
  if (group == 1) return;
  c.parallel_for(p.b * p.hk * p.lk, 1 + (1 << 12) / (group * p.d), [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t b = t / p.lk / p.hk, hk = t / p.lk % p.hk, key = t % p.lk;
      alignas(64) float sum[2 * kMaxDim] = {};
      for (int64_t h = hk * group; h < (hk + 1) * group; ++h) {
        const float* its = by_head + ((b * p.h + h) * p.lk + key) * 2 * dp;
        for (int64_t j = 0; j < 2 * dp; j += W) store(sum + j, load(sum + j) + load(its + j));
      }
      give_key(b, hk, key, sum, sum + dp);
    }
  });
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
