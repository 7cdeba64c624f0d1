#include "../../runtime/check.h"

namespace shakti {
namespace {

// The sizes of x, w and y must belong together by PyTorch's formula, whichever of them is the output.
Status geometry(const Args& a, const Operand& x, const Operand& w, const Operand& y) {
  SHAKTI_CHECK(x.ndim == 4 && w.ndim == 4 && y.ndim == 4, shape, "x, w and y must have 4 dimensions");
  for (int i = 0; i < 7; ++i) {
    const int64_t v = a.attr_int(i);
    SHAKTI_CHECK(v >= (i == 2 || i == 3 ? 0 : 1) && v <= 1 << 20, value,
                 "stride, dilation and groups count from 1, padding from 0");
  }
  const int64_t groups = a.attr_int(6);
  SHAKTI_CHECK(x.shape[0] == y.shape[0] && w.shape[0] == y.shape[1] && x.shape[1] == w.shape[1] * groups &&
                   w.shape[0] % groups == 0,
               shape, "channels of x, w and y do not belong together");
  for (int d = 0; d < 2; ++d) {
    const int64_t reach = a.attr_int(4 + d) * (w.shape[2 + d] - 1) + 1,
                  room = x.shape[2 + d] + 2 * a.attr_int(2 + d) - reach;
    SHAKTI_CHECK(w.shape[2 + d] >= 1 && room >= 0 && y.shape[2 + d] == room / a.attr_int(d) + 1, shape,
                 "y has the wrong size at dim %d", 2 + d);
  }
  return all(want_float(x, "x"), want_same_dtype(x, "x", w, "w"), want_same_dtype(x, "x", y, "y"));
}

// One image's patches as a matrix, in the type of the computation.
size_t columns(const Operand& w, const Operand& y) {
  const size_t element = w.dtype == DType::f64 ? 8 : 4;
  return static_cast<size_t>(w.shape[1] * w.shape[2] * w.shape[3] * y.shape[2] * y.shape[3]) * element + 64;
}

}  // namespace

Status check_conv2d(const Args& a) {
  if (Status s = geometry(a, a.in[0], a.in[1], a.out[0]); !s) return s;
  return all(want_vector(a.in[2], "bias", a.out[0].shape[1]), want_same_dtype(a.in[0], "x", a.in[2], "bias"),
             want_contiguous(a.out[0], "y"));
}
Status check_conv2d_backward_input(const Args& a) {
  if (Status s = geometry(a, a.out[0], a.in[1], a.in[0]); !s) return s;
  return want_contiguous(a.out[0], "dx");
}
Status check_conv2d_backward_weight(const Args& a) {
  if (Status s = geometry(a, a.in[1], a.out[0], a.in[0]); !s) return s;
  return want_contiguous(a.out[0], "dw");
}
size_t workspace_conv2d(const Args& a) { return columns(a.in[1], a.out[0]); }
size_t workspace_conv2d_backward_input(const Args& a) {
  return columns(a.in[1], a.in[0]) + static_cast<size_t>(a.out[0].numel()) * 8;
}
size_t workspace_conv2d_backward_weight(const Args& a) {
  return columns(a.out[0], a.in[0]) + static_cast<size_t>(a.out[0].numel()) * 8;
}

}  // namespace shakti
