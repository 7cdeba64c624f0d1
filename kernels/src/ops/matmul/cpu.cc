// Matrix product in the five-loop form: b is packed into panels of NR columns, a into panels of MR rows, and a register
// tile of MR x NR sums over the depth. Packing absorbs strides and turns bf16 and f16 into f32. Every element of y sums over
// k in the same order however the work is cut, so the number of threads does not change the result.
#include "../../simd/vec.h"
#include "blocking.h"

namespace SHAKTI_ISA_NS {
namespace {

#if defined(__AVX512F__)
constexpr int MR = 12, NV = 2;
#elif defined(__AVX2__)
constexpr int MR = 6, NV = 2;
#else
constexpr int MR = 4, NV = 2;
#endif
constexpr int NR = NV * W;

struct Matrix {
  const Operand* o;
  int64_t at, rs, cs;  // first element, steps from row to row and column to column

  SHAKTI_INLINE float get(int64_t r, int64_t c) const {
    const int64_t i = at + r * rs + c * cs;
    if (o->dtype == DType::f32) return o->ptr<float>()[i];
    float v[1];
    gather_f32(v, *o, i, 1, 1);
    return v[0];
  }
};

// rows x depth of a, as panels: for each k, MR rows side by side.
void pack_a(const Matrix& a, int64_t r0, int64_t rows, int64_t k0, int64_t depth, float* to) {
  for (int64_t p = 0; p < rows; p += MR) {
    const int64_t n = rows - p < MR ? rows - p : MR;
    if (a.o->dtype == DType::f32) {
      const float* from = a.o->ptr<float>() + a.at + (r0 + p) * a.rs + k0 * a.cs;
      if (a.rs == 1 && n == MR) {
        for (int64_t k = 0; k < depth; ++k) std::memcpy(to + k * MR, from + k * a.cs, MR * sizeof(float));
      } else {
        for (int64_t i = 0; i < n; ++i) {
          const float* row = from + i * a.rs;
          for (int64_t k = 0; k < depth; ++k) to[k * MR + i] = row[k * a.cs];
        }
      }
    } else {
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t k = 0; k < depth; ++k) to[k * MR + i] = a.get(r0 + p + i, k0 + k);
      }
    }
    for (int64_t i = n; i < MR; ++i) {
      for (int64_t k = 0; k < depth; ++k) to[k * MR + i] = 0;
    }
    to += depth * MR;
  }
}

// depth x one panel of columns of b: for each k, NR columns side by side.
void pack_b(const Matrix& b, int64_t k0, int64_t depth, int64_t c0, int64_t columns, float* to) {
  const int64_t n = columns < NR ? columns : NR;
  if (b.o->dtype == DType::f32) {
    const float* from = b.o->ptr<float>() + b.at + k0 * b.rs + c0 * b.cs;
    if (b.cs == 1 && n == NR) {
      for (int64_t k = 0; k < depth; ++k) std::memcpy(to + k * NR, from + k * b.rs, NR * sizeof(float));
      return;
    }
    if (b.cs == 1) {
      for (int64_t k = 0; k < depth; ++k) {
        for (int64_t j = 0; j < n; ++j) to[k * NR + j] = from[k * b.rs + j];
        for (int64_t j = n; j < NR; ++j) to[k * NR + j] = 0;
      }
      return;
    }
    for (int64_t j = 0; j < n; ++j) {
      const float* column = from + j * b.cs;
      for (int64_t k = 0; k < depth; ++k) to[k * NR + j] = column[k * b.rs];
    }
  } else {
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t k = 0; k < depth; ++k) to[k * NR + j] = b.get(k0 + k, c0 + j);
    }
  }
  for (int64_t j = n; j < NR; ++j) {
    for (int64_t k = 0; k < depth; ++k) to[k * NR + j] = 0;
  }
}

// tile[MR][NR] = sum over depth of a panel times b panel.
SHAKTI_INLINE void micro(int64_t depth, const float* a, const float* b, vf (&acc)[MR][NV]) {
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < NV; ++j) acc[i][j] = vf{};
  }
  for (int64_t k = 0; k < depth; ++k) {
    vf bv[NV];
#pragma GCC unroll 2
    for (int j = 0; j < NV; ++j) bv[j] = load(b + j * W);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const vf av = splat(a[i]);
#pragma GCC unroll 2
      for (int j = 0; j < NV; ++j) acc[i][j] = vfma(av, bv[j], acc[i][j]);
    }
    a += MR;
    b += NR;
  }
}

