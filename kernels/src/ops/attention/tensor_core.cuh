// Attention of bf16 and f16 on tensor cores: 64 queries (or keys) a block, 16 a warp, against 64 at a time. Weights of the softmax
// go from the registers of one product into those of the next.
#pragma once
#include "../../cuda/device/tensor_core.cuh"
#include "visible.cuh"

namespace shakti::cuda {

constexpr int kTile = 64;           // rows of a tile, of queries and of keys
constexpr int kTileThreads = 128;   // four warps
constexpr float kLog2E = 1.44269504088896341f;

// kTile rows of head dim D in shared memory, an odd number of 16 bytes apart: the eight rows that ldmatrix reads lie in different banks.
template <int D>
struct HeadTile {
  static constexpr int pitch = D / 8 + (D / 8 % 2 == 0);  // in 16 bytes
  static constexpr int bytes = kTile * pitch * 16;
  __device__ __forceinline__ static unsigned at(unsigned base, int row, int column) {
    return base + static_cast<unsigned>((row * pitch + column / 8) * 16);
  }
  // Rows [first, first + kTile) of a head; 0 behind the last and behind the head dim.
  template <class T>
  __device__ __forceinline__ static void fetch(unsigned base, const Rows4& x, int64_t b, int64_t h, int64_t first, int64_t rows, int64_t d) {
    const T* from = row_of<T>(x, b, 0, h);
#pragma unroll 4
    for (int c = threadIdx.x; c < kTile * (D / 8); c += kTileThreads) {
      const int row = c / (D / 8), column = c % (D / 8) * 8;
      const int64_t i = first + row;
      int64_t there = i < rows ? d - column : 0;
      there = there < 0 ? 0 : there > 8 ? 8 : there;
      copy_async(at(base, row, column), there > 0 ? from + i * x.row + column : from, static_cast<int>(there) * 2);
    }
  }
};

// The lane's place in fragments: rows line and line + 8 of the warp's 16, columns 2 * quad and the next of each 8.
struct Lane {
  int lane, warp, line, quad;
  __device__ __forceinline__ Lane() : lane(threadIdx.x % 32), warp(threadIdx.x / 32), line(lane / 4), quad(lane % 4) {}
  // Where the lane's address for ldmatrix lies: of a 16 x 16 piece of rows (the left factor) ...
  __device__ __forceinline__ int left_row() const { return lane % 16; }
  __device__ __forceinline__ int left_column() const { return lane / 16 * 8; }
  // ... and of 16 columns of the right factor that lie as rows.
  __device__ __forceinline__ int right_row() const { return lane / 16 * 8 + lane % 8; }
  __device__ __forceinline__ int right_column() const { return lane / 8 % 2 * 8; }
};

// scores [16][8 N] of the warp += rows of `left` (first row `row`) times the transpose of `right` (first row `first`).
template <class T, int D, int N>
__device__ __forceinline__ void multiply_rows(float (&scores)[N][4], unsigned left, int row, unsigned right, int first, const Lane& l) {
  using Tile = HeadTile<D>;
#pragma unroll
  for (int k = 0; k < D; k += 16) {
    unsigned a[4];
    load_matrices(a, Tile::at(left, row + l.left_row(), k + l.left_column()));
#pragma unroll
    for (int n = 0; n < 8 * N; n += 16) {
      unsigned b[4];
      load_matrices(b, Tile::at(right, first + n + l.right_row(), k + l.right_column()));
      multiply_add<T>(scores[n / 8], a, b[0], b[1]);
      multiply_add<T>(scores[n / 8 + 1], a, b[2], b[3]);
    }
  }
}

// out [16][D] of the warp += weights [16][8 N] times the rows of `right` from `first` on.
template <class T, int D, int N>
__device__ __forceinline__ void multiply_weights(float (&out)[D / 8][4], const float (&weights)[N][4], unsigned right, int first, const Lane& l) {
  using Tile = HeadTile<D>;
#pragma unroll
  for (int k = 0; k < 8 * N; k += 16) {
    // A left fragment is two right neighbours of the sums of the product before.
    const float(&w0)[4] = weights[k / 8], (&w1)[4] = weights[k / 8 + 1];
    const unsigned a[4] = {pair<T>(w0[0], w0[1]), pair<T>(w0[2], w0[3]), pair<T>(w1[0], w1[1]), pair<T>(w1[2], w1[3])};
#pragma unroll
    for (int n = 0; n < D; n += 16) {
      unsigned b[4];
      load_matrices_turned(b, Tile::at(right, first + k + l.lane % 16, n + l.lane / 16 * 8));
      multiply_add<T>(out[n / 8], a, b[0], b[1]);
      multiply_add<T>(out[n / 8 + 1], a, b[2], b[3]);
    }
  }
}

// Over the four lanes that share a row.
template <class F>
__device__ __forceinline__ float quad_reduce(float v, F f) {
  v = f(v, __shfl_xor_sync(kFullWarp, v, 1));
  return f(v, __shfl_xor_sync(kFullWarp, v, 2));
}

// rows [16][D] of the warp to a head, from row `first` on. They go through the warp's 16 rows of a tile that it alone still reads, so that
// whole rows are written 16 bytes at a time.
template <class T, int D>
__device__ __forceinline__ void put_rows(const Rows4& to, int64_t b, int64_t h, int64_t first, int64_t rows, int64_t d, const float (&v)[D / 8][4],
                                         const float (&scale)[2], char* tile, const Lane& l) {
  using Tile = HeadTile<D>;
  __syncwarp();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int n = 0; n < D / 8; ++n)
      *reinterpret_cast<unsigned*>(tile + Tile::at(0, l.warp * 16 + l.line + half * 8, n * 8) + l.quad * 4) =
          pair<T>(v[n][half * 2] * scale[half], v[n][half * 2 + 1] * scale[half]);
  }
  __syncwarp();
  T* head = static_cast<T*>(to.data) + b * to.batch + h * to.head;
