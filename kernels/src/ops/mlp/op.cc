#include "../../runtime/check.h"

namespace shakti {
namespace {
Status check(const Args& a) {
  Status s = want_float(a.in[0], "gate");
  for (int i = 1; i < a.n_in && s; ++i)
    s = all(want_same_shape(a.in[0], "gate", a.in[i], "up"), want_same_dtype(a.in[0], "gate", a.in[i], "up"));
  for (int i = 0; i < a.n_out && s; ++i) {
    s = all(want_same_shape(a.in[0], "gate", a.out[i], "the output"),
            want_same_dtype(a.in[0], "gate", a.out[i], "the output"), want_contiguous(a.out[i], "the output"));
  }
  return s;
}
}  // namespace
Status check_swiglu(const Args& a) { return check(a); }
Status check_swiglu_backward(const Args& a) { return check(a); }
}  // namespace shakti
