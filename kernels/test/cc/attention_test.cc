// Attention in f32, bf16 and f16 against the plain f64 loops on the same numbers: forward and backward, sizes around
// every block edge, heads that share keys, causality, windows, masks, packed sequences, keys in parts. And forward with
// keys and values in bytes.
#include <algorithm>
#include <set>
#include <vector>

#define HARNESS_MAIN
#include "cpu.h"
#include "harness.h"

DECLARE_OP(attention)
DECLARE_OP(attention_backward)

namespace {

struct Case {
  int64_t b, lq, lk, h, hk, d;
  bool causal;
  int64_t window;
  int mask;              // 0: none, 1: bool, 2: added
  int packed;            // sequences that batch element 0 holds; 0: not packed
  bool rounded = false;  // f32 operands, multiplied as bf16
  bool steep = false;    // later keys are larger, so that the maximum grows from block to block
};

struct Result {
  Tensor y, lse, dq, dk, dv;
};

// The same numbers in another dtype, rows without gaps in the last dimension.
Tensor as(const Tensor& x, DType t, int64_t gap) {
  Shape shape(x.o.shape, x.o.shape + x.o.ndim);
  Shape wide = shape;
  wide.back() += gap;
  Tensor y = tensor(wide, t);
  y.o.shape[y.o.ndim - 1] = shape.back();
  for (int64_t i = 0; i < x.numel(); ++i) y.set(i, x[i]);
  return y;
}

Result run(const Case& k, DType t, const Tensor& q, const Tensor& key, const Tensor& v, const Tensor& g,
           const Tensor& mask, const Tensor& cu_q, const Tensor& cu_k) {
  const DType statistics = t == DType::f64 ? t : DType::f32;
  Result r{tensor({k.b, k.lq, k.h, k.d}, t), tensor({k.b, k.h, k.lq}, statistics), tensor({k.b, k.lq, k.h, k.d}, t),
           tensor({k.b, k.lk, k.hk, k.d}, t), tensor({k.b, k.lk, k.hk, k.d}, t)};
  const std::vector<double> attrs = {1 / std::sqrt(static_cast<double>(k.d)), k.causal ? 1.0 : 0.0,
                                     static_cast<double>(k.window), k.rounded ? 1.0 : 0.0};
  OP_OF(attention)({q, key, v, mask, cu_q, cu_k, absent(), absent()}, {r.y, r.lse}, attrs);
  OP_OF(attention_backward)({g, q, key, v, r.y, r.lse, mask, cu_q, cu_k}, {r.dq, r.dk, r.dv}, attrs);
  return r;
}

void compare(const char* what, const Case& k, DType t, const Tensor& got, const Tensor& want, double tolerance) {
  double size = 1;  // of the operands: what cancels is not exact
  for (int64_t i = 0; i < want.numel(); ++i)
    if (std::isfinite(want[i])) size = std::max(size, std::fabs(want[i]));
  for (int64_t i = 0; i < got.numel(); ++i) {
    if (close(got[i], want[i], tolerance, tolerance * size)) continue;
    EXPECT(false, "%s %s: b %d lq %d lk %d h %d/%d d %d causal %d window %d mask %d packed %d: [%d] is %g, not %g",
           what, dtype_name(t), static_cast<int>(k.b), static_cast<int>(k.lq), static_cast<int>(k.lk),
           static_cast<int>(k.h), static_cast<int>(k.hk), static_cast<int>(k.d), k.causal, static_cast<int>(k.window),
           k.mask, k.packed, static_cast<int>(i), got[i], want[i]);
    return;
  }
}

Tensor cuts(int64_t length, int64_t n) {
  const Tensor cu = tensor({n + 1}, DType::i32);
  std::vector<int64_t> at = {0, length};
  for (int64_t i = 1; i < n; ++i) at.push_back(pick(0, length));
  std::sort(at.begin(), at.end());
  for (int64_t i = 0; i <= n; ++i) cu.o.ptr<int32_t>()[i] = static_cast<int32_t>(at[static_cast<size_t>(i)]);
  return cu;
}

void one(const Case& k, DType t) {
  const int64_t gap = pick(0, 1) * 3;
  const auto fill = [&](int64_t l, int64_t h) { return as(filled({k.b, l, h, k.d}, DType::f32, 0, -2, 2), t, gap); };
  const Tensor q = fill(k.lq, k.h), key = fill(k.lk, k.hk), v = fill(k.lk, k.hk), g = fill(k.lq, k.h);
  if (k.steep) {
    for (int64_t i = 0; i < key.numel(); ++i) key.set(i, key[i] * (1 + static_cast<double>(i * 8 / key.numel())));
  }
  const Tensor mask = k.mask == 0   ? absent()
                      : k.mask == 1 ? filled({k.b, k.h, k.lq, k.lk}, DType::boolean, 3, 0, 1)
                                    : filled({k.b, k.h, k.lq, k.lk}, DType::f32, 3, -1, 1);
  const Tensor cu_q = k.packed ? cuts(k.lq, k.packed) : absent(), cu_k = k.packed ? cuts(k.lk, k.packed) : absent();
  const Result got = run(k, t, q, key, v, g, mask, cu_q, cu_k);
  const Tensor exact_mask = k.mask == 2 ? as(mask, DType::f64, 0) : mask;
  const Result want = run(k, DType::f64, as(q, DType::f64, 0), as(key, DType::f64, 0), as(v, DType::f64, 0),
                          as(g, DType::f64, 0), exact_mask, cu_q, cu_k);
  const double tolerance = t == DType::f32 && !k.rounded ? 1e-5 : t == DType::bf16 || k.rounded ? 0.03 : 4e-3;
  compare("y", k, t, got.y, want.y, tolerance);
  compare("lse", k, t, got.lse, want.lse, k.rounded ? 0.03 : t == DType::f32 ? 1e-5 : 1e-4);
  compare("dq", k, t, got.dq, want.dq, tolerance);
  compare("dk", k, t, got.dk, want.dk, tolerance);
  compare("dv", k, t, got.dv, want.dv, tolerance);
}

// Keys and values in bytes against what they stand for; some scales lie as a view of wider ones.
void bytes(const Case& k, DType t) {
  const auto numbers = [&] {
    return as(filled({k.b, k.lk, k.hk, k.d}, DType::u8, 0, 0, 256), DType::u8, pick(0, 1) * 3);
  };
  const auto scales = [&] {
    return as(filled({k.b, k.lk, k.hk, 1}, DType::f32, 0, 0.005, 0.02), DType::f32, pick(0, 1));
  };
  const Tensor q = as(filled({k.b, k.lq, k.h, k.d}, DType::f32, 0, -2, 2), t, 0);
  const Tensor key = numbers(), v = numbers(), k_scale = scales(), v_scale = scales();
  const auto whole = [&](const Tensor& x, const Tensor& scale) {
    const Tensor y = tensor({k.b, k.lk, k.hk, k.d}, DType::f64);
    for (int64_t i = 0; i < y.numel(); ++i) y.set(i, (x[i] - 128) * scale[i / k.d]);
    return y;
  };
  const Tensor mask = k.mask ? filled({k.b, k.h, k.lq, k.lk}, DType::boolean, 3, 0, 1) : absent();
  const Tensor cu_q = k.packed ? cuts(k.lq, k.packed) : absent(), cu_k = k.packed ? cuts(k.lk, k.packed) : absent();
  const std::vector<double> attrs = {1 / std::sqrt(static_cast<double>(k.d)), k.causal ? 1.0 : 0.0,
                                     static_cast<double>(k.window), k.rounded ? 1.0 : 0.0};
  const Tensor y = tensor({k.b, k.lq, k.h, k.d}, t), lse = tensor({k.b, k.h, k.lq}, DType::f32);
  OP_OF(attention)({q, key, v, mask, cu_q, cu_k, k_scale, v_scale}, {y, lse}, attrs);
  const Tensor exact_y = tensor({k.b, k.lq, k.h, k.d}, DType::f64), exact_lse = tensor({k.b, k.h, k.lq}, DType::f64);
  OP_OF(attention)({as(q, DType::f64, 0), whole(key, k_scale), whole(v, v_scale), mask, cu_q, cu_k, absent(), absent()},
                   {exact_y, exact_lse}, attrs);
  // A few rows are multiplied in f32, whatever they are; y is rounded to its dtype.
  const bool few = k.lq * k.h / k.hk <= 8, pairs = (t == DType::bf16 || k.rounded) && !few;
  const double tolerance = pairs ? 0.02 : t == DType::f32 ? 1e-5 : t == DType::bf16 ? 0.005 : 1e-3;
  compare("y of bytes", k, t, y, exact_y, tolerance);
  compare("lse of bytes", k, t, lse, exact_lse, pairs ? 0.02 : 2e-5);
}

// Each query finds one key, so far above all others that its value alone is the result; and this query's gradient is
// that value's. A row, a key or a head's element that a block loses, or takes twice, cannot hide in a tolerance.
void lookup(DType t, int64_t lq, int64_t lk, int64_t d) {
  // Rows of signs, no two alike.
  const auto signs = [&](int64_t l) {
    const Tensor x = tensor({1, l, 1, d}, t);
    std::set<std::vector<bool>> rows;
    for (int64_t i = 0; i < l; ++i) {
      std::vector<bool> row(static_cast<size_t>(d));
      do {
        for (auto&& sign : row) sign = pick(0, 1) != 0;
      } while (!rows.insert(row).second);
      for (int64_t j = 0; j < d; ++j) x.set(i * d + j, row[static_cast<size_t>(j)] ? 1 : -1);
    }
    return x;
  };
  const auto fill = [&](int64_t l) { return as(filled({1, l, 1, d}, DType::f32, 0, -2, 2), t, 0); };
  const Tensor q = tensor({1, lq, 1, d}, t), k = signs(lk), v = fill(lk), g = fill(lq);
  // With fewer queries than keys those at the end are found, with more of them the first ones twice.
  const auto wanted = [&](int64_t i) { return i < lk ? lk - 1 - i : i % lk; };
  for (int64_t i = 0; i < q.numel(); ++i) q.set(i, 64 * k[wanted(i / d) * d + i % d]);
  const Case c{1, lq, lk, 1, 1, d, false, 0, 0, 0, t == DType::f32};
  const Result got = run(c, t, q, k, v, g, absent(), absent(), absent());
  const Tensor y = tensor({1, lq, 1, d}, DType::f64), dv = tensor({1, lk, 1, d}, DType::f64);
  for (int64_t i = 0; i < dv.numel(); ++i) dv.set(i, 0);
  for (int64_t i = 0; i < y.numel(); ++i) {
    const int64_t at = wanted(i / d) * d + i % d;
    y.set(i, v[at]);
    dv.set(at, dv[at] + g[i]);
  }
  compare("looked up y", c, t, got.y, y, eps(DType::bf16));
  compare("looked up dv", c, t, got.dv, dv, eps(DType::bf16));
}

// A query that is not a number makes its own row so, and no other: with whole keys and with keys in parts.
void nan_stays_in_its_row(int64_t lq, int64_t lk, DType t) {
  const int64_t h = 2, d = 64;
  const Tensor q = as(filled({1, lq, h, d}, DType::f32, 0, -2, 2), t, 0), key = filled({1, lk, h, d}, t, 0, -2, 2);
  for (int64_t i = 0; i < d; ++i) q.set(i, NAN);
  const Tensor y = tensor({1, lq, h, d}, t), lse = tensor({1, h, lq}, DType::f32);
  OP_OF(attention)({q, key, key, absent(), absent(), absent(), absent(), absent()}, {y, lse}, {0.125, 0, 0, 0});
  for (int64_t i = 0; i < y.numel(); ++i)
    EXPECT(std::isnan(y[i]) == (i < d), "%lld keys: [%d] is %g", static_cast<long long>(lk), static_cast<int>(i), y[i]);
  EXPECT(std::isnan(lse[0]) && std::isfinite(lse[lq]), "lse is %g and %g", lse[0], lse[lq]);
}

}  // namespace

