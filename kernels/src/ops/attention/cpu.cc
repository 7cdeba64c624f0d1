// Attention by blocks of queries and keys with the online softmax (Dao et al., arXiv 2205.14135): scores exist for one
// block at a time. All block products go through one small routine whose left side may be strided (so a transpose costs
// nothing) and whose right side has rows of whole vectors.
#include <cmath>

#include "../../simd/math.h"
#include "../../simd/transpose.h"

namespace SHAKTI_ISA_NS {
namespace {

constexpr int64_t kKeys = 64;     // keys of a block
constexpr int64_t kQueries = 64;  // queries of a block, at most
constexpr int64_t kMaxDim = 512;  // as the check demands

// c[m][n] (+)= a[m][k] b[k][n] for R rows and V vectors of columns.
template <int R, int V>
SHAKTI_INLINE void tile(int64_t k, const float* a, int64_t ars, int64_t acs, const float* b, int64_t ldb, float* c,
                        int64_t ldc, bool add) {
  vf acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) acc[i][j] = add ? load(c + i * ldc + j * W) : vf{};
  }
  for (int64_t x = 0; x < k; ++x) {
    vf bv[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) bv[j] = load(b + x * ldb + j * W);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const vf av = splat(a[i * ars + x * acs]);
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) acc[i][j] = vfma(av, bv[j], acc[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) store(c + i * ldc + j * W, acc[i][j]);
  }
}

// V vectors of columns, all rows: as many rows at once as the registers hold.
template <int V>
void columns(int64_t m, int64_t k, const float* a, int64_t ars, int64_t acs, const float* b, int64_t ldb, float* c,
             int64_t ldc, bool add) {
#if defined(__AVX512F__)
  constexpr int R = V == 1 ? 12 : 24 / V;
#else
  constexpr int R = V == 1 ? 8 : 6;
#endif
  int64_t i = 0;
  for (; i + R <= m; i += R) tile<R, V>(k, a + i * ars, ars, acs, b, ldb, c + i * ldc, ldc, add);
  for (; i + 4 <= m; i += 4) tile<4, V>(k, a + i * ars, ars, acs, b, ldb, c + i * ldc, ldc, add);
  for (; i < m; ++i) tile<1, V>(k, a + i * ars, ars, acs, b, ldb, c + i * ldc, ldc, add);
}

// c[m][n] (+)= a[m][k] b[k][n]; n a multiple of W.
void multiply(int64_t m, int64_t n, int64_t k, const float* a, int64_t ars, int64_t acs, const float* b, int64_t ldb,
              float* c, int64_t ldc, bool add) {
  for (int64_t j = 0; j < n;) {
    const int64_t left = (n - j) / W;
#if defined(__AVX512F__)
    if (left == 4 || left > 6) {
      columns<4>(m, k, a, ars, acs, b + j, ldb, c + j, ldc, add);
      j += 4 * W;
      continue;
    }
    if (left > 2) {
      columns<3>(m, k, a, ars, acs, b + j, ldb, c + j, ldc, add);
      j += 3 * W;
      continue;
    }
#endif
    if (left > 1) {
      columns<2>(m, k, a, ars, acs, b + j, ldb, c + j, ldc, add);
      j += 2 * W;
    } else {
      columns<1>(m, k, a, ars, acs, b + j, ldb, c + j, ldc, add);
      j += W;
    }
  }
}

// The keys that query i may see: [begin, end), from causality, window and packing.
struct Range {
  int64_t begin, end;
};

struct Problem {
  const Operand *q, *k, *v, *mask, *cu_q, *cu_k;
  int64_t b, lq, lk, h, hk, d, dp, window;
  float scale;
  bool causal;

