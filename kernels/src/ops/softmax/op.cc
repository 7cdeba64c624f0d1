#include "../../runtime/check.h"

namespace shakti {
namespace {
Status rows(const Args& a) {
  SHAKTI_CHECK(a.out[0].ndim >= 1, shape, "needs at least one dimension");
  Status s = all(want_float(a.in[0], "x"), want_contiguous(a.out[0], "the output"));
  for (int i = 0; i < a.n_in && s; ++i) {
    s = all(want_same_shape(a.in[i], "an operand", a.out[0], "the output"),
            want_same_dtype(a.in[i], "an operand", a.out[0], "the output"));
  }
  SHAKTI_CHECK(!s || a.out[0].size(-1) <= 262144, shape, "the last dimension may have at most 262144 elements");
  return s;
}
}  // namespace

Status check_softmax(const Args& a) { return rows(a); }
Status check_log_softmax(const Args& a) { return rows(a); }
Status check_softmax_backward(const Args& a) { return rows(a); }
Status check_log_softmax_backward(const Args& a) { return rows(a); }

}  // namespace shakti
