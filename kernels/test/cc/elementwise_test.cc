// Every elementwise op against a formula in f64, for every dtype it takes, in all layouts, and around the edges of a
// tile.
#define HARNESS_MAIN
#include "harness.h"

// clang-format off
#define EACH(F) \
  F(neg) F(abs) F(sign) F(square) F(reciprocal) F(sqrt) F(rsqrt) F(exp) F(expm1) F(log) F(log1p) F(sin) F(cos) \
  F(tanh) F(erf) F(sigmoid) F(relu) F(gelu) F(gelu_tanh) F(silu) F(floor) F(ceil) F(round) F(logical_not) \
  F(isfinite) F(add) F(sub) F(mul) F(div) F(pow) F(maximum) F(minimum) F(eq) F(ne) F(lt) F(le) F(gt) F(ge) \
  F(logical_and) F(logical_or) F(where) F(clamp) F(relu_backward) F(gelu_backward) F(gelu_tanh_backward) \
  F(silu_backward) F(tanh_backward) F(sigmoid_backward)
// clang-format on
EACH(DECLARE_OP)

namespace {

using Unary = double (*)(double);
using Binary = double (*)(double, double);
enum Takes { floats, numbers, all_to_bool };

const DType kAll[] = {DType::f32, DType::bf16, DType::f16, DType::f64,
                      DType::i32, DType::i64,  DType::u8,  DType::boolean};

bool takes(Takes what, DType t) {
  if (what == floats) return dtype_is_float(t);
  return what == all_to_bool || t != DType::boolean;
}

Shape some_shape() {
  switch (pick(0, 5)) {
    case 0: return {};
    case 1: return {pick(1, 3000)};
    case 2: return {pick(0, 3), pick(1, 40), pick(1, 40)};
    case 3: return {2, pick(1, 3), pick(1, 9), pick(1, 70)};
    default: return {pick(1, 70), pick(1, 70)};
  }
}

void compare(const char* name, const Tensor& y, int64_t i, double want, double scale) {
  const DType t = y.o.dtype;
  // A function of an input that was rounded to t already: only the result's rounding counts, and a few ulp of f32
  // within.
  const double rtol = t == DType::f64 ? 1e-12 : eps(t) + 4e-7,
               atol = (t == DType::f64 ? 1e-13 : 4e-7) * scale + (t == DType::f16 ? 6e-8 : 0);
  if (t == DType::f16 && std::fabs(want) > 65000) return;
  EXPECT(close(y[i], want, rtol, atol), "%s %s: place %lld is %.9g, should be %.9g", name, dtype_name(t),
         static_cast<long long>(i), y[i], want);
}

void unary(const Called& op, Unary f, Takes what, double low, double high) {
  for (const DType t : kAll) {
    if (!takes(what, t)) {
      if (what == floats)
        EXPECT(!op.refused({tensor({3}, t)}, {tensor({3}, t)}, {}), "%s accepts %s", op.name, dtype_name(t));
      continue;
    }
    for (int round = 0; round < 12; ++round) {
      const Shape s = some_shape();
      const Tensor x = filled(s, t, round % 4, t == DType::u8 ? std::fmax(low, 0) : low, high),
                   y = tensor(s, what == all_to_bool ? DType::boolean : t);
      if (!op({x}, {y})) return;
      for (int64_t i = 0; i < y.numel(); ++i) {
        double want = f(x[i]);
        if (t == DType::u8 && what == numbers)
          want = static_cast<double>(static_cast<uint8_t>(static_cast<int64_t>(want)));
        compare(op.name, y, i, want, 1);
      }
    }
  }
  EXPECT(!op.refused({tensor({3}, DType::f32)}, {tensor({4}, DType::f32)}, {}), "%s accepts unlike shapes", op.name);
  EXPECT(!op.refused({tensor({3}, DType::f32)}, {tensor({3}, DType::i32)}, {}), "%s accepts an i32 output", op.name);
}

void binary(const Called& op, Binary f, Takes what, double low, double high, bool has_scalar = true) {
  for (const DType t : kAll) {
    if (!takes(what, t)) continue;
    for (int round = 0; round < 12; ++round) {
      const Shape s = some_shape();
      const double from = t == DType::u8 ? std::fmax(low, 0) : low;
      const Tensor x = filled(s, t, round % 4, from, high), z = filled(s, t, round / 4, from, high);
      const bool number = has_scalar && round % 3 == 2, reverse = number && round % 2;
      const double scalar = dtype_is_float(t) ? static_cast<double>(static_cast<float>(real(from, high)))
                                              : static_cast<double>(pick(0, 3));
      const Tensor y = tensor(s, what == all_to_bool ? DType::boolean : t);
      const std::vector<double> attrs =
          has_scalar ? std::vector<double>{scalar, reverse ? 1.0 : 0.0} : std::vector<double>{};
      if (!op({x, number ? absent() : z}, {y}, attrs)) return;
      for (int64_t i = 0; i < y.numel(); ++i) {
        const double b = number ? scalar : z[i];
        double want = reverse ? f(b, x[i]) : f(x[i], b);
        if (t == DType::u8 && what == numbers)
          want = static_cast<double>(static_cast<uint8_t>(static_cast<int64_t>(want)));
        compare(op.name, y, i, want, std::fmax(std::fabs(x[i]), std::fabs(b)));
      }
    }
  }
  const std::vector<double> none = has_scalar ? std::vector<double>{0, 0} : std::vector<double>{};
  EXPECT(!op.refused({tensor({3}, DType::f32), tensor({4}, DType::f32)}, {tensor({3}, DType::f32)}, none),
         "%s accepts unlike shapes", op.name);
  EXPECT(!op.refused({tensor({3}, DType::f32), tensor({3}, DType::f64)}, {tensor({3}, DType::f32)}, none),
         "%s accepts unlike dtypes", op.name);
}

double sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }
double phi(double x) { return 0.5 * (1 + std::erf(x / std::sqrt(2.0))); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double gelu_tanh(double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }
double gelu_tanh_slope(double x) {
  const double c = std::sqrt(2 / M_PI), t = std::tanh(c * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x);
}

void special() {
  const float inf = INFINITY, nan = NAN;
  const float in[] = {inf, -inf, nan, 0.0f, -0.0f, 1e-40f, 3e38f, -3e38f, 0.5f, 1.5f, 2.5f, -0.5f, 8388609.0f, 1e10f};
  const int n = sizeof in / sizeof in[0];
  const struct {
    Called op;
    Unary f;
  } table[] = {{OP_OF(relu), [](double x) { return x > 0 || x != x ? x : 0; }},
               {OP_OF(exp), [](double x) { return x > 89 ? INFINITY : std::exp(x); }},
               {OP_OF(log), std::log},
               {OP_OF(tanh), std::tanh},
               {OP_OF(erf), std::erf},
               {OP_OF(sigmoid), sigmoid},
               {OP_OF(round), std::nearbyint},
               {OP_OF(floor), std::floor},
               {OP_OF(ceil), std::ceil},
               {OP_OF(abs), std::fabs},
               {OP_OF(sign), sign},
               {OP_OF(sqrt), std::sqrt},
               {OP_OF(silu), [](double x) { return x == -INFINITY ? NAN : x * sigmoid(x); }}};
  for (const auto& row : table) {
    const Tensor x = tensor({n}, DType::f32), y = tensor({n}, DType::f32);
    for (int i = 0; i < n; ++i) x.set(i, static_cast<double>(in[i]));
    if (!row.op({x}, {y})) return;
    for (int i = 0; i < n; ++i) {
      double want = row.f(static_cast<double>(in[i]));
      EXPECT(close(y[i], want, 1e-6, 1e-44), "%s(%g) is %g, should be %g", row.op.name, static_cast<double>(in[i]),
             y[i], want);
    }
  }
  // NaN wins on either side.
  const Tensor a = tensor({2}, DType::f32), b = tensor({2}, DType::f32), y = tensor({2}, DType::f32);
  a.set(0, 1), a.set(1, NAN), b.set(0, NAN), b.set(1, 1);
  for (const Called& op : {OP_OF(maximum), OP_OF(minimum)}) {
    op({a, b}, {y}, {0, 0});
    EXPECT(std::isnan(y[0]) && std::isnan(y[1]), "%s loses a NaN", op.name);
  }
  // Integers wrap and do not trap.
  const Tensor p = tensor({2}, DType::i64), q = tensor({2}, DType::i64);
  p.o.ptr<int64_t>()[0] = INT64_MIN, p.o.ptr<int64_t>()[1] = INT64_MAX;
  for (const Called& op : {OP_OF(neg), OP_OF(abs), OP_OF(square)}) op({p}, {q});
  for (const Called& op : {OP_OF(add), OP_OF(sub), OP_OF(mul), OP_OF(pow)})
    op({p, p}, {q}, {0, 0}), op({p, absent()}, {q}, {1e300, 1}), op({p, absent()}, {q}, {NAN, 0});
  OP_OF(clamp)({p}, {q}, {-INFINITY, INFINITY});
  EXPECT(q.o.ptr<int64_t>()[0] == INT64_MIN && q.o.ptr<int64_t>()[1] == INT64_MAX,
         "clamp to everything changes an i64");
}

void others() {
  for (const DType t : kAll) {
    for (int round = 0; round < 16; ++round) {
      const Shape s = some_shape();
      const Tensor c = filled(s, DType::boolean, round % 4, 0, 1), a = filled(s, t, round % 4, 0, 100),
                   b = filled(s, t, round / 4, 0, 100), y = tensor(s, t);
      const bool no_a = round % 3 == 1, no_b = round % 3 == 2;
      if (!OP_OF(where)({c, no_a ? absent() : a, no_b ? absent() : b}, {y}, {1, 0})) return;
      for (int64_t i = 0; i < y.numel(); ++i)
        compare("where", y, i, c[i] != 0 ? (no_a ? 1 : a[i]) : (no_b ? 0 : b[i]), 0);
      if (t == DType::boolean) continue;
      if (!OP_OF(clamp)({a}, {y}, {10, 50})) return;
      for (int64_t i = 0; i < y.numel(); ++i) compare("clamp", y, i, std::fmin(std::fmax(a[i], 10), 50), 0);
    }
  }
  EXPECT(!OP_OF(where).refused({tensor({3}, DType::f32), absent(), absent()}, {tensor({3}, DType::f32)}, {0, 0}),
         "where takes an f32 condition");
  EXPECT(!OP_OF(clamp).refused({tensor({3}, DType::f32)}, {tensor({3}, DType::f32)}, {1, 0}), "clamp takes min > max");
}

}  // namespace

