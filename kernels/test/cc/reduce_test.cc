// Folds against plain loops in f64: every choice of dimensions, layout and dtype, sizes around tiles and pieces.
#define HARNESS_MAIN
#include "harness.h"

#define EACH(F) F(sum) F(prod) F(amax) F(amin) F(max_index) F(min_index) F(cumsum)
EACH(DECLARE_OP)

namespace {

double add(double a, double b) { return a + b; }
double mul(double a, double b) { return a * b; }
double larger(double a, double b) { return std::isnan(a) || std::isnan(b) ? NAN : std::fmax(a, b); }
double smaller(double a, double b) { return std::isnan(a) || std::isnan(b) ? NAN : std::fmin(a, b); }

void fold(const Called& op, double (*f)(double, double), double start, DType t, DType u, const Shape& s, unsigned dims,
          int layout, double low, double high) {
  const Tensor x = filled(s, t, layout, low, high);
  Shape r = s;
  for (size_t d = 0; d < s.size(); ++d) {
    if (dims >> d & 1) r[d] = 1;
  }
  const Tensor y = tensor(r, u);
  if (!op({x}, {y})) return;
  std::vector<double> want(static_cast<size_t>(y.numel()), start), size(static_cast<size_t>(y.numel()), 0);
  for (int64_t i = 0; i < x.numel(); ++i) {
    int64_t rest = i, to = 0, step = 1;
    for (size_t d = s.size(); d-- > 0;) {
      const int64_t at = rest % s[d];
      rest /= s[d];
      if (r[d] != 1 || s[d] == 1) to += at * step;
      step *= r[d];
    }
    double& w = want[static_cast<size_t>(to)];
    w = f(w, x[i]);
    size[static_cast<size_t>(to)] += std::fabs(x[i]);
  }
  for (int64_t i = 0; i < y.numel(); ++i) {
    const auto k = static_cast<size_t>(i);
    // f32 sums by pieces: a few ulp of the sum of magnitudes.
    const double atol = f == add ? (u == DType::f64     ? 1e-14
                                    : dtype_is_float(u) ? 3e-7
                                                        : 0) *
                                           size[k] +
                                       (u == DType::f16 ? 6e-8 : 0)
                                 : 0;
    const double rtol = eps(u) + (f == mul ? (u == DType::f64 ? 1e-12 : 1e-4) : 0);
    if (!close(y[i], want[k], rtol, atol)) {
      EXPECT(false, "%s of %s, dims %x, layout %d, rank %zu: y[%lld] is %.9g, should be %.9g", op.name, dtype_name(t),
             dims, layout, s.size(), static_cast<long long>(i), y[i], want[k]);
      return;
    }
  }
}

Shape some_shape(int round) {
  switch (round % 6) {
    case 0: return {pick(1, 5000)};
    case 1: return {pick(1, 90), pick(1, 90)};
    case 2: return {pick(1, 5), pick(1, 30), pick(1, 40)};
    case 3: return {pick(1, 4), pick(1, 9), pick(1, 5), pick(1, 9)};
    case 4: return {pick(500, 3000), pick(1, 40)};
    default: return {pick(1, 3), pick(1000, 2500)};
  }
}

void indices() {
  for (const DType t : {DType::f32, DType::bf16, DType::f64, DType::i32, DType::i64, DType::u8}) {
    for (int round = 0; round < 20; ++round) {
      const Shape s = some_shape(round);
      Shape r = s;
      r.back() = 1;
      const Tensor x = filled(s, t, round % 4, t == DType::u8 ? 0 : -20, 20), v = tensor(r, t),
                   i = tensor(r, DType::i32);
      if (round % 5 == 0 && dtype_is_float(t) && round % 4 != 3) x.set(x.numel() / 2, NAN);
      for (const bool largest : {true, false}) {
        if (!(largest ? OP_OF(max_index) : OP_OF(min_index))({x}, {v, i})) return;
        const int64_t n = s.back();
        for (int64_t q = 0; q < v.numel(); ++q) {
          int64_t best = 0;
          for (int64_t k = 0; k < n; ++k) {
            const double a = x[q * n + k], b = x[q * n + best];
            if (!std::isnan(b) && (std::isnan(a) || (largest ? a > b : a < b))) best = k;
          }
          EXPECT(i[q] == static_cast<double>(best) && close(v[q], x[q * n + best], 0, 0),
                 "%s: row %lld gives %g at %g, should be %g at %lld", largest ? "max_index" : "min_index",
                 static_cast<long long>(q), v[q], i[q], x[q * n + best], static_cast<long long>(best));
        }
      }
      const Tensor y = tensor(s, t);
      if (t == DType::u8 || x.numel() == 0 || std::isnan(x[x.numel() / 2])) continue;
      for (const bool reverse : {false, true}) {
        if (!OP_OF(cumsum)({x}, {y}, {reverse ? 1.0 : 0.0})) return;
        const int64_t n = s.back();
        double total = 0;
        for (int64_t q = 0; q < x.numel(); ++q) {
          const int64_t row = q / n, k = reverse ? n - 1 - q % n : q % n;
          total = q % n == 0 ? x[row * n + k] : total + x[row * n + k];
          EXPECT(close(y[row * n + k], total, eps(t), 1e-9), "cumsum of %s is %g, should be %g", dtype_name(t),
                 y[row * n + k], total);
        }
      }
    }
  }
}

}  // namespace

