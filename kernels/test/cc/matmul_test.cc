// The matrix product against a plain triple loop: odd sizes around every block edge, all layouts, dtypes, epilogues,
// accumulation. Where f32 may be multiplied as bf16, the factors are such that nothing is lost. Then weights that are
// packed once: they come out as they went in, and their products are those of the matrix product.
#define HARNESS_MAIN
#include "../../src/ops/matmul/packed_weight.h"
#include "cpu.h"
#include "harness.h"

DECLARE_OP(matmul)
DECLARE_OP(pack_weight)
DECLARE_OP(unpack_weight)
DECLARE_OP(packed_linear)

namespace {

void round_to_bf16(const Tensor& x) {
  const Tensor cell = tensor({1}, DType::bf16);
  for (int64_t i = 0; i < x.numel(); ++i) {
    cell.set(0, x[i]);
    x.set(i, cell[0]);
  }
}

double activated(int f, double x) {
  switch (f) {
    case 1: return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case 2: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case 3: return x / (1 + std::exp(-x));
    default: return x;
  }
}

void one(DType t, Shape batch, int64_t m, int64_t n, int64_t k, int la, int lb, bool bias, bool add,
         bool as_bf16 = false) {
  const auto with = [&](int64_t r, int64_t c) {
    Shape s = batch;
    s.push_back(r);
    s.push_back(c);
    return s;
  };
  const Tensor a = filled(with(m, k), t, la, -1, 1), b = filled(with(k, n), t, lb, -1, 1);
  if (as_bf16) {
    round_to_bf16(a);
    round_to_bf16(b);
  }
  const Tensor v = bias ? filled({n}, t, static_cast<int>(pick(0, 1)) * 2, -1, 1) : absent();
  // With `add` y is read, and the epilogue is a bias at most.
  const int activation = add ? 0 : static_cast<int>(pick(0, 3));
  const double scale = add || pick(0, 1) == 0 ? 1 : 0.375;
  const DType out = t != DType::f64 && pick(0, 2) == 0 ? DType::f32 : t;
  const auto beside = [&](bool there) {
    return there ? filled(with(m, n), out, static_cast<int>(pick(0, 3)), -1, 1) : absent();
  };
  const Tensor residual = beside(pick(0, 1)), gate = beside(!add && pick(0, 2) == 0);
  const Tensor y = filled(with(m, n), out, 0, -1, 1);
  std::vector<double> before;
  for (int64_t i = 0; i < y.numel(); ++i) before.push_back(y[i]);
  if (!OP_OF(matmul)({a, b, v, residual, gate}, {y},
                     {add ? 1.0 : 0.0, as_bf16 ? 1.0 : 0.0, static_cast<double>(activation), scale}))
    return;
  const double atol = (t == DType::f64 ? 1e-14 : 2e-6) * (4 + std::sqrt(static_cast<double>(k)));
  for (int64_t i = 0; i < y.numel(); ++i) {
    const int64_t q = i / (m * n), r = i / n % m, c = i % n;
    double sum = add ? before[static_cast<size_t>(i)] : 0;
    for (int64_t x = 0; x < k; ++x) sum += a[q * m * k + r * k + x] * b[q * k * n + x * n + c];
    double want = activated(activation, scale * sum + (bias ? v[c] : 0));
    if (gate.here()) want *= activated(3, gate[i]);
    if (residual.here()) want += residual[i];
    if (!close(y[i], want, eps(out), atol)) {
      EXPECT(false,
             "%s [%lld x %lld x %lld] layouts %d %d bias %d add %d activation %d scale %g gate %d residual %d: "
             "y[%lld] is %.9g, should be %.9g",
             dtype_name(t), static_cast<long long>(m), static_cast<long long>(n), static_cast<long long>(k), la, lb,
             bias, add, activation, scale, gate.here(), residual.here(), static_cast<long long>(i), y[i], want);
      return;
    }
  }
}

void refuse(const char* why, const Tensor& a, const Tensor& b, const Tensor& v, const Tensor& y,
            const Tensor& residual = absent(), const std::vector<double>& attrs = {0, 0, 0, 1},
            const Tensor& gate = absent()) {
  EXPECT(!OP_OF(matmul).refused({a, b, v, residual, gate}, {y}, attrs), "accepted %s", why);
}

Tensor packed_for(DType t, int64_t n, int64_t k) {
  on_whole_lines = true;  // it begins on a word
  const Tensor packed = tensor({matmul::panels_of(n), matmul::PackedLayout(t, k).panel_bytes()}, DType::u8);
  on_whole_lines = false;
  return packed;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  for (int64_t i = 0; i < a.numel(); ++i) {
    if (!(a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i])))) return false;
  }
  return true;
}

