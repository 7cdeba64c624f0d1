#include "tables.h"

namespace shakti {
Status check_rope(const Args& a) {
  const Operand &x = a.in[0], &cosine = a.in[1], &sine = a.in[2], &y = a.out[0];
  SHAKTI_CHECK(x.ndim == 4 && cosine.ndim == 3, shape, "x must be [b, l, h, d], cos and sin [b or 1, l, d / 2]");
  SHAKTI_CHECK(x.shape[3] % 2 == 0 && x.shape[3] <= 4096, shape, "cos must be [b or 1, l, d / 2] for x [b, l, h, d]");
  SHAKTI_CHECK(x.strides[3] == 1 || x.shape[3] <= 1, shape, "the last dimension of x must be contiguous");
  return all(rope::check_tables(cosine, sine, x), want_float(x, "x"), want_same_shape(x, "x", y, "y"),
             want_same_dtype(x, "x", y, "y"), want_contiguous(y, "y"));
}
}  // namespace shakti
