#include "../../runtime/check.h"
#include "../norm/parts.h"
#include "../rope/tables.h"

namespace shakti {
namespace {

Status heads(const Operand& x, const char* name) {
  SHAKTI_CHECK(x.ndim == 4 && x.shape[3] >= 2 && x.shape[3] <= 4096 && x.shape[3] % 2 == 0, shape,
               "%s must be [b, l, h, d] with d even, 2 to 4096", name);
  SHAKTI_CHECK(x.strides[3] == 1, shape, "the last dimension of %s must be contiguous", name);
  return want_float(x, name);
}

Status parameter(const Operand& p, const char* name, const Operand& x) {
  if (!p.present()) return {};
  SHAKTI_CHECK(p.dtype == x.dtype || (p.dtype == DType::f32 && x.dtype != DType::f64), dtype, "%s must be %s%s, got %s",
               name, dtype_name(x.dtype), x.dtype == DType::f32 || x.dtype == DType::f64 ? "" : " or f32",
               dtype_name(p.dtype));
  return all(want_vector(p, name, x.shape[3]), want_contiguous(p, name));
}

Status statistics(const Operand& rstd, const Operand& x) {
  SHAKTI_CHECK(
      rstd.ndim == 3 && rstd.shape[0] == x.shape[0] && rstd.shape[1] == x.shape[1] && rstd.shape[2] == x.shape[2],
      shape, "rstd must be [b, l, h] for x [b, l, h, d]");
  return all(want_dtype(rstd, "rstd", statistics_of(x.dtype)), want_contiguous(rstd, "rstd"));
}

Status like(const Operand& y, const char* name, const Operand& x) {
  return all(want_same_shape(x, "x", y, name), want_same_dtype(x, "x", y, name));
}

}  // namespace

Status check_norm_rope(const Args& a) {
  const Operand &x = a.in[0], &y = a.out[0];
  if (Status s = heads(x, "x"); !s) return s;
  return all(parameter(a.in[1], "weight", x), rope::check_tables(a.in[2], a.in[3], x), like(y, "y", x),
             want_contiguous(y, "y"), statistics(a.out[1], x));
}

Status check_norm_rope_backward(const Args& a) {
  const Operand &g = a.in[0], &x = a.in[1], &dx = a.out[0];
  if (Status s = all(heads(g, "g"), heads(x, "x")); !s) return s;
  return all(like(g, "g", x), parameter(a.in[2], "weight", x), statistics(a.in[3], x),
             rope::check_tables(a.in[4], a.in[5], x), like(dx, "dx", x), want_contiguous(dx, "dx"),
             parameter(a.out[1], "dweight", x));
}

size_t workspace_norm_rope_backward(const Args& a) {
  const Operand& x = a.in[1];
  const int64_t d = x.shape[3];
  return static_cast<size_t>(norm::parts_of(x.numel() / d) * d) * dtype_size(a.in[3].dtype);
}

}  // namespace shakti
