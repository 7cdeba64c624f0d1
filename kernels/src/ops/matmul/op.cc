#include "../../runtime/check.h"
#include "../../runtime/limits.h"
#include "activation.h"
#include "blocking.h"

namespace shakti {

int64_t matmul::packed_words() {
  static const int64_t words = [] {
    constexpr int64_t kLeast = kDepth * kColumns;
    const auto quarter = static_cast<int64_t>(last_cache_bytes() / 4 / sizeof(float));
    return quarter < kLeast ? kLeast : quarter > 2 * kLeast ? 2 * kLeast : quarter;
  }();
  return words;
}

Status check_matmul(const Args& args) {
  const Operand &a = args.in[0], &b = args.in[1], &bias = args.in[2], &residual = args.in[3], &gate = args.in[4],
                &y = args.out[0];
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
  SHAKTI_CHECK(y.dtype == a.dtype || (y.dtype == DType::f32 && dtype_size(a.dtype) == 2), dtype,
               "y must be %s, or f32 where a has 16 bits, got %s", dtype_name(a.dtype), dtype_name(y.dtype));
  const double activation = args.attr(2);
  SHAKTI_CHECK(activation >= 0 && activation <= static_cast<double>(matmul::Activation::silu), value,
               "activation must be 0 to 3, got %g", activation);
  SHAKTI_CHECK(!args.attr_bool(0) || (activation == 0 && args.attr(3) == 1 && !gate.present()), value,
               "accumulate takes no activation, scale or gate");
  return all(want_float(a, "a"), want_same_dtype(a, "a", b, "b"), want_same_dtype(a, "a", bias, "bias"),
             want_contiguous(y, "y"), want_vector(bias, "bias", y.shape[n - 1]),
             want_same_shape(y, "y", residual, "residual"), want_same_dtype(y, "y", residual, "residual"),
             want_same_shape(y, "y", gate, "gate"), want_same_dtype(y, "y", gate, "gate"));
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

}  // namespace shakti