Tensor rows_of(const Tensor& x, int64_t first, int64_t count) {
  Tensor part = x;
  part.o.data = x.o.ptr<char>() + first * x.o.strides[0] * static_cast<int64_t>(dtype_size(x.o.dtype));
  part.o.shape[0] = count;
  return part;
}

// A weight in each layout and its product, with every kind of epilogue, beside the unpacked one: to the bit where that
// one takes its loops, to within rounding where it reads few rows another way. `special`: not all of x and w are
// finite.
void packed(DType t, int64_t m, int64_t n, int64_t k, int layout, bool special = false) {
  const Tensor w = filled({n, k}, t, layout, -1, 1), x = filled({m, k}, t, static_cast<int>(pick(0, 3)), -1, 1);
  if (special) {
    w.set(pick(0, n * k - 1), INFINITY);
    w.set(pick(0, n * k - 1), NAN);
    x.set(pick(0, m * k - 1), -INFINITY);
    x.set(pick(0, m * k - 1), NAN);
  }
  const Tensor kept = packed_for(t, n, k), back = tensor({n, k}, t);
  OP_OF(pack_weight)({w}, {kept});
  OP_OF(unpack_weight)({kept}, {back});
  EXPECT(same_bits(back, w), "%s [%lld x %lld] layout %d does not come out as it went in", dtype_name(t),
         static_cast<long long>(n), static_cast<long long>(k), layout);
  Tensor across = w;
  std::swap(across.o.shape[0], across.o.shape[1]);
  std::swap(across.o.strides[0], across.o.strides[1]);

  const DType out = pick(0, 2) == 0 ? DType::f32 : t;
  const Tensor bias = pick(0, 1) ? filled({n}, t, static_cast<int>(pick(0, 1)) * 2, -1, 1) : absent();
  const Tensor residual = pick(0, 1) ? filled({m, n}, out, static_cast<int>(pick(0, 3)), -1, 1) : absent();
  const Tensor gate = pick(0, 2) == 0 ? filled({m, n}, out, static_cast<int>(pick(0, 3)), -1, 1) : absent();
  const double activation = static_cast<double>(pick(0, 3)), scale = pick(0, 1) ? 1 : 0.375;
  const Tensor y = tensor({m, n}, out), plain = tensor({m, n}, out);
  if (!OP_OF(packed_linear)({x, kept, bias, residual, gate}, {y}, {activation, scale})) return;
  OP_OF(matmul)({x, across, bias, residual, gate}, {plain}, {0, 0, activation, scale});
  const double atol = 2e-6 * (4 + std::sqrt(static_cast<double>(k)));
  for (int64_t i = 0; i < m * n; ++i) {
    if (m > matmul::kFew ? y[i] == plain[i] || (std::isnan(y[i]) && std::isnan(plain[i]))
                         : close(y[i], plain[i], 2 * eps(out), atol))
      continue;
    EXPECT(false, "%s [%lld x %lld x %lld] layout %d activation %g scale %g: y[%lld] is %.9g, unpacked %.9g",
           dtype_name(t), static_cast<long long>(m), static_cast<long long>(n), static_cast<long long>(k), layout,
           activation, scale, static_cast<long long>(i), y[i], plain[i]);
    return;
  }
  // On other threads in other tasks, and a row by itself: the same bits.
  const Tensor again = tensor({m, n}, out);
  for (const int threads : {2, 64}) {
    pretend_threads = threads;
    OP_OF(packed_linear)({x, kept, bias, residual, gate}, {again}, {activation, scale});
    EXPECT(same_bits(again, y), "on %d threads", threads);
  }
  pretend_threads = 1;
  const int64_t r = pick(0, m - 1);
  const Tensor alone = tensor({1, n}, out), of = residual.here() ? rows_of(residual, r, 1) : absent();
  OP_OF(packed_linear)({rows_of(x, r, 1), kept, bias, of, gate.here() ? rows_of(gate, r, 1) : absent()}, {alone},
                       {activation, scale});
  EXPECT(same_bits(alone, rows_of(y, r, 1)), "row %lld of %lld is another one by itself", static_cast<long long>(r),
         static_cast<long long>(m));
}

