// Quantised weights against plain loops in f64: how close rounding may come, what packed bytes stand for, products on
// every kernel bit for bit the same as a plain model of them, and hostile bytes, scales and values.
#define HARNESS_MAIN
#include "../../src/ops/quant/layout.h"
#include "cpu.h"
#include "harness.h"

DECLARE_OP(quantize_weight)
DECLARE_OP(dequantize_weight)
DECLARE_OP(quantized_linear)

namespace {

using quant::Layout;

struct Format {
  int64_t bits, group;
  bool zero_point = false;

  std::vector<double> attrs() const {
    return {static_cast<double>(bits), static_cast<double>(group), static_cast<double>(zero_point)};
  }
  // Of a product with one weight, or of a gated one.
  std::vector<double> product(double gated = 0) const {
    return {static_cast<double>(bits), static_cast<double>(group), static_cast<double>(zero_point), gated};
  }
  std::string name() const {
    return std::to_string(bits) + " bits, group " + std::to_string(group) + (zero_point ? ", zero points" : "");
  }
};

Tensor packed_for(int64_t n, int64_t k, const Format& f) {
  return tensor({quant::blocks_of(n, quant::kPanel), Layout(k, f.bits, f.group, f.zero_point).panel_bytes()},
                DType::u8);
}

float from_bf16(const uint8_t* p) {
  const uint32_t u = static_cast<uint32_t>(p[0]) << 16 | static_cast<uint32_t>(p[1]) << 24;
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}

// What a place of the packed weight holds, read as layout.h says in words.
struct Read {
  const uint8_t* bytes;
  int64_t k, bits, group, groups, head;
  bool zero_point;

