// Matrix product in the five-loop form: b is packed into panels of NR columns, a into panels of as many rows as a
// register tile has, and the tile sums over the depth. Packing absorbs strides and dtypes. Every element of y sums over
// k in the same order however the work is cut, so the number of threads does not change the result.
#include "few_rows.h"
#include "packed_linear.h"

namespace SHAKTI_ISA_NS {
namespace {

// rows x columns of y from a block of a (packed here) and packed b.
template <Unit U>
void block(const Matrix& a, int64_t r0, int64_t rows, int64_t k0, int64_t depth, const float* packed_b, int64_t c0,
           int64_t columns, const Target& t, float* scratch) {
  constexpr int P = kTileRows<U>;
  const int64_t deep = words<U>(depth);
  pack_a<U>(a, r0, rows, k0, depth, scratch);
#if defined(__AVX512F__)
  if (U == Unit::amx) amx::begin();
#endif
  for (int64_t c = 0; c < columns; c += NR) {
    const int64_t nc = columns - c < NR ? columns - c : NR;
    for (int64_t r = 0; r < rows; r += P) {
      tile<U>(deep, scratch + r * deep, packed_b + c * deep, t, r0 + r, c0 + c, rows - r < P ? rows - r : P, nc);
    }
  }
#if defined(__AVX512F__)
  if (U == Unit::amx) amx::end();
#endif
}

template <Unit U>
void product(const Matrix& a, const Matrix& b, int64_t m, int64_t n, int64_t k, const Target& t, float* packed,
             Context& c) {
  constexpr int64_t P = kTileRows<U>, kBlock = matmul::kDepth * kPerWord<U>;
  const matmul::Blocking cut(n, words<U>(k));
  const int64_t cut_depth = cut.depth * kPerWord<U>;
  // Blocks of whole tiles, alike to within one: as many as fill the cache, more when y is small, so many that no thread
  // is left without one at the end. No sum depends on it.
  const int64_t tiles = (m + P - 1) / P;
  const auto blocks_of = [&](int64_t each) { return (tiles + each - 1) / each; };
  int64_t row_blocks = blocks_of(matmul::kRows / P);
  if (row_blocks < 8) row_blocks = tiles < 8 ? tiles : 8;
  const int64_t threads = c.threads();
  const int64_t even = (row_blocks + threads - 1) / threads * threads;
  if (even <= tiles) row_blocks = even;
  for (int64_t c0 = 0; c0 < n; c0 += cut.columns) {
    const int64_t columns = n - c0 < cut.columns ? n - c0 : cut.columns;
    const int64_t panels = (columns + NR - 1) / NR, width = panels * NR;
    int64_t strip = width;
    if (row_blocks < 8 && panels > 4) strip = (panels / (row_blocks < 3 ? 4 : 2) + 1) * NR;
    const int64_t strips = (width + strip - 1) / strip;
    for (int64_t k0 = 0; k0 == 0 || k0 < k; k0 += cut_depth) {
      const int64_t deep = k - k0 < cut_depth ? k - k0 : cut_depth;
      const int64_t blocks = deep > 0 ? (deep + kBlock - 1) / kBlock : 1;
      const auto depth_of = [&](int64_t d) { return deep - d * kBlock < kBlock ? deep - d * kBlock : kBlock; };
      const auto block_at = [&](int64_t d) { return packed + d * matmul::kDepth * width; };
      const int64_t size = depth_of(0) * NR;
      c.parallel_for(panels * blocks, 1 + 65536 / (size + 1), [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t d = i / panels, p = i % panels;
          pack_b<U>(b, k0 + d * kBlock, depth_of(d), c0 + p * NR, columns - p * NR,
                    block_at(d) + p * NR * words<U>(depth_of(d)));
        }
      });
      // Tasks of half a million multiply-adds at least.
      const int64_t work = (m / row_blocks + 1) * strip * deep;
      c.parallel_for(row_blocks * strips, 1 + (1 << 19) / (work + 1), [&](int64_t begin, int64_t end, int thread) {
        auto* scratch = static_cast<float*>(c.scratch(thread));
        for (int64_t i = begin; i < end; ++i) {
          const int64_t of = i / strips, s = i % strips * strip;
          const int64_t r0 = of * tiles / row_blocks * P, r1 = (of + 1) * tiles / row_blocks * P;
          for (int64_t d = 0; d < blocks; ++d) {
            Target now = t;
            if (k0 + d > 0) now.add = true;
            if (k0 + (d + 1) * kBlock < k) now.last = {};
            block<U>(a, r0, (r1 < m ? r1 : m) - r0, k0 + d * kBlock, depth_of(d),
                     block_at(d) + s * words<U>(depth_of(d)), c0 + s, columns - s < strip ? columns - s : strip, now,
                     scratch);
          }
        }
      });
    }
  }
}

// A whole product on one thread, packed in its scratch memory. For many small ones.
constexpr int64_t kSmall = 1 << 21;  // multiply-adds of a product
constexpr int64_t kLess = 1 << 23;   // where there are enough of them to keep the threads busy
constexpr int64_t kMany = 8;

SHAKTI_INLINE int64_t small_words(int64_t n, int64_t k) { return (n + NR + matmul::kRows) * (k + 32); }

template <Unit U>
void small_product(const Matrix& a, const Matrix& b, int64_t m, int64_t n, int64_t k, const Target& t, float* scratch) {
  const int64_t columns = (n + NR - 1) / NR * NR, deep = words<U>(k);
  for (int64_t c = 0; c < n; c += NR) pack_b<U>(b, 0, k, c, n - c, scratch + c * deep);
  for (int64_t r = 0; r < m; r += matmul::kRows)
    block<U>(a, r, m - r < matmul::kRows ? m - r : matmul::kRows, 0, k, scratch, 0, n, t, scratch + columns * deep);
}

// 16-bit y from its sums in f32.
void finish(float* sums, int64_t m, int64_t n, const Target& t, Context& c) {
  c.parallel_for(m, 1 + 16384 / n, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t j = 0; j < n; j += kPut) put(t, r, j, sums + r * n + j, n, 1, n - j < kPut ? n - j : kPut);
    }
  });
}

