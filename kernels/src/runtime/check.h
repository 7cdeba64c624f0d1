// Words that checks share. A check returns the first Status that is not ok:
//   if (Status s = want_contiguous(y, "y"); !s) return s;
#pragma once
#include "op.h"

namespace shakti {

inline Status want_contiguous(const Operand& o, const char* name) {
  SHAKTI_CHECK(!o.present() || o.contiguous(), shape, "%s must be contiguous", name);
  return {};
}

inline Status want_same_shape(const Operand& a, const char* an, const Operand& b, const char* bn) {
  if (!a.present() || !b.present()) return {};
  SHAKTI_CHECK(a.ndim == b.ndim, shape, "%s has %d dimensions, %s %d", an, a.ndim, bn, b.ndim);
  for (int d = 0; d < a.ndim; ++d) {
    SHAKTI_CHECK(a.shape[d] == b.shape[d], shape, "%s has size %lld at dim %d, %s %lld", an,
                 static_cast<long long>(a.shape[d]), d, bn, static_cast<long long>(b.shape[d]));
  }
  return {};
}

inline Status want_same_dtype(const Operand& a, const char* an, const Operand& b, const char* bn) {
  if (!a.present() || !b.present()) return {};
  SHAKTI_CHECK(a.dtype == b.dtype, dtype, "%s is %s, %s is %s", an, dtype_name(a.dtype), bn, dtype_name(b.dtype));
  return {};
}

inline Status want_float(const Operand& o, const char* name) {
  SHAKTI_CHECK(!o.present() || dtype_is_float(o.dtype), dtype, "%s must be floating, got %s", name,
               dtype_name(o.dtype));
  return {};
}

inline Status want_dtype(const Operand& o, const char* name, DType t) {
  SHAKTI_CHECK(!o.present() || o.dtype == t, dtype, "%s must be %s, got %s", name, dtype_name(t), dtype_name(o.dtype));
  return {};
}

inline Status want_index(const Operand& o, const char* name) {
  SHAKTI_CHECK(o.dtype == DType::i32 || o.dtype == DType::i64, dtype, "%s must be i32 or i64, got %s", name,
               dtype_name(o.dtype));
  return {};
}

inline Status want_ndim(const Operand& o, const char* name, int ndim) {
  SHAKTI_CHECK(!o.present() || o.ndim == ndim, shape, "%s must have %d dimensions, has %d", name, ndim, o.ndim);
  return {};
}

// A 1-D operand of `size` elements.
inline Status want_vector(const Operand& o, const char* name, int64_t size) {
  SHAKTI_CHECK(!o.present() || (o.ndim == 1 && o.shape[0] == size), shape, "%s must have one dimension of %lld", name,
               static_cast<long long>(size));
  return {};
}

// f64 for f64, else f32: the dtype of statistics.
inline DType statistics_of(DType t) { return t == DType::f64 ? DType::f64 : DType::f32; }

// The first failure of several.
template <class... S>
Status all(const S&... statuses) {
  Status first;
  const bool ok = ((statuses ? true : (first = statuses, false)) && ...);
  return ok ? Status{} : first;
}

}  // namespace shakti
