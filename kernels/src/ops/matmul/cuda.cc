#include "cuda.h"

#include "../../cuda/host.h"
#include "packed_weight.h"
#include "warpgroup_tile.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "matmul";
constexpr int64_t kFewRows = 8;
constexpr int64_t kStages = 3, kLineOfTile = 64;  // tensor_product.cuh; bytes of the depth
constexpr int64_t kEnough = 128;                  // blocks that make cutting the depth needless

Matrix matrix(const Operand& o) { return {o.data, o.stride(-2), o.stride(-1)}; }

// Whether 16 bytes can be read along the contiguous dimension from every line of every matrix.
bool packed(const Operand& o, int64_t line_stride) {
  const auto n = static_cast<int64_t>(16 / dtype_size(o.dtype));
  bool ok = aligned16(o.data) && line_stride % n == 0;
  for (int d = 0; d < o.ndim - 2; ++d) ok = ok && (o.shape[d] == 1 || o.strides[d] % n == 0);
  return ok;
}

// Whether 16 bytes of y are as many elements of it that lie side by side, and so aligned.
bool in_runs(const Operand& o, DType y) {
  const auto n = static_cast<int64_t>(16 / dtype_size(y));
  bool ok = !o.present() || (o.stride(-1) == 1 && aligned16(o.data));
  for (int d = 0; ok && o.present() && d < o.ndim - 1; ++d) ok = o.shape[d] == 1 || o.strides[d] % n == 0;
  return ok;
}

struct Plan {
  enum class Way { tiled, few_rows, large, small } way;
  int64_t pieces = 1, piece = 0;
  bool a_by_rows, b_by_rows;
  bool in_order;  // 16 bytes of either operand can be read at once

