// Few queries against many keys, as when a model writes: keys are split among blocks, whose parts are put together in order by a second
// kernel. A row is a query of a head; the heads that share keys are rows of one block, so that keys and values are read once for all.
#pragma once
#include "tensor_core.cuh"

namespace shakti::cuda {

// What a block works on: rows [first, first + Rows) of a head of keys, and a part of the keys that they may look at.
template <int Rows>
struct SplitPlace {
  int64_t b, hk, group, first, rows, begin, end;
  __device__ __forceinline__ explicit SplitPlace(const Attention& p) : b(blockIdx.z), group(p.h / p.hk) {
    rows = p.lq * group;
    const int64_t blocks = (rows + Rows - 1) / Rows;
    hk = blockIdx.y / blocks;
    first = blockIdx.y % blocks * Rows;
    const int64_t last = first + Rows < rows ? first + Rows : rows;
    const int64_t from = keys_of(p, first / group).begin, to = keys_of(p, (last - 1) / group).end;
    const int64_t each = ((to - from + p.parts - 1) / p.parts + kTile - 1) / kTile * kTile;
    begin = from + blockIdx.x * each;
    end = begin + each < to ? begin + each : to;
  }
  __device__ __forceinline__ bool has(int row) const { return first + row < rows; }
  __device__ __forceinline__ int64_t query(int row) const { return (first + row) / group; }
  __device__ __forceinline__ int64_t head(int row) const { return hk * group + (first + row) % group; }
  // The keys of this part that a row may look at.
  __device__ __forceinline__ KeyRange keys(const Attention& p, int row) const {
    if (!has(row)) return {0, 0};
    const KeyRange all = keys_of(p, query(row));
    return {all.begin > begin ? all.begin : begin, all.end < end ? all.end : end};
  }
};

// What a part knows of a row, its sum of weights under the largest score (both as powers of two), stands behind all rows' values.
struct Part {
  float top, sum;
};
__device__ __forceinline__ Part* parts_of(const Attention& p) {
  return reinterpret_cast<Part*>(p.partial + p.b * p.h * p.lq * p.parts * p.d);
}
// Row `row` of head of keys hk among all of the launch.
__device__ __forceinline__ int64_t row_of_all(const Attention& p, int64_t b, int64_t hk, int64_t row) {
  return (b * p.hk + hk) * p.lq * (p.h / p.hk) + row;
}

__device__ __forceinline__ void add_scaled(float4& to, float4 v, float by) {
  to.x += v.x * by;
  to.y += v.y * by;
  to.z += v.z * by;
  to.w += v.w * by;
}
// By name: nvcc takes plain stores of such words apart.
template <class T>
__device__ __forceinline__ void put_four(T* to, float4 v, float by) {
  __stwb(reinterpret_cast<uint2*>(to), uint2{pair<T>(v.x * by, v.y * by), pair<T>(v.z * by, v.w * by)});
}
template <>
__device__ __forceinline__ void put_four<float>(float* to, float4 v, float by) {
  *reinterpret_cast<float4*>(to) = float4{v.x * by, v.y * by, v.z * by, v.w * by};
}

// Four neighbours of a row that is whole.
template <class T>
__device__ __forceinline__ void finish_four(const Attention& p, int64_t b, int64_t h, int64_t i, int64_t column, float4 v, Part all) {
  put_four(static_cast<T*>(p.y.data) + b * p.y.batch + i * p.y.row + h * p.y.head + column, v, inverse_of_weights(all.sum));
  if (column == 0) static_cast<float*>(p.lse)[(b * p.h + h) * p.lq + i] = lse_of(all.top, all.sum);
}

// Four neighbours of a row of this block's part.
template <class T, class Place>
__device__ __forceinline__ void put_part(const Attention& p, const Place& place, int row, int64_t column, float4 v, Part part) {
  if (p.parts == 1) {
    finish_four<T>(p, place.b, place.head(row), place.query(row), column, v, part);
    return;
  }
  const int64_t at = row_of_all(p, place.b, place.hk, place.first + row) * p.parts + blockIdx.x;
  *reinterpret_cast<float4*>(p.partial + at * p.d + column) = v;
  if (column == 0) parts_of(p)[at] = part;
}

// bf16 and f16: 16 rows on tensor cores. Each warp has a quarter of each tile of keys to itself, so that the softmax of a tile takes no
// barrier; the four are put together at the end.
constexpr int kSplitRows = 16;

// The block's rows of q, on their way.
template <class T, int D>
__device__ __forceinline__ void fetch_split_rows(const Attention& p, const SplitPlace<kSplitRows>& place, unsigned queries) {
  using Tile = HeadTile<D>;
  for (int c = threadIdx.x; c < kSplitRows * (D / 8); c += kTileThreads) {
    const int row = c / (D / 8), column = c % (D / 8) * 8;
    const bool there = place.has(row) && column < p.d;
    copy_async(Tile::at(queries, row, column), there ? row_of<T>(p.q, place.b, place.query(row), place.head(row)) + column : row_of<T>(p.q, 0, 0, 0),
               there ? 16 : 0);
  }
}

// Puts together what the warps know of the block's rows, where keys and values were.
template <class T, int D>
__device__ __forceinline__ void join_warps(const Attention& p, const SplitPlace<kSplitRows>& place, const float (&out)[D / 8][4],
                                           const OnlineSoftmax (&softmax)[2], double* memory, const Lane& l) {
  constexpr int warps = kTileThreads / 32, line = D + 8;
  static_assert(warps * kSplitRows * line * 4 <= 2 * HeadTile<D>::bytes, "the warps' sums fit where keys and values were");
  __shared__ Part shared[warps][kSplitRows];
  wait_copies<0>();
  __syncthreads();
  auto* sums = reinterpret_cast<float*>(memory);  // [warps][kSplitRows][line]
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = l.line + half * 8;
#pragma unroll
    for (int n = 0; n < D / 8; ++n)
      *reinterpret_cast<float2*>(sums + (l.warp * kSplitRows + row) * line + n * 8 + l.quad * 2) = float2{out[n][half * 2], out[n][half * 2 + 1]};
    if (l.quad == 0) shared[l.warp][row] = {softmax[half].top, softmax[half].sum};
  }
  __syncthreads();
  for (int e = threadIdx.x; e < kSplitRows * (D / 4); e += kTileThreads) {
    const int row = e / (D / 4), column = e % (D / 4) * 4;
    if (!place.has(row) || column >= p.d) continue;
    Part all{-INFINITY, 0};
#pragma unroll
    for (int w = 0; w < warps; ++w) all.top = Max()(all.top, shared[w][row].top);
    float4 v{};
#pragma unroll
    for (int w = 0; w < warps; ++w) {
      const float by = all.top == -INFINITY ? 0.0f : exp2f(shared[w][row].top - all.top);
      all.sum += shared[w][row].sum * by;
      add_scaled(v, *reinterpret_cast<const float4*>(sums + (w * kSplitRows + row) * line + column), by);
    }
    put_part<T>(p, place, row, column, v, all);
  }
}

