// SwiGLU: silu(gate) * up in one pass, and its gradients in another.
#include <cmath>

#include "../../simd/math.h"
#include "../../simd/tiles.h"

namespace SHAKTI_ISA_NS {

void run_swiglu(const Args& a, Context& c) {
  const Operand &gate = a.in[0], &up = a.in[1], &y = a.out[0];
  const Walk wg(gate, y), wu(up, y);
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
      lanes(n, [&](int64_t k, int64_t m, bool part) {
        const vf x = load_n(g + k, m, part);
        store_n(buffer[2] + k, x * vsigmoid(x) * load_n(u + k, m, part), m, part);
      });
      scatter_f32(y, i, buffer[2], n);
    }
  });
}

void run_swiglu_backward(const Args& a, Context& c) {
  const Operand &dy = a.in[0], &gate = a.in[1], &up = a.in[2], &dg = a.out[0], &du = a.out[1];
  const Walk wd(dy, dg), wg(gate, dg), wu(up, dg);
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
      lanes(n, [&](int64_t k, int64_t m, bool part) {
        const vf x = load_n(g + k, m, part), dv = load_n(d + k, m, part);
        const vf s = vsigmoid(x);
        store_n(buffer[3] + k, dv * load_n(u + k, m, part) * s * (1.0f + x * (1.0f - s)), m, part);
        store_n(buffer[4] + k, dv * x * s, m, part);
      });
      scatter_f32(dg, i, buffer[3], n);
      scatter_f32(du, i, buffer[4], n);
    }
  });
}

}  // namespace SHAKTI_ISA_NS