  Read(const Tensor& packed, int64_t k, const Format& f)
      : bytes(packed.o.ptr<uint8_t>()),
        k(k),
        bits(f.bits),
        group(f.group),
        groups((k + group - 1) / group),
        head(groups * 64 + (f.zero_point ? (groups + 1) / 2 * 64 : 0)),
        zero_point(f.zero_point) {}
  const uint8_t* panel(int64_t row) const { return bytes + row / 32 * (head + groups * group * 32 * bits / 8); }
  float scale(int64_t row, int64_t i) const { return from_bf16(panel(row) + (i / group * 32 + row % 32) * 2); }
  // In steps of the weight.
  double zero(int64_t row, int64_t i) const {
    if (!zero_point) return 0;
    const int byte = panel(row)[groups * 64 + i / group * 32 + row % 32];
    return (byte < 128 ? byte : byte - 256) / (bits == 8 ? 1.0 : 16.0);
  }
  int whole(int64_t row, int64_t i) const {
    const uint8_t* w = panel(row) + head;
    if (bits == 8) return w[(i / 4 * 32 + row % 32) * 4 + i % 4] - 128;
    const int byte = w[(i / 8 * 32 + row % 32) * 4 + i % 4];
    return (i % 8 < 4 ? byte & 15 : byte >> 4) - 8;
  }
};

// x of a row rounded to 8 bits, and the f32 arithmetic behind it, as ops.inc promises them.
float model(const Read& w, const Tensor& x, int64_t m, int64_t row) {
  float y = 0;
  for (int64_t g = 0; g < w.groups; ++g) {
    float most = 0;
    bool finite = true;
    const int64_t first = g * w.group, end = std::min(w.k, first + w.group);
    for (int64_t i = first; i < end; ++i) {
      const float v = static_cast<float>(x[m * w.k + i]);
      finite = finite && std::isfinite(v);
      most = std::max(most, std::fabs(v));
    }
    // Sixteenths of steps times steps: exact, and exact in f32.
    double dot = 0;
    for (int64_t i = first; i < end && finite && most > 0; ++i)
      dot += std::nearbyint(static_cast<float>(x[m * w.k + i]) / most * 127) * (w.whole(row, i) - w.zero(row, i));
    const float scaled = static_cast<float>(dot) * w.scale(row, first);
    y += scaled * (finite ? most / 127 : NAN);
  }
  return y;
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

// Every element of y against the model, to the bit in f32 and to one rounding in 16 bits.
void products(const char* what, const Tensor& packed, const Tensor& x, const Tensor& bias, int64_t n, const Format& f) {
  const int64_t m = x.o.shape[0], k = x.o.shape[1];
  struct {
    const char* name;
    Allowed units;
  } const ways[] = {{"tiles", {}}, {"vnni", {true, true, false}}, {"plain", {true, false, false}}};
  for (const auto& way : ways) {
    allowed = way.units;
    const Tensor y = tensor({m, n}, x.o.dtype);
    if (!OP_OF(quantized_linear)({x, packed, absent(), absent(), bias, absent()}, {y}, f.product())) return;
    const Read read(packed, k, f);
    const Tensor cell = tensor({1}, x.o.dtype);
    for (int64_t i = 0; i < m * n; ++i) {
      float want = model(read, x, i / n, i % n);
      if (bias.here()) want += static_cast<float>(bias[i % n]);
      cell.set(0, static_cast<double>(want));
      if (!same(y[i], cell[0])) {
        EXPECT(false, "%s: %s, %s [%lld x %lld x %lld] %s: y[%lld] is %.9g, should be %.9g", what,
               dtype_name(x.o.dtype), f.name().c_str(), static_cast<long long>(m), static_cast<long long>(n),
               static_cast<long long>(k), way.name, static_cast<long long>(i), y[i], cell[0]);
        return;
      }
    }
  }
  allowed = {};
}

// Quantises, checks each weight against the original, and multiplies.
void one(DType t, int64_t m, int64_t n, int64_t k, const Format& f, int layout, bool with_bias) {
  const Tensor w = filled({n, k}, t, layout, -2, 2), packed = packed_for(n, k, f);
  if (!OP_OF(quantize_weight)({w}, {packed}, f.attrs())) return;
  EXPECT(late.empty(), "%s", late.c_str());
  const Tensor back = tensor({n, k}, DType::f32);
  OP_OF(dequantize_weight)({packed}, {back}, f.attrs());
  const Read read(packed, k, f);
  for (int64_t i = 0; i < n * k; ++i) {
    const int64_t row = i / k, at = i % k;
    const double scale = std::fabs(static_cast<double>(read.scale(row, at)));
    EXPECT(back[i] == static_cast<double>(read.scale(row, at)) * (read.whole(row, at) - read.zero(row, at)),
           "dequantized [%lld]", static_cast<long long>(i));
    // To the nearest step. In 4 bits the range may be cut: at most two steps are missing at its end. In 8 its place is
    // rounded to steps.
    const int step = read.whole(row, at);
    const double off = std::fabs(back[i] - w[i]);
    const double most = f.bits == 8               ? (f.zero_point && (step == -128 || step == 127) ? 1 : 0.5)
                        : step >= 7 || step <= -7 ? 2
                                                  : 0.5;
    if (off > most * scale * 1.0001) {
      EXPECT(false, "%s: weight %.6g became %.6g with scale %.6g", f.name().c_str(), w[i], back[i], scale);
      break;
    }
  }
  const Tensor x = filled({m, k}, t, static_cast<int>(pick(0, 3)), -1, 1);
  products("random", packed, x, with_bias ? filled({n}, t, static_cast<int>(pick(0, 1)) * 2, -1, 1) : absent(), n, f);
}

// Relative error of a product with normal numbers, whose groups of 64 are moved up or down by `shift`, against f64 with
// nothing rounded.
double error_of(const Format& f, double shift) {
  const int64_t m = 24, n = 65, k = 512;
  const auto normal = [](const Shape& shape) {
    const Tensor t = tensor(shape, DType::f32);
    for (int64_t i = 0; i < t.numel(); ++i)
      t.set(i, std::sqrt(-2 * std::log(real(1e-12, 1))) * std::cos(6.283185307 * real(0, 1)));
    return t;
  };
  const Tensor w = normal({n, k}), x = normal({m, k}), packed = packed_for(n, k, f), y = tensor({m, n}, DType::f32);
  for (int64_t i = 0; i < n * k; i += 64) {
    const double by = pick(0, 1) ? shift : -shift;
    for (int64_t j = i; j < i + 64; ++j) w.set(j, w[j] + by);
  }
  OP_OF(quantize_weight)({w}, {packed}, f.attrs());
  OP_OF(quantized_linear)({x, packed, absent(), absent(), absent(), absent()}, {y}, f.product());
  double off = 0, all = 0;
  for (int64_t i = 0; i < m * n; ++i) {
    double want = 0;
    for (int64_t j = 0; j < k; ++j) want += x[i / n * k + j] * w[i % n * k + j];
    off += (y[i] - want) * (y[i] - want);
    all += want * want;
  }
  return std::sqrt(off / all);
}

void refuse(const char* why, const Status& s) { EXPECT(!s, "accepted %s", why); }

}  // namespace

int main() {
  const DType floats[] = {DType::f32, DType::bf16, DType::f16};
  for (const int64_t bits : {8, 4}) {
    for (const int64_t group : {32, 64, 128}) {
      for (const bool zero_point : {false, true}) {
        const Format f = {bits, group, zero_point};
        for (const DType t : floats)
          for (int round = 0; round < 6; ++round)
            one(t, pick(1, 40), pick(1, 70), pick(1, 300), f, static_cast<int>(pick(0, 3)), pick(0, 1));
        for (const int64_t m : {1, 3, 6, 7, 12, 16, 17, 33})
          for (const int64_t n : {1, 31, 32, 37}) one(DType::f32, m, n, n == 31 ? group : 2 * group + 5, f, 0, n == 32);
        one(DType::f32, 2, 5, 0, f, 0, true);
        one(DType::f32, 0, 5, 40, f, 0, true);
        one(DType::f32, 2, 0, 40, f, 0, false);
        // Many blocks of rows, on the tile unit too.
        one(DType::f32, 130, 33, group + 5, f, 0, false);
        // More rows than go together in L2, with a depth that makes few of them fit.
        if (group == 64) one(DType::f32, 40, 3, 20000, f, 0, false);
      }
    }
  }

  // What each format costs, and what zero points are for.
  const struct {
    Format f;
    double shift, least, most;
  } bounds[] = {
      {{8, 32}, 0, 0.004, 0.010},       {{8, 64}, 0, 0.004, 0.011},       {{8, 128}, 0, 0.004, 0.012},
      {{4, 32}, 0, 0.078, 0.09},        {{4, 64}, 0, 0.08, 0.10},         {{4, 128}, 0, 0.08, 0.11},
      {{8, 32, true}, 0, 0.004, 0.010}, {{8, 64, true}, 0, 0.004, 0.011}, {{8, 128, true}, 0, 0.004, 0.012},
      {{4, 32, true}, 0, 0.03, 0.078},  {{4, 64, true}, 0, 0.03, 0.089},  {{4, 128, true}, 0, 0.03, 0.099},
      {{4, 64}, 2, 0.055, 0.085},       {{4, 64, true}, 2, 0.02, 0.052},
  };
  for (const auto& b : bounds) {
    const double error = error_of(b.f, b.shift);
    EXPECT(error < b.most && error > b.least, "%s: relative error %.4f, stated %.4f to %.4f", b.f.name().c_str(), error,
           b.least, b.most);
  }

  const Format ends[] = {{8, 32}, {4, 32}, {8, 32, true}, {4, 32, true}};
  // Any bytes are a weight: scales that are huge, negative, infinite or NaN, zero points at their ends, and -128,
  // which quantising without them never gives.
  for (const Format& f : ends) {
    for (int round = 0; round < 20; ++round) {
      const int64_t m = pick(1, 20), n = pick(1, 40), k = pick(1, 140);
      const Tensor packed = packed_for(n, k, f);
      for (int64_t i = 0; i < packed.numel(); ++i) packed.set(i, static_cast<double>(pick(0, round == 0 ? 0 : 255)));
      products("hostile bytes", packed, filled({m, k}, DType::f32, 0, -1, 1), absent(), n, f);
      OP_OF(dequantize_weight)({packed}, {tensor({n, k}, DType::bf16)}, f.attrs());
    }
  }

  // x at the ends of the floats: denormal, huge, 0, and groups that are not finite.
  {
    const int64_t m = 6, n = 33, k = 70;
    for (const Format& f : ends) {
      const Tensor w = filled({n, k}, DType::f32, 0, -2, 2), packed = packed_for(n, k, f);
      OP_OF(quantize_weight)({w}, {packed}, f.attrs());
      const Tensor x = filled({m, k}, DType::f32, 0, -1, 1);
      for (int64_t i = 0; i < k; ++i) {
        x.set(i, x[i] * 1e-42);
        x.set(k + i, x[k + i] * 3e38);
        x.set(2 * k + i, 0);
      }
      x.set(3 * k + 2, NAN);
      x.set(4 * k + 69, -INFINITY);
      products("extreme x", packed, x, absent(), n, f);
      const Tensor y = tensor({m, n}, DType::f32);
      OP_OF(quantized_linear)({x, packed, absent(), absent(), absent(), absent()}, {y}, f.product());
      for (int64_t i = 0; i < n; ++i) {
        EXPECT(y[2 * n + i] == 0 && std::isnan(y[3 * n + i]) && std::isnan(y[4 * n + i]) && std::isfinite(y[5 * n + i]),
               "column %lld: %g %g %g %g", static_cast<long long>(i), y[2 * n + i], y[3 * n + i], y[4 * n + i],
               y[5 * n + i]);
      }
    }
  }

  // Weights at the ends: denormals and nearly the largest come back to within a step, and are refused when not finite.
  for (const Format& f : ends) {
    const Tensor w = filled({2, 64}, DType::f32, 0, -1, 1), packed = packed_for(2, 64, f),
                 back = tensor({2, 64}, DType::f32);
    for (int64_t i = 0; i < 64; ++i) {
      w.set(i, w[i] * 1e-40);
      w.set(64 + i, w[64 + i] * 2.7e38);
    }
    OP_OF(quantize_weight)({w}, {packed}, f.attrs());
    OP_OF(dequantize_weight)({packed}, {back}, f.attrs());
    for (int64_t i = 0; i < 128; ++i) {
      const double unit = i < 64 ? 1e-40 : 2.7e38;
      EXPECT(std::fabs(back[i] - w[i]) <= unit * (f.bits == 8 ? i < 64 ? 0.5 : 0.005
                                                  : i < 64    ? 1
                                                              : 0.25),
             "%s: %g became %g", f.name().c_str(), w[i], back[i]);
    }
    for (const double bad : {static_cast<double>(NAN), static_cast<double>(INFINITY), -static_cast<double>(INFINITY)}) {
      w.set(70, bad);
      OP_OF(quantize_weight)({w}, {packed}, f.attrs());
      EXPECT(late.find("row 1") != std::string::npos, "%g: '%s'", bad, late.c_str());
    }
  }

  // Groups that reach a dtype's last number come back finite, and no further off than three steps of 8 bits, or of 4.
  for (const DType t : floats) {
    const double last = t == DType::f16 ? 65504 : 0x1.fep127, most = t == DType::f32 ? 0x1.fffffep127 : last;
    for (const int64_t group : {32, 64, 128}) {
      for (const Format& f : {Format{8, group}, {4, group}, {8, group, true}, {4, group, true}}) {
        const Tensor w = filled({64, 128}, t, 0, -1, 1), packed = packed_for(64, 128, f), back = tensor({64, 128}, t),
                     back16 = tensor({64, 128}, t == DType::f32 ? DType::bf16 : t);
        for (int64_t i = 0; i < w.numel(); ++i) {
          // Rows lie around 0, on either side of it, or at one end; in each group one is the last number itself.
          const int64_t row = i / 128;
          const double low = row % 4 == 0   ? -1
                             : row % 4 == 1 ? 0
                             : row % 4 == 2 ? 0.7
                                            : -0.1,
                       end = row / 4 % 2 ? -1 : 1;
          w.set(i, i % 32 == row % 32 ? end * most : end * last * (low + (1 - low) * std::fabs(w[i])));
        }
        OP_OF(quantize_weight)({w}, {packed}, f.attrs());
        EXPECT(late.empty(), "%s", late.c_str());
        OP_OF(dequantize_weight)({packed}, {back}, f.attrs());
        OP_OF(dequantize_weight)({packed}, {back16}, f.attrs());
        for (int64_t i = 0; i < w.numel(); ++i) {
          EXPECT(std::isfinite(back16[i]) && std::fabs(back[i] - w[i]) <= most * (f.bits == 8 ? 0.024 : 0.2),
                 "%s %s: row %lld: %g became %g, in 16 bits %g", dtype_name(t), f.name().c_str(),
                 static_cast<long long>(i / 128), w[i], back[i], back16[i]);
        }
      }
    }
  }

  const auto f32 = [](int64_t r, int64_t c) { return tensor({r, c}, DType::f32); };
  const Format format = {8, 32};
  const Tensor packed = packed_for(40, 70, format), w = f32(40, 70), x = f32(3, 70), y = f32(3, 40);
  const auto linear = [&](const Tensor& a, const Tensor& p, const Tensor& v, const Tensor& out,
                          const std::vector<double>& with) {
    std::vector<double> plain = with;
    plain.push_back(0);
    return OP_OF(quantized_linear).refused({a, p, absent(), absent(), v, absent()}, {out}, plain);
  };
  const auto good = format.attrs();
  EXPECT(linear(x, packed, absent(), y, good), "a good call was refused");
  refuse("5 bits", linear(x, packed, absent(), y, Format{5, 32}.attrs()));
  refuse("bits of another packing", linear(x, packed, absent(), y, Format{4, 32}.attrs()));
  refuse("groups of another packing", linear(x, packed, absent(), y, Format{8, 64}.attrs()));
  refuse("zero points that are not there", linear(x, packed, absent(), y, Format{8, 32, true}.attrs()));
  refuse("zero points that are there", linear(x, packed_for(40, 70, {8, 32, true}), absent(), y, good));
  refuse("a group of 0", linear(x, packed, absent(), y, Format{8, 0}.attrs()));
  refuse("a group of 48", linear(x, packed, absent(), y, Format{8, 48}.attrs()));
  refuse("a panel too few", linear(x, packed_for(32, 70, format), absent(), y, good));
  refuse("another k", linear(f32(3, 100), packed, absent(), y, good));
  refuse("packed floats", linear(x, f32(packed.o.shape[0], packed.o.shape[1]), absent(), y, good));
  refuse("a y of other rows", linear(x, packed, absent(), f32(4, 40), good));
  refuse("a short bias", linear(x, packed, tensor({39}, DType::f32), y, good));
  refuse("a bias of another dtype", linear(x, packed, tensor({40}, DType::bf16), y, good));
  refuse("a y of another dtype", linear(x, packed, absent(), tensor({3, 40}, DType::bf16), good));
  refuse("doubles", linear(tensor({3, 70}, DType::f64), packed, absent(), tensor({3, 40}, DType::f64), good));
  refuse("a vector", linear(tensor({70}, DType::f32), packed, absent(), y, good));
  Tensor gap = packed;
  gap.o.strides[0] += 1;
  refuse("packed bytes with gaps", linear(x, gap, absent(), y, good));
  const auto several = [&](const std::vector<Tensor>& weights, const Tensor& beside, const Tensor& out, double gated) {
    return OP_OF(quantized_linear)
        .refused({x, weights[0], weights[1], weights[2], absent(), beside}, {out}, format.product(gated));
  };
  const Tensor whole = packed_for(32, 70, format), none = absent(), wide = f32(3, 72);
  EXPECT(several({whole, packed, none}, none, wide, 0), "two weights were refused");
  EXPECT(several({packed, packed, none}, none, y, 1), "a gated product was refused");
  refuse("a y narrower than the weights", several({whole, packed, none}, none, y, 0));
  refuse("a y wider than the weights", several({whole, whole, none}, none, f32(3, 97), 0));
  refuse("a third weight without a second", several({whole, none, packed}, none, wide, 0));
  refuse("a second weight of another depth", several({whole, packed_for(40, 100, format), none}, none, wide, 0));
  refuse("a gate alone", several({packed, none, none}, none, y, 1));
  refuse("a gate of other rows", several({packed, packed_for(80, 70, format), none}, none, y, 1));
  refuse("a residual of another shape", several({packed, none, none}, wide, y, 0));
  refuse("a residual of another dtype", several({packed, none, none}, tensor({3, 40}, DType::bf16), y, 0));
  refuse("a vector to quantise", OP_OF(quantize_weight).refused({tensor({70}, DType::f32)}, {packed}, good));
  refuse("integers to quantise", OP_OF(quantize_weight).refused({tensor({40, 70}, DType::i32)}, {packed}, good));
  refuse("a short packing", OP_OF(quantize_weight).refused({f32(40, 100)}, {packed}, good));
  refuse("a wrong size to expand to", OP_OF(dequantize_weight).refused({packed}, {f32(65, 70)}, good));
  refuse("doubles to expand to", OP_OF(dequantize_weight).refused({packed}, {tensor({40, 70}, DType::f64)}, good));
  return finish("quant");
}