#pragma unroll
  for (int c = l.lane; c < 16 * (D / 8); c += 32) {
    const int row = c / (D / 8), column = c % (D / 8) * 8;
    // d is a multiple of 8, and rows lie on 16 bytes.
    if (first + row < rows && column < d)
      *reinterpret_cast<uint4*>(head + (first + row) * to.row + column) = *reinterpret_cast<const uint4*>(tile + Tile::at(0, l.warp * 16 + row, column));
  }
}

// A score with scale and mask, as a power of two: the softmax takes one rounding less, and no multiplication.
template <class T>
__device__ __forceinline__ float power_of_score(const Attention& p, float score, const KeyRange& range, int64_t b, int64_t h, int64_t i, int64_t j) {
  // What is added is added to the scaled score.
  const float scale = static_cast<float>(p.scale);
  return p.mask_kind < 2 ? masked<T>(p, score * (scale * kLog2E), range, b, h, i, j) : masked<T>(p, score * scale, range, b, h, i, j) * kLog2E;
}
// From the largest score and the sum of weights under it.
__device__ __forceinline__ float lse_of(float top, float sum) { return sum == 0 ? -INFINITY : top * 0.693147180559945309f + logf(sum); }

// Of one row: the largest score so far, and the sum of weights under it.
struct OnlineSoftmax {
  float top = -INFINITY, sum = 0;
  // The row's scores of 8 N keys from j on become weights; what was summed under a smaller maximum shrinks. `half`: which of the lane's rows.
  template <class T, int D, int N>
  __device__ __forceinline__ void step(const Attention& p, float (&scores)[N][4], float (&out)[D / 8][4], int half, const KeyRange& range,
                                       int64_t b, int64_t h, int64_t i, int64_t j, const Lane& l) {
    if (p.mask_kind == 0 && range.begin <= j && range.end >= j + 8 * N) {
      const float scale = static_cast<float>(p.scale) * kLog2E;
#pragma unroll
      for (auto& s : scores) {
        s[half * 2] *= scale;
        s[half * 2 + 1] *= scale;
      }
    } else {
#pragma unroll
      for (int n = 0; n < N; ++n) {
#pragma unroll
        for (int e = half * 2; e < half * 2 + 2; ++e)
          scores[n][e] = power_of_score<T>(p, scores[n][e], range, b, h, i, j + n * 8 + l.quad * 2 + e % 2);
      }
    }
    float most = top;
#pragma unroll
    for (const auto& s : scores) most = Max()(most, Max()(s[half * 2], s[half * 2 + 1]));
    most = quad_reduce(most, Max());
    // A row that may look at nothing yet has no weights.
    const float base = most == -INFINITY ? 0.0f : most, shrink = exp2f(top - base);
    float more = 0;
#pragma unroll
    for (auto& s : scores) {
#pragma unroll
      for (int e = half * 2; e < half * 2 + 2; ++e) {
        s[e] = exp2f(s[e] - base);
        more += s[e];
      }
    }
    sum = sum * shrink + quad_reduce(more, Sum());
    top = most;
#pragma unroll
    for (int n = 0; n < D / 8; ++n) {
      out[n][half * 2] *= shrink;
      out[n][half * 2 + 1] *= shrink;
    }
  }
};