void product_f64(const Matrix& a, const Matrix& b, int64_t m, int64_t n, int64_t k, const Target& t, Context& c) {
  const auto *p = a.o->ptr<double>() + a.at, *q = b.o->ptr<double>() + b.at;
  const double work = static_cast<double>(n) * static_cast<double>(k);
  c.parallel_for(m, 1 + static_cast<int64_t>(65536 / (work + 1)), [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      double* y = t.y->ptr<double>() + t.at + i * t.ld;
      if (!t.add) std::memset(y, 0, static_cast<size_t>(n) * sizeof(double));
      for (int64_t x = 0; x < k; ++x) {
        const double v = p[i * a.rs + x * a.cs];
        for (int64_t j = 0; j < n; ++j) y[j] += v * q[x * b.rs + j * b.cs];
      }
      put(t, i, y, n);
    }
  });
}

// The way into matrix i of y, counted over the nb dimensions of the batch; operands 2, 3 and 4 are bias, residual and
// gate.
Target target_of(const Args& args, int64_t i, int nb, double activation, double scale, bool add) {
  const Operand& y = args.out[0];
  const auto beside = [&](const Operand& o) {
    return o.present() ? Beside{&o, offset_of(i, y.shape, o.strides, nb)} : Beside{};
  };
  Epilogue e;
  e.scale = scale;
  if (args.in[2].present()) e.bias = &args.in[2];
  e.activation = static_cast<Activation>(static_cast<int>(activation));
  e.residual = beside(args.in[3]);
  e.gate = beside(args.in[4]);
  return {&y, i * y.size(-2) * y.size(-1), y.size(-1), add, e};
}

