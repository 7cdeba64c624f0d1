// Weights that are kept packed (packed_weight.h): into their panels, out of them, and the product. A task reads a panel
// from end to end, block by block of its depth, and a block meets all rows of the task while it is near. So m = 1 and m
// = 1000 are one kernel, and a row's bits do not depend on the rows beside it. Sums are those of cpu.cc's loops bit for
// bit: word by word within a block, then block by block.
#pragma once
#include "packed_weight.h"
#include "register_tile.h"

namespace SHAKTI_ISA_NS {
namespace {

using matmul::kPackedRows;
using matmul::kPanel;
using matmul::PackedLayout;
static_assert(kPanel % NR == 0, "a panel is whole register tiles wide");

void pack_weight(const Operand& w, float* packed, Context& c) {
  const PackedLayout layout(w.dtype, w.shape[1]);
  const auto size = static_cast<int64_t>(dtype_size(w.dtype));
  const int64_t n = w.shape[0], k = w.shape[1], along = w.strides[1];
  constexpr int64_t kWords = 512;  // of a line at a time
  const auto gather = [&](char* line, int64_t row, int64_t from, int64_t count) {
    const char* p = w.ptr<char>() + (row * w.strides[0] + from * along) * size;
    if (along == 1) {
      std::memcpy(line, p, static_cast<size_t>(count * size));
    } else if (size == 4) {
      for (int64_t i = 0; i < count; ++i) std::memcpy(line + i * 4, p + i * along * 4, 4);
    } else {
      for (int64_t i = 0; i < count; ++i) std::memcpy(line + i * 2, p + i * along * 2, 2);
    }
    std::memset(line + count * size, 0, static_cast<size_t>(kWords * 4 - count * size));
  };
  c.parallel_for(matmul::panels_of(n), 1 + 2048 / (layout.words + 1), [&](int64_t begin, int64_t end, int) {
    alignas(64) float lines[4][kWords];
    for (int64_t p = begin; p < end; ++p) {
      float* panel = packed + p * layout.panel();
      const int64_t row = p * kPanel, rows = n - row < kPanel ? n - row : kPanel;
      if (rows < kPanel) std::memset(panel, 0, static_cast<size_t>(layout.panel_bytes()));
      for (int64_t at = 0; at < layout.words; at += kWords) {
        const int64_t words = layout.words - at < kWords ? layout.words - at : kWords;
        const int64_t from = at * 4 / size, most = kWords * 4 / size;
        const int64_t count = k - from < most ? k - from : most;
        for (int64_t r = 0; r < rows; r += 4) {
          const int64_t together = rows - r < 4 ? rows - r : 4;
          for (int64_t i = 0; i < together; ++i) gather(reinterpret_cast<char*>(lines[i]), row + r + i, from, count);
          interleave<kPanel>(lines[0], sizeof lines[0], together, words, panel + at * kPanel + r);
        }
      }
    }
  });
}

void unpack_weight(const float* packed, const Operand& w, Context& c) {
  const PackedLayout layout(w.dtype, w.shape[1]);
  const int64_t k = w.shape[1];
  c.parallel_for(w.shape[0], 1 + 16384 / (k + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const float* line = packed + row / kPanel * layout.panel() + row % kPanel;
      if (w.dtype == DType::f32) {
        for (int64_t i = 0; i < k; ++i) std::memcpy(w.ptr<float>() + row * k + i, line + i * kPanel, 4);
      } else {
        for (int64_t i = 0; i < k; ++i)
          std::memcpy(w.ptr<uint16_t>() + row * k + i, reinterpret_cast<const uint16_t*>(line + i / 2 * kPanel) + i % 2,
                      2);
      }
    }
  });
}

// Words of x for one of the weight, and words of the weight in a block of the depth.
template <Unit U>
constexpr int64_t kPerPair = U == Unit::widened ? 2 : 1;
template <Unit U>
constexpr int64_t kBlockWords = matmul::kDepth / kPerPair<U>;

struct Lines {
  const float* words;
  int64_t row;  // words from line to line
};

// sums [R][kPanel] of a block, or added to those of the blocks before. The weight is asked for `ahead` words in
// advance, into the second cache: more is on its way then than the hardware fetches by itself.
using SumFn = void (*)(int64_t words, Lines x, const float* b, int64_t ahead, float* sums, bool first);

template <Unit U, int R>
void sum_rows(int64_t words, Lines x, const float* b, int64_t ahead, float* sums, bool first) {
#if defined(__AVX512F__)
  if (U == Unit::amx) {
    for (int64_t i = 0; i < words * kPanel; i += 16) __builtin_prefetch(b + ahead + i, 0, 2);
    alignas(64) float block[R * kPanel];
    multiply_tiles<R / amx::kRows>(words, x.words, x.row, b, block);
    for (int i = 0; i < R * kPanel; i += W) {
      const vf v = load(block + i);
      store(sums + i, first ? v : v + load(sums + i));
    }
    return;
  }
#endif
  for (int c = 0; c < kPanel; c += NR) {
    vf acc[R][NV];
    clear(acc);
    for (int64_t k = 0; k < words; ++k) {
      const float* word = b + k * kPanel + c;
      for (int i = 0; i < NR; i += 16) __builtin_prefetch(word + ahead + i, 0, 2);
      const float* line = x.words + k * kPerPair<U>;
      add_word<U>([&](int i, int half) { return line[i * x.row + half]; }, word, acc);
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < NV; ++j) {
        float* sum = sums + i * kPanel + c + j * W;
        store(sum, first ? acc[i][j] : acc[i][j] + load(sum));
      }
    }
  }
}