struct Target {
  const Operand* y;
  int64_t at, ld;  // y's first element, its row length
  const Operand* bias;
  bool add;  // to what y holds
};

// One register tile and its way out.
void tile(int64_t depth, const float* a, const float* b, const Target& t, int64_t r, int64_t c, int64_t rows, int64_t columns) {
  vf acc[MR][NV];
  micro(depth, a, b, acc);
  alignas(64) float bias[NR] = {};
  if (t.bias) {
    for (int64_t j = 0; j < columns; ++j) gather_f32(bias + j, *t.bias, (c + j) * t.bias->strides[0], 1, 1);
  }
  const bool direct = t.y->dtype == DType::f32 && columns == NR;
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
    if (i >= rows) break;
    const int64_t at = t.at + (r + i) * t.ld + c;
    if (direct) {
      float* y = t.y->ptr<float>() + at;
#pragma GCC unroll 2
      for (int j = 0; j < NV; ++j) {
        vf v = acc[i][j];
        if (t.bias) v += load(bias + j * W);
        if (t.add) v += load(y + j * W);
        store(y + j * W, v);
      }
    } else {
      alignas(64) float row[NR], old[NR];
#pragma GCC unroll 2
      for (int j = 0; j < NV; ++j) store(row + j * W, acc[i][j] + load(bias + j * W));
      if (t.add) {
        gather_f32(old, *t.y, at, 1, columns);
        for (int64_t j = 0; j < columns; ++j) row[j] += old[j];
      }
      scatter_f32(*t.y, at, row, columns);
    }
  }
}

// rows x columns of y from a block of a (packed here) and packed b.
void block(const Matrix& a, int64_t r0, int64_t rows, int64_t k0, int64_t depth, const float* packed_b, int64_t c0, int64_t columns,
           const Target& t, float* scratch) {
  pack_a(a, r0, rows, k0, depth, scratch);
  for (int64_t c = 0; c < columns; c += NR) {
    const int64_t nc = columns - c < NR ? columns - c : NR;
    const float* b = packed_b + c * depth;
    for (int64_t r = 0; r < rows; r += MR) {
      tile(depth, scratch + r * depth, b, t, r0 + r, c0 + c, rows - r < MR ? rows - r : MR, nc);
    }
  }
}

// A few rows times the transpose of a matrix that lies row by row (a linear layer at decoding): dot products, no packing.
void few_rows(const Matrix& a, const Matrix& b, int64_t m, int64_t n, int64_t k, const Target& t, Context& c) {
  c.parallel_for(n, 1 + 65536 / (k + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t j = begin; j < end; ++j) {
      for (int64_t i = 0; i < m; ++i) {
        const float* p = a.o->ptr<float>() + a.at + i * a.rs;
        const float* q = b.o->ptr<float>() + b.at + j * b.cs;
        vf s0{}, s1{};
        int64_t x = 0;
        for (; x + 2 * W <= k; x += 2 * W) {
          s0 = vfma(load(p + x), load(q + x), s0);
          s1 = vfma(load(p + x + W), load(q + x + W), s1);
        }
        for (; x + W <= k; x += W) s0 = vfma(load(p + x), load(q + x), s0);
        if (x < k) s1 = vfma(load_part(p + x, k - x), load_part(q + x, k - x), s1);
        float v = hsum(s0 + s1);
        if (t.bias) v += t.bias->ptr<float>()[j * t.bias->strides[0]];
        float* y = t.y->ptr<float>() + t.at + i * t.ld + j;
        *y = t.add ? *y + v : v;
      }
    }
  });
}