  Problem(const Operand& q_, const Operand& k_, const Operand& v_, const Operand& m, const Operand& cq,
          const Operand& ck, const Args& a)
      : q(&q_), k(&k_), v(&v_), mask(&m), cu_q(&cq), cu_k(&ck) {
    b = q_.shape[0];
    lq = q_.shape[1];
    h = q_.shape[2];
    d = q_.shape[3];
    lk = k_.shape[1];
    hk = k_.shape[2];
    dp = (d + W - 1) / W * W;
    scale = static_cast<float>(a.attr(0));
    causal = a.attr_bool(1);
    window = a.attr_int(2);
  }

  bool check(Context& c) const {
    if (!cu_q->present()) return true;
    for (int side = 0; side < 2; ++side) {
      const Operand* cu = side == 0 ? cu_q : cu_k;
      const int32_t* p = cu->ptr<int32_t>();
      const int64_t n = cu->shape[0], length = cu == cu_q ? lq : lk;
      bool ok = p[0] == 0 && p[n - 1] == length;
      for (int64_t i = 1; i < n; ++i) ok = ok && p[i] >= p[i - 1];
      if (!ok) {
        c.fail("%s must ascend from 0 to %lld", cu == cu_q ? "cu_q" : "cu_k", static_cast<long long>(length));
        return false;
      }
    }
    return true;
  }

  Range keys(int64_t i) const {
    int64_t q0 = 0, q1 = lq, k0 = 0, k1 = lk;
    if (cu_q->present()) {
      const int32_t* p = cu_q->ptr<int32_t>();
      int64_t low = 0, high = cu_q->shape[0] - 2;
      while (low < high) {
        const int64_t mid = (low + high) / 2;
        if (p[mid + 1] > i)
          high = mid;
        else
          low = mid + 1;
      }
      q0 = p[low];
      q1 = p[low + 1];
      k0 = cu_k->ptr<int32_t>()[low];
      k1 = cu_k->ptr<int32_t>()[low + 1];
    }
    if (!causal) return {k0, k1};
    const int64_t last = k0 + (i - q0) + (k1 - k0) - (q1 - q0);
    const int64_t first = window > 0 ? last - window + 1 : k0;
    return {first > k0 ? first : k0, last + 1 < k1 ? last + 1 : k1};
  }
};

SHAKTI_INLINE int64_t row_at(const Operand& o, int64_t b, int64_t l, int64_t h) {
  return b * o.strides[0] + l * o.strides[1] + h * o.strides[2];
}

// Rows [first, first + n) of a head as f32 [n][dp], padded with 0, times `scale`.
void load_rows(const Operand& o, int64_t b, int64_t h, int64_t first, int64_t n, int64_t d, int64_t dp, float scale,
               float* to) {
  for (int64_t i = 0; i < n; ++i) {
    float* row = to + i * dp;
    gather_f32(row, o, row_at(o, b, first + i, h), o.strides[3], d);
    for (int64_t j = d; j < dp; ++j) row[j] = 0;
    if (scale != 1.0f) {
      for (int64_t j = 0; j < d; ++j) row[j] *= scale;
    }
  }
}

// Rows of f32, `ld` apart, readable in whole vectors.
struct Rows {
  const float* p;
  int64_t ld;
};

// Rows [first, first + n) of a head: where they lie, or a copy in `buffer`.
Rows rows_of(const Operand& o, int64_t b, int64_t h, int64_t first, int64_t n, int64_t d, int64_t dp, float* buffer) {
  if (o.dtype == DType::f32 && o.strides[3] == 1 && d == dp)
    return {o.ptr<float>() + row_at(o, b, first, h), o.strides[1]};
  load_rows(o, b, h, first, n, d, dp, 1, buffer);
  return {buffer, dp};
}

// The transpose [d][kKeys] of n rows; columns behind n are 0.
void transpose(Rows rows, int64_t n, int64_t d, float* to) {
  interleave<kKeys>(rows.p, rows.ld * 4, n, d, to);
  if (n == kKeys) return;
  for (int64_t j = 0; j < d; ++j) std::memset(to + j * kKeys + n, 0, static_cast<size_t>(kKeys - n) * 4);
}

