// The product of bf16 and f16 on tensor cores: mma.sync m16n8k16, f32 sums. Tiles of both operands come through
// cp.async in several stages, in whatever order they lie in memory; ldmatrix turns what has to be turned.
#pragma once
#include "../../cuda/device/tensor_core.cuh"
#include "epilogue.cuh"

namespace shakti::cuda {

template <class T>
constexpr int kDepthOfTile = 64 / sizeof(T);
constexpr int kStages = 3;

// A tile in shared memory, as its rows lie in memory: `Lines` lines of `Columns` elements, in chunks of 16 bytes whose
// order within a line is mixed by the line's number, so that what one instruction reads lies in different banks: eight
// lines by ldmatrix; of f32 four elements of eight lines, or eight of four.
template <class T, int Lines, int Columns>
struct Tile {
  static constexpr int each = 16 / sizeof(T), chunks = Columns / each;
  static constexpr int bytes = Lines * Columns * static_cast<int>(sizeof(T));
  // `below`: lines further on, a multiple of 8 (of 4 where f32 is mixed by 4 lines), which mix as `line` does: no
  // address of its own.
  __device__ __forceinline__ static unsigned at(unsigned base, int line, int column, int below = 0) {
    const int mix = chunks < 8 ? line * chunks / 8 % chunks : sizeof(T) == 4 ? line * 2 % 8 : line % 8;
    return base + static_cast<unsigned>((line * chunks + ((column / each) ^ mix)) * 16) +
           static_cast<unsigned>(column % each * sizeof(T)) + static_cast<unsigned>(below * chunks * 16);
  }
  // From memory: lines [first_line, ...) of `lines`, `columns` elements each, `step` apart.
  template <int Threads>
  __device__ __forceinline__ static void fetch(unsigned base, const T* from, int64_t step, int64_t first_line,
                                               int64_t lines, int64_t first_column, int64_t columns) {
#pragma unroll
    for (int c = threadIdx.x; c < Lines * chunks; c += Threads) {
      const int line = c / chunks, column = c % chunks * each;
      const int64_t i = first_line + line, j = first_column + column;
      int64_t there = i < lines ? columns - j : 0;
      there = there < 0 ? 0 : there > each ? each : there;
      const T* source = there > 0 ? from + i * step + j : from;
      copy_async(at(base, line, column), source, static_cast<int>(there * sizeof(T)));
    }
  }
};

// The products of one warp, whose rows begin at wm and columns at wn, over a tile's depth.
template <class T, int BK, class TileA, class TileB, bool ByRowsA, bool ByRowsB, int TM, int TN>
__device__ __forceinline__ void multiply_tiles(float (&sums)[TM][TN][4], unsigned a, unsigned b, int wm, int wn) {
  const int lane = threadIdx.x % 32;
  if constexpr (sizeof(T) == 4) {
    const int g = lane / 4, t = lane % 4;
#pragma unroll 1  // unrolled, its addresses take a register too many
    for (int k = 0; k < BK; k += 8) {
      unsigned fb[TN][2];
#pragma unroll
      for (int j = 0; j < TN; ++j) {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          fb[j][r] = load_tf32(ByRowsB ? TileB::at(b, t, wn + j * 8 + g, k + r * 4)
                                       : TileB::at(b, wn + g, k + r * 4 + t, j * 8));
        }
      }
#pragma unroll
      for (int i = 0; i < TM; ++i) {
        unsigned fa[4];
#pragma unroll
        for (int r = 0; r < 4; ++r) {
          const int m = i * 16 + r % 2 * 8, d = k + r / 2 * 4;
          fa[r] = load_tf32(ByRowsA ? TileA::at(a, wm + g, d + t, m) : TileA::at(a, t, wm + m + g, d));
        }
#pragma unroll
        for (int j = 0; j < TN; ++j) multiply_add_tf32(sums[i][j], fa, fb[j][0], fb[j][1]);
      }
    }
  } else {
    // Where this lane's row of 8 elements lies within the four 8 x 8 matrices of a fragment.
    const int group = lane / 8, line = lane % 8;
#pragma unroll
    for (int k = 0; k < BK; k += 16) {
      unsigned fa[TM][4], fb[TN / 2][4];
#pragma unroll
      for (int t = 0; t < TM; ++t) {
        const int m = wm + t * 16;
        if (ByRowsA)
          load_matrices(fa[t], TileA::at(a, m + group % 2 * 8 + line, k + group / 2 * 8));
        else
          load_matrices_turned(fa[t], TileA::at(a, k + group / 2 * 8 + line, m + group % 2 * 8));
      }
#pragma unroll
      for (int t = 0; t < TN / 2; ++t) {
        const int n = wn + t * 16;
        if (ByRowsB)
          load_matrices_turned(fb[t], TileB::at(b, k + group % 2 * 8 + line, n + group / 2 * 8));
        else
          load_matrices(fb[t], TileB::at(b, n + group / 2 * 8 + line, k + group % 2 * 8));
      }
#pragma unroll
      for (int i = 0; i < TM; ++i) {
#pragma unroll
        for (int j = 0; j < TN; ++j) multiply_add<T>(sums[i][j], fa[i], fb[j / 2][j % 2 * 2], fb[j / 2][j % 2 * 2 + 1]);
      }
    }
  }
}