template <class T, int D>
__device__ __forceinline__ void tensor_split(const Attention& p) {
  using Tile = HeadTile<D>;
  constexpr int keys_of_warp = kTile / (kTileThreads / 32);
  extern __shared__ double memory[];
  const unsigned keys = shared_address(memory), values = keys + Tile::bytes, queries = values + Tile::bytes;
  const Lane l;
  const SplitPlace<kSplitRows> place(p);
  fetch_split_rows<T, D>(p, place, queries);
  if (place.begin < place.end) Tile::template fetch<T>(keys, p.k, place.b, place.hk, place.begin, place.end, p.d);
  commit_copies();
  const KeyRange ranges[2] = {place.keys(p, l.line), place.keys(p, l.line + 8)};
  const int64_t query[2] = {place.query(l.line), place.query(l.line + 8)}, head[2] = {place.head(l.line), place.head(l.line + 8)};
  float out[D / 8][4] = {};
  OnlineSoftmax softmax[2];
  for (int64_t j0 = place.begin; j0 < place.end; j0 += kTile) {
    wait_copies<0>();
    __syncthreads();  // these keys are there, and the values of the tile before have been read
    Tile::template fetch<T>(values, p.v, place.b, place.hk, j0, place.end, p.d);
    commit_copies();
    float scores[keys_of_warp / 8][4] = {};
    multiply_rows<T, D>(scores, queries, 0, keys, l.warp * keys_of_warp, l);
    __syncthreads();  // the keys have been read
    if (j0 + kTile < place.end) Tile::template fetch<T>(keys, p.k, place.b, place.hk, j0 + kTile, place.end, p.d);
    commit_copies();
#pragma unroll
    for (int half = 0; half < 2; ++half)
      softmax[half].template step<T, D>(p, scores, out, half, ranges[half], place.b, head[half], query[half], j0 + l.warp * keys_of_warp, l);
    wait_copies<1>();
    __syncthreads();  // the values are there
    multiply_weights<T, D>(out, scores, values, l.warp * keys_of_warp, l);
  }
  join_warps<T, D>(p, place, out, softmax, memory, l);
}

