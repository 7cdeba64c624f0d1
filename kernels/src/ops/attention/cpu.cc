// Attention by blocks of queries and keys: scores exist for one block at a time.
#include "../../runtime/cpu_features.h"
#include "backward.h"
#include "exact_f64.h"
#include "forward.h"

namespace SHAKTI_ISA_NS {
#if defined(__AVX512F__)
namespace {
// bf16 operands may be multiplied in pairs: their products are exact, and sums stay in f32.
bool in_pairs(const Problem& p, const Args& a) {
  return (p.q->dtype == DType::bf16 || (p.q->dtype == DType::f32 && a.attr_bool(3))) && has_avx512_bf16();
}
}  // namespace
#endif

void run_attention(const Args& a, Context& c) {
  const Problem p(a.in[0], a.in[1], a.in[2], a.in[3], a.in[4], a.in[5], a);
  if (!p.check(c)) return;
  if (p.q->dtype == DType::f64) return forward_f64(p, a);
#if defined(__AVX512F__)
  if (in_pairs(p, a)) return forward<true>(p, a, c);
#endif
  forward<false>(p, a, c);
}

void run_attention_backward(const Args& a, Context& c) {
  const Problem p(a.in[1], a.in[2], a.in[3], a.in[6], a.in[7], a.in[8], a);
  if (!p.check(c)) return;
  if (p.q->dtype == DType::f64) return backward_f64(p, a);
#if defined(__AVX512F__)
  if (in_pairs(p, a)) return backward<true>(p, a, c);
#endif
  backward<false>(p, a, c);
}

}  // namespace SHAKTI_ISA_NS