// Adds the mask and puts -inf where a query may not look. Columns behind n become -inf.
void apply_mask(const Problem& p, int64_t b, int64_t h, int64_t i, Range r, int64_t k0, int64_t n, float* s) {
  const float low = -__builtin_inff();
  for (int64_t j = 0; j < kKeys; ++j) {
    if (j >= n || k0 + j < r.begin || k0 + j >= r.end) s[j] = low;
  }
  if (!p.mask->present()) return;
  const Operand& m = *p.mask;
  const int64_t at = b * m.strides[0] + h * m.strides[1] + i * m.strides[2] + k0 * m.strides[3];
  if (m.dtype == DType::boolean) {
    for (int64_t j = 0; j < n; ++j) {
      if (!m.ptr<uint8_t>()[at + j * m.strides[3]]) s[j] = low;
    }
  } else {
    float row[kKeys];
    gather_f32(row, m, at, m.strides[3], n);
    for (int64_t j = 0; j < n; ++j) s[j] += row[j];
  }
}

// Keys that any of the queries [first, first + n) may see.
Range span(const Problem& p, int64_t first, int64_t n) {
  Range all{p.lk, 0};
  for (int64_t i = first; i < first + n; ++i) {
    const Range r = p.keys(i);
    if (r.begin >= r.end) continue;
    all.begin = r.begin < all.begin ? r.begin : all.begin;
    all.end = r.end > all.end ? r.end : all.end;
  }
  return all;
}

int64_t query_block(int64_t lq) {
  const int64_t blocks = (lq + kQueries - 1) / kQueries;
  return blocks > 0 ? (lq + blocks - 1) / blocks : 1;
}

void forward_block(const Problem& p, const Operand& y, float* lse, int64_t b, int64_t h, int64_t first, int64_t n,
                   float* memory) {
  float* q = memory;                      // [kQueries][dp]
  float* out = q + kQueries * p.dp;       // [kQueries][dp]
  float* buffer = out + kQueries * p.dp;  // [kKeys][dp]
  float* kt = buffer + kKeys * p.dp;      // [d][kKeys]
  float* s = kt + kKeys * p.dp;           // [kQueries][kKeys]
  float top[kQueries], sum[kQueries];
  const int64_t hk = h / (p.h / p.hk);
  load_rows(*p.q, b, h, first, n, p.d, p.dp, p.scale, q);
  std::memset(out, 0, static_cast<size_t>(n * p.dp) * 4);
  for (int64_t i = 0; i < n; ++i) {
    top[i] = -__builtin_inff();
    sum[i] = 0;
  }
  const Range all = span(p, first, n);
  for (int64_t k0 = all.begin; k0 < all.end; k0 += kKeys) {
    const int64_t m = all.end - k0 < kKeys ? all.end - k0 : kKeys;
    transpose(rows_of(*p.k, b, hk, k0, m, p.d, p.dp, buffer), m, p.d, kt);
    const Rows v = rows_of(*p.v, b, hk, k0, m, p.d, p.dp, buffer);
    multiply(n, kKeys, p.d, q, p.dp, 1, kt, kKeys, s, kKeys, false);
    for (int64_t i = 0; i < n; ++i) {
      float* row = s + i * kKeys;
      const Range r = p.keys(first + i);
      if (p.mask->present() || r.begin > k0 || r.end < k0 + kKeys) apply_mask(p, b, h, first + i, r, k0, m, row);
      vf best = load(row);
      for (int64_t j = W; j < kKeys; j += W) best = vmax(load(row + j), best);
      const float high = hmax(best);
      if (high == -__builtin_inff()) {
        std::memset(row, 0, kKeys * 4);
        continue;
      }
      const float now = high > top[i] ? high : top[i];
      vf total{};
      for (int64_t j = 0; j < kKeys; j += W) {
        const vf e = vexp(load(row + j) - now);
        store(row + j, e);
        total += e;
      }
      if (now != top[i]) {
        const float shrink = std::exp(top[i] - now);
        sum[i] *= shrink;
        float* o = out + i * p.dp;
        for (int64_t j = 0; j < p.dp; j += W) store(o + j, load(o + j) * shrink);
        top[i] = now;
      }
      sum[i] += hsum(total);
    }
    multiply(n, p.dp, m, s, kKeys, 1, v.p, v.ld, out, p.dp, true);
  }
  for (int64_t i = 0; i < n; ++i) {
    float* o = out + i * p.dp;
    const float scale = sum[i] > 0 ? 1 / sum[i] : (sum[i] == 0 ? 0 : sum[i]);
    for (int64_t j = 0; j < p.dp; j += W) store(o + j, load(o + j) * scale);
    scatter_f32(y, ((b * p.lq + first + i) * p.h + h) * p.d, o, p.d);
    lse[(b * p.h + h) * p.lq + first + i] = sum[i] == 0 ? -__builtin_inff() : top[i] + std::log(sum[i]);
  }
}

