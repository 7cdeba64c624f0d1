#include "../../runtime/check.h"

namespace shakti {
namespace {

Status want_dim(const Args& a, const Operand& x) {
  SHAKTI_CHECK(a.attr_int(0) >= 0 && a.attr_int(0) < x.ndim, shape, "dim does not exist");
  return {};
}

// index may be smaller than x off dim.
Status want_places(const Operand& index, const Operand& x, int64_t dim) {
  SHAKTI_CHECK(index.ndim == x.ndim, shape, "index must have x's number of dimensions");
  for (int d = 0; d < x.ndim; ++d)
    SHAKTI_CHECK(d == dim || index.shape[d] <= x.shape[d], shape, "index is larger than x at dim %d", d);
  return want_index(index, "index");
}

// o has x's shape with `dim` replaced by the length of the 1-D index.
Status want_slices(const Operand& o, const char* name, const Operand& x, const Operand& index, int64_t dim) {
  SHAKTI_CHECK(index.ndim == 1 && o.ndim == x.ndim, shape, "index must have one dimension, %s those of x", name);
  for (int d = 0; d < x.ndim; ++d) {
    SHAKTI_CHECK(o.shape[d] == (d == dim ? index.shape[0] : x.shape[d]), shape, "%s has the wrong size at dim %d", name,
                 d);
  }
  return all(want_same_dtype(x, "x", o, name), want_index(index, "index"));
}

Status want_copy(const Operand& y, const Operand& x) {
  return all(want_same_shape(x, "x", y, "y"), want_same_dtype(x, "x", y, "y"), want_contiguous(y, "y"));
}

}  // namespace

Status check_embedding(const Args& a) {
  const Operand &w = a.in[0], &ids = a.in[1], &y = a.out[0];
  SHAKTI_CHECK(w.ndim == 2 && y.ndim == ids.ndim + 1 && y.size(-1) == w.shape[1], shape,
               "weight must be [vocabulary, width], y ids.shape + [width]");
  for (int d = 0; d < ids.ndim; ++d)
    SHAKTI_CHECK(y.shape[d] == ids.shape[d], shape, "y must have the size of ids at dim %d", d);
  return all(want_index(ids, "ids"), want_same_dtype(w, "weight", y, "y"), want_contiguous(y, "y"));
}
Status check_embedding_backward(const Args& a) {
  const Operand &g = a.in[0], &ids = a.in[1], &w = a.out[0];
  SHAKTI_CHECK(w.ndim == 2 && g.ndim == ids.ndim + 1 && g.size(-1) == w.shape[1], shape,
               "g must be ids.shape + [width]");
  for (int d = 0; d < ids.ndim; ++d)
    SHAKTI_CHECK(g.shape[d] == ids.shape[d], shape, "g must have the size of ids at dim %d", d);
  return all(want_index(ids, "ids"), want_float(g, "g"), want_same_dtype(g, "g", w, "dweight"),
             want_contiguous(w, "dweight"));
}
size_t workspace_embedding_backward(const Args& a) {
  return static_cast<size_t>(a.in[1].numel() + a.out[0].shape[0] + 1) * sizeof(int64_t);
}

Status check_gather(const Args& a) {
  const Operand &x = a.in[0], &index = a.in[1], &y = a.out[0];
  if (Status s = want_dim(a, x); !s) return s;
  return all(want_places(index, x, a.attr_int(0)), want_same_shape(index, "index", y, "y"),
             want_same_dtype(x, "x", y, "y"), want_contiguous(y, "y"));
}
Status check_scatter_add(const Args& a) {
  const Operand &x = a.in[0], &index = a.in[1], &src = a.in[2];
  if (Status s = want_dim(a, x); !s) return s;
  return all(want_places(index, x, a.attr_int(0)), want_same_shape(index, "index", src, "src"),
             want_same_dtype(x, "x", src, "src"), want_copy(a.out[0], x));
}
Status check_index_select(const Args& a) {
  const Operand& x = a.in[0];
  if (Status s = want_dim(a, x); !s) return s;
  return all(want_slices(a.out[0], "y", x, a.in[1], a.attr_int(0)), want_contiguous(a.out[0], "y"));
}
Status check_index_copy(const Args& a) {
  const Operand& y = a.out[0];
  if (Status s = want_dim(a, y); !s) return s;
  return want_slices(a.in[1], "src", y, a.in[0], a.attr_int(0));
}
Status check_index_add(const Args& a) {
  const Operand& x = a.in[0];
  if (Status s = want_dim(a, x); !s) return s;
  return all(want_slices(a.in[2], "src", x, a.in[1], a.attr_int(0)), want_copy(a.out[0], x));
}

}  // namespace shakti
