#include "../../runtime/check.h"

namespace shakti {

Status check_copy(const Args& a) { return want_same_shape(a.in[0], "x", a.out[0], "y"); }
Status check_fill(const Args&) { return {}; }
Status check_arange(const Args& a) { return all(want_ndim(a.out[0], "y", 1), want_contiguous(a.out[0], "y")); }

static Status triangle(const Args& a) {
  SHAKTI_CHECK(a.out[0].ndim >= 2, shape, "needs a matrix");
  return all(want_same_shape(a.in[0], "x", a.out[0], "y"), want_same_dtype(a.in[0], "x", a.out[0], "y"),
             want_contiguous(a.out[0], "y"));
}
Status check_tril(const Args& a) { return triangle(a); }
Status check_triu(const Args& a) { return triangle(a); }

Status check_cat(const Args& a) {
  const Operand& y = a.out[0];
  const int64_t dim = a.attr_int(0);
  SHAKTI_CHECK(dim >= 0 && dim < y.ndim, shape, "dim %lld does not exist", static_cast<long long>(dim));
  int64_t total = 0;
  for (int i = 0; i < a.n_in; ++i) {
    const Operand& x = a.in[i];
    SHAKTI_CHECK(x.present() && x.ndim == y.ndim, shape, "operand %d has another number of dimensions", i);
    if (Status s = want_same_dtype(x, "an operand", y, "y"); !s) return s;
    for (int d = 0; d < y.ndim; ++d) {
      SHAKTI_CHECK(d == dim || x.shape[d] == y.shape[d], shape, "operand %d has another size at dim %d", i, d);
    }
    total += x.shape[dim];
  }
  SHAKTI_CHECK(total == y.shape[dim], shape, "the sizes do not add up to the output's");
  return want_contiguous(y, "y");
}

Status check_pad(const Args& a) {
  const Operand &x = a.in[0], &y = a.out[0];
  SHAKTI_CHECK(x.ndim == y.ndim && a.attr_int(1) == x.ndim, shape, "needs one number a dimension");
  for (int d = 0; d < x.ndim; ++d) {
    const int64_t before = a.attr_int(2 + d);
    SHAKTI_CHECK(before >= 0 && before <= y.shape[d] && x.shape[d] <= y.shape[d] - before, shape,
                 "x does not fit into y at dim %d", d);
  }
  return all(want_same_dtype(x, "x", y, "y"), want_contiguous(y, "y"));
}

Status check_flip(const Args& a) {
  unsigned seen = 0;
  for (int64_t i = 0; i < a.attr_int(0); ++i) {
    const int64_t d = a.attr_int(static_cast<int>(1 + i));
    SHAKTI_CHECK(d >= 0 && d < a.in[0].ndim, shape, "dim %lld does not exist", static_cast<long long>(d));
    SHAKTI_CHECK((seen >> d & 1) == 0, value, "dim %lld is named twice", static_cast<long long>(d));
    seen |= 1u << d;
  }
  return all(want_same_shape(a.in[0], "x", a.out[0], "y"), want_same_dtype(a.in[0], "x", a.out[0], "y"),
             want_contiguous(a.out[0], "y"));
}

}  // namespace shakti
