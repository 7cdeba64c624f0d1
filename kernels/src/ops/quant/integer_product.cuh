// x in 8 bits times a packed weight, by the integer instructions of tensor cores. x is the left factor, 16 rows of it, signed; 8 rows of
// the weight are the right one, unsigned as they lie. Which of a panel's 32 rows and which of 32 neighbours along k are a product's first
// is free, as long as both factors agree: so a lane takes 16 bytes of the weight and 8 of a row of x, as they lie.
#pragma once
#include "../../cuda/device/numbers.cuh"
#include "../../cuda/device/reduce.cuh"
#include "../../cuda/device/row.cuh"
#include "../../cuda/device/tensor_core.cuh"
#include "cuda.h"

namespace shakti::cuda {

constexpr int kDepth = 32;  // of one instruction

// The integer n < 2^22 is added to the last bits of this float: what comes is kZero + n, without a conversion.
constexpr int kZeroBits = 0x4b400000;
constexpr float kZero = 12582912.0f;

__device__ __forceinline__ float scale_from(unsigned upper) { return __uint_as_float(upper << 16); }

// The lane's place in fragments: it has rows `line` and `line + 8` of x, rows 4 line .. 4 line + 3 of the panel, 8 quad .. 8 quad + 7 of
// kDepth, and in the end columns 8 quad .. 8 quad + 7 of the panel's part of y.
struct ByteLane {
  int lane, warp, line, quad;
  __device__ __forceinline__ ByteLane() : lane(threadIdx.x % 32), warp(threadIdx.x / 32), line(lane / 4), quad(lane % 4) {}
};

// kDepth along k of a panel. In 4 bits 16 bytes hold all of the lane's eight, else the first or the second four.
template <int Bits>
struct Words {
  static constexpr int loads = Bits / 4;
  static constexpr int bytes = kDepth * static_cast<int>(quant::kPanel) * Bits / 8;
  uint4 w[loads];

  // Which 16 of `bytes` are load i.
  __device__ __forceinline__ static int chunk(int i, const ByteLane& l) { return (l.quad * loads + i) * 8 + l.line; }
  // The same where chunks of a line of 128 bytes change places, so that lanes of one request lie in different banks of shared memory.
  __device__ __forceinline__ static int mixed(int chunk) { return chunk ^ (chunk / 8 / loads % 4 * 2); }

  // Of row 4 line + r, half 0 or 1 of the lane's eight.
  __device__ __forceinline__ unsigned half(int r, int half) const {
    const uint4& v = w[Bits == 4 ? 0 : half];
    const unsigned word = r == 0 ? v.x : r == 1 ? v.y : r == 2 ? v.z : v.w;
    return Bits == 8 ? word : (half == 0 ? word : word >> 4) & 0x0f0f0f0fu;
  }
};

// 16 rows of x times the panel's 32: dots[r] of the rows 4 j + r. `upper` and `lower`: the lane's eight of its two rows of x.
template <int Bits>
__device__ __forceinline__ void multiply_panel(int (&dots)[4][4], uint2 upper, uint2 lower, const Words<Bits>& w) {
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.u8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+r"(dots[r][0]), "+r"(dots[r][1]), "+r"(dots[r][2]), "+r"(dots[r][3])
        : "r"(upper.x), "r"(lower.x), "r"(upper.y), "r"(lower.y), "r"(w.half(r, 0)), "r"(w.half(r, 1)));
  }
}
__device__ __forceinline__ void clear(int (&dots)[4][4]) {
#pragma unroll
  for (auto& row : dots) {
#pragma unroll
    for (int& dot : row) dot = kZeroBits;
  }
}

