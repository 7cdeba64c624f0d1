// SwiGLU: silu(gate) * up in one pass, and its gradients in another.
#include <cmath>

#include "../../simd/math.h"
#include "../../simd/tiles.h"

namespace SHAKTI_ISA_NS {

void run_swiglu(const Args& a, Context& c) {
  const Operand &gate = a.in[0], &up = a.in[1], &y = a.out[0];
  const Walk wg(gate, y), wu(up, y);
  const Output result(a, 0, c);
  c.parallel_for(y.numel(), 8 * kTile, [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; i += kTile) {
      const int64_t n = e - i < kTile ? e - i : kTile;
      if (y.dtype == DType::f64) {
        double g[kTile], u[kTile];
        wg.tile_as(gate.ptr<double>(), i, n, g);
        wu.tile_as(up.ptr<double>(), i, n, u);
        for (int64_t k = 0; k < n; ++k) y.ptr<double>()[i + k] = g[k] / (1 + std::exp(-g[k])) * u[k];
        continue;
      }
      alignas(64) float buffer[3][kTile];
      const float *g = wg.tile(gate, i, n, buffer[0]), *u = wu.tile(up, i, n, buffer[1]);
      float* to = result.place(i, buffer[2]);
      const Ahead next_gate = wg.ahead(gate, i + n), next_up = wu.ahead(up, i + n);
      lanes(n, [&](int64_t k, int64_t m, bool part) {
        next_gate.fetch(k);
        next_up.fetch(k);
        const vf x = load_n(g + k, m, part);
        store_n(to + k, x * vsigmoid(x) * load_n(u + k, m, part), m, part);
      });
      result.put(i, to, n);
    }
    result.finish();
  });
}

void run_swiglu_backward(const Args& a, Context& c) {
  const Operand &dy = a.in[0], &gate = a.in[1], &up = a.in[2], &dg = a.out[0], &du = a.out[1];
  const Walk wd(dy, dg), wg(gate, dg), wu(up, dg);
  const Output of_gate(a, 0, c), of_up(a, 1, c);
  c.parallel_for(dg.numel(), 8 * kTile, [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; i += kTile) {
      const int64_t n = e - i < kTile ? e - i : kTile;
      if (dg.dtype == DType::f64) {
        double d[kTile], g[kTile], u[kTile];
        wd.tile_as(dy.ptr<double>(), i, n, d);
        wg.tile_as(gate.ptr<double>(), i, n, g);
        wu.tile_as(up.ptr<double>(), i, n, u);
        for (int64_t k = 0; k < n; ++k) {
          const double s = 1 / (1 + std::exp(-g[k]));
          dg.ptr<double>()[i + k] = d[k] * u[k] * s * (1 + g[k] * (1 - s));
          du.ptr<double>()[i + k] = d[k] * g[k] * s;
        }
        continue;
      }
      alignas(64) float buffer[5][kTile];
      const float *d = wd.tile(dy, i, n, buffer[0]), *g = wg.tile(gate, i, n, buffer[1]),
                  *u = wu.tile(up, i, n, buffer[2]);
      float *to_gate = of_gate.place(i, buffer[3]), *to_up = of_up.place(i, buffer[4]);
      const Ahead next_dy = wd.ahead(dy, i + n), next_gate = wg.ahead(gate, i + n), next_up = wu.ahead(up, i + n);
      lanes(n, [&](int64_t k, int64_t m, bool part) {
        next_dy.fetch(k);
        next_gate.fetch(k);
        next_up.fetch(k);
        const vf x = load_n(g + k, m, part), dv = load_n(d + k, m, part);
        const vf s = vsigmoid(x);
        store_n(to_gate + k, dv * load_n(u + k, m, part) * s * (1.0f + x * (1.0f - s)), m, part);
        store_n(to_up + k, dv * x * s, m, part);
      });
      of_gate.put(i, to_gate, n);
      of_up.put(i, to_up, n);
    }
    of_gate.finish();
    of_up.finish();
  });
}

}  // namespace SHAKTI_ISA_NS