// All queries against all keys of one kv head: dq, dk, dv of that head, in f32.
void backward_head(const Problem& p, const Operand& g, const Operand& y, const float* lse, int64_t b, int64_t hk,
                   float* dq, float* dk, float* dv, float* memory) {
  float* q_buffer = memory;  // [kQueries][dp]
  float* go_buffer = q_buffer + kQueries * p.dp;
  float* k_buffer = go_buffer + kQueries * p.dp;  // [kKeys][dp]
  float* v_buffer = k_buffer + kKeys * p.dp;
  float* kt = v_buffer + kKeys * p.dp;  // [d][kKeys]
  float* vt = kt + kKeys * p.dp;
  float* s = vt + kKeys * p.dp;  // [kQueries][kKeys]
  float* ds = s + kQueries * kKeys;
  float delta[kQueries];
  const int64_t group = p.h / p.hk;
  const int64_t step = query_block(p.lq);
  std::memset(dk, 0, static_cast<size_t>(p.lk * p.dp) * 4);
  std::memset(dv, 0, static_cast<size_t>(p.lk * p.dp) * 4);
  for (int64_t h = hk * group; h < (hk + 1) * group; ++h) {
    float* dqh = dq + (h - hk * group) * p.lq * p.dp;
    std::memset(dqh, 0, static_cast<size_t>(p.lq * p.dp) * 4);
    for (int64_t first = 0; first < p.lq; first += step) {
      const int64_t n = p.lq - first < step ? p.lq - first : step;
      const Rows q = rows_of(*p.q, b, h, first, n, p.d, p.dp, q_buffer);
      const Rows go = rows_of(g, b, h, first, n, p.d, p.dp, go_buffer);
      for (int64_t i = 0; i < n; ++i) {
        float row[kMaxDim];
        gather_f32(row, y, row_at(y, b, first + i, h), y.strides[3], p.d);
        float sum = 0;
        for (int64_t j = 0; j < p.d; ++j) sum += row[j] * go.p[i * go.ld + j];
        delta[i] = sum;
      }
      const Range all = span(p, first, n);
      for (int64_t k0 = all.begin; k0 < all.end; k0 += kKeys) {
        const int64_t m = all.end - k0 < kKeys ? all.end - k0 : kKeys;
        const Rows k = rows_of(*p.k, b, hk, k0, m, p.d, p.dp, k_buffer);
        transpose(k, m, p.d, kt);
        transpose(rows_of(*p.v, b, hk, k0, m, p.d, p.dp, v_buffer), m, p.d, vt);
        multiply(n, kKeys, p.d, q.p, q.ld, 1, kt, kKeys, s, kKeys, false);
        multiply(n, kKeys, p.d, go.p, go.ld, 1, vt, kKeys, ds, kKeys, false);
        for (int64_t i = 0; i < n; ++i) {
          float *srow = s + i * kKeys, *drow = ds + i * kKeys;
          const Range r = p.keys(first + i);
          const bool masked = p.mask->present() || r.begin > k0 || r.end < k0 + kKeys;
          const float scale = masked ? 1 : p.scale;
          if (masked) {
            for (int64_t j = 0; j < kKeys; j += W) store(srow + j, load(srow + j) * p.scale);
            apply_mask(p, b, h, first + i, r, k0, m, srow);
          }
          const float l = lse[(b * p.h + h) * p.lq + first + i];
          if (l == -__builtin_inff()) {
            std::memset(srow, 0, kKeys * 4);
            std::memset(drow, 0, kKeys * 4);
            continue;
          }
          for (int64_t j = 0; j < kKeys; j += W) {
            const vf e = vexp(vfma(load(srow + j), splat(scale), splat(-l)));
            store(srow + j, e);
            store(drow + j, e * (load(drow + j) - delta[i]) * p.scale);
          }
        }
        multiply(m, p.dp, n, s, 1, kKeys, go.p, go.ld, dv + k0 * p.dp, p.dp, true);
        multiply(m, p.dp, n, ds, 1, kKeys, q.p, q.ld, dk + k0 * p.dp, p.dp, true);
        multiply(n, p.dp, m, ds, kKeys, 1, k.p, k.ld, dqh + first * p.dp, p.dp, true);
      }
    }
  }
}