// Block tile BM x BN by WarpsM x WarpsN warps.
template <class T, class Y, int BM, int BN, int WarpsM, int WarpsN, bool ByRowsA, bool ByRowsB>
__device__ __forceinline__ void tensor_product(const Product& p) {
  constexpr int BK = kDepthOfTile<T>, Threads = 32 * WarpsM * WarpsN;
  constexpr int WM = BM / WarpsM, WN = BN / WarpsN, TM = WM / 16, TN = WN / 8;
  // a [m, k]: lines are rows of m when k is contiguous. b [k, n]: lines are rows of k when n is contiguous.
  using TileA = Tile<T, ByRowsA ? BM : BK, ByRowsA ? BK : BM>;
  using TileB = Tile<T, ByRowsB ? BK : BN, ByRowsB ? BN : BK>;
  extern __shared__ char4 memory[];
  const unsigned base = shared_address(memory);
  const auto a_at = [&](int stage) { return base + stage * (TileA::bytes + TileB::bytes); };
  const auto b_at = [&](int stage) { return a_at(stage) + TileA::bytes; };

  const BlockPlace block = block_place(p);
  const int64_t piece = block.piece, i0 = block.row * BM, j0 = block.column * BN;
  const BatchPlace place = batch_place(p, block.batch);
  const int64_t k0 = piece * p.piece, k1 = k0 + p.piece < p.k ? k0 + p.piece : p.k;
  const T* a = static_cast<const T*>(p.a.data) + place.a;
  const T* b = static_cast<const T*>(p.b.data) + place.b;
  const int64_t steps = k1 > k0 ? (k1 - k0 + BK - 1) / BK : 0;
  const auto fetch = [&](int64_t step) {
    const int stage = static_cast<int>(step % kStages);
    const int64_t k = k0 + step * BK;
    if (step < steps) {
      if (ByRowsA)
        TileA::template fetch<Threads>(a_at(stage), a, p.a.row, i0, p.m, k, k1);
      else
        TileA::template fetch<Threads>(a_at(stage), a, p.a.column, k, k1, i0, p.m);
      if (ByRowsB)
        TileB::template fetch<Threads>(b_at(stage), b, p.b.row, k, k1, j0, p.n);
      else
        TileB::template fetch<Threads>(b_at(stage), b, p.b.column, j0, p.n, k, k1);
    }
    commit_copies();  // an empty group too, so that the count of groups is that of steps
  };

  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int wm = warp / WarpsN * WM, wn = warp % WarpsN * WN;
  float sums[TM][TN][4] = {};
  for (int s = 0; s < kStages - 1; ++s) fetch(s);
  for (int64_t step = 0; step < steps; ++step) {
    wait_copies<kStages - 2>();
    __syncthreads();  // the tile is there for all, and the one that `fetch` overwrites has been read by all
    fetch(step + kStages - 1);
    const int stage = static_cast<int>(step % kStages);
    multiply_tiles<T, BK, TileA, TileB, ByRowsA, ByRowsB>(sums, a_at(stage), b_at(stage), wm, wn);
  }
  wait_copies<0>();
  // The rows of one row of warps at a time through shared memory: written to y along its lines.
  constexpr int pitch = BN + 4;
  static_assert(WM * pitch * 4 <= kStages * (TileA::bytes + TileB::bytes),
                "the sums of WM rows fit where the tiles were");
  float* out = reinterpret_cast<float*>(memory);
#pragma unroll 1
  for (int first = 0; first < BM; first += WM) {
    __syncthreads();
    if (wm == first) {
#pragma unroll
      for (int i = 0; i < TM; ++i) {
#pragma unroll
        for (int j = 0; j < TN; ++j) {
          float* to = out + (i * 16 + lane / 4) * pitch + wn + j * 8 + lane % 4 * 2;
          to[0] = sums[i][j][0];
          to[1] = sums[i][j][1];
          to[8 * pitch] = sums[i][j][2];
          to[8 * pitch + 1] = sums[i][j][3];
        }
      }
    }
    __syncthreads();
    constexpr int N = kRun<Y>;
#pragma unroll 1
    for (int e = threadIdx.x * N; e < WM * BN; e += Threads * N) {
      float run[N];
      load_run(run, out + e / BN * pitch + e % BN, 1, N, true);
      put_sums<T, Y>(p, place, piece, i0 + first + e / BN, j0 + e % BN, run);
    }
  }
}

}  // namespace shakti::cuda
