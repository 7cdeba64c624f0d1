// Backward: scores are computed again, block by block, from the logarithms of the sums that the forward pass kept.
#pragma once
#include "../../simd/math.h"
#include "products.h"

namespace SHAKTI_ISA_NS {
namespace {

constexpr int64_t kQueries = 64;  // of a block, at most

SHAKTI_INLINE int64_t query_block(int64_t lq) {
  const int64_t blocks = (lq + kQueries - 1) / kQueries;
  return blocks > 0 ? (lq + blocks - 1) / blocks : 1;
}

// All queries against all keys of one head of keys.
template <Unit U>
struct BackwardHead {
  const Problem& p;
  const Operand &g, &y;
  const float* lse;
  int64_t b, hk;
  float *dq, *dk, *dv;  // f32, [group][lq][dp] and [lk][dp]
  float* memory;
  float *s = nullptr, *ds = nullptr;  // [kQueries][kKeys]
  float delta[kQueries] = {};

  void run() {
    const int64_t dp = p.dp, d = words<U>(p.d), group = p.h / p.hk, step = query_block(p.lq);
    begin_products<U>();
    float* next = memory;
    const auto take = [&](int64_t n) {
      float* at = next;
      next += n;
      return at;
    };
    float *q_rows = take(kQueries * dp), *go_rows = take(kQueries * dp);
    float *k_rows = take(kKeys * dp), *v_rows = take(kKeys * dp), *kt = take(kKeys * dp), *vt = take(kKeys * dp);
    float *q_stack = take(kQueries * dp), *go_stack = take(kQueries * dp), *k_stack = take(kKeys * dp);
    float* w = take(kQueries * kKeys);
    s = take(kQueries * kKeys);
    ds = take(kQueries * kKeys);
    std::memset(dk, 0, static_cast<size_t>(p.lk * dp) * 4);
    std::memset(dv, 0, static_cast<size_t>(p.lk * dp) * 4);
    std::memset(dq, 0, static_cast<size_t>(group * p.lq * dp) * 4);
    for (int64_t h = hk * group; h < (hk + 1) * group; ++h) {
      float* dqh = dq + (h - hk * group) * p.lq * dp;
      for (int64_t first = 0; first < p.lq; first += step) {
        const int64_t n = p.lq - first < step ? p.lq - first : step;
        const Rows q = rows_of<U>(p, *p.q, b, h, first, n, q_rows), go = rows_of<U>(p, g, b, h, first, n, go_rows);
        const Rows q_over = stack<U>(q, n, dp, q_stack), go_over = stack<U>(go, n, dp, go_stack);
        sum_products(h, first, n);
        const Range all = span(p, first, n);
        for (int64_t k0 = all.begin; k0 < all.end; k0 += kKeys) {
          const int64_t m = all.end - k0 < kKeys ? all.end - k0 : kKeys;
          const Rows k = rows_of<U>(p, *p.k, b, hk, k0, m, k_rows);
          transpose(k, m, d, kt);
          transpose(rows_of<U>(p, *p.v, b, hk, k0, m, v_rows), m, d, vt);
          multiply<U>(n, kKeys, d, q, {kt, kKeys}, s, kKeys, false);
          multiply<U>(n, kKeys, d, go, {vt, kKeys}, ds, kKeys, false);
          for (int64_t i = 0; i < n; ++i) row(h, first, i, k0, m);
          multiply<U>(m, dp, words<U>(n), over_rows<U>(s, n, w), go_over, dv + k0 * dp, dp, true);
          multiply<U>(m, dp, words<U>(n), over_rows<U>(ds, n, w), q_over, dk + k0 * dp, dp, true);
          multiply<U>(n, dp, words<U>(m), over_keys<U>(ds, n, 0, kKeys, w), stack<U>(k, m, dp, k_stack),
                      dqh + first * dp, dp, true);
        }
      }
    }
    end_products<U>();
  }

  // delta: of each query, the sum over its output times its gradient.
  void sum_products(int64_t h, int64_t first, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      alignas(64) float out_buffer[kMaxDim], grad_buffer[kMaxDim];
      const float* out = row_f32(y, row_at(y, b, first + i, h), y.strides[3], p.d, out_buffer);
      const float* grad = row_f32(g, row_at(g, b, first + i, h), g.strides[3], p.d, grad_buffer);
      vf sum{};
      lanes(p.d, [&](int64_t j, int64_t count, bool part) {
        sum = vfma(load_n(out + j, count, part), load_n(grad + j, count, part), sum);
      });
      delta[i] = hsum(sum);
    }
  }

  // Scores to weights, and their gradients.
  void row(int64_t h, int64_t first, int64_t i, int64_t k0, int64_t m) {
    float *srow = s + i * kKeys, *drow = ds + i * kKeys;
    const float l = lse[(b * p.h + h) * p.lq + first + i];
    if (l == -__builtin_inff()) {
      std::memset(srow, 0, kKeys * 4);
      std::memset(drow, 0, kKeys * 4);
      return;
    }
    const Range r = p.keys(first + i);
    float scale = p.scale * kLog2E;
    if (p.mask->present() || r.begin > k0 || r.end < k0 + kKeys) {
      for (int64_t j = 0; j < kKeys; j += W) store(srow + j, load(srow + j) * splat(scale));
      apply_mask(p, b, h, first + i, r, k0, m, 0, kKeys, srow);
      scale = 1;
    }
    const vf shift = splat(-l * kLog2E), by = splat(scale), mean = splat(delta[i]), outer = splat(p.scale);
    for (int64_t j = 0; j < kKeys; j += W) {
      const vf e = vexp2(vfma(load(srow + j), by, shift));
      store(srow + j, e);
      store(drow + j, e * (load(drow + j) - mean) * outer);
    }
  }
};

template <Unit U>
void backward(const Problem& p, const Args& a, Context& c) {
  const int64_t group = p.h / p.hk;
  const int64_t qs = p.lq * p.dp * group, ks = p.lk * p.dp;
  auto* space = static_cast<float*>(a.workspace);
  c.parallel_for(p.b * p.hk, 1, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t b = t / p.hk, hk = t % p.hk;
      float *dq = space + t * (qs + 2 * ks), *dk = dq + qs, *dv = dk + ks;
      BackwardHead<U> head{
          p, a.in[0], a.in[4], a.in[5].ptr<float>(), b, hk, dq, dk, dv, static_cast<float*>(c.scratch(thread))};
      head.run();
      for (int64_t j = 0; j < p.lk; ++j) {
        scatter_f32(a.out[1], ((b * p.lk + j) * p.hk + hk) * p.d, dk + j * p.dp, p.d);
        scatter_f32(a.out[2], ((b * p.lk + j) * p.hk + hk) * p.d, dv + j * p.dp, p.d);
      }
      for (int64_t k = 0; k < group; ++k) {
        for (int64_t i = 0; i < p.lq; ++i) {
          scatter_f32(a.out[0], ((b * p.lq + i) * p.h + hk * group + k) * p.d, dq + (k * p.lq + i) * p.dp, p.d);
        }
      }
    }
  });
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
