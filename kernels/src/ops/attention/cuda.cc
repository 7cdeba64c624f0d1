#include "cuda.h"

#include <initializer_list>

#include "../../cuda/host.h"
#include "../../runtime/check.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "attention";
constexpr int64_t kBlockThreads = 128;

Rows4 rows(const Operand& o) { return {o.data, o.strides[0], o.strides[1], o.strides[2], o.strides[3]}; }

// 16 bytes at a time along the head dim.
bool packed(const Operand& o) {
  const auto n = static_cast<int64_t>(16 / dtype_size(o.dtype));
  bool ok = aligned16(o.data) && (o.strides[3] == 1 || o.shape[3] == 1) && o.shape[3] % n == 0;
  for (int d = 0; d < 3; ++d) ok = ok && (o.shape[d] == 1 || o.strides[d] % n == 0);
  return ok;
}

// Which kernels: on tensor cores in tiles of 64 rows where operands allow it, else those of cuda.cu.
struct Kernels {
  bool tensor;
  int64_t d, rows;

  Kernels(const Operand& q, std::initializer_list<const Operand*> operands, bool tensor_allowed = true) {
    const int64_t dim = q.shape[3];
    tensor = tensor_allowed && dtype_size(q.dtype) == 2 && dim <= 128 && dim > 32;
    for (const Operand* o : operands) tensor = tensor && packed(*o);
    if (tensor) {
      d = dim <= 64 ? 64 : dim <= 80 ? 80 : dim <= 96 ? 96 : 128;
      rows = 64;
      return;
    }
    const bool wide = q.dtype == DType::f64;
    d = dim <= 64 ? 64 : dim <= 128 ? 128 : dim <= 256 ? 256 : 512;
    rows = wide ? (d <= 128 ? 16 : 8) : d <= 128 ? 32 : d == 256 ? 16 : 8;
  }
  // Shared memory of so many tiles of rows, and squares of rows by rows where tensor cores do not need them.
  size_t bytes(const Operand& q, int64_t tiles, int64_t squares) const {
    if (tensor) return static_cast<size_t>(tiles * rows * (d / 8 + (d / 8 % 2 == 0)) * 16);
    return static_cast<size_t>(tiles * rows * (d + 1) + squares * rows * (rows + 1)) *
           dtype_size(statistics_of(q.dtype));
  }
  KernelName name(const char* kernel, DType t) const {
    char text[48];
    std::snprintf(text, sizeof text, "attention%s%s_%d", tensor ? "_tensor" : "", kernel, static_cast<int>(d));
    return {text, t};
  }
};

constexpr int64_t kFewQueries = 16;

bool in_bytes(const Args& a) { return a.in[6].present(); }

// Few queries: keys are split among blocks. Depends on shapes and strides alone, and so do the sums.
struct KeySplit {
  int64_t parts = 0, blocks = 0;  // 0: not for these; blocks: of rows of all heads of keys of an example
  int64_t rows, bytes;            // of a block; of its shared memory

  KeySplit(const Args& a, const Kernels& kernels) {
    constexpr int64_t kEnough = 512, kFewestKeys = 128;
    const Operand &q = a.in[0], &k = a.in[1];
    const int64_t b = q.shape[0], lq = q.shape[1], lk = k.shape[1], hk = k.shape[2], d = q.shape[3];
    const bool plain = q.dtype == DType::f32 && !in_bytes(a) && d <= 256 && packed(q) && packed(k) && packed(a.in[2]) &&
                       packed(a.out[0]);
    if (lq > kFewQueries || b * lq * lk == 0 || !(kernels.tensor || plain)) return;
    rows = plain ? 8 : 16;
    const int64_t tile = 64 * (kernels.d / 8 + 1) * 16, line = (d / 4 | 1) * 16;
    bytes = plain ? (32 + 32 + rows) * line : 2 * tile + tile / 4;
    blocks = hk * blocks_of(lq * (q.shape[2] / hk), rows);
    const int64_t window = a.attr_int(2), seen = a.attr_bool(1) && window > 0 ? std::min(lk, window + lq - 1) : lk;
    parts = std::clamp<int64_t>(kEnough / (b * blocks), 1, blocks_of(seen, kFewestKeys));
  }
};

