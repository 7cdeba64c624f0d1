// Few queries against many keys in bytes: as tensor_split, but that numbers go through registers, where they become T. Without their
// scales they are exact in bf16 and f16; a key's scale multiplies its scores, a value's its weights.
#pragma once
#include "split_keys.cuh"

namespace shakti::cuda {

// A thread's share of kTile rows of D bytes, 16 at a time.
template <int D>
struct ByteTile {
  static constexpr int chunks = kTile * (D / 16), each = (chunks + kTileThreads - 1) / kTileThreads;
  uint4 bytes[each];

  // Rows [first, first + kTile) of a head; what stands for 0 behind the last and behind the head dim. d is a multiple of 16, and rows
  // lie on 16 bytes.
  __device__ __forceinline__ void fetch(const Rows4& x, int64_t b, int64_t h, int64_t first, int64_t rows, int64_t d) {
#pragma unroll
    for (int n = 0; n < each; ++n) {
      const int c = threadIdx.x + n * kTileThreads, column = c % (D / 16) * 16;
      const int64_t i = first + c / (D / 16);
      constexpr unsigned zeros = 0x80808080u;
      bytes[n] = uint4{zeros, zeros, zeros, zeros};
      if (c < chunks && i < rows && column < d) bytes[n] = *reinterpret_cast<const uint4*>(row_of<uint8_t>(x, b, i, h) + column);
    }
  }
  // To shared memory, as a HeadTile of T.
  template <class T>
  __device__ __forceinline__ void put(char* tile) const {
    const auto two = [](unsigned word, int at) {
      const auto number = [&](int k) { return static_cast<float>(static_cast<int>(word >> (8 * k) & 255) - 128); };
      return pair<T>(number(at), number(at + 1));
    };
#pragma unroll
    for (int n = 0; n < each; ++n) {
      const int c = threadIdx.x + n * kTileThreads;
      if (c >= chunks) continue;
      const uint4 x = bytes[n];
      auto* to = reinterpret_cast<uint4*>(tile + HeadTile<D>::at(0, c / (D / 16), c % (D / 16) * 16));
      to[0] = uint4{two(x.x, 0), two(x.x, 2), two(x.y, 0), two(x.y, 2)};
      to[1] = uint4{two(x.z, 0), two(x.z, 2), two(x.w, 0), two(x.w, 2)};
    }
  }
};

// The scales of a lane's columns of scores, 8 N keys from `first` on.
template <int N>
struct ColumnScales {
  float2 of[N];

  __device__ __forceinline__ void fetch(const Rows4& x, int64_t b, int64_t h, int64_t first, int64_t rows, const Lane& l) {
    const auto scale = [&](int64_t i) { return i < rows ? *row_of<float>(x, b, i, h) : 0.0f; };
#pragma unroll
    for (int n = 0; n < N; ++n) {
      const int64_t i = first + n * 8 + l.quad * 2;
      of[n] = float2{scale(i), scale(i + 1)};
    }
  }
  __device__ __forceinline__ void multiply(float (&scores)[N][4]) const {
#pragma unroll
    for (int n = 0; n < N; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) scores[n][e] *= e % 2 ? of[n].y : of[n].x;
    }
  }
};

template <class T, int D>
__device__ __forceinline__ void tensor_split_bytes(const Attention& p) {
  using Tile = HeadTile<D>;
  constexpr int keys_of_warp = kTile / (kTileThreads / 32), columns = keys_of_warp / 8;
  extern __shared__ double memory[];
  char *key_tile = reinterpret_cast<char*>(memory), *value_tile = key_tile + Tile::bytes;
  const unsigned keys = shared_address(memory), values = keys + Tile::bytes, queries = values + Tile::bytes;
  const Lane l;
  const SplitPlace<kSplitRows> place(p);
  fetch_split_rows<T, D>(p, place, queries);
  commit_copies();
  ByteTile<D> coming_keys, coming_values;
  if (place.begin < place.end) coming_keys.fetch(p.k, place.b, place.hk, place.begin, place.end, p.d);
  const KeyRange ranges[2] = {place.keys(p, l.line), place.keys(p, l.line + 8)};
  const int64_t query[2] = {place.query(l.line), place.query(l.line + 8)}, head[2] = {place.head(l.line), place.head(l.line + 8)};
  float out[D / 8][4] = {};
  OnlineSoftmax softmax[2];
  wait_copies<0>();
  for (int64_t j0 = place.begin; j0 < place.end; j0 += kTile) {
    const int64_t first = j0 + l.warp * keys_of_warp;
    ColumnScales<columns> key_scales, value_scales;
    key_scales.fetch(p.k_scale, place.b, place.hk, first, place.end, l);
    value_scales.fetch(p.v_scale, place.b, place.hk, first, place.end, l);
    coming_values.fetch(p.v, place.b, place.hk, j0, place.end, p.d);
    coming_keys.template put<T>(key_tile);
    __syncthreads();  // these keys are there, and the values of the tile before have been read
    if (j0 + kTile < place.end) coming_keys.fetch(p.k, place.b, place.hk, j0 + kTile, place.end, p.d);
    float scores[columns][4] = {};
    multiply_rows<T, D>(scores, queries, 0, keys, l.warp * keys_of_warp, l);
    key_scales.multiply(scores);
#pragma unroll
    for (int half = 0; half < 2; ++half)
      softmax[half].template step<T, D>(p, scores, out, half, ranges[half], place.b, head[half], query[half], first, l);
    value_scales.multiply(scores);
    coming_values.template put<T>(value_tile);
    __syncthreads();  // the values are there, and these keys have been read
    multiply_weights<T, D>(out, scores, values, l.warp * keys_of_warp, l);
  }
  join_warps<T, D>(p, place, out, softmax, memory, l);
}

}  // namespace shakti::cuda
