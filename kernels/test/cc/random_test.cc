// Philox against the authors' known answers, and the ops against their stated words and their distributions.
#define HARNESS_MAIN
#include "harness.h"

#include "../../src/simd/philox.h"

#define EACH(F) F(uniform) F(normal) F(truncated_normal) F(randint) F(permutation) F(multinomial) F(dropout)
EACH(DECLARE_OP)

namespace {

void known_answers() {
  // philox4x32 10 in the kat_vectors file of Random123; the counters with equal halves above are not reachable here.
  const SHAKTI_ISA_NS::Words zero = SHAKTI_ISA_NS::philox(0, 0);
  const uint32_t want[] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  for (int i = 0; i < 4; ++i)
    EXPECT(zero.w[i] == want[i], "word %d of counter 0, key 0 is %08x, should be %08x", i, zero.w[i], want[i]);
}

// The words of a call from its attributes, one by one.
double unit_of(double lo, double hi, double offset, int64_t i) {
  const auto key = static_cast<uint64_t>(lo) | static_cast<uint64_t>(hi) << 32;
  return (SHAKTI_ISA_NS::philox(static_cast<uint64_t>(offset) + static_cast<uint64_t>(i / 4), key).w[i % 4] >> 8) *
         0x1p-24;
}

struct Moments {
  double mean = 0, variance = 0, low = INFINITY, high = -INFINITY;
  explicit Moments(const Tensor& y) {
    const auto n = static_cast<double>(y.numel());
    for (int64_t i = 0; i < y.numel(); ++i) mean += y[i] / n, low = std::fmin(low, y[i]), high = std::fmax(high, y[i]);
    for (int64_t i = 0; i < y.numel(); ++i) variance += (y[i] - mean) * (y[i] - mean) / n;
  }
};

}  // namespace