// The scales of a group for the lane's eight columns, and with them the zero points.
template <bool Zero>
struct ColumnRanges {
  uint4 two;
  uint2 four;
  __device__ __forceinline__ void load(const uint8_t* panel, const quant::Layout& layout, int64_t group, const ByteLane& l) {
    const int64_t first = group * quant::kPanel + 8 * l.quad;
    two = *reinterpret_cast<const uint4*>(panel + first * 2);
    if (Zero) four = *reinterpret_cast<const uint2*>(panel + layout.scale_bytes() + first);
  }
  __device__ __forceinline__ float scale(int column) const {
    const unsigned both = column / 2 == 0 ? two.x : column / 2 == 1 ? two.y : column / 2 == 2 ? two.z : two.w;
    return scale_from(column % 2 == 0 ? both & 0xffff : both >> 16);
  }
  // As stored.
  __device__ __forceinline__ float zero(int column) const {
    const unsigned all = column / 4 == 0 ? four.x : four.y;
    return static_cast<float>(static_cast<int8_t>(all >> column % 4 * 8));
  }
};

// What a group gives to the sum of column c of the lane's eight, in its row `lower`; never fused, as on the CPU.
template <bool Zero>
__device__ __forceinline__ float term(const int (&dots)[4][4], int c, int lower, const ColumnRanges<Zero>& of_w, RowScale of_x) {
  float dot = __fsub_rn(__int_as_float(dots[c % 4][lower * 2 + c / 4]), of_x.zero);
  // x's bytes summed, times what a weight's byte has too much: 128 steps of the zero point. All exact.
  if (Zero) dot = __fmaf_rn(of_w.zero(c), __fmul_rn(__fsub_rn(kZero, of_x.zero), 1.0f / 128), dot);
  return __fmul_rn(__fmul_rn(dot, of_w.scale(c)), of_x.scale);
}

template <class T>
__device__ __forceinline__ float with_bias(const QuantizedLinear& p, float sum, int64_t column) {
  return p.bias && column < p.n ? __fadd_rn(sum, load(static_cast<const T*>(p.bias)[column * p.bias_stride])) : sum;
}

// Up to 16 rows of x against a panel, which is read once, from end to end: each warp takes kRun of the depth at a time. The terms of groups
// meet in shared memory, where one thread adds up those of an element in the order of k.
constexpr int kFewRows = 16, kFewWarps = 8, kRun = 128;
constexpr int kTermLine = 36;  // from row to row of terms: lanes of one request lie in different banks

template <class T, int Bits, bool Zero>
__device__ __forceinline__ void few_rows(const QuantizedLinear& p) {
  extern __shared__ uint4 memory[];
  auto* terms = reinterpret_cast<float*>(memory);  // [groups of kFewWarps runs][rows][kTermLine]
  constexpr int kSteps = kRun / kDepth, kElements = kFewRows * static_cast<int>(quant::kPanel) / (kFewWarps * 32);
  const quant::Layout layout(p.k, Bits, p.group, Zero);
  const ByteLane l;
  const int64_t first = static_cast<int64_t>(blockIdx.y) * kFewRows;
  const int rows = p.m - first < kFewRows ? static_cast<int>(p.m - first) : kFewRows, group = static_cast<int>(p.group);
  const int depth = static_cast<int>(layout.depth());
  const uint8_t* panel = p.packed + blockIdx.x * p.panel_bytes;
  const uint8_t* weights = panel + layout.head_bytes();
  const int8_t* x = p.bytes + first * depth + 8 * l.quad;
  const RowScale* scales = p.scales + first;

  Words<Bits> words[kSteps];
  const auto fetch = [&](int k) {
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      if (k + s * kDepth >= depth) break;
      const auto* from = reinterpret_cast<const uint4*>(weights + int64_t{k / kDepth + s} * Words<Bits>::bytes);
#pragma unroll
      for (int i = 0; i < Words<Bits>::loads; ++i) words[s].w[i] = from[Words<Bits>::chunk(i, l)];
    }
  };
  const auto eight_of = [&](int row, int k) {
    return row < rows ? *reinterpret_cast<const uint2*>(x + int64_t{row} * depth + k) : uint2{0, 0};
  };

  float sums[kElements] = {};
  fetch(l.warp * kRun);
  for (int round = 0; round < depth; round += kFewWarps * kRun) {
    const int run = round + l.warp * kRun;
    int dots[4][4];
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      const int k = run + s * kDepth;
      if (k >= depth) break;
      if (s * kDepth % group == 0) clear(dots);
      multiply_panel(dots, eight_of(l.line, k), eight_of(l.line + 8, k), words[s]);
      if ((s + 1) * kDepth % group != 0) continue;
      const int g = k / group;
      ColumnRanges<Zero> of_w;
      of_w.load(panel, layout, g, l);
#pragma unroll
      for (int lower = 0; lower < 2; ++lower) {
        const int row = l.line + lower * 8;
        if (row >= rows) continue;
        const RowScale of_x = scales[g * p.m + row];
        const auto of = [&](int c) { return term(dots, c, lower, of_w, of_x); };
        auto* to = reinterpret_cast<float4*>(terms + ((g - round / group) * rows + row) * kTermLine + 8 * l.quad);
        to[0] = float4{of(0), of(1), of(2), of(3)};
        to[1] = float4{of(4), of(5), of(6), of(7)};
      }
    }
    fetch(run + kFewWarps * kRun);
    __syncthreads();
    const int left = depth - round, groups = (left < kFewWarps * kRun ? left : kFewWarps * kRun) / group;
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      const int e = i * kFewWarps * 32 + threadIdx.x, row = e / 32;
      if (row >= rows) break;
      const float* from = terms + row * kTermLine + e % 32;