void packed_weights() {
  for (const DType t : {DType::f32, DType::bf16}) {
    for (int round = 0; round < 60; ++round)
      packed(t, pick(1, 40), pick(1, 70), pick(1, 80), static_cast<int>(pick(0, 3)), round % 6 == 5);
    // Rows of every register tile, a panel and its edges, tiles and blocks of the depth and theirs.
    for (int64_t m = 1; m <= 17; ++m) packed(t, m, 33, 37, 0);
    for (int64_t n : {1, 31, 32, 33, 64, 97}) packed(t, 5, n, 31, 1);
    for (int64_t k : {1, 2, 31, 32, 33, 511, 512, 513, 1023, 1024, 1025, 2053})
      packed(t, 7, 37, k, 0), packed(t, 18, 5, k, 1);
    for (int64_t m : {31, 32, 33, 191, 192, 193, 400}) packed(t, m, 35, 67, 0);
    // More rows than are laid out at a time.
    packed(t, 12300, 3, 3, 0);
    for (const Shape& empty : {Shape{0, 3, 4}, Shape{3, 0, 4}, Shape{3, 2, 0}}) {
      const Tensor x = filled({empty[0], empty[2]}, t, 0, -1, 1), w = filled({empty[1], empty[2]}, t, 0, -1, 1);
      const Tensor kept = packed_for(t, empty[1], empty[2]), y = filled({empty[0], empty[1]}, t, 0, -1, 1);
      const Tensor bias = filled({empty[1]}, t, 0, -1, 1);
      OP_OF(pack_weight)({w}, {kept});
      OP_OF(packed_linear)({x, kept, bias, absent(), absent()}, {y}, {0, 1});
      for (int64_t i = 0; i < y.numel(); ++i) EXPECT(y[i] == bias[i % empty[1]], "a product of no depth is the bias");
    }
    // Any bytes are a weight.
    const Tensor bytes = packed_for(t, 40, 50);
    for (int64_t i = 0; i < bytes.numel(); ++i) bytes.set(i, static_cast<double>(pick(0, 255)));
    OP_OF(packed_linear)({filled({3, 50}, t, 0, -1, 1), bytes, absent(), absent(), absent()}, {tensor({3, 40}, t)},
                         {0, 1});
  }

  const auto f32 = [](int64_t r, int64_t c) { return tensor({r, c}, DType::f32); };
  const Tensor x = f32(3, 70), kept = packed_for(DType::f32, 40, 70), y = f32(3, 40);
  const auto no = [&](const char* why, const Tensor& a, const Tensor& p, const Tensor& v, const Tensor& out,
                      const Tensor& residual = absent(), const std::vector<double>& attrs = {0, 1}) {
    EXPECT(!OP_OF(packed_linear).refused({a, p, v, residual, absent()}, {out}, attrs), "accepted %s", why);
  };
  EXPECT(OP_OF(packed_linear).refused({x, kept, absent(), absent(), absent()}, {y}, {0, 1}), "a good call was refused");
  no("a weight of another dtype", x, packed_for(DType::bf16, 40, 70), absent(), y);
  no("a panel too few", x, packed_for(DType::f32, 32, 70), absent(), y);
  no("another depth", f32(3, 71), kept, absent(), y);
  no("packed floats", x, f32(kept.o.shape[0], kept.o.shape[1]), absent(), y);
  no("f16", tensor({3, 70}, DType::f16), packed_for(DType::bf16, 40, 70), absent(), tensor({3, 40}, DType::f16));
  no("doubles", tensor({3, 70}, DType::f64), kept, absent(), tensor({3, 40}, DType::f64));
  no("a vector", tensor({70}, DType::f32), kept, absent(), y);
  no("a y of other rows", x, kept, absent(), f32(4, 40));
  no("a y in 16 bits of f32", x, kept, absent(), tensor({3, 40}, DType::bf16));
  no("a short bias", x, kept, tensor({39}, DType::f32), y);
  no("a bias of another dtype", x, kept, tensor({40}, DType::bf16), y);
  no("a wide residual", x, kept, absent(), y, f32(3, 41));
  no("an unknown activation", x, kept, absent(), y, absent(), {4, 1});
  Tensor moved = kept;
  moved.o.data = kept.o.ptr<char>() + 1;
  no("bytes that begin within a word", x, moved, absent(), y);
  Tensor gap = kept;
  gap.o.strides[0] += 4;
  no("bytes with gaps", x, gap, absent(), y);
  EXPECT(!OP_OF(pack_weight).refused({tensor({40, 70}, DType::f16)}, {kept}, {}), "accepted f16 to pack");
  EXPECT(!OP_OF(pack_weight).refused({tensor({70}, DType::f32)}, {kept}, {}), "accepted a vector to pack");
  EXPECT(!OP_OF(pack_weight).refused({f32(40, 80)}, {kept}, {}), "accepted a short packing");
  EXPECT(!OP_OF(unpack_weight).refused({kept}, {f32(65, 70)}, {}), "accepted a wrong size to unpack to");
}

}  // namespace

