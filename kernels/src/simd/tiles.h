// Walks strided operands in tiles of consecutive (row-major) places, so that every elementwise loop runs over rows
// without gaps whatever the strides are: an operand that lies gap-free is read where it is, any other is copied into a
// buffer.
#pragma once
#include "output.h"
#include "vec.h"

namespace SHAKTI_ISA_NS {
namespace {

constexpr int64_t kTile = 1024;

// Called once a tile, so a call costs nothing; inlined, they were two thirds of the elementwise family's code.
#define SHAKTI_OUTLINE inline __attribute__((noinline))

// One operand over the places of a shape; dimensions that lie together are merged.
struct Walk {
  int64_t shape[kMaxDims];
  int64_t strides[kMaxDims];
  int ndim = 0;

  Walk(const Operand& o, const Operand& like) {
    for (int d = 0; d < like.ndim; ++d) {
      const int64_t size = like.shape[d];
      if (size == 1) continue;
      const int64_t stride = o.strides[d];
      if (ndim > 0 && strides[ndim - 1] == stride * size) {
        shape[ndim - 1] *= size;
        strides[ndim - 1] = stride;
      } else {
        shape[ndim] = size;
        strides[ndim++] = stride;
      }
    }
    if (ndim == 0) {
      shape[0] = 1;
      strides[0] = 0;
      ndim = 1;
    }
  }
  bool dense() const { return ndim == 1 && strides[0] == 1; }
  bool constant() const { return ndim == 1 && strides[0] == 0; }

  // Calls f(place in the tile, offset, stride, count) for the runs of places [begin, begin + n).
  template <class F>
  SHAKTI_INLINE void runs(int64_t begin, int64_t n, const F& f) const {
    const int inner = ndim - 1;
    int64_t index[kMaxDims];
    int64_t rest = begin;
    int64_t base = 0;
    for (int d = inner; d >= 0; --d) {
      index[d] = rest % shape[d];
      rest /= shape[d];
      base += index[d] * strides[d];
    }
    for (int64_t done = 0; done < n;) {
      int64_t count = shape[inner] - index[inner];
      if (count > n - done) count = n - done;
      f(done, base, strides[inner], count);
      done += count;
      // To the start of the next run.
      base -= index[inner] * strides[inner];
      index[inner] = 0;
      for (int d = inner - 1; d >= 0; --d) {
        base += strides[d];
        if (++index[d] < shape[d]) break;
        base -= shape[d] * strides[d];
        index[d] = 0;
      }
    }
  }

  // Whether places [begin, begin + n) lie side by side, and from which offset on.
  SHAKTI_INLINE bool together(int64_t begin, int64_t n, int64_t* at) const {
    const int inner = ndim - 1;
    if (strides[inner] != 1) return false;
    const int64_t column = inner > 0 ? begin % shape[inner] : begin;
    if (column + n > shape[inner]) return false;
    *at = column + (inner > 0 ? offset_of(begin / shape[inner], shape, strides, inner) : 0);
    return true;
  }

  // Places [begin, begin + n) of a float operand as f32.
  SHAKTI_INLINE const float* tile(const Operand& o, int64_t begin, int64_t n, float* buffer) const {
    int64_t at;
    if (o.dtype == DType::f32 && together(begin, n, &at)) return o.ptr<float>() + at;
    gather(o, begin, n, buffer);
    return buffer;
  }
  // What comes behind, to be fetched meanwhile. Past the end it is harmless.
  SHAKTI_INLINE Ahead ahead(const Operand& o, int64_t begin) const {
    int64_t at;
    return Ahead(o, together(begin, 1, &at) ? at : 0);
  }
  // The same for elements that are but moved.
  template <class T>
  SHAKTI_INLINE const T* tile_of(const T* data, int64_t begin, int64_t n, T* buffer) const {
    int64_t at;
    if (together(begin, n, &at)) return data + at;
    tile_as(data, begin, n, buffer);
    return buffer;
  }
  SHAKTI_OUTLINE void gather(const Operand& o, int64_t begin, int64_t n, float* buffer) const {
    runs(begin, n,
         [&](int64_t to, int64_t at, int64_t stride, int64_t count) { gather_f32(buffer + to, o, at, stride, count); });
  }
  // The same for any other element type S, converted to T.
  template <class T, class S>
  SHAKTI_OUTLINE void tile_as(const S* data, int64_t begin, int64_t n, T* buffer) const {
    runs(begin, n, [&](int64_t to, int64_t at, int64_t stride, int64_t count) {
      for (int64_t i = 0; i < count; ++i) buffer[to + i] = static_cast<T>(data[at + i * stride]);
    });
  }
};

SHAKTI_INLINE bool is_f32_class(DType t) { return t == DType::f32 || t == DType::bf16 || t == DType::f16; }

// Toward zero; what does not fit saturates, NaN gives 0.
SHAKTI_INLINE int64_t saturate(double v) {
  if (v != v) return 0;
  return v < -9.2e18 ? INT64_MIN : v > 9.2e18 ? INT64_MAX : static_cast<int64_t>(v);
}

// Integer tiles: every integer type and bool as int64.
SHAKTI_OUTLINE void tile_int(const Walk& w, const Operand& o, int64_t begin, int64_t n, int64_t* buffer) {
  switch (o.dtype) {
    case DType::i32: return w.tile_as(o.ptr<int32_t>(), begin, n, buffer);
    case DType::i64: return w.tile_as(o.ptr<int64_t>(), begin, n, buffer);
    default: return w.tile_as(o.ptr<uint8_t>(), begin, n, buffer);
  }
}
SHAKTI_OUTLINE void put_tile(const Operand& y, int64_t at, const float* from, int64_t n) {
  scatter_f32(y, at, from, n);
}
// Integers to consecutive places of y; u8 and i32 keep the low bits, bool takes != 0.
SHAKTI_OUTLINE void put_int(const Operand& y, int64_t at, const int64_t* from, int64_t n) {
  switch (y.dtype) {
    case DType::i32:
      for (int64_t i = 0; i < n; ++i) y.ptr<int32_t>()[at + i] = static_cast<int32_t>(from[i]);
      break;
    case DType::i64:
      for (int64_t i = 0; i < n; ++i) y.ptr<int64_t>()[at + i] = from[i];
      break;
    case DType::u8:
      for (int64_t i = 0; i < n; ++i) y.ptr<uint8_t>()[at + i] = static_cast<uint8_t>(from[i]);
      break;
    default:
      for (int64_t i = 0; i < n; ++i) y.ptr<uint8_t>()[at + i] = from[i] != 0;
  }
}

}  // namespace
}  // namespace SHAKTI_ISA_NS