// A block for 64 queries of a head.
template <class T, int D>
__device__ __forceinline__ void tensor_forward(const Attention& p) {
  using Tile = HeadTile<D>;
  extern __shared__ double memory[];
  const unsigned keys = shared_address(memory), values = keys + Tile::bytes, queries = values + Tile::bytes;
  const Lane l;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile, h = blockIdx.y, b = blockIdx.z, hk = h / (p.h / p.hk);
  const int64_t last = first + kTile < p.lq ? first + kTile : p.lq;
  const int64_t begin = keys_of(p, first).begin / kTile * kTile, end = keys_of(p, last - 1).end;
  KeyRange ranges[2];
  int64_t query[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    query[half] = first + l.warp * 16 + l.line + half * 8;
    ranges[half] = query[half] < p.lq ? keys_of(p, query[half]) : KeyRange{0, 0};
  }
  float out[D / 8][4] = {};
  OnlineSoftmax softmax[2];
  Tile::template fetch<T>(queries, p.q, b, h, first, p.lq, p.d);
  if (begin < end) Tile::template fetch<T>(keys, p.k, b, hk, begin, p.lk, p.d);
  commit_copies();
  for (int64_t j0 = begin; j0 < end; j0 += kTile) {
    wait_copies<0>();
    __syncthreads();  // these keys are there, and the values of the tile before have been read
    Tile::template fetch<T>(values, p.v, b, hk, j0, p.lk, p.d);
    commit_copies();
    float scores[kTile / 8][4] = {};
    multiply_rows<T, D>(scores, queries, l.warp * 16, keys, 0, l);
    __syncthreads();  // the keys have been read
    if (j0 + kTile < end) Tile::template fetch<T>(keys, p.k, b, hk, j0 + kTile, p.lk, p.d);
    commit_copies();
#pragma unroll
    for (int half = 0; half < 2; ++half) softmax[half].template step<T, D>(p, scores, out, half, ranges[half], b, h, query[half], j0, l);
    wait_copies<1>();
    __syncthreads();  // the values are there
    multiply_weights<T, D>(out, scores, values, 0, l);
  }
  wait_copies<0>();
  const float by[2] = {inverse_of_weights(softmax[0].sum), inverse_of_weights(softmax[1].sum)};
  put_rows<T, D>(p.y, b, h, first + l.warp * 16, p.lq, p.d, out, by, reinterpret_cast<char*>(memory) + 2 * Tile::bytes, l);
  if (l.quad != 0) return;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (query[half] < p.lq) static_cast<float*>(p.lse)[(b * p.h + h) * p.lq + query[half]] = lse_of(softmax[half].top, softmax[half].sum);
  }
}

// delta = sum of g * y: 16 lanes for a row, 16 bytes each.
constexpr int kDeltaRows = kTileThreads / 16;  // of a block

template <class T>
__device__ __forceinline__ void tensor_delta(const Attention& p) {
  const int part = threadIdx.x % 16, column = part * 8;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kDeltaRows + threadIdx.x / 16, h = blockIdx.y, b = blockIdx.z;
  float sum = 0;
  if (i < p.lq && column < p.d) {
    const auto g = *reinterpret_cast<const Pack<T>*>(row_of<T>(p.g, b, i, h) + column);
    const auto y = *reinterpret_cast<const Pack<T>*>(row_of<T>(p.y, b, i, h) + column);
#pragma unroll
    for (int k = 0; k < 8; ++k) sum += load(g.v[k]) * load(y.v[k]);
  }
#pragma unroll
  for (int step = 8; step > 0; step /= 2) sum += __shfl_xor_sync(kFullWarp, sum, step);
  if (i < p.lq && part == 0) static_cast<float*>(p.delta)[(b * p.h + h) * p.lq + i] = sum;
}

