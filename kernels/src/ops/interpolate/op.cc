#include "../../runtime/check.h"

namespace shakti {
namespace {
Status planes(const Args& a, const Operand& x, const Operand& y) {
  SHAKTI_CHECK(x.ndim == 4 && y.ndim == 4 && x.shape[0] == y.shape[0] && x.shape[1] == y.shape[1], shape,
               "needs [n, c, h, w] with equal n and c");
  SHAKTI_CHECK(x.shape[2] > 0 && x.shape[3] > 0 && y.shape[2] > 0 && y.shape[3] > 0, shape,
               "height and width must not be empty");
  SHAKTI_CHECK(a.attr_int(0) >= 0 && a.attr_int(0) <= 2, value,
               "mode must be 0 (nearest), 1 (bilinear) or 2 (bicubic)");
  return all(want_float(x, "x"), want_same_dtype(x, "x", y, "y"), want_contiguous(a.out[0], "the output"));
}
}  // namespace
Status check_interpolate(const Args& a) { return planes(a, a.in[0], a.out[0]); }
Status check_interpolate_backward(const Args& a) { return planes(a, a.out[0], a.in[0]); }
}  // namespace shakti