// False: it has told the stream.
bool start(const Args& a, Launch& launch, const Operand& q, const Operand& k, const Operand& v, const Operand& mask,
           const Operand& cu_q, const Operand& cu_k, bool room, Attention* p) {
  if (q.dtype == DType::f64 && q.shape[3] > 256) {
    launch.fail("head dims above 256 are not there in f64 on a GPU, got %lld", static_cast<long long>(q.shape[3]));
    return false;
  }
  p->q = rows(q);
  p->k = rows(k);
  p->v = rows(v);
  if (mask.present()) {
    p->mask = mask.data;
    std::copy(mask.strides, mask.strides + 4, p->mask_strides);
    p->mask_kind = mask.dtype == DType::boolean ? 1 : mask.dtype == q.dtype ? 2 : 3;
  }
  p->b = q.shape[0];
  p->lq = q.shape[1];
  p->lk = k.shape[1];
  p->h = q.shape[2];
  p->hk = k.shape[2];
  p->d = q.shape[3];
  p->scale = a.attr(0);
  p->causal = a.attr_bool(1);
  p->window = a.attr_int(2);
  p->reporter = launch.reporter();
  p->room = room;
  if (cu_q.present()) {
    p->cu_q = cu_q.ptr<int32_t>();
    p->cu_k = cu_k.ptr<int32_t>();
    p->sequences = static_cast<int>(cu_q.shape[0] - 1);
    launch.kernel(kFamily, "attention_borders", 1, kThreads, *p);
  }
  return true;
}

// Tensor cores take bytes for few queries alone.
Kernels forward_kernels(const Args& a) {
  const bool tensor_allowed = !in_bytes(a) || a.in[0].shape[1] <= kFewQueries;
  return Kernels(a.in[0], {&a.in[0], &a.in[1], &a.in[2], &a.out[0]}, tensor_allowed);
}

}  // namespace

size_t workspace_attention(const Args& a) {
  const Operand& q = a.in[0];
  const KeySplit split(a, forward_kernels(a));
  if (split.parts <= 1) return 0;
  return static_cast<size_t>(q.shape[0] * q.shape[1] * q.shape[2] * split.parts * (q.shape[3] + 2)) * sizeof(float);
}

void run_attention(const Args& a, Launch& launch) {
  const Operand& q = a.in[0];
  Attention p{};
  if (!start(a, launch, q, a.in[1], a.in[2], a.in[3], a.in[4], a.in[5], true, &p)) return;
  p.y = rows(a.out[0]);
  p.lse = a.out[1].data;
  if (in_bytes(a)) {
    p.k_scale = rows(a.in[6]);
    p.v_scale = rows(a.in[7]);
  }
  const Kernels kernels = forward_kernels(a);
  const KeySplit split(a, kernels);
  if (split.parts > 0) {
    p.parts = split.parts;
    p.partial = static_cast<float*>(a.workspace);
    launch.kernel(kFamily,
                  kernels.tensor ? kernels.name(in_bytes(a) ? "_split_bytes" : "_split", q.dtype)
                                 : KernelName("attention_split", q.dtype),
                  Dim(split.parts, split.blocks, p.b), kBlockThreads, p, static_cast<size_t>(split.bytes));
    if (split.parts > 1)
      launch.kernel(kFamily, KernelName("attention_join_parts", q.dtype),
                    blocks_of(p.b * p.h * p.lq, kBlockThreads / 32), kBlockThreads, p);
    return;
  }
  launch.kernel(kFamily, kernels.name("", q.dtype), Dim(blocks_of(p.lq, kernels.rows), p.h, p.b), kBlockThreads, p,
                kernels.bytes(q, kernels.tensor ? 3 : 2, 1));
}

size_t workspace_attention_backward(const Args& a) {
  const Operand& lse = a.in[5];
  return static_cast<size_t>(lse.numel()) * dtype_size(lse.dtype);
}

void run_attention_backward(const Args& a, Launch& launch) {
  const Operand& q = a.in[1];
  Attention p{};
  if (!start(a, launch, q, a.in[2], a.in[3], a.in[6], a.in[7], a.in[8], false, &p)) return;
  p.g = rows(a.in[0]);
  p.y = rows(a.in[4]);
  p.lse = a.in[5].data;
  p.delta = a.workspace;
  p.dq = rows(a.out[0]);
  p.dk = rows(a.out[1]);
  p.dv = rows(a.out[2]);
  const Kernels kernels(q, {&a.in[0], &q, &a.in[2], &a.in[3], &a.in[4], &a.out[0], &a.out[1], &a.out[2]});
  launch.kernel(kFamily, KernelName(kernels.tensor ? "attention_tensor_delta" : "attention_delta", q.dtype),
                Dim(blocks_of(p.lq, kBlockThreads / (kernels.tensor ? 16 : 32)), p.h, p.b), kBlockThreads, p);
  launch.kernel(kFamily, kernels.name("_backward_q", q.dtype), Dim(blocks_of(p.lq, kernels.rows), p.h, p.b),
                kBlockThreads, p, kernels.bytes(q, 4, 1));
  launch.kernel(kFamily, kernels.name("_backward_kv", q.dtype), Dim(blocks_of(p.lk, kernels.rows), p.hk, p.b),
                kBlockThreads, p, kernels.bytes(q, 4, 2));
}

}  // namespace shakti::cuda