#define UNARY(name, what, low, high, expression) \
  unary(OP_OF(name), [](double x) -> double { return expression; }, what, low, high);
#define BINARY(name, what, low, high, expression) \
  binary(OP_OF(name), [](double a, double b) -> double { return expression; }, what, low, high);
#define GRADIENT(name, expression) \
  binary(OP_OF(name), [](double g, double x) -> double { return g * (expression); }, floats, -4, 4, false);

int main() {
  UNARY(neg, numbers, -100, 100, -x)
  UNARY(abs, numbers, -100, 100, std::fabs(x))
  UNARY(sign, numbers, -2, 2, sign(x))
  UNARY(square, numbers, -20, 20, x * x)
  UNARY(relu, numbers, -9, 9, std::fmax(x, 0))
  UNARY(reciprocal, floats, 0.1, 9, 1 / x)
  UNARY(sqrt, floats, 0, 9, std::sqrt(x))
  UNARY(rsqrt, floats, 0.1, 9, 1 / std::sqrt(x))
  UNARY(exp, floats, -9, 9, std::exp(x))
  UNARY(expm1, floats, -1, 1, std::expm1(x))
  UNARY(log, floats, 0.01, 9, std::log(x))
  UNARY(log1p, floats, -0.9, 2, std::log1p(x))
  UNARY(sin, floats, -50, 50, std::sin(x))
  UNARY(cos, floats, -50, 50, std::cos(x))
  UNARY(tanh, floats, -4, 4, std::tanh(x))
  UNARY(erf, floats, -4, 4, std::erf(x))
  UNARY(sigmoid, floats, -9, 9, sigmoid(x))
  UNARY(gelu, floats, -4, 4, x * phi(x))
  UNARY(gelu_tanh, floats, -4, 4, gelu_tanh(x))
  UNARY(silu, floats, -9, 9, x * sigmoid(x))
  UNARY(floor, floats, -9, 9, std::floor(x))
  UNARY(ceil, floats, -9, 9, std::ceil(x))
  UNARY(round, floats, -9, 9, std::nearbyint(x))
  UNARY(logical_not, all_to_bool, -1.5, 1.5, x == 0)
  UNARY(isfinite, all_to_bool, -9, 9, 1)
  BINARY(add, numbers, -50, 50, a + b)
  BINARY(sub, numbers, -50, 50, a - b)
  BINARY(mul, numbers, -10, 10, a * b)
  BINARY(div, floats, 0.5, 9, a / b)
  BINARY(pow, numbers, 0.5, 3, std::pow(a, b))
  BINARY(maximum, numbers, -9, 9, std::fmax(a, b))
  BINARY(minimum, numbers, -9, 9, std::fmin(a, b))
  BINARY(eq, all_to_bool, -2, 2, a == b)
  BINARY(ne, all_to_bool, -2, 2, a != b)
  BINARY(lt, all_to_bool, -2, 2, a < b)
  BINARY(le, all_to_bool, -2, 2, a <= b)
  BINARY(gt, all_to_bool, -2, 2, a > b)
  BINARY(ge, all_to_bool, -2, 2, a >= b)
  BINARY(logical_and, all_to_bool, -1.5, 1.5, a != 0 && b != 0)
  BINARY(logical_or, all_to_bool, -1.5, 1.5, a != 0 || b != 0)
  GRADIENT(relu_backward, x > 0 ? 1 : 0)
  GRADIENT(gelu_backward, phi(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI))
  GRADIENT(silu_backward, sigmoid(x) * (1 + x * (1 - sigmoid(x))))
  GRADIENT(tanh_backward, 1 - x * x)
  GRADIENT(sigmoid_backward, x * (1 - x))
  GRADIENT(gelu_tanh_backward, gelu_tanh_slope(x))
  others();
  special();
  return finish("elementwise");
}