// ---- f64: rows of scores one after the other. It serves gradient checks.

struct Exact {
  const Problem& p;
  double score(int64_t b, int64_t h, int64_t i, int64_t j) const {
    const double* q = p.q->ptr<double>() + row_at(*p.q, b, i, h);
    const double* k = p.k->ptr<double>() + row_at(*p.k, b, j, h / (p.h / p.hk));
    double s = 0;
    for (int64_t x = 0; x < p.d; ++x) s += q[x] * k[x];
    s *= scale;
    if (!p.mask->present()) return s;
    const Operand& m = *p.mask;
    const int64_t at = b * m.strides[0] + h * m.strides[1] + i * m.strides[2] + j * m.strides[3];
    if (m.dtype == DType::boolean) return m.ptr<uint8_t>()[at] ? s : -__builtin_inf();
    return s + m.ptr<double>()[at];
  }
  double scale;
};

void forward_f64(const Problem& p, const Args& a) {
  const Exact e{p, a.attr(0)};
  auto* s = static_cast<double*>(a.workspace);
  auto *y = a.out[0].ptr<double>(), *lse = a.out[1].ptr<double>();
  for (int64_t b = 0; b < p.b; ++b) {
    for (int64_t h = 0; h < p.h; ++h) {
      for (int64_t i = 0; i < p.lq; ++i) {
        const Range r = p.keys(i);
        double* out = y + ((b * p.lq + i) * p.h + h) * p.d;
        for (int64_t x = 0; x < p.d; ++x) out[x] = 0;
        double top = -__builtin_inf(), sum = 0;
        for (int64_t j = r.begin; j < r.end; ++j) {
          s[j] = e.score(b, h, i, j);
          top = s[j] > top ? s[j] : top;
        }
        double* l = lse + (b * p.h + h) * p.lq + i;
        *l = -__builtin_inf();
        if (top == -__builtin_inf()) continue;
        for (int64_t j = r.begin; j < r.end; ++j) sum += s[j] = std::exp(s[j] - top);
        for (int64_t j = r.begin; j < r.end; ++j) {
          const double* v = p.v->ptr<double>() + row_at(*p.v, b, j, h / (p.h / p.hk));
          for (int64_t x = 0; x < p.d; ++x) out[x] += s[j] / sum * v[x];
        }
        *l = top + std::log(sum);
      }
    }
  }
}