#pragma unroll 8
      for (int g = 0; g < groups; ++g) sums[i] = __fadd_rn(sums[i], from[g * rows * kTermLine]);
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kElements; ++i) {
    const int e = i * kFewWarps * 32 + threadIdx.x;
    const int64_t row = first + e / 32, column = blockIdx.x * quant::kPanel + e % 32;
    if (row < p.m && column < p.n) static_cast<T*>(p.y)[row * p.n + column] = store<T>(with_bias<T>(p, sums[i], column));
  }
}

// 64 rows of x against two panels, 32 rows and a panel a warp; both come through shared memory, kStageDepth at a time.
constexpr int kTileRows = 64, kTilePanels = 2, kStageDepth = 64, kByteStages = 3, kTileThreads = 128;
constexpr int kRowLine = 96;  // bytes from row to row of x: lanes of one request lie in different banks

template <int Bits>
struct Stage {
  static constexpr int panel_bytes = kStageDepth / kDepth * Words<Bits>::bytes;
  static constexpr int x_bytes = kTileRows * kRowLine;
  static constexpr int bytes = x_bytes + kTilePanels * panel_bytes;
};

template <class T, int Bits, bool Zero>
__device__ __forceinline__ void many_rows(const QuantizedLinear& p) {
  using Stage = Stage<Bits>;
  extern __shared__ uint4 memory[];
  const quant::Layout layout(p.k, Bits, p.group, Zero);
  const ByteLane l;
  const int64_t first = static_cast<int64_t>(blockIdx.y) * kTileRows, first_panel = static_cast<int64_t>(blockIdx.x) * kTilePanels;
  const int64_t panels = quant::blocks_of(p.n, quant::kPanel);
  const int depth = static_cast<int>(layout.depth()), steps = static_cast<int>(quant::blocks_of(depth, kStageDepth));
  char* base = reinterpret_cast<char*>(memory);

  // What this thread copies of each stage: 16 bytes at a time, every kTileThreads-th.
  constexpr int row_chunks = kStageDepth / 16, panel_chunks = Stage::panel_bytes / 16;
  constexpr int row_copies = kTileRows * row_chunks / kTileThreads, panel_copies = kTilePanels * panel_chunks / kTileThreads;
  const auto fetch = [&](int step) {
    if (step < steps) {
      char* stage = base + step % kByteStages * Stage::bytes;
#pragma unroll
      for (int i = 0; i < row_copies; ++i) {
        const int c = i * kTileThreads + threadIdx.x, line = c / row_chunks, at = step * kStageDepth + c % row_chunks * 16;
        const bool there = first + line < p.m && at < depth;
        copy_async(shared_address(stage + line * kRowLine + c % row_chunks * 16), there ? p.bytes + (first + line) * depth + at : p.bytes,
                   there ? 16 : 0);
      }
#pragma unroll
      for (int i = 0; i < panel_copies; ++i) {
        const int c = i * kTileThreads + threadIdx.x, chunk = c % panel_chunks;
        const int64_t panel = first_panel + c / panel_chunks, at = layout.head_bytes() + int64_t{step} * Stage::panel_bytes + chunk * 16;
        const bool there = panel < panels && at < p.panel_bytes;
        copy_async(shared_address(stage + Stage::x_bytes + c / panel_chunks * Stage::panel_bytes + Words<Bits>::mixed(chunk) * 16),
                   there ? p.packed + panel * p.panel_bytes + at : p.packed, there ? 16 : 0);
      }
    }
    commit_copies();  // an empty group too, so that the count of groups is that of steps
  };

  // This warp's 32 rows and its panel.
  const int tile_row = l.warp % 2 * 32;
  const int64_t panel = first_panel + l.warp / 2;
  const uint8_t* of_panel = p.packed + (panel < panels ? panel : 0) * p.panel_bytes;
  int64_t row[2][2];
#pragma unroll
  for (int t = 0; t < 4; ++t) row[t / 2][t % 2] = first + tile_row + t / 2 * 16 + t % 2 * 8 + l.line;
  float sums[2][2][8] = {};  // [16 rows][lower][column]
  int dots[2][4][4];
  ColumnRanges<Zero> of_w{};
  RowScale of_x[2][2]{};
  int g = -1, left = 0;  // the group, and what of it is to come
  for (int s = 0; s < kByteStages - 1; ++s) fetch(s);
  for (int step = 0; step < steps; ++step) {
    wait_copies<kByteStages - 2>();
    __syncthreads();  // the stage is there for all, and the one that `fetch` overwrites has been read by all
    fetch(step + kByteStages - 1);
    const char* stage = base + step % kByteStages * Stage::bytes;
#pragma unroll
    for (int s = 0; s < kStageDepth / kDepth; ++s) {
      if (step * kStageDepth + s * kDepth >= depth) break;
      if (left == 0) {
        ++g;
        left = static_cast<int>(p.group);
        of_w.load(of_panel, layout, g, l);
#pragma unroll
        for (int t = 0; t < 2; ++t) {
          clear(dots[t]);
#pragma unroll
          for (int lower = 0; lower < 2; ++lower)
            if (row[t][lower] < p.m) of_x[t][lower] = p.scales[g * p.m + row[t][lower]];
        }
      }
      Words<Bits> words;
      const auto* from =
          reinterpret_cast<const uint4*>(stage + Stage::x_bytes + l.warp / 2 * Stage::panel_bytes + s * Words<Bits>::bytes);
#pragma unroll
      for (int i = 0; i < Words<Bits>::loads; ++i) words.w[i] = from[Words<Bits>::mixed(Words<Bits>::chunk(i, l))];
#pragma unroll
      for (int t = 0; t < 2; ++t) {
        const char* x = stage + (tile_row + t * 16 + l.line) * kRowLine + s * kDepth + 8 * l.quad;
        multiply_panel(dots[t], *reinterpret_cast<const uint2*>(x), *reinterpret_cast<const uint2*>(x + 8 * kRowLine), words);
      }
      left -= kDepth;
      if (left > 0) continue;
#pragma unroll
      for (int t = 0; t < 2; ++t) {
#pragma unroll
        for (int lower = 0; lower < 2; ++lower) {
#pragma unroll
          for (int c = 0; c < 8; ++c) sums[t][lower][c] = __fadd_rn(sums[t][lower][c], term(dots[t], c, lower, of_w, of_x[t][lower]));
        }
      }
    }
  }
  wait_copies<0>();
  const int64_t column = panel * quant::kPanel + 8 * l.quad;
#pragma unroll
  for (int t = 0; t < 2; ++t) {
#pragma unroll
    for (int lower = 0; lower < 2; ++lower) {
      if (row[t][lower] >= p.m) continue;
#pragma unroll
      for (int c = 0; c < 8; ++c) sums[t][lower][c] = with_bias<T>(p, sums[t][lower][c], column + c);
      store_run(static_cast<T*>(p.y) + row[t][lower] * p.n, p.y_form, column, p.n, sums[t][lower]);
    }
  }
}

}  // namespace shakti::cuda
