#include "cuda.h"

#include "../../cuda/host.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "matmul";
constexpr int64_t kFewRows = 8;
constexpr int64_t kDepthOfTile = 32, kStages = 3;  // tensor_product.cuh
constexpr int64_t kEnough = 128;                   // blocks that make cutting the depth needless

Matrix matrix(const Operand& o) { return {o.data, o.stride(-2), o.stride(-1)}; }

// Whether 16 bytes can be read along the contiguous dimension from every line of every matrix.
bool packed(const Operand& o, int64_t line_stride) {
  const auto n = static_cast<int64_t>(16 / dtype_size(o.dtype));
  bool ok = aligned16(o.data) && line_stride % n == 0;
  for (int d = 0; d < o.ndim - 2; ++d) ok = ok && (o.shape[d] == 1 || o.strides[d] % n == 0);
  return ok;
}

struct Plan {
  enum class Way { tiled, few_rows, large, small } way;
  int64_t pieces = 1, piece = 0;
  bool a_by_rows, b_by_rows;

  // Depends on shapes and strides alone.
  explicit Plan(const Args& args) {
    const Operand &a = args.in[0], &b = args.in[1];
    const int64_t m = a.size(-2), k = a.size(-1), n = b.size(-1), batches = m * n > 0 ? args.out[0].numel() / (m * n) : 0;
    const auto rows = [](const Operand& o) { return o.stride(-1) == 1 || o.size(-1) == 1; };
    const auto columns = [](const Operand& o) { return o.stride(-2) == 1 || o.size(-2) == 1; };
    a_by_rows = rows(a) || !columns(a);
    b_by_rows = rows(b) || !columns(b);
    const bool in_order = (rows(a) || columns(a)) && (rows(b) || columns(b)) &&
                          packed(a, a.stride(a_by_rows ? -2 : -1)) && packed(b, b.stride(b_by_rows ? -2 : -1));
    const auto pack = static_cast<int64_t>(16 / dtype_size(a.dtype));
    int64_t blocks;
    if (a.dtype != DType::f64 && m <= kFewRows && in_order && rows(a) && columns(b) && k % pack == 0) {
      way = Way::few_rows;
      b_by_rows = false;
      blocks = blocks_of(n, kThreads / 32) * batches;
    } else if (dtype_size(a.dtype) == 2 && in_order) {
      const int64_t large = blocks_of(m, 128) * blocks_of(n, 128) * batches;
      way = large >= kEnough ? Way::large : Way::small;
      blocks = way == Way::large ? large : blocks_of(m, 64) * blocks_of(n, 64) * batches;
    } else {
      way = Way::tiled;
      blocks = blocks_of(m, 64) * blocks_of(n, 64) * batches;
    }
    piece = k;
    if (a.dtype == DType::f64 || k == 0 || blocks == 0 || blocks >= kEnough) return;
    constexpr int64_t kShortest = 256;
    pieces = std::max<int64_t>(1, std::min(kEnough / blocks, k / kShortest));
    piece = blocks_of(blocks_of(k, pieces), kShortest) * kShortest;
    pieces = std::max<int64_t>(1, blocks_of(k, piece));
  }
};

}  // namespace

size_t workspace_matmul(const Args& args) {
  const Plan plan(args);
  return plan.pieces > 1 ? static_cast<size_t>(plan.pieces * args.out[0].numel()) * sizeof(float) : 0;
}

void run_matmul(const Args& args, Launch& launch) {
  const Operand &a = args.in[0], &b = args.in[1], &bias = args.in[2], &residual = args.in[3], &y = args.out[0];
  const Plan plan(args);
  Product p{};
  p.a = matrix(a);
  p.b = matrix(b);
  p.y = y.data;
  p.m = a.size(-2);
  p.n = b.size(-1);
  p.k = a.size(-1);
  Operand of[3] = {a, b, residual.present() ? residual : y};
  for (Operand& o : of) {
    o.ndim = y.ndim - 2;
    if (&o == &of[2] && !residual.present()) std::fill(o.strides, o.strides + kMaxDims, 0);
  }
  p.batch = walk({&of[0], &of[1], &of[2]});
  p.batches = p.batch.numel;
  if (residual.present()) p.residual = matrix(residual);
  p.bias = bias.data;
  p.bias_stride = bias.strides[0];
  p.accumulate = args.attr_bool(0);
  p.activation = static_cast<matmul::Activation>(args.attr_int(2));
  p.scale = args.attr(3);
  p.pieces = plan.pieces;
  p.piece = plan.piece;
  p.partial = static_cast<float*>(args.workspace);
  p.a_by_rows = plan.a_by_rows;
  p.b_by_rows = plan.b_by_rows;

  char name[48];
  switch (plan.way) {
    case Plan::Way::few_rows:
      launch.kernel(kFamily, KernelName("few_rows", a.dtype, y.dtype), Dim(blocks_of(p.n, kThreads / 32), 1, p.batches * p.pieces),
                    kThreads, p);
      break;
    case Plan::Way::tiled:
      launch.kernel(kFamily, KernelName("tiled", a.dtype, y.dtype),
                    Dim(blocks_of(p.n, 64), blocks_of(p.m, 64), p.batches * p.pieces), kThreads, p);
      break;
    default: {
      const int64_t size = plan.way == Plan::Way::large ? 128 : 64;
      std::snprintf(name, sizeof name, "tensor_%s_%c%c", size == 128 ? "large" : "small", plan.a_by_rows ? 'n' : 't',
                    plan.b_by_rows ? 'n' : 't');
      launch.kernel(kFamily, KernelName(name, a.dtype, y.dtype),
                    Dim(blocks_of(p.n, size), blocks_of(p.m, size), p.batches * p.pieces), size == 128 ? 256 : 128, p,
                    static_cast<size_t>(kStages * 2 * size * kDepthOfTile * 2));
    }
  }
  if (p.pieces > 1)
    launch.kernel(kFamily, KernelName("add_pieces", a.dtype, y.dtype), grid_for(launch, p.batches * p.m * p.n), kThreads, p);
}

}  // namespace shakti::cuda