void backward_f64(const Problem& p, const Args& a) {
  const Exact e{p, a.attr(0)};
  const Operand &g = a.in[0], &y = a.in[4];
  const auto* lse = a.in[5].ptr<double>();
  for (int k = 0; k < 3; ++k) std::memset(a.out[k].data, 0, static_cast<size_t>(a.out[k].numel()) * 8);
  for (int64_t b = 0; b < p.b; ++b) {
    for (int64_t h = 0; h < p.h; ++h) {
      const int64_t hk = h / (p.h / p.hk);
      for (int64_t i = 0; i < p.lq; ++i) {
        const double l = lse[(b * p.h + h) * p.lq + i];
        if (l == -__builtin_inf()) continue;
        const double *go = g.ptr<double>() + row_at(g, b, i, h), *out = y.ptr<double>() + row_at(y, b, i, h);
        const double* q = p.q->ptr<double>() + row_at(*p.q, b, i, h);
        double* dq = a.out[0].ptr<double>() + ((b * p.lq + i) * p.h + h) * p.d;
        double delta = 0;
        // The gradient may be an expanded tensor.
        const int64_t gs = g.strides[3], ys = y.strides[3];
        for (int64_t x = 0; x < p.d; ++x) delta += go[x * gs] * out[x * ys];
        const Range r = p.keys(i);
        for (int64_t j = r.begin; j < r.end; ++j) {
          const double w = std::exp(e.score(b, h, i, j) - l);
          const double *k = p.k->ptr<double>() + row_at(*p.k, b, j, hk),
                       *v = p.v->ptr<double>() + row_at(*p.v, b, j, hk);
          double *dk = a.out[1].ptr<double>() + ((b * p.lk + j) * p.hk + hk) * p.d,
                 *dv = a.out[2].ptr<double>() + ((b * p.lk + j) * p.hk + hk) * p.d;
          double dw = 0;
          for (int64_t x = 0; x < p.d; ++x) dw += go[x * gs] * v[x];
          const double ds = w * (dw - delta) * e.scale;
          for (int64_t x = 0; x < p.d; ++x) {
            dv[x] += w * go[x * gs];
            dk[x] += ds * q[x];
            dq[x] += ds * k[x];
          }
        }
      }
    }
  }
}

}  // namespace

void run_attention(const Args& a, Context& c) {
  const Problem p(a.in[0], a.in[1], a.in[2], a.in[3], a.in[4], a.in[5], a);
  if (!p.check(c)) return;
  if (p.q->dtype == DType::f64) return forward_f64(p, a);
  const int64_t step = query_block(p.lq), blocks = p.lq > 0 ? (p.lq + step - 1) / step : 0;
  const int64_t work = step * p.lk * p.d;
  c.parallel_for(p.b * p.h * blocks, 1 + (1 << 16) / (work + 1), [&](int64_t begin, int64_t end, int thread) {
    auto* memory = static_cast<float*>(c.scratch(thread));
    for (int64_t t = begin; t < end; ++t) {
      const int64_t first = t % blocks * step;
      forward_block(p, a.out[0], a.out[1].ptr<float>(), t / blocks / p.h, t / blocks % p.h, first,
                    p.lq - first < step ? p.lq - first : step, memory);
    }
  });
}

void run_attention_backward(const Args& a, Context& c) {
  const Problem p(a.in[1], a.in[2], a.in[3], a.in[6], a.in[7], a.in[8], a);
  if (!p.check(c)) return;
  if (p.q->dtype == DType::f64) return backward_f64(p, a);
  const int64_t group = p.h / p.hk;
  const int64_t qs = p.lq * p.dp * group, ks = p.lk * p.dp;
  auto* space = static_cast<float*>(a.workspace);
  c.parallel_for(p.b * p.hk, 1, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t b = t / p.hk, hk = t % p.hk;
      float *dq = space + t * (qs + 2 * ks), *dk = dq + qs, *dv = dk + ks;
      backward_head(p, a.in[0], a.in[4], a.in[5].ptr<float>(), b, hk, dq, dk, dv,
                    static_cast<float*>(c.scratch(thread)));
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

}  // namespace SHAKTI_ISA_NS
