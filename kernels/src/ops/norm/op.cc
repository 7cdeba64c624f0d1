#include "../../runtime/check.h"
#include "parts.h"

namespace shakti {
namespace {

Status rows_of(const Operand& o, const char* name, const Operand& x) {
  SHAKTI_CHECK(o.ndim == x.ndim - 1, shape, "%s must have x's shape less the last dimension", name);
  for (int d = 0; d < o.ndim; ++d)
    SHAKTI_CHECK(o.shape[d] == x.shape[d], shape, "%s must have x's size at dim %d", name, d);
  return all(want_contiguous(o, name), want_dtype(o, name, statistics_of(x.dtype)));
}

Status parameter(const Operand& p, const char* name, const Operand& x) {
  if (!p.present()) return {};
  SHAKTI_CHECK(p.dtype == x.dtype || p.dtype == DType::f32, dtype, "%s must be %s%s, got %s", name, dtype_name(x.dtype),
               x.dtype == DType::f32 ? "" : " or f32", dtype_name(p.dtype));
  SHAKTI_CHECK((p.dtype == DType::f64) == (x.dtype == DType::f64), dtype, "%s must be f64 with f64", name);
  return want_vector(p, name, x.size(-1));
}

Status input(const Args& a, const Operand& x) {
  SHAKTI_CHECK(x.ndim >= 1, shape, "x needs at least one dimension");
  SHAKTI_CHECK(x.size(-1) <= 65536, shape, "the last dimension may have at most 65536 elements");
  (void)a;
  return want_float(x, "x");
}

Status output(const Operand& y, const char* name, const Operand& x) {
  return all(want_same_shape(x, "x", y, name), want_same_dtype(x, "x", y, name), want_contiguous(y, name));
}

size_t partials(const Operand& x, int rows) {
  const int64_t n = x.size(-1);
  const int64_t count = n > 0 ? x.numel() / n : 0;
  return static_cast<size_t>(norm::parts_of(count) * n * rows) * 8;
}

}  // namespace

Status check_layer_norm(const Args& a) {
  const Operand& x = a.in[0];
  if (Status s = input(a, x); !s) return s;
  return all(parameter(a.in[1], "weight", x), parameter(a.in[2], "bias", x), output(a.out[0], "y", x),
             rows_of(a.out[1], "mean", x), rows_of(a.out[2], "rstd", x));
}
Status check_rms_norm(const Args& a) {
  const Operand& x = a.in[0];
  if (Status s = input(a, x); !s) return s;
  return all(parameter(a.in[1], "weight", x), output(a.out[0], "y", x), rows_of(a.out[1], "rstd", x));
}
Status check_layer_norm_backward(const Args& a) {
  const Operand& x = a.in[1];
  if (Status s = input(a, x); !s) return s;
  return all(want_same_shape(a.in[0], "g", x, "x"), want_same_dtype(a.in[0], "g", x, "x"),
             parameter(a.in[2], "weight", x), rows_of(a.in[3], "mean", x), rows_of(a.in[4], "rstd", x),
             output(a.out[0], "dx", x), parameter(a.out[1], "dweight", x), parameter(a.out[2], "dbias", x),
             want_contiguous(a.out[1], "dweight"), want_contiguous(a.out[2], "dbias"));
}
Status check_rms_norm_backward(const Args& a) {
  const Operand& x = a.in[1];
  if (Status s = input(a, x); !s) return s;
  return all(want_same_shape(a.in[0], "g", x, "x"), want_same_dtype(a.in[0], "g", x, "x"),
             parameter(a.in[2], "weight", x), rows_of(a.in[3], "rstd", x), output(a.out[0], "dx", x),
             parameter(a.out[1], "dweight", x), want_contiguous(a.out[1], "dweight"));
}
size_t workspace_layer_norm_backward(const Args& a) { return partials(a.in[1], 2); }
size_t workspace_rms_norm_backward(const Args& a) { return partials(a.in[1], 1); }

}  // namespace shakti