// Rows at once. The tile unit takes 16 or 32.
template <Unit U>
constexpr int kMostRows = U == Unit::amx ? 32 : MR;

template <Unit U, int R = kMostRows<U>>
SumFn sum_of(int64_t rows) {
  constexpr int kLess = U == Unit::amx ? 16 : R > 1 ? R - 1 : 1;
  if (R == kLess || rows > kLess) return sum_rows<U, R>;
  return sum_of<U, kLess>(rows);
}

// Rows [r0, r0 + rows) of x as lines of what the unit multiplies.
template <Unit U>
void lay_out(const Matrix& x, int64_t r0, int64_t rows, int64_t k, float* lines, Context& c) {
  const int64_t deep = words<U>(k), row = matmul::packed_row(k);
  const int64_t padded = U == Unit::amx ? (rows + 15) / 16 * 16 : rows;
  c.parallel_for(padded, 1 + 16384 / (k + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      float* line = lines + r * row;
      const int64_t there = r < rows ? k : 0, at = x.at + (r0 + r) * x.rs;
#if defined(__AVX512F__)
      if (U == Unit::bf16 || U == Unit::amx) {
        auto* pairs = reinterpret_cast<uint16_t*>(line);
        gather_bf16(pairs, *x.o, at, x.cs, there);
        std::memset(pairs + there, 0, static_cast<size_t>(2 * deep - there) * 2);
        continue;
      }
#endif
      gather_f32(line, *x.o, at, x.cs, there);
      for (int64_t i = there; i < deep; ++i) line[i] = 0;
    }
  });
}

// y [m, n] of x [m, k]. `lines`: packed_rows_words(m, n, k) words.
template <Unit U>
void packed_product(const Matrix& x, const float* packed, int64_t m, int64_t n, int64_t k, const Target& t,
                    float* lines, Context& c) {
  if (m * n == 0) return;
  const int64_t chunk = matmul::packed_chunk(m, n), row = matmul::packed_row(k), panels = matmul::panels_of(n);
  const int64_t panel = PackedLayout(x.o->dtype, k).panel(), deep = words<U>(k) / kPerPair<U>;
  for (int64_t r0 = 0; r0 < m; r0 += chunk) {
    const int64_t rows = m - r0 < chunk ? m - r0 : chunk;
    lay_out<U>(x, r0, rows, k, lines, c);
    const int64_t blocks = (rows + kPackedRows - 1) / kPackedRows, tasks = blocks * panels;
    // Some panels in a row, as long as all threads have several tasks; 65536 multiply-adds at least.
    int64_t grain = tasks / (4 * c.threads());
    if (grain > 8) grain = 8;
    const int64_t least = 1 + 2048 / (k * (rows < kPackedRows ? rows : kPackedRows) + 1);
    c.parallel_for(tasks, grain > least ? grain : least, [&](int64_t begin, int64_t end, int thread) {
      auto* sums = static_cast<float*>(c.scratch(thread));
#if defined(__AVX512F__)
      if (U == Unit::amx) amx::begin();
#endif
      for (int64_t i = begin; i < end; ++i) {
        const int64_t p = i % panels, q0 = i / panels * kPackedRows;
        const int64_t count = rows - q0 < kPackedRows ? rows - q0 : kPackedRows;
        const int64_t groups = (count + kMostRows<U> - 1) / kMostRows<U>;
        const int64_t each = U == Unit::amx ? kMostRows<U> : (count + groups - 1) / groups;
        const SumFn whole = sum_of<U>(each), last = sum_of<U>(count - (groups - 1) * each);
        const int64_t c0 = p * kPanel, columns = n - c0 < kPanel ? n - c0 : kPanel;
        // By the time that several groups of rows have passed a block the next one has come.
        const int64_t ahead = matmul::kDepth * kPanel / (groups > 1 ? 1 : 4);
        for (int64_t w = 0; w == 0 || w < deep; w += kBlockWords<U>) {
          const int64_t words = deep - w < kBlockWords<U> ? deep - w : kBlockWords<U>;
          const bool done = w + words == deep;
          for (int64_t g = 0; g < groups; ++g) {
            const int64_t q = g * each, of = g + 1 < groups ? each : count - q;
            if (done) fetch_rows(t, r0 + q0 + q, c0, of, columns);
            const Lines from = {lines + (q0 + q) * row + w * kPerPair<U>, row};
            (g + 1 < groups ? whole : last)(words, from, packed + p * panel + w * kPanel, ahead, sums + q * kPanel,
                                            w == 0);
            if (done) put(t, r0 + q0 + q, c0, sums + q * kPanel, kPanel, of, columns);
          }
        }
      }
#if defined(__AVX512F__)
      if (U == Unit::amx) amx::end();
#endif
    });
  }
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
