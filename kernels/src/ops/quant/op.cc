#include <initializer_list>

#include "../../runtime/check.h"
#include "layout.h"

namespace shakti {
namespace {

Status want_packed(const Operand& packed, int64_t n, int64_t k, const Args& args) {
  const int64_t bits = args.attr_int(0), group = args.attr_int(1);
  SHAKTI_CHECK(bits == 8 || bits == 4, value, "bits must be 8 or 4, got %lld", static_cast<long long>(bits));
  SHAKTI_CHECK(group == 32 || group == 64 || group == 128, value, "group must be 32, 64 or 128, got %lld",
               static_cast<long long>(group));
  const int64_t panels = quant::blocks_of(n, quant::kPanel);
  const int64_t bytes = quant::Layout(k, bits, group, args.attr_bool(2)).panel_bytes();
  SHAKTI_CHECK(packed.dtype == DType::u8 && packed.ndim == 2 && packed.shape[0] == panels && packed.shape[1] == bytes,
               shape, "packed must be u8 [%lld, %lld] for a weight [%lld, %lld]", static_cast<long long>(panels),
               static_cast<long long>(bytes), static_cast<long long>(n), static_cast<long long>(k));
  return want_contiguous(packed, "packed");
}

Status want_f32_or_less(const Operand& o, const char* name) {
  SHAKTI_CHECK(dtype_is_float(o.dtype) && o.dtype != DType::f64, dtype, "%s must be f32, bf16 or f16, got %s", name,
               dtype_name(o.dtype));
  return {};
}

}  // namespace

Status check_quantize_weight(const Args& args) {
  const Operand& w = args.in[0];
  if (Status s = all(want_ndim(w, "w", 2), want_f32_or_less(w, "w")); !s) return s;
  return want_packed(args.out[0], w.shape[0], w.shape[1], args);
}

Status check_dequantize_weight(const Args& args) {
  const Operand& w = args.out[0];
  if (Status s = all(want_ndim(w, "w", 2), want_f32_or_less(w, "w"), want_contiguous(w, "w")); !s) return s;
  return want_packed(args.in[0], w.shape[0], w.shape[1], args);
}

Status check_quantized_linear(const Args& args) {
  const Operand &x = args.in[0], &bias = args.in[4], &residual = args.in[5], &y = args.out[0];
  if (Status s = all(want_ndim(x, "x", 2), want_ndim(y, "y", 2), want_f32_or_less(x, "x"), want_contiguous(y, "y"),
                     want_same_dtype(x, "x", y, "y"), want_same_dtype(x, "x", bias, "bias"),
                     want_same_dtype(x, "x", residual, "residual"));
      !s)
    return s;
  SHAKTI_CHECK(x.shape[0] == y.shape[0], shape, "y must have as many rows as x, %lld, has %lld",
               static_cast<long long>(x.shape[0]), static_cast<long long>(y.shape[0]));
  if (residual.present()) {
    if (Status s = want_same_shape(residual, "residual", y, "y"); !s) return s;
  }
  if (Status s = want_vector(bias, "bias", y.shape[1]); !s) return s;
  const Operand *packed = &args.in[1], *second = &args.in[2], *third = &args.in[3];
  const int64_t n = y.shape[1], k = x.shape[1];
  if (args.attr_bool(3)) {
    SHAKTI_CHECK(second->present() && !third->present() && !bias.present(), value,
                 "a gated product takes two weights and no bias");
    return all(want_packed(*packed, n, k, args), want_packed(*second, n, k, args));
  }
  SHAKTI_CHECK(second->present() || !third->present(), value, "third without second");
  int64_t left = n;
  for (const Operand* w : {packed, second, third}) {
    if (!w->present()) break;
    const bool last = w == third || !(w + 1)->present();
    const int64_t rows = last ? left : w->ndim == 2 ? w->shape[0] * quant::kPanel : 0;
    SHAKTI_CHECK(last || rows < left, shape, "the weights have more rows than y's %lld columns",
                 static_cast<long long>(n));
    if (Status s = want_packed(*w, rows, k, args); !s) return s;
    left -= rows;
  }
  return {};
}

size_t workspace_quantized_linear(const Args& args) {
  const Operand& x = args.in[0];
  const quant::Layout w(x.shape[1], args.attr_int(0), args.attr_int(1), args.attr_bool(2));
  return static_cast<size_t>(quant::workspace(x.shape[0], w));
}

}  // namespace shakti
