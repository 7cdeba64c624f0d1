// What elementwise ops demand of their operands.
#include <cmath>

#include "../../runtime/op.h"

namespace shakti {
namespace {

Status same_shape(const Args& a) {
  const Operand& y = a.out[0];
  SHAKTI_CHECK(y.contiguous(), shape, "the output must be contiguous");
  for (int i = 0; i < a.n_in; ++i) {
    const Operand& x = a.in[i];
    if (!x.present()) continue;
    SHAKTI_CHECK(x.ndim == y.ndim, shape, "operand %d has %d dimensions, the output %d", i, x.ndim, y.ndim);
    for (int d = 0; d < y.ndim; ++d) {
      SHAKTI_CHECK(x.shape[d] == y.shape[d], shape, "operand %d has size %lld at dim %d, the output %lld", i,
                   static_cast<long long>(x.shape[d]), d, static_cast<long long>(y.shape[d]));
    }
  }
  return {};
}

Status same(const Args& a, bool floats, bool to_bool) {
  if (Status s = same_shape(a); !s) return s;
  const DType t = a.in[0].dtype;
  for (int i = 1; i < a.n_in; ++i) {
    SHAKTI_CHECK(!a.in[i].present() || a.in[i].dtype == t, dtype, "operands are %s and %s; they must be equal",
                 dtype_name(t), dtype_name(a.in[i].dtype));
  }
  SHAKTI_CHECK(!floats || dtype_is_float(t), dtype, "needs a floating dtype, got %s", dtype_name(t));
  const DType want = to_bool ? DType::boolean : t;
  SHAKTI_CHECK(a.out[0].dtype == want, dtype, "the output must be %s, got %s", dtype_name(want),
               dtype_name(a.out[0].dtype));
  return {};
}

}  // namespace

#define FLOATS(name) \
  Status check_##name(const Args& a) { return same(a, true, false); }
#define NUMBERS(name) \
  Status check_##name(const Args& a) { return same(a, false, false); }
#define PREDICATE(name) \
  Status check_##name(const Args& a) { return same(a, false, true); }

NUMBERS(neg)
NUMBERS(abs)
NUMBERS(sign)
NUMBERS(square)
NUMBERS(relu)
FLOATS(reciprocal)
FLOATS(sqrt)
FLOATS(rsqrt)
FLOATS(exp)
FLOATS(expm1)
FLOATS(log)
FLOATS(log1p)
FLOATS(sin)
FLOATS(cos)
FLOATS(tanh)
FLOATS(erf)
FLOATS(sigmoid)
FLOATS(gelu)
FLOATS(gelu_tanh)
FLOATS(silu)
FLOATS(floor)
FLOATS(ceil)
FLOATS(round)
NUMBERS(add)
NUMBERS(sub)
NUMBERS(mul)
FLOATS(div)
NUMBERS(pow)
NUMBERS(maximum)
NUMBERS(minimum)
PREDICATE(eq)
PREDICATE(ne)
PREDICATE(lt)
PREDICATE(le)
PREDICATE(gt)
PREDICATE(ge)
PREDICATE(logical_and)
PREDICATE(logical_or)
PREDICATE(logical_not)
PREDICATE(isfinite)
FLOATS(relu_backward)
FLOATS(gelu_backward)
FLOATS(gelu_tanh_backward)
FLOATS(silu_backward)
FLOATS(tanh_backward)
FLOATS(sigmoid_backward)

Status check_clamp(const Args& a) {
  if (Status s = same(a, false, false); !s) return s;
  SHAKTI_CHECK(a.attr(0) <= a.attr(1), value, "needs min <= max");
  return {};
}

Status check_where(const Args& a) {
  if (Status s = same_shape(a); !s) return s;
  SHAKTI_CHECK(a.in[0].dtype == DType::boolean, dtype, "the condition must be bool, got %s", dtype_name(a.in[0].dtype));
  for (int i = 1; i < 3; ++i) {
    SHAKTI_CHECK(!a.in[i].present() || a.in[i].dtype == a.out[0].dtype, dtype, "operand %d is %s, the output %s", i,
                 dtype_name(a.in[i].dtype), dtype_name(a.out[0].dtype));
  }
  return {};
}

}  // namespace shakti
