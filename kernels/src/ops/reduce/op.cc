#include "../../runtime/check.h"
#include "pieces.h"

namespace shakti {
namespace {

Status fold(const Args& a, bool empty_allowed) {
  const Operand &x = a.in[0], &y = a.out[0];
  SHAKTI_CHECK(x.ndim == y.ndim, shape, "y must have x's number of dimensions");
  for (int d = 0; d < x.ndim; ++d) {
    SHAKTI_CHECK(y.shape[d] == x.shape[d] || y.shape[d] == 1, shape, "y must have x's size or 1 at dim %d", d);
    SHAKTI_CHECK(empty_allowed || x.shape[d] > 0 || y.shape[d] == 0, shape,
                 "dim %d is empty, and nothing has no extreme", d);
  }
  return want_contiguous(y, "y");
}

Status fold_to(const Args& a) {
  if (Status s = fold(a, true); !s) return s;
  const DType t = a.in[0].dtype, u = a.out[0].dtype;
  const bool half = t == DType::bf16 || t == DType::f16;
  const bool ok = dtype_is_float(t) ? u == t || (half && u == DType::f32) : u == DType::i64 || u == DType::i32;
  SHAKTI_CHECK(ok, dtype, "%s cannot be folded into %s", dtype_name(t), dtype_name(u));
  return {};
}

Status extreme(const Args& a) {
  if (Status s = fold(a, false); !s) return s;
  SHAKTI_CHECK(a.in[0].dtype != DType::boolean, dtype, "needs numbers, got bool");
  return want_same_dtype(a.in[0], "x", a.out[0], "y");
}

Status indexed(const Args& a) {
  const Operand& x = a.in[0];
  SHAKTI_CHECK(x.ndim >= 1 && x.size(-1) > 0, shape, "the last dimension is empty");
  for (int i = 0; i < 2; ++i) {
    const Operand& y = a.out[i];
    SHAKTI_CHECK(y.ndim == x.ndim && y.size(-1) == 1, shape, "outputs must have size 1 at the last dim");
    for (int d = 0; d < x.ndim - 1; ++d)
      SHAKTI_CHECK(y.shape[d] == x.shape[d], shape, "outputs must have x's size at dim %d", d);
    if (Status s = want_contiguous(y, "an output"); !s) return s;
  }
  SHAKTI_CHECK(x.dtype != DType::boolean, dtype, "needs numbers, got bool");
  return all(want_same_dtype(x, "x", a.out[0], "values"), want_dtype(a.out[1], "indices", DType::i32));
}

}  // namespace

Status check_sum(const Args& a) { return fold_to(a); }
Status check_prod(const Args& a) { return fold_to(a); }
Status check_amax(const Args& a) { return extreme(a); }
Status check_amin(const Args& a) { return extreme(a); }
Status check_max_index(const Args& a) { return indexed(a); }
Status check_min_index(const Args& a) { return indexed(a); }
Status check_cumsum(const Args& a) {
  SHAKTI_CHECK(a.in[0].ndim >= 1, shape, "needs at least one dimension");
  SHAKTI_CHECK(a.in[0].dtype != DType::boolean && a.in[0].dtype != DType::u8, dtype, "needs i32, i64 or floats");
  return all(want_same_shape(a.in[0], "x", a.out[0], "y"), want_same_dtype(a.in[0], "x", a.out[0], "y"),
             want_contiguous(a.out[0], "y"));
}

}  // namespace shakti

namespace shakti {
namespace {

// Partial results: at most one piece for every kPiece places, for every output.
size_t partials(const Args& a) {
  const Operand &x = a.in[0], &y = a.out[0];
  if (x.dtype == DType::f64 || !dtype_is_float(x.dtype)) return 0;
  const int64_t outputs = y.numel();
  if (outputs == 0) return 0;
  const int64_t folded = x.numel() / outputs;
  int64_t pieces = x.numel() / reduce::kPiece + 1;
  // 64 outputs or more that are no columns are not cut.
  if (outputs >= 64 && pieces > reduce::kColumnTasks) pieces = reduce::kColumnTasks;
  return static_cast<size_t>(pieces < folded ? pieces : folded) * static_cast<size_t>(outputs) * sizeof(float);
}

}  // namespace

size_t workspace_sum(const Args& a) { return partials(a); }
size_t workspace_prod(const Args& a) { return partials(a); }
size_t workspace_amax(const Args& a) { return partials(a); }
size_t workspace_amin(const Args& a) { return partials(a); }

}  // namespace shakti
