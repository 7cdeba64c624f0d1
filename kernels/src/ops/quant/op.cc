#include "../../runtime/check.h"
#include "layout.h"

namespace shakti {
namespace {

Status want_packed(const Operand& packed, int64_t n, int64_t k, const Args& args) {
  const int64_t bits = args.attr_int(0), group = args.attr_int(1);
  SHAKTI_CHECK(bits == 8 || bits == 4, value, "bits must be 8 or 4, got %lld", static_cast<long long>(bits));
  SHAKTI_CHECK(group == 32 || group == 64 || group == 128, value, "group must be 32, 64 or 128, got %lld",
               static_cast<long long>(group));
  const int64_t panels = quant::blocks_of(n, quant::kPanel), bytes = quant::Layout(k, bits, group).panel_bytes();
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
  const Operand &x = args.in[0], &bias = args.in[2], &y = args.out[0];
  if (Status s = all(want_ndim(x, "x", 2), want_ndim(y, "y", 2), want_f32_or_less(x, "x"), want_contiguous(y, "y"),
                     want_same_dtype(x, "x", y, "y"), want_same_dtype(x, "x", bias, "bias"));
      !s)
    return s;
  SHAKTI_CHECK(x.shape[0] == y.shape[0], shape, "y must have as many rows as x, %lld, has %lld",
               static_cast<long long>(x.shape[0]), static_cast<long long>(y.shape[0]));
  return all(want_vector(bias, "bias", y.shape[1]), want_packed(args.in[1], y.shape[1], x.shape[1], args));
}

size_t workspace_quantized_linear(const Args& args) {
  const Operand& x = args.in[0];
  const quant::Layout w(x.shape[1], args.attr_int(0), args.attr_int(1));
  return static_cast<size_t>(quant::workspace(x.shape[0], w));
}

}  // namespace shakti
