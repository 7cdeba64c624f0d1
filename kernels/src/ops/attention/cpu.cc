// Attention by blocks of queries and keys: scores exist for one block at a time.
#include "backward.h"
#include "exact_f64.h"
#include "forward.h"

namespace SHAKTI_ISA_NS {
void run_attention(const Args& a, Context& c) {
  Problem p(a.in[0], a.in[1], a.in[2], a.in[3], a.in[4], a.in[5], a);
  if (!p.check(c, true)) return;
  if (a.in[6].present()) {
    p.k_scale = &a.in[6];
    p.v_scale = &a.in[7];
  }
  if (p.q->dtype == DType::f64) return forward_f64(p, a);
  if (few_rows(p)) return forward<Unit::f32>(p, a, c);
#if defined(__AVX512F__)
  switch (unit_for(p.q->dtype, a.attr_bool(3))) {
    case Unit::amx: return forward<Unit::amx>(p, a, c);
    case Unit::bf16: return forward<Unit::bf16>(p, a, c);
    default: break;
  }
#endif
  forward<Unit::f32>(p, a, c);
}

void run_attention_backward(const Args& a, Context& c) {
  Problem p(a.in[1], a.in[2], a.in[3], a.in[6], a.in[7], a.in[8], a);
  if (!p.check(c, false)) return;
  if (p.q->dtype == DType::f64) return backward_f64(p, a);
#if defined(__AVX512F__)
  switch (unit_for(p.q->dtype, a.attr_bool(3))) {
    case Unit::amx: return backward<Unit::amx>(p, a, c);
    case Unit::bf16: return backward<Unit::bf16>(p, a, c);
    default: break;
  }
#endif
  backward<Unit::f32>(p, a, c);
}

}  // namespace SHAKTI_ISA_NS
