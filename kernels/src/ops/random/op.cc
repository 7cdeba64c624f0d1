#include "../../runtime/check.h"

namespace shakti {
namespace {

Status want_stream(const Args& a, int first) {
  for (int i = 0; i < 2; ++i)
    SHAKTI_CHECK(a.attr(first + i) >= 0 && a.attr(first + i) < 4294967296.0, value,
                 "a half of the seed must have 32 bits");
  SHAKTI_CHECK(a.attr(first + 2) >= 0 && a.attr(first + 2) <= 9007199254740992.0, value,
               "offset must be an integer from 0");
  return {};
}
Status floats(const Args& a) {
  return all(want_stream(a, 0), want_float(a.out[0], "y"), want_contiguous(a.out[0], "y"));
}

}  // namespace

Status check_uniform(const Args& a) { return floats(a); }
Status check_normal(const Args& a) { return floats(a); }
Status check_truncated_normal(const Args& a) {
  SHAKTI_CHECK(a.attr(5) < a.attr(6) && a.attr(4) > 0, value, "needs low < high and std > 0");
  return floats(a);
}
Status check_randint(const Args& a) {
  SHAKTI_CHECK(a.attr(3) < a.attr(4) && a.attr(4) - a.attr(3) <= 4294967296.0, value,
               "needs low < high, at most 2^32 apart");
  const double bound = a.out[0].dtype == DType::i32 ? 2147483648.0 : 9007199254740992.0;
  SHAKTI_CHECK(a.attr(3) >= -bound && a.attr(4) <= bound, value, "low and high must fit %s",
               dtype_name(a.out[0].dtype));
  SHAKTI_CHECK(a.out[0].dtype == DType::i32 || a.out[0].dtype == DType::i64, dtype, "y must be i32 or i64");
  return all(want_stream(a, 0), want_contiguous(a.out[0], "y"));
}
Status check_permutation(const Args& a) {
  return all(want_stream(a, 0), want_ndim(a.out[0], "y", 1), want_dtype(a.out[0], "y", DType::i32),
             want_contiguous(a.out[0], "y"));
}
size_t workspace_permutation(const Args& a) { return static_cast<size_t>(a.out[0].numel()) * 8 + 64; }

Status check_multinomial(const Args& a) {
  const Operand &p = a.in[0], &y = a.out[0];
  SHAKTI_CHECK(p.ndim >= 1 && p.ndim == y.ndim && p.size(-1) > 0, shape, "p must be [..., classes], y [..., count]");
  for (int d = 0; d < p.ndim - 1; ++d) SHAKTI_CHECK(p.shape[d] == y.shape[d], shape, "p and y differ at dim %d", d);
  SHAKTI_CHECK(a.attr_bool(0) || y.size(-1) <= p.size(-1), shape,
               "without replacement there are only as many draws as classes");
  return all(want_stream(a, 1), want_float(p, "p"), want_contiguous(p, "p"), want_dtype(y, "y", DType::i32),
             want_contiguous(y, "y"));
}
size_t workspace_multinomial(const Args& a) { return static_cast<size_t>(a.in[0].size(-1)) * 16 + 64; }

Status check_dropout(const Args& a) {
  SHAKTI_CHECK(a.attr(0) >= 0 && a.attr(0) < 1, value, "p must lie in [0, 1)");
  return all(want_stream(a, 1), want_float(a.in[0], "x"), want_same_shape(a.in[0], "x", a.out[0], "y"),
             want_same_dtype(a.in[0], "x", a.out[0], "y"), want_contiguous(a.out[0], "y"));
}

}  // namespace shakti