// What backward knows of a query. One that may look at nothing has an lse that leaves no weight; one that is not there looks like the last
// but for that.
struct QueryRow {
  int64_t i;
  KeyRange keys;
  float lse, delta;  // lse as a power of two

  __device__ __forceinline__ static QueryRow of(const Attention& p, int64_t b, int64_t h, int64_t i) {
    if (i >= p.lq) return {p.lq - 1, keys_of(p, p.lq - 1), INFINITY, 0};
    const int64_t at = (b * p.h + h) * p.lq + i;
    const float lse = static_cast<const float*>(p.lse)[at];
    return {i, keys_of(p, i), lse == -INFINITY ? INFINITY : lse * kLog2E, static_cast<const float*>(p.delta)[at]};
  }
};

// Weights and slopes of a warp's 16 rows and 8 N columns, in the place of scores and of the products of g and v. `query` and `key` tell
// those of an element; inside: all queries may look at all keys.
template <class T, int N, class Query, class Key>
__device__ __forceinline__ void weights_and_slopes(const Attention& p, int64_t b, int64_t h, float (&scores)[N][4], float (&products)[N][4],
                                                   bool inside, const Query& query, const Key& key) {
  const float scale = static_cast<float>(p.scale);
  if (inside) {
#pragma unroll
    for (auto& s : scores) {
#pragma unroll
      for (float& x : s) x *= scale * kLog2E;
    }
  } else {
#pragma unroll
    for (int n = 0; n < N; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const QueryRow q = query(n, e);
        scores[n][e] = power_of_score<T>(p, scores[n][e], q.keys, b, h, q.i, key(n, e));
      }
    }
  }
#pragma unroll
  for (int n = 0; n < N; ++n) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const QueryRow q = query(n, e);
      scores[n][e] = exp2f(scores[n][e] - q.lse);
      products[n][e] = scores[n][e] * (products[n][e] - q.delta) * scale;
    }
  }
}

// A block for 64 queries of a head: dq.
template <class T, int D>
__device__ __forceinline__ void tensor_backward_q(const Attention& p) {
  using Tile = HeadTile<D>;
  extern __shared__ double memory[];
  const unsigned queries = shared_address(memory), slopes = queries + Tile::bytes, keys = slopes + Tile::bytes, values = keys + Tile::bytes;
  const Lane l;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile, h = blockIdx.y, b = blockIdx.z, hk = h / (p.h / p.hk);
  const int64_t last = first + kTile < p.lq ? first + kTile : p.lq;
  const KeyRange of_first = keys_of(p, first), of_last = keys_of(p, last - 1);
  Tile::template fetch<T>(queries, p.q, b, h, first, p.lq, p.d);
  Tile::template fetch<T>(slopes, p.g, b, h, first, p.lq, p.d);
  const QueryRow rows[2] = {QueryRow::of(p, b, h, first + l.warp * 16 + l.line), QueryRow::of(p, b, h, first + l.warp * 16 + l.line + 8)};
  float dq[D / 8][4] = {};
  for (int64_t j0 = of_first.begin / kTile * kTile; j0 < of_last.end; j0 += kTile) {
    __syncthreads();
    Tile::template fetch<T>(keys, p.k, b, hk, j0, p.lk, p.d);
    Tile::template fetch<T>(values, p.v, b, hk, j0, p.lk, p.d);
    commit_copies();
    wait_copies<0>();
    __syncthreads();
    const bool inside = p.mask_kind == 0 && of_last.begin <= j0 && of_first.end >= j0 + kTile;
    // Half of the keys at a time: scores of all of them would leave too few registers for a third block.
#pragma unroll 1
    for (int half = 0; half < kTile; half += kTile / 2) {
      float scores[kTile / 16][4] = {}, products[kTile / 16][4] = {};
      multiply_rows<T, D>(scores, queries, l.warp * 16, keys, half, l);
      multiply_rows<T, D>(products, slopes, l.warp * 16, values, half, l);
      weights_and_slopes<T>(
          p, b, h, scores, products, inside, [&](int, int e) { return rows[e / 2]; },
          [&](int n, int e) { return j0 + half + n * 8 + l.quad * 2 + e % 2; });
      multiply_weights<T, D>(dq, products, keys, half, l);
    }
  }
  commit_copies();
  wait_copies<0>();
  const float one[2] = {1, 1};
  put_rows<T, D>(p.dq, b, h, first + l.warp * 16, p.lq, p.d, dq, one, reinterpret_cast<char*>(memory), l);
}