// f32: 8 rows, two a warp; a lane is a key of the tile for the scores, and four (or eight) columns for the sums.
constexpr int kPlainRows = 8, kPlainKeys = 32, kPlainDim = 256;

__device__ __forceinline__ void plain_split(const Attention& p) {
  constexpr int warps = kTileThreads / 32, R = kPlainRows / warps, columns = kPlainDim / 128;
  extern __shared__ double memory[];
  __shared__ float4 weights[kPlainRows][kPlainKeys / 4];
  const int chunks = static_cast<int>(p.d / 4), line = (chunks | 1) * 4;  // an odd number of 16 bytes: lanes' keys lie in different banks
  auto* keys = reinterpret_cast<float*>(memory);
  float *values = keys + kPlainKeys * line, *queries = values + kPlainKeys * line;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const SplitPlace<kPlainRows> place(p);
  const auto copy = [&](float* to, const float* from, bool there) {
    for (int c = lane; c < chunks; c += 32) copy_async(shared_address(to + c * 4), there ? from + c * 4 : from, there ? 16 : 0);
  };
  const auto fetch = [&](float* to, const Rows4& x, int64_t j0) {
    for (int j = warp; j < kPlainKeys; j += warps) {
      const bool there = j0 + j < place.end;
      copy(to + j * line, row_of<float>(x, place.b, there ? j0 + j : 0, place.hk), there);
    }
  };
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const int row = warp * R + r;
    const bool there = place.has(row);
    copy(queries + row * line, row_of<float>(p.q, place.b, there ? place.query(row) : 0, there ? place.head(row) : 0), there);
  }
  if (place.begin < place.end) fetch(keys, p.k, place.begin);
  commit_copies();
  KeyRange ranges[R];
  Part part[R];
  float4 out[R][columns] = {};
