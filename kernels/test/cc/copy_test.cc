// Moves, conversions and placements against plain loops, for every pair of dtypes and all layouts of both sides.
#define HARNESS_MAIN
#include "harness.h"

#define EACH(F) F(copy) F(fill) F(arange) F(tril) F(triu) F(cat) F(pad) F(flip)
EACH(DECLARE_OP)

namespace {

const DType kAll[] = {DType::f32, DType::bf16, DType::f16, DType::f64,
                      DType::i32, DType::i64,  DType::u8,  DType::boolean};

Shape some_shape() {
  switch (pick(0, 5)) {
    case 0: return {};
    case 1: return {pick(0, 3000)};
    case 2: return {pick(1, 3), pick(0, 40), pick(1, 40)};
    case 3: return {2, pick(1, 4), pick(1, 9), pick(1, 70)};
    default: return {pick(1, 100), pick(1, 100)};
  }
}

double converted(double v, DType t) {
  if (dtype_is_float(t)) {
    const Tensor one = tensor({1}, t);
    one.set(0, v);
    return one[0];
  }
  if (t == DType::boolean) return v != 0;
  if (std::isnan(v)) return 0;
  const double low = t == DType::u8    ? 0
                     : t == DType::i32 ? -2147483648.0
                                       : -0x1p63,
               high = t == DType::u8    ? 255
                      : t == DType::i32 ? 2147483647.0
                                        : 0x1p63;
  return std::trunc(std::fmin(std::fmax(v, low), high));
}

void copies() {
  for (const DType from : kAll) {
    for (const DType to : kAll) {
      for (int round = 0; round < 12; ++round) {
        const Shape s = some_shape();
        const Tensor x = filled(s, from, round % 4, from == DType::u8 ? 0 : -300, 255), y = tensor(s, to, round / 4);
        if (x.numel() > 3 && dtype_is_float(from) && round % 4 != 3)
          x.set(0, INFINITY), x.set(1, -INFINITY), x.set(2, NAN);
        if (!OP_OF(copy)({x}, {y})) return;
        for (int64_t i = 0; i < y.numel(); ++i) {
          const double want = converted(x[i], to);
          // f64 to 16 bits goes through f32, as in PyTorch: rounded twice.
          const double rtol = from == DType::f64 && dtype_size(to) == 2 ? eps(to) : 0;
          EXPECT(close(y[i], want, rtol, 0), "copy %s to %s: place %lld is %.9g, should be %.9g", dtype_name(from),
                 dtype_name(to), static_cast<long long>(i), y[i], want);
        }
      }
    }
  }
  // A write into a view touches nothing beside it.
  const Tensor x = filled({5, 7}, DType::f32, 1, 1, 2), whole = filled({9, 20}, DType::f32, 0, 3, 4);
  Tensor part = whole;
  part.o.data = whole.o.ptr<float>() + 2 * 20 + 6;
  part.o.shape[0] = 5;
  part.o.shape[1] = 7;
  OP_OF(copy)({x}, {part});
  for (int64_t i = 0; i < 180; ++i) {
    const bool inside = i / 20 >= 2 && i / 20 < 7 && i % 20 >= 6 && i % 20 < 13;
    EXPECT(inside ? whole[i] <= 2 : whole[i] >= 3, "copy into a view: place %lld is %g", static_cast<long long>(i),
           whole[i]);
  }
  const Tensor big = tensor({3}, DType::i64), same = tensor({3}, DType::i64, 2);
  for (int i = 0; i < 3; ++i) big.o.ptr<int64_t>()[i] = (int64_t{1} << 62) + i;
  OP_OF(copy)({big}, {same});
  for (int i = 0; i < 3; ++i)
    EXPECT(same.o.ptr<int64_t>()[same.at(i)] == (int64_t{1} << 62) + i, "copy of i64 loses digits");
  EXPECT(!OP_OF(copy).refused({tensor({3}, DType::f32)}, {tensor({4}, DType::f32)}, {}), "copy to another shape");
  EXPECT(!OP_OF(copy).refused({tensor({3}, DType::f32)}, {tensor({3, 1}, DType::f32)}, {}), "copy to another rank");
}

void placements() {
  for (const DType t : kAll) {
    for (int round = 0; round < 12; ++round) {
      const double low = t == DType::u8 ? 0 : -9;
      Shape s = some_shape();
      const Tensor y = tensor(s, t, round % 3);
      if (!OP_OF(fill)({}, {y}, {3})) return;
      for (int64_t i = 0; i < y.numel(); ++i)
        EXPECT(y[i] == (t == DType::boolean ? 1 : 3), "fill of %s gives %g", dtype_name(t), y[i]);
      if (s.size() < 2) s = {pick(1, 40), pick(1, 40)};
      const Tensor x = filled(s, t, round % 4, low, 9), z = tensor(s, t);
      const int64_t diagonal = pick(-20, 20), cols = s.back(), rows = s[s.size() - 2];
      for (const bool lower : {true, false}) {
        if (!(lower ? OP_OF(tril) : OP_OF(triu))({x}, {z}, {static_cast<double>(diagonal)})) return;
        for (int64_t i = 0; i < z.numel(); ++i) {
          const int64_t r = i / cols % rows, c = i % cols;
          const double want = (lower ? c - r <= diagonal : c - r >= diagonal) ? x[i] : 0;
          EXPECT(close(z[i], want, 0, 0), "%s of %s, diagonal %lld", lower ? "tril" : "triu", dtype_name(t),
                 static_cast<long long>(diagonal));
        }
      }
      // flip
      std::vector<double> dims{0};
      unsigned flipped = 0;
      for (size_t d = 0; d < s.size(); ++d) {
        if (pick(0, 1)) dims.push_back(static_cast<double>(d)), ++dims[0], flipped |= 1u << d;
      }
      if (!OP_OF(flip)({x}, {z}, dims)) return;
      for (int64_t i = 0; i < z.numel(); ++i) {
        int64_t rest = i, from = 0, step = 1;
        for (size_t d = s.size(); d-- > 0;) {
          const int64_t at = rest % s[d];
          rest /= s[d];
          from += (flipped >> d & 1 ? s[d] - 1 - at : at) * step;
          step *= s[d];
        }
        EXPECT(close(z[i], x[from], 0, 0), "flip of %s", dtype_name(t));
      }
      // pad
      Shape wide = s;
      std::vector<double> before{2, static_cast<double>(s.size())};
      for (size_t d = 0; d < s.size(); ++d)
        before.push_back(static_cast<double>(pick(0, 3))), wide[d] += static_cast<int64_t>(before.back()) + pick(0, 3);
      const Tensor w = tensor(wide, t);
      if (!OP_OF(pad)({x}, {w}, before)) return;
      for (int64_t i = 0; i < w.numel(); ++i) {
        int64_t rest = i, from = 0, step = 1;
        bool inside = true;
        for (size_t d = s.size(); d-- > 0;) {
          const int64_t at = rest % wide[d] - static_cast<int64_t>(before[2 + d]);
          rest /= wide[d];
          inside = inside && at >= 0 && at < s[d];
          from += at * step;
          step *= s[d];
        }
        EXPECT(close(w[i], inside ? x[from] : (t == DType::boolean ? 1 : 2), 0, 0), "pad of %s", dtype_name(t));
      }
      // cat of three, one of them possibly empty
      const auto dim = static_cast<size_t>(pick(0, static_cast<int64_t>(s.size()) - 1));
      std::vector<Tensor> parts;
      Shape sum = s;
      sum[dim] = 0;
      for (int i = 0; i < 3; ++i) {
        Shape p = s;
        p[dim] = pick(0, 5);
        sum[dim] += p[dim];
        parts.push_back(filled(p, t, static_cast<int>(pick(0, 3)), low, 9));
      }
      const Tensor joined = tensor(sum, t);
      if (!OP_OF(cat)(parts, {joined}, {static_cast<double>(dim)})) return;
      int64_t inner = 1;
      for (size_t d = dim + 1; d < s.size(); ++d) inner *= s[d];
      for (int64_t i = 0; i < joined.numel(); ++i) {
        int64_t at = i / inner % sum[dim], outer = i / inner / sum[dim];
        size_t p = 0;
        while (at >= parts[p].o.shape[dim]) at -= parts[p++].o.shape[dim];
        const double want = parts[p][(outer * parts[p].o.shape[dim] + at) * inner + i % inner];
        EXPECT(close(joined[i], want, 0, 0), "cat of %s along %zu", dtype_name(t), dim);
      }
    }
  }
}

void refusals() {
  const auto f32 = [](Shape s) { return tensor(s, DType::f32); };
  EXPECT(!OP_OF(cat).refused({f32({2, 3}), f32({2, 4})}, {f32({4, 3})}, {0}), "cat of unlike sizes");
  EXPECT(!OP_OF(cat).refused({f32({2, 3})}, {f32({4, 3})}, {0}), "cat into a longer tensor");
  EXPECT(!OP_OF(cat).refused({f32({2, 3})}, {f32({2, 3})}, {2}), "cat along a dim that is not there");
  EXPECT(!OP_OF(cat).refused({f32({2, 3})}, {f32({2, 3})}, {-1}), "cat along dim -1");
  EXPECT(!OP_OF(pad).refused({f32({2, 3})}, {f32({3, 3})}, {0, 2, 2, 0}), "pad that reaches outside");
  EXPECT(!OP_OF(pad).refused({f32({2, 3})}, {f32({3, 3})}, {0, 2, -1, 0}), "pad by less than nothing");
  EXPECT(!OP_OF(pad).refused({f32({2, 3})}, {f32({3, 3})}, {0, 1, 0}), "pad with too few numbers");
  EXPECT(!OP_OF(pad).refused({f32({2, 3})}, {f32({3, 3})}, {0, 2, 9e18, 0}), "pad by more than fits");
  EXPECT(!OP_OF(flip).refused({f32({2, 3})}, {f32({2, 3})}, {1, 2}), "flip of a dim that is not there");
  EXPECT(!OP_OF(flip).refused({f32({2, 3})}, {f32({2, 3})}, {2, 1, 1}), "flip of one dim twice");
  EXPECT(!OP_OF(tril).refused({f32({3})}, {f32({3})}, {0}), "tril of a vector");
  EXPECT(!OP_OF(arange).refused({}, {f32({3, 2})}, {0, 1}), "arange into a matrix");
  const Tensor m = filled({3, 4}, DType::f32, 0, 1, 2), z = f32({3, 4});
  OP_OF(tril)({m}, {z}, {9e15});
  OP_OF(triu)({m}, {z}, {-9e15});
  const Tensor y = f32({5}), i = tensor({5}, DType::i64);
  OP_OF(arange)({}, {y}, {1, -0.5});
  OP_OF(arange)({}, {i}, {0x1p52, 3});
  for (int k = 0; k < 5; ++k)
    EXPECT(y[k] == 1 - 0.5 * k && i[k] == 0x1p52 + 3 * k, "arange place %d is %g and %g", k, y[k], i[k]);
}

}  // namespace

int main() {
  copies();
  placements();
  refusals();
  return finish("copy");
}