// A block for 64 keys of a head of keys: dk and dv, over the queries of all heads that share it, in order.
template <class T, int D>
__device__ __forceinline__ void tensor_backward_kv(const Attention& p) {
  using Tile = HeadTile<D>;
  extern __shared__ double memory[];
  // Of the tile's queries; apart, so that lanes of one request lie in different banks.
  __shared__ KeyRange ranges[kTile];
  __shared__ float2 sums[kTile];
  const unsigned keys = shared_address(memory), values = keys + Tile::bytes, queries = values + Tile::bytes, slopes = queries + Tile::bytes;
  const Lane l;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile, hk = blockIdx.y, b = blockIdx.z, group = p.h / p.hk;
  const int64_t last = first + kTile < p.lk ? first + kTile : p.lk;
  Tile::template fetch<T>(keys, p.k, b, hk, first, p.lk, p.d);
  Tile::template fetch<T>(values, p.v, b, hk, first, p.lk, p.d);
  const KeyRange range = queries_of(p, first, last);
  float dk[D / 8][4] = {}, dv[D / 8][4] = {};
  for (int64_t h = hk * group; h < (hk + 1) * group; ++h) {
    for (int64_t i0 = range.begin / kTile * kTile; i0 < range.end; i0 += kTile) {
      __syncthreads();
      Tile::template fetch<T>(queries, p.q, b, h, i0, p.lq, p.d);
      Tile::template fetch<T>(slopes, p.g, b, h, i0, p.lq, p.d);
      commit_copies();
      if (threadIdx.x < kTile) {
        const QueryRow row = QueryRow::of(p, b, h, i0 + threadIdx.x);
        ranges[threadIdx.x] = row.keys;
        sums[threadIdx.x] = {row.lse, row.delta};
      }
      const auto row_of_tile = [&](int r) { return QueryRow{i0 + r < p.lq ? i0 + r : p.lq - 1, ranges[r], sums[r].x, sums[r].y}; };
      wait_copies<0>();
      __syncthreads();
      const bool inside = p.mask_kind == 0 && ranges[kTile - 1].begin <= first && ranges[0].end >= first + kTile;
      // Half of the queries at a time: with dk and dv of head dim 128, scores of all of them do not fit the registers.
#pragma unroll 1
      for (int half = 0; half < kTile; half += kTile / 2) {
        float scores[kTile / 16][4] = {}, products[kTile / 16][4] = {};
        multiply_rows<T, D>(scores, keys, l.warp * 16, queries, half, l);
        multiply_rows<T, D>(products, values, l.warp * 16, slopes, half, l);
        weights_and_slopes<T>(
            p, b, h, scores, products, inside, [&](int n, int e) { return row_of_tile(half + n * 8 + l.quad * 2 + e % 2); },
            [&](int, int e) { return first + l.warp * 16 + l.line + e / 2 * 8; });
        multiply_weights<T, D>(dv, scores, slopes, half, l);
        multiply_weights<T, D>(dk, products, queries, half, l);
      }
    }
  }
  commit_copies();
  wait_copies<0>();
  const float one[2] = {1, 1};
  put_rows<T, D>(p.dk, b, hk, first + l.warp * 16, p.lk, p.d, dk, one, reinterpret_cast<char*>(memory), l);
  put_rows<T, D>(p.dv, b, hk, first + l.warp * 16, p.lk, p.d, dv, one, reinterpret_cast<char*>(memory) + Tile::bytes, l);
}

}  // namespace shakti::cuda