int main() {
  const DType floats[] = {DType::f32, DType::f32, DType::bf16, DType::f16, DType::f64};
  for (int round = 0; round < 240; ++round) {
    const Shape s = some_shape(round);
    const auto dims = static_cast<unsigned>(pick(0, (1 << s.size()) - 1));
    const DType t = floats[round / 4 % 5];
    fold(OP_OF(sum), add, 0, t, t, s, dims, round % 4, -1, 1);
    fold(OP_OF(amax), larger, -INFINITY, t, t, s, dims, round % 4, -9, 9);
    fold(OP_OF(amin), smaller, INFINITY, t, t, s, dims, round % 4, -9, 9);
    fold(OP_OF(prod), mul, 1, t, t, s, dims, round % 4, 0.999, 1.001);
    const DType whole[] = {DType::i32, DType::i64, DType::u8, DType::boolean};
    const DType w = whole[round % 4];
    fold(OP_OF(sum), add, 0, w, round % 2 ? DType::i32 : DType::i64, s, dims, round / 4 % 4, 0, 9);
    if (w != DType::boolean) fold(OP_OF(amax), larger, -INFINITY, w, w, s, dims, round / 4 % 4, 0, 99);
  }
  for (const DType t : {DType::f32, DType::bf16}) {
    // Long folds of one and of many outputs, over the last, first and all dimensions.
    fold(OP_OF(sum), add, 0, t, t, {300001}, 1, 0, -1, 1);
    fold(OP_OF(sum), add, 0, t, t, {2, 100003}, 2, 0, 0, 1);
    fold(OP_OF(sum), add, 0, t, t, {5000, 97}, 1, 0, 0, 1);
    fold(OP_OF(sum), add, 0, t, t, {70, 1300}, 1, 0, 0, 1);
    fold(OP_OF(sum), add, 0, t, t, {3, 700, 65}, 2, 0, 0, 1);
    fold(OP_OF(sum), add, 0, t, t, {700, 3, 65}, 5, 0, 0, 1);
    fold(OP_OF(amax), larger, -INFINITY, t, t, {300001}, 1, 0, -9, 9);
    fold(OP_OF(sum), add, 0, t, t, {0, 5}, 1, 0, 0, 1);
    fold(OP_OF(prod), mul, 1, t, t, {4, 0}, 2, 0, 0, 1);
    fold(OP_OF(sum), add, 0, t, t, {0, 5}, 2, 0, 0, 1);
    fold(OP_OF(sum), add, 0, t, t, {}, 0, 0, 0, 1);
  }
  fold(OP_OF(sum), add, 0, DType::f64, DType::f64, {0, 5}, 1, 0, 0, 1);
  indices();
  // NaN wins wherever it stands.
  for (const int64_t n : {1, 7, 64, 100, 70000}) {
    for (const int64_t at : {int64_t{0}, n / 2, n - 1}) {
      const Tensor x = filled({n}, DType::f32, 0, -1, 1), y = tensor({1}, DType::f32);
      x.set(at, NAN);
      OP_OF(amax)({x}, {y});
      EXPECT(std::isnan(y[0]), "amax of %lld loses a NaN at %lld", static_cast<long long>(n),
             static_cast<long long>(at));
      OP_OF(amin)({x}, {y});
      EXPECT(std::isnan(y[0]), "amin of %lld loses a NaN at %lld", static_cast<long long>(n),
             static_cast<long long>(at));
    }
  }
  const auto f32 = [](Shape s) { return tensor(s, DType::f32); };
  EXPECT(!OP_OF(sum).refused({f32({3, 4})}, {f32({3, 2})}, {}), "sum into another size");
  EXPECT(!OP_OF(sum).refused({f32({3, 4})}, {f32({3})}, {}), "sum into another rank");
  EXPECT(!OP_OF(sum).refused({f32({3})}, {tensor({1}, DType::i32)}, {}), "sum of f32 into i32");
  EXPECT(!OP_OF(amax).refused({f32({0, 4})}, {f32({1, 4})}, {}), "amax of nothing");
  EXPECT(!OP_OF(max_index).refused({f32({3, 0})}, {f32({3, 1}), tensor({3, 1}, DType::i32)}, {}),
         "max_index of nothing");
  EXPECT(!OP_OF(max_index).refused({f32({3, 4})}, {f32({3, 1}), tensor({3, 1}, DType::i64)}, {}), "i64 indices");
  EXPECT(!OP_OF(cumsum).refused({f32({})}, {f32({})}, {0}), "cumsum of a scalar");
  return finish("reduce");
}