int main() {
  known_answers();
  const double lo = 123456789, hi = 4294967295.0, offset = 4294967290.0;  // the offset's low half overflows on the way
  for (const DType t : {DType::f32, DType::bf16, DType::f16, DType::f64}) {
    for (const int64_t n : {1, 2, 3, 5, 1023, 40001}) {
      const Tensor y = tensor({n}, t);
      if (!OP_OF(uniform)({}, {y}, {lo, hi, offset, -1, 3})) return 1;
      for (int64_t i = 0; i < n; ++i) {
        const double want = -1 + 4 * unit_of(lo, hi, offset, i);
        EXPECT(close(y[i], want, eps(t), t == DType::f64 ? 1e-15 : 3e-7), "uniform %s[%lld] is %g, should be %g",
               dtype_name(t), static_cast<long long>(i), y[i], want);
        EXPECT(y[i] >= -1 && (y[i] < 3 || t == DType::bf16 || t == DType::f16), "uniform reaches %g", y[i]);
      }
      if (!OP_OF(normal)({}, {y}, {lo, hi, offset, 2, 3})) return 1;
      if (n < 40000) continue;
      const Moments m(y);
      EXPECT(std::fabs(m.mean - 2) < 0.06 && std::fabs(m.variance - 9) < 0.25, "normal %s: mean %g, variance %g",
             dtype_name(t), m.mean, m.variance);
      if (!OP_OF(truncated_normal)({}, {y}, {lo, hi, offset, 0, 1, -2, 2})) return 1;
      const Moments k(y);
      // Variance of a standard normal cut at 2: 1 - 4 phi(2) / (2 Phi(2) - 1) = 0.7737.
      EXPECT(std::fabs(k.mean) < 0.02 && std::fabs(k.variance - 0.7737) < 0.02 && k.low >= -2 && k.high <= 2,
             "truncated %s: %g %g %g %g", dtype_name(t), k.mean, k.variance, k.low, k.high);
      // Far in a tail.
      if (!OP_OF(truncated_normal)({}, {y}, {lo, hi, offset, 0, 1, 4, 5})) return 1;
      const Moments far(y);
      EXPECT(far.low >= 4 && far.high <= 5 && far.mean > 4.1 && far.mean < 4.35, "truncated tail %s: %g %g %g",
             dtype_name(t), far.mean, far.low, far.high);
    }
    for (int layout = 0; layout < 4; ++layout) {
      const Shape s = {37, 5, 13};
      const Tensor x = filled(s, t, layout, 1, 2), y = tensor(s, t);
      if (!OP_OF(dropout)({x}, {y}, {0.25, lo, hi, offset})) return 1;
      for (int64_t i = 0; i < y.numel(); ++i) {
        const double want = unit_of(lo, hi, offset, i) >= 0.25 ? x[i] / 0.75 : 0;
        EXPECT(close(y[i], want, eps(t), 0), "dropout %s[%lld] is %g, should be %g", dtype_name(t),
               static_cast<long long>(i), y[i], want);
      }
    }
  }
  for (const DType t : {DType::i32, DType::i64}) {
    const Tensor y = tensor({60000}, t);
    if (!OP_OF(randint)({}, {y}, {lo, hi, offset, -3, 5})) return 1;
    int count[8] = {};
    for (int64_t i = 0; i < y.numel(); ++i) {
      EXPECT(y[i] >= -3 && y[i] < 5, "randint gives %g", y[i]);
      ++count[static_cast<int>(y[i]) + 3];
    }
    for (const int c : count) EXPECT(c > 7100 && c < 7900, "randint is uneven: %d of 7500", c);
    OP_OF(randint)({}, {y}, {lo, hi, offset, -2147483648.0, 2147483648.0});
  }
  EXPECT(!OP_OF(randint).refused({}, {tensor({3}, DType::i32)}, {lo, hi, offset, 0, 4294967296.0}),
         "randint above i32");
  const int64_t n = 5000;
  const Tensor perm = tensor({n}, DType::i32), again = tensor({n}, DType::i32);
  OP_OF(permutation)({}, {perm}, {lo, hi, offset});
  OP_OF(permutation)({}, {again}, {lo, hi, offset});
  std::vector<int> seen(n);
  int64_t fixed = 0;
  for (int64_t i = 0; i < n; ++i) ++seen[static_cast<size_t>(perm[i])], fixed += perm[i] == static_cast<double>(i);
  for (const int s : seen) EXPECT(s == 1, "not a permutation");
  EXPECT(fixed < 10, "%lld places stay", static_cast<long long>(fixed));
  EXPECT(std::memcmp(perm.o.data, again.o.data, n * 4) == 0, "a seed gives two permutations");
  OP_OF(permutation)({}, {tensor({0}, DType::i32)}, {lo, hi, offset});

  for (const DType t : {DType::f32, DType::bf16, DType::f64}) {
    const Tensor p = tensor({2, 4}, t);
    const double weights[] = {1, 0, 2, 5, 0, 0, 3, 1};
    for (int i = 0; i < 8; ++i) p.set(i, weights[i]);
    const Tensor many = tensor({2, 40000}, DType::i32), few = tensor({2, 3}, DType::i32);
    if (!OP_OF(multinomial)({p}, {many}, {1, lo, hi, offset})) return 1;
    int count[2][4] = {};
    for (int64_t i = 0; i < many.numel(); ++i) ++count[i / 40000][static_cast<int>(many[i])];
    for (int r = 0; r < 2; ++r) {
      const double sum = r == 0 ? 8 : 4;
      for (int k = 0; k < 4; ++k) {
        const double want = 40000 * weights[4 * r + k] / sum;
        EXPECT(std::fabs(count[r][k] - want) <= (want == 0 ? 0 : 500),
               "multinomial: class %d of row %d %d times, should be %g", k, r, count[r][k], want);
      }
    }
    if (!OP_OF(multinomial)({p}, {few}, {0, lo, hi, offset})) return 1;
    EXPECT(few[0] != few[1] && few[0] != few[2] && few[1] != few[2], "a draw without replacement repeats");
    p.set(3, -1);
    OP_OF(multinomial)({p}, {few}, {1, lo, hi, offset});
    EXPECT(!late.empty(), "a weight below 0 is not reported");
    p.set(3, NAN);
    OP_OF(multinomial)({p}, {few}, {0, lo, hi, offset});
    EXPECT(!late.empty(), "a NaN weight is not reported");
    for (int i = 0; i < 8; ++i) p.set(i, 0);
    OP_OF(multinomial)({p}, {few}, {0, lo, hi, offset});
    EXPECT(!late.empty(), "a row without weights is not reported");
  }
  EXPECT(!OP_OF(uniform).refused({}, {tensor({3}, DType::f32)}, {-1, 0, 0, 0, 1}), "a negative seed");
  EXPECT(!OP_OF(uniform).refused({}, {tensor({3}, DType::f32)}, {NAN, 0, 0, 0, 1}), "a seed that is NaN");
  EXPECT(!OP_OF(uniform).refused({}, {tensor({3}, DType::i32)}, {0, 0, 0, 0, 1}), "uniform integers");
  EXPECT(!OP_OF(dropout).refused({tensor({3}, DType::f32)}, {tensor({3}, DType::f32)}, {1, 0, 0, 0}),
         "dropout of everything");
  EXPECT(!OP_OF(dropout).refused({tensor({3}, DType::f32)}, {tensor({4}, DType::f32)}, {0.5, 0, 0, 0}),
         "dropout to another shape");
  EXPECT(!OP_OF(multinomial).refused({tensor({3}, DType::f32)}, {tensor({4}, DType::i32)}, {0, 0, 0, 0}),
         "more draws than classes");
  EXPECT(!OP_OF(truncated_normal).refused({}, {tensor({3}, DType::f32)}, {0, 0, 0, 0, 1, 2, 2}), "an empty interval");
  return finish("random");
}
