#include "../../runtime/check.h"

namespace shakti {
namespace {
Status common(const Operand& logits, const Operand& target) {
  SHAKTI_CHECK(logits.ndim == 2 && logits.shape[1] > 0, shape, "logits must be [n, classes]");
  return all(want_float(logits, "logits"), want_index(target, "target"),
             want_vector(target, "target", logits.shape[0]));
}
Status rows(const Operand& o, const char* name, const Operand& logits) {
  return all(want_vector(o, name, logits.shape[0]), want_dtype(o, name, statistics_of(logits.dtype)));
}
}  // namespace

Status check_cross_entropy(const Args& a) {
  const Operand& logits = a.in[0];
  if (Status s = common(logits, a.in[1]); !s) return s;
  return all(rows(a.out[0], "loss", logits), rows(a.out[1], "lse", logits), want_contiguous(a.out[0], "loss"),
             want_contiguous(a.out[1], "lse"));
}
Status check_cross_entropy_backward(const Args& a) {
  const Operand& logits = a.in[1];
  if (Status s = common(logits, a.in[2]); !s) return s;
  return all(rows(a.in[0], "g", logits), rows(a.in[3], "lse", logits),
             want_same_shape(logits, "logits", a.out[0], "dlogits"),
             want_same_dtype(logits, "logits", a.out[0], "dlogits"), want_contiguous(a.out[0], "dlogits"));
}

}  // namespace shakti
