#include "cuda.h"

#include "../../cuda/host_rows.h"
#include "../../runtime/check.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "reduce";
constexpr int64_t kEnough = 512;     // tasks of a block each that fill a GPU
constexpr int64_t kShortest = 2048;  // folded places that are worth a piece of their own

// How an op folds: a thread or a block for a piece of an output, and how many pieces. It depends on shapes alone.
struct Plan {
  int64_t outputs, folded, pieces, piece;
  bool threads, packed;
  Walk<1> kept_dims, folded_dims;

  Plan(const Operand& x, const Operand& y) {
    Operand kept = x, fold = x;
    for (int d = 0; d < x.ndim; ++d) (y.shape[d] == 1 && x.shape[d] != 1 ? kept : fold).shape[d] = 1;
    kept_dims = walk({&kept});
    folded_dims = walk({&fold});
    outputs = kept_dims.numel;
    folded = folded_dims.numel;
    const bool side_by_side = kept_dims.ndim > 0 && kept_dims.strides[0][0] == 1;
    const bool in_order = folded_dims.ndim > 0 && folded_dims.strides[0][0] == 1;
    threads = folded <= 32 || (side_by_side && !in_order && kept_dims.shape[0] >= 32);
    const int64_t tasks = threads ? blocks_of(outputs, kThreads) : outputs;
    const int64_t shortest = threads ? 64 : kShortest;
    pieces = tasks >= kEnough || outputs == 0 ? 1 : std::min(blocks_of(kEnough, tasks), blocks_of(folded, shortest));
    piece = pieces > 0 ? blocks_of(folded, pieces) : 0;
    if (!threads && pieces > 1) piece = blocks_of(piece, 16) * 16;  // whole 16 bytes of any dtype
    pieces = piece > 0 ? blocks_of(folded, piece) : 0;
    const auto pack = static_cast<int64_t>(16 / dtype_size(x.dtype));
    packed = dense(folded_dims, 0) && aligned16(x.data);
    for (int d = 0; d < kept_dims.ndim; ++d) packed = packed && kept_dims.strides[0][d] % pack == 0;
  }
};

DType computed_in(DType t) { return t == DType::f64 ? DType::f64 : dtype_is_float(t) ? DType::f32 : DType::i64; }

void fold(const Args& a, Launch& launch, const char* op) {
  const Operand &x = a.in[0], &y = a.out[0];
  const Plan plan(x, y);
  const Fold p{x.data,     a.workspace, plan.outputs,   plan.folded,     plan.pieces,
               plan.piece, plan.packed, plan.kept_dims, plan.folded_dims};
  char name[32];
  const int64_t tasks = plan.outputs * plan.pieces;
  if (plan.threads) {
    std::snprintf(name, sizeof name, "%s_threads", op);
    launch.kernel(kFamily, KernelName(name, x.dtype), grid_for(launch, tasks), kThreads, p);
  } else {
    std::snprintf(name, sizeof name, "%s_blocks", op);
    // Four places for a thread, or two times 16 bytes.
    const int64_t each = plan.packed ? 32 / static_cast<int64_t>(dtype_size(x.dtype)) : 4;
    const int64_t threads = std::min(kThreads, blocks_of(plan.piece, 32 * each) * 32);
    launch.kernel(kFamily, KernelName(name, x.dtype), std::min<int64_t>(tasks, 0x7fffffff), threads, p);
  }
  const Finish q{a.workspace, y.data, plan.outputs, plan.pieces, launch.reporter()};
  std::snprintf(name, sizeof name, "%s_finish", op);
  launch.kernel(kFamily, KernelName(name, computed_in(x.dtype), y.dtype), grid_for(launch, q.outputs), kThreads, q);
}

size_t partials(const Args& a) {
  const Plan plan(a.in[0], a.out[0]);
  return static_cast<size_t>(plan.outputs * plan.pieces) * dtype_size(computed_in(a.in[0].dtype));
}

void find(const Args& a, Launch& launch, const char* name) {
  const Operand& x = a.in[0];
  const Find p{x.data, a.out[0].data, a.out[1].ptr<int32_t>(), x.size(-1), row_form(x), row_walk({&x})};
  launch.kernel(kFamily, KernelName(name, x.dtype), p.rows.numel, std::min(kThreads, blocks_of(p.n, 32) * 32), p);
}

}  // namespace

void run_sum(const Args& a, Launch& launch) { fold(a, launch, "sum"); }
void run_prod(const Args& a, Launch& launch) { fold(a, launch, "prod"); }
void run_amax(const Args& a, Launch& launch) { fold(a, launch, "amax"); }
void run_amin(const Args& a, Launch& launch) { fold(a, launch, "amin"); }
size_t workspace_sum(const Args& a) { return partials(a); }
size_t workspace_prod(const Args& a) { return partials(a); }
size_t workspace_amax(const Args& a) { return partials(a); }
size_t workspace_amin(const Args& a) { return partials(a); }

void run_max_index(const Args& a, Launch& launch) { find(a, launch, "max_index"); }
void run_min_index(const Args& a, Launch& launch) { find(a, launch, "min_index"); }

void run_cumsum(const Args& a, Launch& launch) {
  const Operand& x = a.in[0];
  const CumulativeSum p{x.data,      a.out[0].data,  x.size(-1),       a.attr_bool(0),
                        row_form(x), row_walk({&x}), launch.reporter()};
  launch.kernel(kFamily, KernelName("cumsum", x.dtype), p.rows.numel, std::min(kThreads, blocks_of(p.n, 32) * 32), p);
}

}  // namespace shakti::cuda
