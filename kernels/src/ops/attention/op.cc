#include <initializer_list>

#include "../../runtime/check.h"
#include "split.h"

namespace shakti {
namespace {

Status common(const Args& a, const Operand& q, const Operand& k, const Operand& v, const Operand& mask,
              const Operand& cu_q, const Operand& cu_k) {
  SHAKTI_CHECK(q.ndim == 4 && k.ndim == 4, shape, "q, k and v must be [batch, length, heads, head dim]");
  SHAKTI_CHECK(q.shape[0] == k.shape[0] && q.shape[3] == k.shape[3] && k.shape[2] > 0 && q.shape[2] % k.shape[2] == 0,
               shape, "k must have q's batch and head dim and a divisor of its heads");
  SHAKTI_CHECK(q.shape[3] >= 1 && q.shape[3] <= 512, shape, "the head dim must lie in 1 .. 512");
  for (const Operand* o : {&q, &k, &v}) {
    SHAKTI_CHECK(o->strides[3] == 1 || o->shape[3] == 1, shape, "the last dimension of q, k and v must be contiguous");
  }
  if (mask.present()) {
    SHAKTI_CHECK(mask.ndim == 4 && mask.shape[0] == q.shape[0] && mask.shape[1] == q.shape[2] &&
                     mask.shape[2] == q.shape[1] && mask.shape[3] == k.shape[1],
                 shape, "mask must be [batch, heads, queries, keys]");
    SHAKTI_CHECK(mask.dtype == DType::boolean || mask.dtype == q.dtype || mask.dtype == DType::f32, dtype,
                 "mask must be bool, f32 or %s, got %s", dtype_name(q.dtype), dtype_name(mask.dtype));
    SHAKTI_CHECK((mask.dtype == DType::f32 && q.dtype == DType::f64) == false, dtype,
                 "mask must be bool or f64 with f64");
  }
  SHAKTI_CHECK(cu_q.present() == cu_k.present(), value, "cu_q and cu_k go together");
  if (cu_q.present()) {
    SHAKTI_CHECK(q.shape[0] == 1 && cu_q.ndim == 1 && cu_q.shape[0] >= 2, shape,
                 "packed sequences need batch 1 and at least one sequence");
    if (Status s =
            all(want_same_shape(cu_q, "cu_q", cu_k, "cu_k"), want_dtype(cu_q, "cu_q", DType::i32),
                want_dtype(cu_k, "cu_k", DType::i32), want_contiguous(cu_q, "cu_q"), want_contiguous(cu_k, "cu_k"));
        !s) {
      return s;
    }
  }
  SHAKTI_CHECK(a.attr_int(2) >= 0, value, "window must be an integer from 0");
  return all(want_float(q, "q"), want_same_shape(k, "k", v, "v"));
}

Status want_dtype_of(const Operand& q, const Operand& k, const Operand& v) {
  return all(want_same_dtype(q, "q", k, "k"), want_same_dtype(q, "q", v, "v"));
}

// Keys and values in bytes, a scale for each position and head.
Status want_bytes(const Args& a) {
  const Operand &q = a.in[0], &k = a.in[1], &v = a.in[2];
  SHAKTI_CHECK(a.in[6].present() && a.in[7].present(), value, "k_scale and v_scale go together");
  SHAKTI_CHECK(q.dtype != DType::f64, dtype, "keys in bytes go with f32, bf16 or f16 queries, got f64");
  for (int i = 6; i < 8; ++i) {
    const Operand& scale = a.in[i];
    bool ok = scale.ndim == 4 && scale.shape[3] == 1;
    for (int d = 0; d < 3; ++d) ok = ok && scale.shape[d] == k.shape[d];
    SHAKTI_CHECK(ok, shape, "%s must be [batch, keys, heads of keys, 1]", i == 6 ? "k_scale" : "v_scale");
  }
  return all(want_dtype(k, "k", DType::u8), want_dtype(v, "v", DType::u8), want_dtype(a.in[6], "k_scale", DType::f32),
             want_dtype(a.in[7], "v_scale", DType::f32));
}

Status want_lse(const Operand& lse, const Operand& q) {
  SHAKTI_CHECK(lse.ndim == 3 && lse.shape[0] == q.shape[0] && lse.shape[1] == q.shape[2] && lse.shape[2] == q.shape[1],
               shape, "lse must be [batch, heads, queries]");
  return all(want_dtype(lse, "lse", statistics_of(q.dtype)), want_contiguous(lse, "lse"));
}

Status want_like(const Operand& o, const char* name, const Operand& x) {
  return all(want_same_shape(x, "its operand", o, name), want_same_dtype(x, "its operand", o, name),
             want_contiguous(o, name));
}

// The head dim in whole vectors, whatever the instruction set.
int64_t padded(const Operand& q) { return (q.shape[3] + 15) / 16 * 16; }

}  // namespace

Status check_attention(const Args& a) {
  const Operand& q = a.in[0];
  if (Status s = common(a, q, a.in[1], a.in[2], a.in[3], a.in[4], a.in[5]); !s) return s;
  const bool bytes = a.in[6].present() || a.in[7].present();
  if (Status s = bytes ? want_bytes(a) : want_dtype_of(q, a.in[1], a.in[2]); !s) return s;
  return all(want_like(a.out[0], "y", q), want_lse(a.out[1], q));
}

// f64: a row of scores, which would not fit a thread's scratch memory for long sequences.
size_t workspace_attention(const Args& a) {
  const Operand &q = a.in[0], &k = a.in[1];
  if (q.dtype == DType::f64) return static_cast<size_t>(k.shape[1]) * 16 + 64;
  const attention::Forward cut(k.shape[0] * k.shape[2], q.shape[1] * (q.shape[2] / k.shape[2]), k.shape[1]);
  const int64_t dp = padded(q);
  return static_cast<size_t>(a.in[5].present() ? cut.most_floats(dp) : cut.floats(dp)) * sizeof(float);
}

Status check_attention_backward(const Args& a) {
  const Operand &g = a.in[0], &q = a.in[1], &y = a.in[4];
  if (Status s = common(a, q, a.in[2], a.in[3], a.in[6], a.in[7], a.in[8]); !s) return s;
  return all(want_dtype_of(q, a.in[2], a.in[3]), want_same_shape(g, "g", q, "q"), want_same_dtype(g, "g", q, "q"),
             want_same_shape(y, "y", q, "q"), want_same_dtype(y, "y", q, "q"), want_lse(a.in[5], q),
             want_like(a.out[0], "dq", q), want_like(a.out[1], "dk", a.in[2]), want_like(a.out[2], "dv", a.in[3]));
}

size_t workspace_attention_backward(const Args& a) {
  const Operand &q = a.in[1], &k = a.in[2];
  if (q.dtype == DType::f64) return static_cast<size_t>(k.shape[1]) * 16 + 64;
  const attention::Backward cut(q.shape[0] * q.shape[2], q.shape[2] / k.shape[2], q.shape[1], k.shape[1], q.shape[3]);
  return static_cast<size_t>(cut.floats(padded(q))) * sizeof(float);
}

}  // namespace shakti
