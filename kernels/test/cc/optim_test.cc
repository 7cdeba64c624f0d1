// AdamW against the paper's formula in f64 over several steps, and the norm against a plain sum.
#define HARNESS_MAIN
#include <tuple>

#include "harness.h"

#define EACH(F) F(adamw) F(global_norm)
EACH(DECLARE_OP)

int main() {
  const double lr = 1e-2, b1 = 0.9, b2 = 0.99, epsilon = 1e-8, decay = 0.1;
  for (const bool copies : {false, true}) {
    for (const bool scaled : {false, true}) {
      const std::vector<Shape> shapes = {{3}, {20, 33}, {}, {17000}, {0}, {16384}};
      const size_t n = shapes.size();
      std::vector<Tensor> state;
      for (const Shape& s : shapes) state.push_back(filled(s, DType::f32, 0, -1, 1));
      for (int i = 0; i < 2; ++i) {
        for (const Shape& s : shapes) state.push_back(filled(s, DType::f32, 0, 0, 0));
      }
      if (copies) {
        for (const Shape& s : shapes) state.push_back(tensor(s, DType::bf16));
      }
      std::vector<std::vector<double>> p(n), m(n), v(n);
      for (size_t i = 0; i < n; ++i) {
        for (int64_t k = 0; k < state[i].numel(); ++k)
          p[i].push_back(state[i][k]), m[i].push_back(0), v[i].push_back(0);
      }
      for (int step = 1; step <= 5; ++step) {
        const Tensor scale = tensor({1}, DType::f32);
        scale.set(0, 0.25);
        // The rate and the count of steps as attributes, or from memory, which wins.
        const Tensor rate = tensor({}, DType::f64), count = tensor({}, DType::f64);
        rate.set(0, lr);
        count.set(0, step);
        std::vector<Tensor> in{scaled ? scale : absent(), copies ? rate : absent(), scaled ? count : absent()};
        for (size_t i = 0; i < n; ++i) in.push_back(filled(shapes[i], i % 2 ? DType::bf16 : DType::f32, 0, -1, 1));
        const double said = scaled ? 77 : step;
        if (!OP_OF(adamw)(in, state, {copies ? 55 : lr, b1, b2, epsilon, decay, said})) return 1;
        for (size_t i = 0; i < n; ++i) {
          for (int64_t k = 0; k < state[i].numel(); ++k) {
            const auto q = static_cast<size_t>(k);
            const double g = in[3 + i][k] * (scaled ? 0.25 : 1);
            m[i][q] = b1 * m[i][q] + (1 - b1) * g;
            v[i][q] = b2 * v[i][q] + (1 - b2) * g * g;
            p[i][q] -= lr * (decay * p[i][q] + m[i][q] / (1 - std::pow(b1, step)) /
                                                   (std::sqrt(v[i][q] / (1 - std::pow(b2, step))) + epsilon));
            EXPECT(close(state[i][k], p[i][q], 1e-5, 1e-5), "step %d, tensor %zu: p[%lld] is %.9g, should be %.9g",
                   step, i, static_cast<long long>(k), state[i][k], p[i][q]);
            EXPECT(close(state[n + i][k], m[i][q], 1e-5, 1e-7) && close(state[2 * n + i][k], v[i][q], 1e-5, 1e-7),
                   "step %d: moments", step);
            if (copies)
              EXPECT(close(state[3 * n + i][k], state[i][k], eps(DType::bf16), 0), "the bf16 copy is not p rounded");
          }
        }
      }
    }
  }
  const auto f32 = [](Shape s) { return tensor(s, DType::f32); };
  const std::vector<double> ok = {lr, b1, b2, epsilon, decay, 1};
  EXPECT(!OP_OF(adamw).refused({absent(), absent(), absent(), f32({3})}, {f32({3}), f32({3})}, ok),
         "adamw without second moments");
  EXPECT(!OP_OF(adamw).refused({absent(), absent(), absent(), f32({3})}, {f32({4}), f32({4}), f32({4})}, ok),
         "adamw of unlike sizes");
  EXPECT(!OP_OF(adamw).refused({absent(), absent(), absent(), f32({3})}, {f32({3}), f32({3}), tensor({3}, DType::f64)},
                               ok),
         "adamw with f64 moments");
  EXPECT(!OP_OF(adamw).refused({absent(), absent(), absent()}, {f32({3}), f32({3}), f32({3})}, ok),
         "adamw without gradients");
  EXPECT(!OP_OF(adamw).refused({absent(), absent(), absent(), f32({3})}, {f32({3}), f32({3}), f32({3})},
                               {lr, b1, b2, epsilon, decay, 0}),
         "step 0");
  EXPECT(!OP_OF(adamw).refused({absent(), f32({}), absent(), f32({3})}, {f32({3}), f32({3}), f32({3})}, ok),
         "an f32 rate");
  EXPECT(!OP_OF(adamw).refused({absent(), absent(), tensor({2}, DType::f64), f32({3})}, {f32({3}), f32({3}), f32({3})},
                               ok),
         "two counts");
  for (const auto& [rate, count, what] : {std::tuple{-1.0, 1.0, "lr"}, {NAN, 1.0, "lr"}, {1e-3, 0.0, "step"}}) {
    const Tensor r = tensor({}, DType::f64), n = tensor({}, DType::f64), p = filled({3}, DType::f32, 0, 1, 1);
    r.set(0, rate);
    n.set(0, count);
    OP_OF(adamw)({absent(), r, n, filled({3}, DType::f32, 0, 1, 1)}, {p, f32({3}), f32({3})}, ok);
    EXPECT(late.rfind(what, 0) == 0 && p[0] == 1, "a bad %s: '%s'", what, late.c_str());
  }

  for (const DType t : {DType::f32, DType::bf16, DType::f16, DType::f64}) {
    std::vector<Tensor> xs;
    double sum = 0;
    for (const Shape& s : std::vector<Shape>{{5}, {300, 170}, {0}, {}, {16384}, {16385}}) {
      xs.push_back(filled(s, t, 0, -3, 3));
      for (int64_t k = 0; k < xs.back().numel(); ++k) sum += xs.back()[k] * xs.back()[k];
    }
    const Tensor y = f32({1});
    if (!OP_OF(global_norm)(xs, {y})) return 1;
    EXPECT(close(y[0], std::sqrt(sum), 2e-7, 0), "global_norm of %s is %.9g, should be %.9g", dtype_name(t), y[0],
           std::sqrt(sum));
    // Squares beyond f32's range.
    if (t == DType::f16) continue;
    for (int64_t k = 0; k < xs[0].numel(); ++k) xs[0].set(k, 1e30);
    OP_OF(global_norm)({xs[0]}, {y});
    EXPECT(close(y[0], std::sqrt(5.0) * xs[0][0], 1e-6, 0), "global_norm overflows: %g", y[0]);
  }
  EXPECT(!OP_OF(global_norm).refused({tensor({3}, DType::i32)}, {f32({1})}, {}), "the norm of integers");
  EXPECT(!OP_OF(global_norm).refused({f32({3})}, {f32({2})}, {}), "two norms");
  return finish("optim");
}
