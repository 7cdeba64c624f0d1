#include "../../runtime/check.h"
#include "../../runtime/limits.h"
#include "activation.h"
#include "packed_weight.h"

namespace shakti {

int64_t matmul::packed_words() {
  static const int64_t words = [] {
    constexpr int64_t kLeast = kDepth * kColumns;
    const auto quarter = static_cast<int64_t>(last_cache_bytes() / 4 / sizeof(float));
    return quarter < kLeast ? kLeast : quarter > 2 * kLeast ? 2 * kLeast : quarter;
  }();
  return words;
}

namespace {

// y of a product whose left factor is `a`, and what is done on the way into it: operands 2, 3 and 4.
Status want_output(const Args& args, const Operand& a, const char* name, double activation) {
  const Operand &bias = args.in[2], &residual = args.in[3], &gate = args.in[4], &y = args.out[0];
  SHAKTI_CHECK(y.dtype == a.dtype || (y.dtype == DType::f32 && dtype_size(a.dtype) == 2), dtype,
               "y must be %s, or f32 where %s has 16 bits, got %s", dtype_name(a.dtype), name, dtype_name(y.dtype));
  SHAKTI_CHECK(activation >= 0 && activation <= static_cast<double>(matmul::Activation::silu), value,
               "activation must be 0 to 3, got %g", activation);
  return all(want_contiguous(y, "y"), want_same_dtype(a, name, bias, "bias"),
             want_vector(bias, "bias", y.shape[y.ndim - 1]), want_same_shape(y, "y", residual, "residual"),
             want_same_dtype(y, "y", residual, "residual"), want_same_shape(y, "y", gate, "gate"),
             want_same_dtype(y, "y", gate, "gate"));
}

Status want_packed(const Operand& packed, int64_t n, int64_t k, const Operand& w, const char* name) {
  SHAKTI_CHECK(w.dtype == DType::f32 || w.dtype == DType::bf16, dtype, "%s must be f32 or bf16, got %s", name,
               dtype_name(w.dtype));
  const int64_t panels = matmul::panels_of(n), bytes = matmul::PackedLayout(w.dtype, k).panel_bytes();
  SHAKTI_CHECK(packed.dtype == DType::u8 && packed.ndim == 2 && packed.shape[0] == panels && packed.shape[1] == bytes,
               shape, "packed must be u8 [%lld, %lld] for a weight %s[%lld, %lld]", static_cast<long long>(panels),
               static_cast<long long>(bytes), dtype_name(w.dtype), static_cast<long long>(n),
               static_cast<long long>(k));
  SHAKTI_CHECK(reinterpret_cast<uintptr_t>(packed.data) % sizeof(float) == 0, value, "packed must begin on a word");
  return want_contiguous(packed, "packed");
}

}  // namespace

Status check_matmul(const Args& args) {
  const Operand &a = args.in[0], &b = args.in[1], &y = args.out[0];
  SHAKTI_CHECK(a.ndim >= 2 && a.ndim == b.ndim && a.ndim == y.ndim, shape,
               "operands need one number of dimensions, at least 2");
  const int n = a.ndim;
  for (int d = 0; d < n - 2; ++d) {
    SHAKTI_CHECK(a.shape[d] == y.shape[d] && b.shape[d] == y.shape[d], shape, "batch sizes differ at dim %d", d);
  }
  SHAKTI_CHECK(a.shape[n - 1] == b.shape[n - 2], shape, "inner sizes differ: %lld and %lld",
               static_cast<long long>(a.shape[n - 1]), static_cast<long long>(b.shape[n - 2]));
  SHAKTI_CHECK(y.shape[n - 2] == a.shape[n - 2] && y.shape[n - 1] == b.shape[n - 1], shape,
               "y must be [..., rows of a, columns of b]");
  SHAKTI_CHECK(!args.attr_bool(0) || (args.attr(2) == 0 && args.attr(3) == 1 && !args.in[4].present()), value,
               "accumulate takes no activation, scale or gate");
  return all(want_float(a, "a"), want_same_dtype(a, "a", b, "b"), want_output(args, a, "a", args.attr(2)));
}

size_t workspace_matmul(const Args& args) {
  const Operand &a = args.in[0], &y = args.out[0];
  const int64_t m = y.size(-2), n = y.size(-1), k = a.size(-1);
  if (a.dtype == DType::f64) return 0;
  const int64_t sums = matmul::sums_apart(y.dtype, k) ? m * n : 0;
  const int64_t deep = (k + matmul::kTileWords - 1) / matmul::kTileWords * matmul::kTileWords;
  const int64_t packed = matmul::Blocking(n, deep).packed() + sums;
  // Few rows of a are turned into f32 instead.
  const int64_t rows = m <= matmul::kFew ? m * matmul::few_row(k) : 0;
  return static_cast<size_t>(packed > rows ? packed : rows) * sizeof(float);
}

Status check_pack_weight(const Args& args) {
  const Operand& w = args.in[0];
  if (Status s = want_ndim(w, "w", 2); !s) return s;
  return want_packed(args.out[0], w.shape[0], w.shape[1], w, "w");
}

Status check_unpack_weight(const Args& args) {
  const Operand& w = args.out[0];
  if (Status s = all(want_ndim(w, "w", 2), want_contiguous(w, "w")); !s) return s;
  return want_packed(args.in[0], w.shape[0], w.shape[1], w, "w");
}

Status check_packed_linear(const Args& args) {
  const Operand &x = args.in[0], &y = args.out[0];
  if (Status s = all(want_ndim(x, "x", 2), want_ndim(y, "y", 2)); !s) return s;
  SHAKTI_CHECK(x.shape[0] == y.shape[0], shape, "y must have as many rows as x, %lld, has %lld",
               static_cast<long long>(x.shape[0]), static_cast<long long>(y.shape[0]));
  return all(want_packed(args.in[1], y.shape[1], x.shape[1], x, "x"), want_output(args, x, "x", args.attr(0)));
}

size_t workspace_packed_linear(const Args& args) {
  const int64_t m = args.out[0].shape[0], n = args.out[0].shape[1], k = args.in[0].shape[1];
  return m * n == 0 ? 0 : static_cast<size_t>(matmul::packed_rows_words(m, n, k)) * sizeof(float);
}

}  // namespace shakti
