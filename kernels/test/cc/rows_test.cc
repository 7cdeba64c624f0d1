// Ops over rows against formulas in f64: softmax, norms, cross-entropy, SwiGLU, rotary, embedding, with their
// gradients, for every float type, in all layouts, in sizes around those of vectors, pieces and tiles. The harness's
// caches hold 4 KiB, so that results go past them, too.
#define HARNESS_MAIN
#include "harness.h"

// clang-format off
#define EACH(F) \
  F(softmax) F(log_softmax) F(softmax_backward) F(log_softmax_backward) F(layer_norm) F(layer_norm_backward) \
  F(rms_norm) F(rms_norm_backward) F(cross_entropy) F(cross_entropy_backward) F(swiglu) F(swiglu_backward) F(rope) \
  F(embedding_backward)
// clang-format on
EACH(DECLARE_OP)

namespace {

const DType kFloats[] = {DType::f32, DType::bf16, DType::f16, DType::f64};
const int64_t kWidths[] = {1, 2, 15, 16, 17, 63, 65, 131, 1023, 1024, 1025, 3000};

DType statistics_of(DType t) { return t == DType::f64 ? t : DType::f32; }

using Row = std::vector<double>;
Row row_of(const Tensor& x, int64_t r, int64_t n) {
  Row v;
  for (int64_t i = 0; i < n; ++i) v.push_back(x[r * n + i]);
  return v;
}
void expect_row(const char* name, const Tensor& y, int64_t r, const Row& want, double scale) {
  const DType t = y.o.dtype;
  const auto n = static_cast<int64_t>(want.size());
  for (int64_t i = 0; i < n; ++i) {
    const double w = want[static_cast<size_t>(i)];
    EXPECT(close(y[r * n + i], w, eps(t) + (t == DType::f64 ? 1e-12 : 1e-5), (t == DType::f64 ? 1e-12 : 3e-6) * scale),
           "%s %s, width %lld: [%lld, %lld] is %.9g, should be %.9g", name, dtype_name(t), static_cast<long long>(n),
           static_cast<long long>(r), static_cast<long long>(i), y[r * n + i], w);
    if (failures > 20) std::exit(finish("rows"));
  }
}

Row softmax(const Row& x) {
  double m = -INFINITY, sum = 0;
  for (double v : x) m = std::fmax(m, v);
  Row y;
  for (double v : x) y.push_back(std::exp(v - m)), sum += y.back();
  for (double& v : y) v /= sum;
  return y;
}

void softmaxes(DType t, int64_t rows, int64_t n, int layout) {
  const Tensor x = filled({rows, n}, t, layout, -8, 8), g = filled({rows, n}, t, layout, -1, 1),
               y = tensor({rows, n}, t), l = tensor({rows, n}, t), dx = tensor({rows, n}, t);
  if (!OP_OF(softmax)({x}, {y}) || !OP_OF(log_softmax)({x}, {l})) return;
  for (int64_t r = 0; r < rows; ++r) {
    const Row p = softmax(row_of(x, r, n));
    expect_row("softmax", y, r, p, 1);
    Row logs;
    for (double v : p) logs.push_back(std::log(v));
    expect_row("log_softmax", l, r, logs, 1);
  }
  const auto gradient = [&](const Called& op, const Tensor& saved, bool logarithm) {
    if (!op({g, saved}, {dx})) return;
    for (int64_t r = 0; r < rows; ++r) {
      const Row gr = row_of(g, r, n), s = row_of(saved, r, n);
      double dot = 0;
      for (size_t i = 0; i < gr.size(); ++i) dot += logarithm ? gr[i] : gr[i] * s[i];
      Row want;
      for (size_t i = 0; i < gr.size(); ++i)
        want.push_back(logarithm ? gr[i] - std::exp(s[i]) * dot : s[i] * (gr[i] - dot));
      expect_row(op.name, dx, r, want, 1 + std::sqrt(static_cast<double>(n)));
    }
  };
  gradient(OP_OF(softmax_backward), y, false);
  gradient(OP_OF(log_softmax_backward), l, true);
}

void norms(DType t, int64_t rows, int64_t n, int layout, bool centred) {
  const DType u = statistics_of(t);
  const Tensor x = filled({rows, n}, t, layout, -2, 3), g = filled({rows, n}, t, layout, -1, 1),
               w = filled({n}, t, 0, 0.5, 1.5), b = filled({n}, t, 0, -1, 1), y = tensor({rows, n}, t),
               mean = tensor({rows}, u), rstd = tensor({rows}, u), dx = tensor({rows, n}, t), dw = tensor({n}, t),
               db = tensor({n}, t);
  const double epsilon = 1e-5;
  if (centred ? !OP_OF(layer_norm)({x, w, b}, {y, mean, rstd}, {epsilon})
              : !OP_OF(rms_norm)({x, w}, {y, rstd}, {epsilon}))
    return;
  if (centred ? !OP_OF(layer_norm_backward)({g, x, w, mean, rstd}, {dx, dw, db})
              : !OP_OF(rms_norm_backward)({g, x, w, rstd}, {dx, dw}))
    return;
  const char* name = centred ? "layer_norm" : "rms_norm";
  const auto count = static_cast<double>(n);
  Row want_dw(static_cast<size_t>(n)), want_db(static_cast<size_t>(n));
  bool flat = false;
  for (int64_t r = 0; r < rows; ++r) {
    const Row v = row_of(x, r, n), gr = row_of(g, r, n);
    double m = 0, var = 0, k1 = 0, k2 = 0;
    for (double a : v) m += centred ? a / count : 0;
    for (double a : v) var += (a - m) * (a - m) / count;
    const double s = 1 / std::sqrt(var + epsilon);
    Row want, hat;
    for (size_t i = 0; i < v.size(); ++i) {
      hat.push_back((v[i] - m) * s);
      const auto place = static_cast<int64_t>(i);
      want.push_back(hat[i] * w[place] + (centred ? b[place] : 0));
      k1 += centred ? gr[i] * w[place] / count : 0;
      k2 += gr[i] * w[place] * hat[i] / count;
      want_dw[i] += gr[i] * hat[i];
      want_db[i] += gr[i];
    }
    // Of values without a spread nothing but rounding is left, enlarged by 1 / sqrt(eps).
    const double size = var > 1e-2 ? 4 : 400;
    flat = flat || var <= 1e-2;
    expect_row(name, y, r, want, size);
    for (size_t i = 0; i < v.size(); ++i) want[i] = (gr[i] * w[static_cast<int64_t>(i)] - k1 - hat[i] * k2) * s;
    expect_row(centred ? "layer_norm_backward" : "rms_norm_backward", dx, r, want, size * size);
  }
  if (flat) return;
  expect_row("dweight", dw, 0, want_dw, static_cast<double>(rows));
  if (centred) expect_row("dbias", db, 0, want_db, static_cast<double>(rows));
}

void losses(DType t, int64_t rows, int64_t n, int layout, double smooth) {
  const DType u = statistics_of(t);
  const Tensor x = filled({rows, n}, t, layout, -8, 8), g = filled({rows}, u, 0, 0.5, 1),
               target = tensor({rows}, DType::i32), loss = tensor({rows}, u), lse = tensor({rows}, u),
               dx = tensor({rows, n}, t);
  for (int64_t r = 0; r < rows; ++r) target.set(r, r % 4 == 3 ? -100 : static_cast<double>(pick(0, n - 1)));
  const std::vector<double> attrs = {-100, smooth};
  if (!OP_OF(cross_entropy)({x, target}, {loss, lse}, attrs)) return;
  if (!OP_OF(cross_entropy_backward)({g, x, target, lse}, {dx}, attrs)) return;
  for (int64_t r = 0; r < rows; ++r) {
    const Row p = softmax(row_of(x, r, n));
    const auto hit = static_cast<int64_t>(target[r]);
    double want = 0;
    Row slope;
    for (size_t i = 0; i < p.size(); ++i) {
      const double q = (static_cast<int64_t>(i) == hit ? 1 - smooth : 0) + smooth / static_cast<double>(n);
      want -= hit < 0 ? 0 : q * std::log(p[i]);
      slope.push_back(hit < 0 ? 0 : g[r] * (p[i] - q));
    }
    EXPECT(close(loss[r], want, u == DType::f64 ? 1e-12 : 3e-6, u == DType::f64 ? 1e-12 : 3e-6),
           "cross_entropy %s of %lld classes is %.9g, should be %.9g", dtype_name(t), static_cast<long long>(n),
           loss[r], want);
    expect_row("cross_entropy_backward", dx, r, slope, 1);
  }
}

void swiglus(DType t, int64_t rows, int64_t n, int layout) {
  const Tensor a = filled({rows, n}, t, layout, -9, 9), b = filled({rows, n}, t, layout, -2, 2),
               g = filled({rows, n}, t, layout, -1, 1), y = tensor({rows, n}, t), da = tensor({rows, n}, t),
               db = tensor({rows, n}, t);
  if (!OP_OF(swiglu)({a, b}, {y}) || !OP_OF(swiglu_backward)({g, a, b}, {da, db})) return;
  for (int64_t r = 0; r < rows; ++r) {
    Row want, want_a, want_b;
    for (int64_t i = r * n; i < (r + 1) * n; ++i) {
      const double s = 1 / (1 + std::exp(-a[i]));
      want.push_back(a[i] * s * b[i]);
      want_a.push_back(g[i] * b[i] * s * (1 + a[i] * (1 - s)));
      want_b.push_back(g[i] * a[i] * s);
    }
    expect_row("swiglu", y, r, want, 1);
    expect_row("swiglu_backward, gate", da, r, want_a, 1);
    expect_row("swiglu_backward, up", db, r, want_b, 1);
  }
}

void ropes(DType t, int64_t length, int64_t half, bool inverse) {
  const Tensor x = filled({2, length, 3, 2 * half}, t, 0, -2, 2),
               cosine = filled({1, length, half}, DType::f32, 0, -1, 1),
               sine = filled({1, length, half}, DType::f32, 0, -1, 1), y = tensor({2, length, 3, 2 * half}, t);
  if (!OP_OF(rope)({x, cosine, sine}, {y}, {inverse ? 1.0 : 0.0})) return;
  for (int64_t r = 0; r < 6 * length; ++r) {
    const Row v = row_of(x, r, 2 * half);
    Row want(v.size());
    for (int64_t i = 0; i < half; ++i) {
      const int64_t at = r / 3 % length * half + i;
      const double s = inverse ? -sine[at] : sine[at];
      const auto a = static_cast<size_t>(i), b = static_cast<size_t>(i + half);
      want[a] = v[a] * cosine[at] - v[b] * s;
      want[b] = v[b] * cosine[at] + v[a] * s;
    }
    expect_row("rope", y, r, want, 4);
  }
}

void embeddings(DType t, int64_t places, int64_t n, int layout) {
  const int64_t vocabulary = 7;
  const Tensor g = filled({places, n}, t, layout, -2, 2), ids = tensor({places}, DType::i32),
               dw = tensor({vocabulary, n}, t);
  for (int64_t i = 0; i < places; ++i) ids.set(i, static_cast<double>(pick(0, vocabulary - 1)));
  if (!OP_OF(embedding_backward)({g, ids}, {dw}, {3})) return;
  for (int64_t v = 0; v < vocabulary; ++v) {
    Row want(static_cast<size_t>(n));
    for (int64_t i = 0; i < places; ++i) {
      if (static_cast<int64_t>(ids[i]) != v || v == 3) continue;
      for (int64_t j = 0; j < n; ++j) want[static_cast<size_t>(j)] += g[i * n + j];
    }
    expect_row("embedding_backward", dw, v, want, static_cast<double>(places));
  }
}

// Infinities and NaN reach the result as the formula says.
void specials() {
  const int64_t n = 1030;
  const Tensor x = tensor({3, n}, DType::f32), y = tensor({3, n}, DType::f32), target = tensor({3}, DType::i32),
               loss = tensor({3}, DType::f32), lse = tensor({3}, DType::f32);
  for (int64_t i = 0; i < n; ++i) x.set(i, -INFINITY), x.set(n + i, 1), x.set(2 * n + i, i < 1024 ? -INFINITY : 2);
  x.set(2 * n - 1, NAN);
  for (int64_t r = 0; r < 3; ++r) target.set(r, static_cast<double>(n - 2));
  OP_OF(softmax)({x}, {y});
  EXPECT(y[0] == 0 && y[n - 1] == 0, "a row of -inf gives %g", y[0]);
  EXPECT(std::isnan(y[n]) && std::isnan(y[2 * n - 1]), "a NaN is lost in softmax");
  EXPECT(close(y[3 * n - 1], 1.0 / 6, 1e-6, 0) && y[2 * n] == 0, "a masked row gives %g", y[3 * n - 1]);
  OP_OF(cross_entropy)({x, target}, {loss, lse}, {-100, 0});
  EXPECT(std::isnan(loss[0]) && std::isnan(loss[1]), "the loss of -inf alone or of NaN is %g, %g", loss[0], loss[1]);
  EXPECT(close(loss[2], std::log(6.0), 1e-6, 0), "the loss behind a masked piece is %g", loss[2]);
}

// Rows whose beginning says nothing of their mean, or whose mean is far larger than their spread.
void unlike_their_beginning() {
  const int64_t n = 1000;
  const Tensor x = tensor({3, n}, DType::f32), y = tensor({3, n}, DType::f32), mean = tensor({3}, DType::f32),
               rstd = tensor({3}, DType::f32);
  for (int64_t i = 0; i < n; ++i) {
    x.set(i, real(-1, 1) + (i < 70 ? 1e4 : 0));
    x.set(n + i, real(-1, 1) + (i < 70 ? 0 : 1e4));
    x.set(2 * n + i, real(-1, 1) + 1e4);
  }
  OP_OF(layer_norm)({x, absent(), absent()}, {y, mean, rstd}, {0});
  for (int64_t r = 0; r < 3; ++r) {
    double m = 0, var = 0;
    for (double v : row_of(x, r, n)) m += v / static_cast<double>(n);
    for (double v : row_of(x, r, n)) var += (v - m) * (v - m) / static_cast<double>(n);
    EXPECT(close(mean[r], m, 2e-7, 0), "row %d has mean %.9g, should be %.9g", static_cast<int>(r), mean[r], m);
    EXPECT(close(rstd[r], 1 / std::sqrt(var), 1e-6, 0), "row %d has rstd %.9g, should be %.9g", static_cast<int>(r),
           rstd[r], 1 / std::sqrt(var));
  }
}

}  // namespace

int main() {
  for (const DType t : kFloats) {
    for (const int64_t n : kWidths) {
      for (int layout = 0; layout < 4; ++layout) {
        const int64_t rows = n > 1000 ? 3 : pick(1, 5);
        softmaxes(t, rows, n, layout);
        norms(t, rows, n, layout, true);
        norms(t, rows, n, layout, false);
        losses(t, rows, n, layout, layout % 2 ? 0.1 : 0);
        swiglus(t, rows, n, layout);
        embeddings(t, pick(0, 20), n, layout);
      }
    }
    // More rows than are added up in one part.
    norms(t, 150, 20, 0, true);
    norms(t, 150, 20, 0, false);
    for (const int64_t half : {1, 7, 8, 16, 24, 33}) ropes(t, 3, half, half % 2 == 0);
  }
  specials();
  unlike_their_beginning();
  return finish("rows");
}
