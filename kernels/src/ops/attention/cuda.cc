#include "cuda.h"

#include "../../cuda/host.h"
#include "../../runtime/check.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "attention";
constexpr int64_t kBlockThreads = 128;

Rows4 rows(const Operand& o) { return {o.data, o.strides[0], o.strides[1], o.strides[2], o.strides[3]}; }

// The tiles of cuda.cu.
struct Tiles {
  int64_t d, rows;
  explicit Tiles(const Operand& q) {
    const int64_t dim = q.shape[3];
    const bool wide = q.dtype == DType::f64;
    d = dim <= 64 ? 64 : dim <= 128 ? 128 : dim <= 256 ? 256 : 512;
    rows = wide ? (d <= 128 ? 16 : 8) : d <= 128 ? 32 : d == 256 ? 16 : 8;
  }
  size_t bytes(const Operand& q, int64_t tiles, int64_t squares) const {
    return static_cast<size_t>(tiles * rows * (d + 1) + squares * rows * (rows + 1)) * dtype_size(statistics_of(q.dtype));
  }
  KernelName name(const char* kernel, DType t) const {
    char text[40];
    std::snprintf(text, sizeof text, "%s_%d", kernel, static_cast<int>(d));
    return {text, t};
  }
};

// False: it has told the stream.
bool start(const Args& a, Launch& launch, const Operand& q, const Operand& k, const Operand& v, const Operand& mask,
           const Operand& cu_q, const Operand& cu_k, Attention* p) {
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
  if (cu_q.present()) {
    p->cu_q = cu_q.ptr<int32_t>();
    p->cu_k = cu_k.ptr<int32_t>();
    p->sequences = static_cast<int>(cu_q.shape[0] - 1);
    launch.kernel(kFamily, "attention_borders", 1, kThreads, *p);
  }
  return true;
}

}  // namespace

void run_attention(const Args& a, Launch& launch) {
  const Operand& q = a.in[0];
  Attention p{};
  if (!start(a, launch, q, a.in[1], a.in[2], a.in[3], a.in[4], a.in[5], &p)) return;
  p.y = rows(a.out[0]);
  p.lse = a.out[1].data;
  const Tiles t(q);
  launch.kernel(kFamily, t.name("attention", q.dtype), Dim(blocks_of(p.lq, t.rows), p.h, p.b), kBlockThreads, p, t.bytes(q, 2, 1));
}

size_t workspace_attention_backward(const Args& a) {
  const Operand& lse = a.in[5];
  return static_cast<size_t>(lse.numel()) * dtype_size(lse.dtype);
}

void run_attention_backward(const Args& a, Launch& launch) {
  const Operand& q = a.in[1];
  Attention p{};
  if (!start(a, launch, q, a.in[2], a.in[3], a.in[6], a.in[7], a.in[8], &p)) return;
  p.g = rows(a.in[0]);
  p.y = rows(a.in[4]);
  p.lse = a.in[5].data;
  p.delta = a.workspace;
  p.dq = rows(a.out[0]);
  p.dk = rows(a.out[1]);
  p.dv = rows(a.out[2]);
  const Tiles t(q);
  launch.kernel(kFamily, KernelName("attention_delta", q.dtype), grid_for(launch, p.b * p.h * p.lq * 32), kThreads, p);
  launch.kernel(kFamily, t.name("attention_backward_q", q.dtype), Dim(blocks_of(p.lq, t.rows), p.h, p.b), kBlockThreads, p,
                t.bytes(q, 4, 1));
  launch.kernel(kFamily, t.name("attention_backward_kv", q.dtype), Dim(blocks_of(p.lk, t.rows), p.hk, p.b), kBlockThreads, p,
                t.bytes(q, 4, 2));
}

}  // namespace shakti::cuda