  // Depends on shapes and strides alone.
  explicit Plan(const Args& args) {
    const Operand &a = args.in[0], &b = args.in[1];
    const int64_t m = a.size(-2), k = a.size(-1), n = b.size(-1),
                  batches = m * n > 0 ? args.out[0].numel() / (m * n) : 0;
    const auto rows = [](const Operand& o) { return o.stride(-1) == 1 || o.size(-1) == 1; };
    const auto columns = [](const Operand& o) { return o.stride(-2) == 1 || o.size(-2) == 1; };
    a_by_rows = rows(a) || !columns(a);
    b_by_rows = rows(b) || !columns(b);
    in_order = (rows(a) || columns(a)) && (rows(b) || columns(b)) && packed(a, a.stride(a_by_rows ? -2 : -1)) &&
               packed(b, b.stride(b_by_rows ? -2 : -1));
    const auto pack = static_cast<int64_t>(16 / dtype_size(a.dtype));
    int64_t blocks;
    if (a.dtype != DType::f64 && m <= kFewRows && in_order && rows(a) && columns(b) && k % pack == 0) {
      way = Way::few_rows;
      b_by_rows = false;
      blocks = blocks_of(n, kThreads / 32) * batches;
    } else if ((dtype_size(a.dtype) == 2 || (a.dtype == DType::f32 && args.attr_bool(4))) && in_order) {
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

// Everything but how the product is cut. activation and scale stand where the op has them.
static Product product_of(const Args& args, const Operand& a, const Operand& b, double activation, double scale) {
  const Operand &bias = args.in[2], &residual = args.in[3], &gate = args.in[4], &y = args.out[0];
  Product p{};
  p.a = matrix(a);
  p.b = matrix(b);
  p.y = y.data;
  p.m = a.size(-2);
  p.n = y.size(-1);
  p.k = a.size(-1);
  Operand of[4] = {a, b, residual.present() ? residual : y, gate.present() ? gate : y};
  for (Operand& o : of) {
    o.ndim = y.ndim - 2;
    const bool absent = (&o == &of[2] && !residual.present()) || (&o == &of[3] && !gate.present());
    if (absent) std::fill(o.strides, o.strides + kMaxDims, 0);
  }
  p.batch = walk({&of[0], &of[1], &of[2], &of[3]});
  p.batches = p.batch.numel;
  if (residual.present()) p.residual = matrix(residual);
  if (gate.present()) p.gate = matrix(gate);
  p.bias = bias.data;
  p.bias_stride = bias.strides[0];
  p.activation = static_cast<matmul::Activation>(static_cast<int>(activation));
  p.scale = scale;
  p.runs = p.n % static_cast<int64_t>(16 / dtype_size(y.dtype)) == 0;
  for (const Operand* o : {&y, &bias, &residual, &gate}) p.runs = p.runs && in_runs(*o, y.dtype);
  p.pieces = 1;
  p.piece = p.k;
  return p;
}

// One block for rows x columns of each matrix of y, and of each piece of the depth.
static Dim grid_of(Product* p, int64_t rows, int64_t columns) {
  p->blocks_m = blocks_of(p->m, rows);
  p->blocks_n = blocks_of(p->n, columns);
  return p->blocks_m * p->blocks_n * p->batches * p->pieces;
}

// Compute capability 9.0, operands that TMA can fetch, and enough tiles, well filled, to keep it busy.
static bool for_warpgroups(const Plan& plan, const Product& p, DType dtype, const Launch& launch) {
  const DeviceProperties& gpu = launch.gpu();
  if (gpu.major != 9 || gpu.minor != 0 || dtype_size(dtype) != 2 || !plan.in_order || plan.way != Plan::Way::large)
    return false;
  const int64_t tiles = blocks_of(p.m, kWarpgroupM) * blocks_of(p.n, kWarpgroupN) * p.batches;
  constexpr int64_t kMost = int64_t{1} << 31;
  return plan.pieces == 1 && p.k > 0 && p.batch.ndim <= 1 && tiles >= kEnough && tiles < kMost && p.m < kMost &&
         p.n < kMost && p.k < kMost && p.m * p.n * p.batches >= tiles * kWarpgroupM * kWarpgroupN / 4 * 3;
}

static void run_on_warpgroups(const Product& product, const Operand& a, const Operand& y, Launch& launch) {
  WarpgroupProduct w{};
  Product& p = w.product = product;
  w.tiles = static_cast<int>(grid_of(&p, kWarpgroupM, kWarpgroupN).x);
  const auto matrices = [&](int of, const Matrix& m, int64_t rows, int64_t columns, bool by_rows, int64_t tile_rows,
                            int64_t tile_columns) {
    // The batch of one operand may step on, or stand still.
    const int64_t step = p.batch.ndim == 1 ? p.batch.strides[of][0] : 0;
    TiledMatrices t{m.data,
                    by_rows ? columns : rows,
                    by_rows ? rows : columns,
                    step != 0 ? p.batches : 1,
                    by_rows ? m.row : m.column,
                    step,
                    64,
                    static_cast<int>(by_rows ? tile_rows : tile_columns)};
    return t;
  };
  const TiledMatrices of_a = matrices(0, p.a, p.m, p.k, p.a_by_rows, kWarpgroupM, kWarpgroupDepth);
  const TiledMatrices of_b = matrices(1, p.b, p.k, p.n, p.b_by_rows, kWarpgroupDepth, kWarpgroupN);
  w.a_batched = of_a.matrices > 1;
  w.b_batched = of_b.matrices > 1;
  if (!launch.tensor_map(a.dtype, of_a, &w.a) || !launch.tensor_map(a.dtype, of_b, &w.b)) return;
  char name[32];
  std::snprintf(name, sizeof name, "warpgroup_%c%c", p.a_by_rows ? 'n' : 't', p.b_by_rows ? 'n' : 't');
  launch.kernel(kFamily, KernelName(name, a.dtype, y.dtype), std::min<int64_t>(w.tiles, launch.gpu().multiprocessors),
                kWarpgroupThreads, w, kWarpgroupShared);
}

size_t workspace_matmul(const Args& args) {
  const Plan plan(args);
  return plan.pieces > 1 ? static_cast<size_t>(plan.pieces * args.out[0].numel()) * sizeof(float) : 0;
}

void run_matmul(const Args& args, Launch& launch) {
  const Operand &a = args.in[0], &b = args.in[1], &y = args.out[0];
  const Plan plan(args);
  Product p = product_of(args, a, b, args.attr(2), args.attr(3));
  p.accumulate = args.attr_bool(0);
  p.pieces = plan.pieces;
  p.piece = plan.piece;
  p.partial = static_cast<float*>(args.workspace);
  p.a_by_rows = plan.a_by_rows;
  p.b_by_rows = plan.b_by_rows;

  if (for_warpgroups(plan, p, a.dtype, launch)) return run_on_warpgroups(p, a, y, launch);
  char name[48];
  switch (plan.way) {
    case Plan::Way::few_rows: {
      const Dim grid = grid_of(&p, kFewRows, kThreads / 32);
      launch.kernel(kFamily, KernelName("few_rows", a.dtype, y.dtype), grid, kThreads, p);
      break;
    }
    case Plan::Way::tiled: {
      const Dim grid = grid_of(&p, 64, 64);
      launch.kernel(kFamily, KernelName("tiled", a.dtype, y.dtype), grid, kThreads, p);
      break;
    }
    default: {
      const int64_t size = plan.way == Plan::Way::large ? 128 : 64;
      std::snprintf(name, sizeof name, "tensor_%s_%c%c", size == 128 ? "large" : "small", plan.a_by_rows ? 'n' : 't',
                    plan.b_by_rows ? 'n' : 't');
      const Dim grid = grid_of(&p, size, size);
      launch.kernel(kFamily, KernelName(name, a.dtype, y.dtype), grid, size == 128 ? 256 : 128, p,
                    static_cast<size_t>(kStages * 2 * size * kLineOfTile));
    }
  }
  if (p.pieces > 1)
    launch.kernel(kFamily, KernelName("add_pieces", a.dtype, y.dtype), grid_for(launch, p.batches * p.m * p.n),
                  kThreads, p);
}

// ---- Packed weights

static PackWeight packing(const Operand& w, const Operand& packed) {
  return {w.data,
          packed.data,
          w.shape[0],
          w.shape[1],
          w.strides[0],
          w.strides[1],
          matmul::PackedLayout(w.dtype, w.shape[1]).words};
}

void run_pack_weight(const Args& args, Launch& launch) {
  const Operand &w = args.in[0], &packed = args.out[0];
  launch.kernel(kFamily, SizeName("pack_weight", w.dtype), grid_for(launch, packed.numel() / 4), kThreads,
                packing(w, packed));
}

void run_unpack_weight(const Args& args, Launch& launch) {
  const Operand &packed = args.in[0], &w = args.out[0];
  launch.kernel(kFamily, SizeName("unpack_weight", w.dtype), grid_for(launch, w.numel()), kThreads, packing(w, packed));
}

namespace {

constexpr int64_t kPackedRows = 16;  // more of them are worth laying the weight out again

// The weight as it was, in memory that it is laid out to.
Operand unpacked(const Args& args) {
  const Operand &x = args.in[0], &y = args.out[0];
  Operand w{};
  w.data = args.workspace;
  w.dtype = x.dtype;
  w.ndim = 2;
  w.shape[0] = y.shape[1];
  w.shape[1] = w.strides[0] = x.shape[1];
  w.strides[1] = 1;
  return w;
}
size_t unpacked_bytes(const Args& args) {
  return static_cast<size_t>(
      blocks_of(unpacked(args).numel() * static_cast<int64_t>(dtype_size(args.in[0].dtype)), 256) * 256);
}

// x times it, as matmul takes that.
struct AsMatmul {
  Operand in[5];
  double attrs[5];
  Args args;
  explicit AsMatmul(const Args& a)
      : in{a.in[0], unpacked(a), a.in[2], a.in[3], a.in[4]}, attrs{0, 0, a.attr(0), a.attr(1), 0}, args(a) {
    std::swap(in[1].shape[0], in[1].shape[1]);
    std::swap(in[1].strides[0], in[1].strides[1]);
    args.in = in;
    args.attrs = attrs;
    args.n_attrs = 5;
    if (args.workspace) args.workspace = static_cast<char*>(args.workspace) + unpacked_bytes(a);
  }
};

}  // namespace

size_t workspace_packed_linear(const Args& args) {
  if (args.in[0].shape[0] <= kPackedRows) return 0;
  return unpacked_bytes(args) + workspace_matmul(AsMatmul(args).args);
}

void run_packed_linear(const Args& args, Launch& launch) {
  const Operand &x = args.in[0], &packed = args.in[1], &y = args.out[0];
  if (x.shape[0] > kPackedRows) {
    const Operand w = unpacked(args);
    launch.kernel(kFamily, SizeName("unpack_weight", w.dtype), grid_for(launch, w.numel()), kThreads,
                  packing(w, packed));
    run_matmul(AsMatmul(args).args, launch);
    return;
  }
  Product p = product_of(args, x, packed, args.attr(0), args.attr(1));
  p.b = {packed.data, matmul::PackedLayout(x.dtype, x.shape[1]).words, 0};
  constexpr int64_t warps = 4;
  launch.kernel(kFamily, KernelName("packed_rows", x.dtype, y.dtype),
                Dim(blocks_of(matmul::panels_of(p.n), warps), blocks_of(p.m, kFewRows)), warps * 32, p);
}

}  // namespace shakti::cuda