template <Unit U>
void run(const Args& args, Context& c) {
  const Operand &a = args.in[0], &b = args.in[1], &y = args.out[0];
  const int64_t m = y.size(-2), n = y.size(-1), k = a.size(-1);
  const int nb = y.ndim - 2;
  int64_t batch = 1;
  for (int d = 0; d < nb; ++d) batch *= y.shape[d];
  if (batch * m * n == 0) return;
  const auto at = [&](int64_t i, Matrix& ma, Matrix& mb, Target& t) {
    ma = {&a, offset_of(i, y.shape, a.strides, nb), a.stride(-2), a.stride(-1)};
    mb = {&b, offset_of(i, y.shape, b.strides, nb), b.stride(-2), b.stride(-1)};
    t = target_of(args, i, nb, args.attr(2), args.attr(3), args.attr_bool(0));
  };
  // Sizes of expanded operands have no bound but 2^53: products of three are formed as doubles.
  const double work = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  if (batch > 1 && a.dtype != DType::f64 && work < static_cast<double>(batch < kMany ? kSmall : kLess) &&
      k <= matmul::kDepth && small_words(n, k) * 4 <= static_cast<int64_t>(Context::kScratchBytes)) {
    c.parallel_for(batch, 1 + static_cast<int64_t>((1 << 18) / (work + 1)),
                   [&](int64_t begin, int64_t end, int thread) {
                     for (int64_t i = begin; i < end; ++i) {
                       Matrix ma, mb;
                       Target t;
                       at(i, ma, mb, t);
                       small_product<U>(ma, mb, m, n, k, t, static_cast<float*>(c.scratch(thread)));
                     }
                   });
    return;
  }
  auto* packed = static_cast<float*>(args.workspace);
  float* sums = packed + matmul::Blocking(n, words<U>(k)).packed();
  for (int64_t i = 0; i < batch; ++i) {
    Matrix ma, mb;
    Target t;
    at(i, ma, mb, t);
    if (a.dtype == DType::f64) {
      product_f64(ma, mb, m, n, k, t, c);
    } else if (are_few(mb, m)) {
      few_product(ma, mb, m, n, k, t, packed, U != Unit::f32, c);
    } else if (matmul::sums_apart(y.dtype, words<U>(k))) {
      Operand apart = y;
      apart.data = sums;
      apart.dtype = DType::f32;
      product<U>(ma, mb, m, n, k, {&apart, 0, n, false, {}}, packed, c);
      finish(sums, m, n, t, c);
    } else {
      product<U>(ma, mb, m, n, k, t, packed, c);
    }
  }
}

template <Unit U>
void run_packed(const Args& args, Context& c) {
  const Operand &x = args.in[0], &y = args.out[0];
  const Matrix a = {&x, 0, x.strides[0], x.strides[1]};
  packed_product<U>(a, args.in[1].ptr<float>(), y.shape[0], y.shape[1], x.shape[1],
                    target_of(args, 0, 0, args.attr(0), args.attr(1), false), static_cast<float*>(args.workspace), c);
}

}  // namespace

void run_matmul(const Args& args, Context& c) {
  switch (unit_for(args.in[0].dtype, args.attr_bool(1))) {
#if defined(__AVX512F__)
    case Unit::amx: return run<Unit::amx>(args, c);
    case Unit::bf16: return run<Unit::bf16>(args, c);
#endif
    default: return run<Unit::f32>(args, c);
  }
}

void run_pack_weight(const Args& args, Context& c) { pack_weight(args.in[0], args.out[0].ptr<float>(), c); }
void run_unpack_weight(const Args& args, Context& c) { unpack_weight(args.in[0].ptr<float>(), args.out[0], c); }

void run_packed_linear(const Args& args, Context& c) {
  const DType t = args.in[0].dtype;
  switch (unit_for(t, false)) {
#if defined(__AVX512F__)
    case Unit::amx: return run_packed<Unit::amx>(args, c);
    case Unit::bf16: return run_packed<Unit::bf16>(args, c);
#endif
    default: return t == DType::f32 ? run_packed<Unit::f32>(args, c) : run_packed<Unit::widened>(args, c);
  }
}

}  // namespace SHAKTI_ISA_NS