#pragma unroll
  for (int r = 0; r < R; ++r) {
    ranges[r] = place.keys(p, warp * R + r);
    part[r] = {-INFINITY, 0};
  }
  for (int64_t j0 = place.begin; j0 < place.end; j0 += kPlainKeys) {
    wait_copies<0>();
    __syncthreads();
    fetch(values, p.v, j0);
    commit_copies();
    float scores[R] = {};
    if (place.has(warp * R)) {
      const auto* key = reinterpret_cast<const float4*>(keys + lane * line);
#pragma unroll 4
      for (int c = 0; c < chunks; ++c) {
        const float4 k = key[c];
#pragma unroll
        for (int r = 0; r < R; ++r) {
          const float4 q = reinterpret_cast<const float4*>(queries + (warp * R + r) * line)[c];
          scores[r] += q.x * k.x + q.y * k.y + q.z * k.z + q.w * k.w;
        }
      }
    }
    __syncthreads();  // the keys have been read
    if (j0 + kPlainKeys < place.end) fetch(keys, p.k, j0 + kPlainKeys);
    commit_copies();
#pragma unroll
    for (int r = 0; r < R; ++r) {
      const int row = warp * R + r;
      const float s = place.has(row) ? power_of_score<float>(p, scores[r], ranges[r], place.b, place.head(row), place.query(row), j0 + lane)
                                     : -INFINITY;
      const float most = Max()(part[r].top, warp_reduce(s, Max()));
      const float shrink = most == -INFINITY ? 1.0f : exp2f(part[r].top - most), w = most == -INFINITY ? 0.0f : exp2f(s - most);
      part[r] = {most, part[r].sum * shrink + warp_reduce(w, Sum())};
      reinterpret_cast<float*>(weights[row])[lane] = w;
#pragma unroll
      for (float4& v : out[r]) v = {v.x * shrink, v.y * shrink, v.z * shrink, v.w * shrink};
    }
    wait_copies<1>();
    __syncthreads();  // the values are there
    if (!place.has(warp * R)) continue;
#pragma unroll
    for (int n = 0; n < columns; ++n) {
      const int c = n * 32 + lane;
      if (c >= chunks) continue;
      const auto* value = reinterpret_cast<const float4*>(values + c * 4);
#pragma unroll 2
      for (int j = 0; j < kPlainKeys; j += 4) {
        const float4 v[4] = {value[j * line / 4], value[(j + 1) * line / 4], value[(j + 2) * line / 4], value[(j + 3) * line / 4]};
#pragma unroll
        for (int r = 0; r < R; ++r) {
          const float4 w = weights[warp * R + r][j / 4];
          add_scaled(out[r][n], v[0], w.x);
          add_scaled(out[r][n], v[1], w.y);
          add_scaled(out[r][n], v[2], w.z);
          add_scaled(out[r][n], v[3], w.w);
        }
      }
    }
  }
  wait_copies<0>();
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const int row = warp * R + r;
    if (!place.has(row)) continue;
#pragma unroll
    for (int n = 0; n < columns; ++n)
      if (n * 32 + lane < chunks) put_part<float>(p, place, row, (n * 32 + lane) * 4, out[r][n], part[r]);
  }
}

// A warp for a row: its parts, in order.
template <class T>
__device__ __forceinline__ void join_parts(const Attention& p) {
  const int lane = threadIdx.x % 32;
  const int64_t group = p.h / p.hk, of_head = p.lq * group, row = static_cast<int64_t>(blockIdx.x) * (kTileThreads / 32) + threadIdx.x / 32;
  if (row >= p.b * p.hk * of_head) return;
  const Part* parts = parts_of(p) + row * p.parts;
  const float* values = p.partial + row * p.parts * p.d;
  float top = -INFINITY;
  for (int64_t n = lane; n < p.parts; n += 32) top = Max()(top, parts[n].top);
  top = warp_reduce(top, Max());
  const int64_t b = row / of_head / p.hk, h = row / of_head % p.hk * group + row % of_head % group, i = row % of_head / group;
  for (int64_t column = lane * 4; column < p.d; column += 128) {
    Part all{top, 0};
    float4 v{};
#pragma unroll 4
    for (int64_t n = 0; n < p.parts; ++n) {
      const float by = top == -INFINITY ? 0.0f : exp2f(parts[n].top - top);
      all.sum += parts[n].sum * by;
      add_scaled(v, __ldg(reinterpret_cast<const float4*>(values + n * p.d + column)), by);
    }
    finish_four<T>(p, b, h, i, column, v, all);
  }
}

}  // namespace shakti::cuda