int main() {
  const DType types[] = {DType::f32, DType::bf16, DType::f16};
  const int64_t dims[] = {1, 7, 16, 32, 40, 64, 80, 96, 128};
  for (int round = 0; round < 150; ++round) {
    const int64_t hk = pick(1, 2), group = pick(1, 3);
    Case k{pick(1, 2), pick(1, 70), pick(1, 90), hk * group, hk, dims[pick(0, 8)], pick(0, 1) == 1, 0, 0, 0};
    if (k.causal && pick(0, 1)) k.window = pick(1, 40);
    if (round % 5 == 0) k.mask = static_cast<int>(pick(1, 2));
    if (round % 7 == 0) {
      k.b = 1;
      k.packed = static_cast<int>(pick(1, 4));
    }
    k.rounded = round % 6 == 0;
    one(k, types[round % 3]);
    if (k.mask < 2) bytes(k, types[round % 3]);
  }
  for (const DType t : types) {
    // Rows of several blocks; keys in several parts, with few rows and in the last one not whole.
    one({1, 200, 200, 1, 1, 64, true, 0, 0, 0}, t);
    one({1, 400, 400, 2, 1, 32, true, 0, 0, 0}, t);
    one({1, 250, 300, 1, 1, 64, false, 0, 0, 0, false, true}, t);
    one({1, 150, 300, 2, 2, 24, true, 90, 0, 3}, t);
    one({1, 130, 200, 2, 1, 64, false, 0, 2, 0}, t);
    one({1, 1, 2100, 4, 2, 64, false, 0, 0, 0}, t);
    one({1, 3, 1500, 2, 1, 16, true, 700, 0, 0}, t);
    one({1, 0, 5, 1, 1, 8, false, 0, 0, 0}, t);
    one({2, 5, 0, 1, 1, 8, false, 0, 0, 0}, t);
    // Blocks of keys laid out once for many blocks of rows; a few rows, and keys in parts.
    bytes({1, 800, 150, 1, 1, 64, true, 0, 0, 0}, t);
    bytes({1, 1, 2100, 8, 2, 128, true, 0, 0, 0}, t);
    bytes({2, 2, 1300, 6, 3, 80, true, 700, 0, 0}, t);
    bytes({1, 4, 1500, 6, 2, 20, true, 0, 0, 0}, t);
    bytes({1, 0, 5, 1, 1, 8, false, 0, 0, 0}, t);
    bytes({2, 5, 0, 1, 1, 8, false, 0, 0, 0}, t);
    nan_stays_in_its_row(30, 128, t);
    nan_stays_in_its_row(1, 1200, t);
  }
  for (const DType t : types) {
    for (const int64_t d : {16, 32, 64, 80, 96, 128}) {
      const int64_t lengths[] = {1, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 97};
      for (int i = 0; i < 4; ++i) lookup(t, lengths[pick(0, 11)], lengths[pick(0, 11)], d);
    }
    lookup(t, 97, 129, 64);
    lookup(t, 65, 33, 40);
  }
  return finish("attention");
}
