#include "../../runtime/check.h"

namespace shakti {

Status check_adamw(const Args& a) {
  constexpr int first = 3;  // gradient
  const int n = a.n_in - first;
  SHAKTI_CHECK(n >= 1 && (a.n_out == 3 * n || a.n_out == 4 * n), shape,
               "%d gradients need %d or %d state tensors, got %d", n, 3 * n, 4 * n, a.n_out);
  if (a.in[0].present()) {
    SHAKTI_CHECK(a.in[0].numel() == 1, shape, "scale must have one element");
    if (Status s = want_dtype(a.in[0], "scale", DType::f32); !s) return s;
  }
  for (int i = 1; i < first; ++i) {
    const char* name = i == 1 ? "rate" : "count";
    if (!a.in[i].present()) continue;
    SHAKTI_CHECK(a.in[i].numel() == 1, shape, "%s must have one element", name);
    if (Status s = want_dtype(a.in[i], name, DType::f64); !s) return s;
  }
  for (int i = 0; i < n; ++i) {
    const Operand& g = a.in[first + i];
    SHAKTI_CHECK(g.present() && g.contiguous(), shape, "gradient %d must be contiguous", i);
    SHAKTI_CHECK(g.dtype == DType::f32 || g.dtype == DType::bf16, dtype, "gradient %d must be f32 or bf16, got %s", i,
                 dtype_name(g.dtype));
    for (int k = 0; k < a.n_out / n; ++k) {
      const Operand& o = a.out[k * n + i];
      SHAKTI_CHECK(o.present() && o.contiguous() && o.numel() == g.numel(), shape,
                   "state tensor %d must be contiguous and of its gradient's size", k * n + i);
      if (Status s = want_dtype(o, "state", k == 3 ? DType::bf16 : DType::f32); !s) return s;
    }
  }
  SHAKTI_CHECK(a.attr_int(5) >= 1, value, "step counts from 1");
  return {};
}

Status check_global_norm(const Args& a) {
  for (int i = 0; i < a.n_in; ++i) {
    if (Status s = all(want_float(a.in[i], "x"), want_contiguous(a.in[i], "x")); !s) return s;
  }
  SHAKTI_CHECK(a.out[0].numel() == 1, shape, "y must have one element");
  return want_dtype(a.out[0], "y", DType::f32);
}

size_t workspace_global_norm(const Args& a) {
  int64_t chunks = 0;
  for (int i = 0; i < a.n_in; ++i) chunks += (a.in[i].numel() + 16383) / 16384;
  return static_cast<size_t>(chunks + 1) * sizeof(double) + static_cast<size_t>(a.n_in + 1) * sizeof(int64_t);
}

}  // namespace shakti
