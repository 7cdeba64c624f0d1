#include "../../runtime/check.h"

namespace shakti {
namespace {
Status outputs(const Args& a, bool same_size) {
  const Operand &x = a.in[0], &values = a.out[0], &indices = a.out[1];
  SHAKTI_CHECK(x.ndim >= 1 && values.ndim == x.ndim, shape, "needs at least one dimension");
  for (int d = 0; d < x.ndim - 1; ++d)
    SHAKTI_CHECK(values.shape[d] == x.shape[d], shape, "values must have x's size at dim %d", d);
  SHAKTI_CHECK(same_size ? values.size(-1) == x.size(-1) : values.size(-1) <= x.size(-1), shape,
               "values has the wrong size at the last dim");
  SHAKTI_CHECK(x.size(-1) <= 2147483647, shape, "the last dimension is too long for i32 indices");
  return all(want_same_dtype(x, "x", values, "values"), want_same_shape(values, "values", indices, "indices"),
             want_dtype(indices, "indices", DType::i32), want_contiguous(values, "values"),
             want_contiguous(indices, "indices"));
}
}  // namespace

// Two arrays of (key, place) as long as x.
Status check_sort(const Args& a) { return outputs(a, true); }
Status check_topk(const Args& a) { return outputs(a, false); }
size_t workspace_sort(const Args& a) { return static_cast<size_t>(a.in[0].numel()) * 32 + 64; }
size_t workspace_topk(const Args& a) { return static_cast<size_t>(a.in[0].numel()) * 32 + 64; }

}  // namespace shakti
