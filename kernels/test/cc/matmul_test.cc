// The matrix product against a plain triple loop: odd sizes around every block edge, all layouts, dtypes, epilogues,
// accumulation. Where f32 may be multiplied as bf16, the factors are such that nothing is lost.
#define HARNESS_MAIN
#include "harness.h"

DECLARE_OP(matmul)

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

}  // namespace

int main() {
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