void product(const Matrix& a, const Matrix& b, int64_t m, int64_t n, int64_t k, Target t, float* packed, Context& c) {
  const bool f32 = a.o->dtype == DType::f32;
  const matmul::Blocking cut(m, n, k, f32);
  if (m <= 4 && f32 && b.rs == 1 && a.cs == 1) return few_rows(a, b, m, n, k, t, c);
  for (int64_t c0 = 0; c0 < n; c0 += cut.nc) {
    const int64_t columns = n - c0 < cut.nc ? n - c0 : cut.nc;
    for (int64_t k0 = 0; k0 == 0 || k0 < k; k0 += cut.kc) {
      const int64_t depth = k - k0 < cut.kc ? k - k0 : cut.kc;
      const int64_t panels = (columns + NR - 1) / NR;
      c.parallel_for(panels, 1 + 65536 / (depth * NR + 1), [&](int64_t begin, int64_t end, int) {
        for (int64_t p = begin; p < end; ++p) pack_b(b, k0, depth, c0 + p * NR, columns - p * NR, packed + p * NR * depth);
      });
      Target now = t;
      if (k0 > 0) {
        now.add = true;
        now.bias = nullptr;
      }
      // Tasks of about a quarter of a million multiply-adds at least; narrow ones when y has few rows.
      const int64_t row_blocks = (m + cut.mc - 1) / cut.mc;
      int64_t strip = columns;
      if (row_blocks < 8 && columns > 4 * NR) strip = (columns / (row_blocks < 3 ? 4 : 2) + NR - 1) / NR * NR;
      const int64_t strips = (columns + strip - 1) / strip;
      const int64_t work = cut.mc * strip * depth;
      c.parallel_for(row_blocks * strips, 1 + (1 << 18) / (work + 1), [&](int64_t begin, int64_t end, int thread) {
        auto* scratch = static_cast<float*>(c.scratch(thread));
        for (int64_t i = begin; i < end; ++i) {
          const int64_t r0 = i / strips * cut.mc, s = i % strips * strip;
          block(a, r0, m - r0 < cut.mc ? m - r0 : cut.mc, k0, depth, packed + s * depth, c0 + s, columns - s < strip ? columns - s : strip,
                now, scratch);
        }
      });
    }
  }
}

// A whole product on one thread, packed in its scratch memory. For many small ones.
void small_product(const Matrix& a, const Matrix& b, int64_t m, int64_t n, int64_t k, const Target& t, float* scratch) {
  const int64_t columns = (n + NR - 1) / NR * NR;
  for (int64_t c = 0; c < n; c += NR) pack_b(b, 0, k, c, n - c, scratch + c * k);
  float* packed_a = scratch + columns * k;
  const int64_t rows = 8 * MR;
  for (int64_t r = 0; r < m; r += rows) block(a, r, m - r < rows ? m - r : rows, 0, k, scratch, 0, n, t, packed_a);
}

void product_f64(const Matrix& a, const Matrix& b, int64_t m, int64_t n, int64_t k, const Target& t, Context& c) {
  const auto *p = a.o->ptr<double>() + a.at, *q = b.o->ptr<double>() + b.at;
  c.parallel_for(m, 1 + 65536 / (n * k + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      double* y = t.y->ptr<double>() + t.at + i * t.ld;
      for (int64_t j = 0; j < n; ++j) y[j] = (t.add ? y[j] : 0) + (t.bias ? t.bias->ptr<double>()[j * t.bias->strides[0]] : 0);
      for (int64_t x = 0; x < k; ++x) {
        const double v = p[i * a.rs + x * a.cs];
        for (int64_t j = 0; j < n; ++j) y[j] += v * q[x * b.rs + j * b.cs];
      }
    }
  });
}

}  // namespace

void run_matmul(const Args& args, Context& c) {
  const Operand &a = args.in[0], &b = args.in[1], &y = args.out[0];
  const int64_t m = y.size(-2), n = y.size(-1), k = a.size(-1);
  const int nb = y.ndim - 2;
  int64_t batch = 1;
  for (int d = 0; d < nb; ++d) batch *= y.shape[d];
  if (batch * m * n == 0) return;
  const auto at = [&](int64_t i, Matrix& ma, Matrix& mb, Target& t) {
    ma = {&a, offset_of(i, y.shape, a.strides, nb), a.stride(-2), a.stride(-1)};
    mb = {&b, offset_of(i, y.shape, b.strides, nb), b.stride(-2), b.stride(-1)};
    t = {&y, i * m * n, n, args.in[2].present() ? &args.in[2] : nullptr, args.attr_bool(0)};
  };
  const int64_t scratch = ((n + NR) * k + 8 * MR * k) * 4;
  if (batch > 1 && a.dtype != DType::f64 && m * n * k < (1 << 21) && scratch < static_cast<int64_t>(Context::kScratchBytes)) {
    c.parallel_for(batch, 1 + (1 << 18) / (m * n * k + 1), [&](int64_t begin, int64_t end, int thread) {
      for (int64_t i = begin; i < end; ++i) {
        Matrix ma, mb;
        Target t;
        at(i, ma, mb, t);
        small_product(ma, mb, m, n, k, t, static_cast<float*>(c.scratch(thread)));
      }
    });
    return;
  }
  for (int64_t i = 0; i < batch; ++i) {
    Matrix ma, mb;
    Target t;
    at(i, ma, mb, t);
    if (a.dtype == DType::f64) product_f64(ma, mb, m, n, k, t, c);
    else product(ma, mb, m, n, k, t, static_cast<float*>(args.workspace), c);
  }
}

}  // namespace SHAKTI_ISA_NS