int main() {
  packed_weights();
  const DType floats[] = {DType::f32, DType::bf16, DType::f16, DType::f64};
  for (int round = 0; round < 400; ++round) {
    const DType t = floats[round % 8 < 5 ? 0 : round % 8 - 4];
    Shape batch;
    for (int64_t i = pick(0, 2); i > 0; --i) batch.push_back(pick(1, 3));
    one(t, batch, pick(1, 40), pick(1, 70), pick(1, 40), static_cast<int>(pick(0, 3)), static_cast<int>(pick(0, 3)),
        pick(0, 1), pick(0, 1), round % 2 == 1);
  }
  for (const DType t : floats) {
    for (int64_t m : {1, 2, 3, 4, 5, 8})
      one(t, {}, m, 100, 75, 0, 1, m & 1, m & 2), one(t, {}, m, 101, 75, 1, 0, m & 1, m & 2, true),
          one(t, {}, m, 75, 130, 0, 0, m & 2, m & 1);
    // Few rows: b lies across or along, in one piece of the depth or in several, columns in whole groups or not.
    for (int64_t m : {1, 4, 5, 7, 13, 15, 16, 17})
      for (int64_t n : {1, 16, 19, 64, 83}) one(t, {}, m, n, n == 19 ? 1100 : 130, m & 1, n & 1, m & 2, m & 4);
    one(t, {}, 3, 4, 0, 0, 0, true, false);
    one(t, {2}, 0, 4, 3, 0, 0, true, false);
    one(t, {0}, 2, 4, 3, 0, 0, true, true);
    one(t, {}, 100, 33, 1100, 1, 0, true, true);
    one(t, {}, 13, 600, 520, 0, 1, true, false);
  }
  one(DType::f32, {}, 33, 2100, 513, 0, 0, true, true);
  one(DType::f32, {}, 33, 2100, 513, 0, 1, true, true, true);
  one(DType::f32, {}, 220, 130, 40, 0, 0, true, true);
  one(DType::bf16, {}, 2, 3, 100000, 0, 0, false, false);
  one(DType::f32, {3}, 130, 130, 140, 2, 1, true, false);

  const Tensor a = tensor({3, 4}, DType::f32), b = tensor({4, 5}, DType::f32), y = tensor({3, 5}, DType::f32);
  refuse("unlike inner sizes", a, tensor({5, 5}, DType::f32), absent(), y);
  refuse("a wrong output", a, b, absent(), tensor({5, 3}, DType::f32));
  refuse("unlike dtypes", a, tensor({4, 5}, DType::f64), absent(), y);
  refuse("integers", tensor({3, 4}, DType::i32), tensor({4, 5}, DType::i32), absent(), tensor({3, 5}, DType::i32));
  refuse("a short bias", a, b, tensor({4}, DType::f32), y);
  refuse("vectors", tensor({4}, DType::f32), tensor({4}, DType::f32), absent(), tensor({4}, DType::f32));
  Tensor gap = tensor({3, 5}, DType::f32);
  gap.o.strides[0] = 5;
  gap.o.strides[1] = 2;
  refuse("an output with gaps", a, b, absent(), gap);
  refuse("a wide residual", a, b, absent(), y, tensor({3, 6}, DType::f32));
  refuse("a row for a residual", a, b, absent(), y, tensor({5}, DType::f32));
  refuse("a residual of another dtype", a, b, absent(), y, tensor({3, 5}, DType::bf16));
  refuse("an unknown activation", a, b, absent(), y, absent(), {0, 0, 4, 1});
  refuse("an activation of an accumulating product", a, b, absent(), y, absent(), {1, 0, 1, 1});
  refuse("a scale of an accumulating product", a, b, absent(), y, absent(), {1, 0, 0, 2});
  refuse("a wide gate", a, b, absent(), y, absent(), {0, 0, 0, 1}, tensor({3, 6}, DType::f32));
  refuse("a gate of another dtype", a, b, absent(), y, absent(), {0, 0, 0, 1}, tensor({3, 5}, DType::bf16));
  refuse("a gate of an accumulating product", a, b, absent(), y, absent(), {1, 0, 0, 1}, y);
  refuse("y in 16 bits of f32", a, b, absent(), tensor({3, 5}, DType::bf16));
  return finish("matmul");
}
