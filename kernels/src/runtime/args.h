// What a kernel is given: operands whose bounds were checked against their storages, and numbers.
// Everything here is always_inline: kernel files are compiled once per instruction set, and a weak copy of
// a helper compiled for AVX-512 must never be the one that plain code calls.
#pragma once
#include "dtype.h"

namespace shakti {

constexpr int kMaxDims = 8;

// A strided view of device memory. Strides count elements and are never negative; data is null when an
// optional operand is absent. Outputs never overlap themselves (no stride 0 over a size above 1).
struct Operand {
  void* data;
  int64_t shape[kMaxDims];
  int64_t strides[kMaxDims];
  int32_t ndim;
  DType dtype;

  SHAKTI_INLINE bool present() const { return data != nullptr; }
  template <class T>
  SHAKTI_INLINE T* ptr() const {
    return static_cast<T*>(data);
  }
  SHAKTI_INLINE int64_t size(int d) const { return shape[d < 0 ? d + ndim : d]; }
  SHAKTI_INLINE int64_t stride(int d) const { return strides[d < 0 ? d + ndim : d]; }
  SHAKTI_INLINE int64_t numel() const {
    int64_t n = 1;
    for (int d = 0; d < ndim; ++d) n *= shape[d];
    return n;
  }
  // Row-major with no gaps. Strides of dimensions of size 1, or of a tensor without elements, do not matter.
  SHAKTI_INLINE bool contiguous() const {
    int64_t expect = 1;
    if (numel() == 0) return true;
    for (int d = ndim - 1; d >= 0; --d) {
      if (shape[d] != 1 && strides[d] != expect) return false;
      expect *= shape[d];
    }
    return true;
  }
};

struct Args {
  const Operand* in;    // n_in operands in the order of the OP line
  const Operand* out;   // n_out operands
  const double* attrs;  // in the order of the OP line; a list is stored as its length, then its elements
  int32_t n_in;
  int32_t n_out;
  int32_t n_attrs;
  void* workspace;  // workspace_<op>(args) bytes, 64-byte aligned; null while checking

  // For attributes before the first list.
  SHAKTI_INLINE int64_t attr_int(int i) const { return static_cast<int64_t>(attrs[i]); }
  SHAKTI_INLINE double attr(int i) const { return attrs[i]; }
  SHAKTI_INLINE bool attr_bool(int i) const { return attrs[i] != 0; }
};

}  // namespace shakti
