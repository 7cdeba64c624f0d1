#include "cuda.h"

#include "../../cuda/host.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "elementwise";

From from_of(const Operand& x) {
  if (!x.present()) return From::number;
  if (x.contiguous() && aligned16(x.data)) return From::dense;
  for (int d = 0; d < x.ndim; ++d)
    if (x.shape[d] > 1 && x.strides[d] != 0) return From::walk;
  return From::one;
}

// What stands in a walk for an operand that is a number.
Operand still(const Operand& y) {
  Operand o = y;
  for (int64_t& stride : o.strides) stride = 0;
  return o;
}

int64_t packs(const Operand& x, int64_t n) { return blocks_of(n, static_cast<int64_t>(16 / dtype_size(x.dtype))); }

void unary(const Args& a, Launch& launch, const char* name, double low = 0, double high = 0) {
  const Operand &x = a.in[0], &y = a.out[0];
  Unary p{x.data, y.data, y.numel(), low, high, from_of(x), walk({&x})};
  if (p.from == From::one) p.from = From::walk;
  launch.kernel(kFamily, KernelName(name, x.dtype), grid_for(launch, packs(x, p.n)), kThreads, p);
}

void binary(const Args& args, Launch& launch, const char* name) {
  const Operand &y = args.out[0], *a = &args.in[0], *b = &args.in[1];
  if (!b->present() && args.n_attrs > 1 && args.attr_bool(1)) std::swap(a, b);
  const Operand zero = still(y), &wa = a->present() ? *a : zero, &wb = b->present() ? *b : zero;
  const Binary p{{a->data, b->data},         y.data,          y.numel(), args.n_attrs > 0 ? args.attr(0) : 0,
                 {from_of(*a), from_of(*b)}, walk({&wa, &wb})};
  launch.kernel(kFamily, KernelName(name, args.in[0].dtype), grid_for(launch, packs(args.in[0], p.n)), kThreads, p);
}

}  // namespace

#define UNARY(name) \
  void run_##name(const Args& a, Launch& launch) { unary(a, launch, #name); }
#define BINARY(name) \
  void run_##name(const Args& a, Launch& launch) { binary(a, launch, #name); }

UNARY(neg)
UNARY(abs)
UNARY(sign)
UNARY(square)
UNARY(reciprocal)
UNARY(sqrt)
UNARY(rsqrt)
UNARY(exp)
UNARY(expm1)
UNARY(log)
UNARY(log1p)
UNARY(sin)
UNARY(cos)
UNARY(tanh)
UNARY(erf)
UNARY(sigmoid)
UNARY(relu)
UNARY(gelu)
UNARY(gelu_tanh)
UNARY(silu)
UNARY(floor)
UNARY(ceil)
UNARY(round)
UNARY(logical_not)
UNARY(isfinite)
BINARY(add)
BINARY(sub)
BINARY(mul)
BINARY(div)
BINARY(pow)
BINARY(maximum)
BINARY(minimum)
BINARY(eq)
BINARY(ne)
BINARY(lt)
BINARY(le)
BINARY(gt)
BINARY(ge)
BINARY(logical_and)
BINARY(logical_or)
BINARY(relu_backward)
BINARY(gelu_backward)
BINARY(gelu_tanh_backward)
BINARY(silu_backward)
BINARY(tanh_backward)
BINARY(sigmoid_backward)

void run_clamp(const Args& a, Launch& launch) { unary(a, launch, "clamp", a.attr(0), a.attr(1)); }

void run_where(const Args& a, Launch& launch) {
  const Operand &condition = a.in[0], &y = a.out[0];
  const Operand zero = still(y), &wa = a.in[1].present() ? a.in[1] : zero, &wb = a.in[2].present() ? a.in[2] : zero;
  const Where p{condition.ptr<bool>(),
                {a.in[1].data, a.in[2].data},
                y.data,
                y.numel(),
                {a.attr(0), a.attr(1)},
                {!a.in[1].present(), !a.in[2].present()},
                walk({&condition, &wa, &wb})};
  launch.kernel(kFamily, KernelName("where", y.dtype), grid_for(launch, p.n), kThreads, p);
}

}  // namespace shakti::cuda
