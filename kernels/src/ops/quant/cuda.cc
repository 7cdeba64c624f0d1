#include "cuda.h"

#include "../../cuda/host_rows.h"

namespace shakti::cuda {
namespace {

quant::Layout layout_of(int64_t k, const Args& a) { return {k, a.attr_int(0), a.attr_int(1), a.attr_bool(2)}; }

constexpr const char* kFamily = "quant";
// As in integer_product.cuh.
constexpr int64_t kFewRows = 16, kFewWarps = 8, kRun = 128, kTermLine = 36;
constexpr int64_t kTileRows = 64, kTilePanels = 2, kTileThreads = 128, kStageDepth = 64, kRowLine = 96, kStages = 3;
constexpr int64_t kFewest =
    32;  // rows up to which a weight is read again for each 16, sooner than that half a tile is empty

}  // namespace

void run_quantize_weight(const Args& a, Launch& launch) {
  const Operand &w = a.in[0], &packed = a.out[0];
  const QuantizeWeight p{w.data,          packed.ptr<uint8_t>(), w.shape[0],
                         w.shape[1],      w.strides[0],          w.strides[1],
                         packed.shape[0], packed.shape[1],       static_cast<int>(a.attr_int(0)),
                         a.attr_bool(2),  a.attr_int(1),         launch.reporter()};
  const int64_t groups = p.panels * quant::kPanel * quant::blocks_of(p.k, p.group);
  launch.kernel(kFamily, KernelName("quantize_weight", w.dtype), grid_for(launch, groups * 32), kThreads, p);
}

void run_dequantize_weight(const Args& a, Launch& launch) {
  const Operand &packed = a.in[0], &w = a.out[0];
  const DequantizeWeight p{packed.ptr<uint8_t>(),           w.data,         w.shape[0],   w.shape[1], packed.shape[1],
                           static_cast<int>(a.attr_int(0)), a.attr_bool(2), a.attr_int(1)};
  launch.kernel(kFamily, KernelName("dequantize_weight", w.dtype), grid_for(launch, w.numel()), kThreads, p);
}

size_t workspace_quantized_linear(const Args& a) {
  const Operand& x = a.in[0];
  return static_cast<size_t>(quant::workspace(x.shape[0], layout_of(x.shape[1], a)));
}

void run_quantized_linear(const Args& a, Launch& launch) {
  const Operand &x = a.in[0], &packed = a.in[1], &bias = a.in[4], &y = a.out[0];
  if (a.in[2].present() || a.in[5].present()) {
    launch.fail("a GPU takes one weight and no residual at a time");
    return;
  }
  const quant::Layout layout = layout_of(x.shape[1], a);
  const int64_t m = x.shape[0], n = y.shape[1];
  if (!aligned16(packed.data)) {
    launch.fail("packed must begin at a multiple of 16 bytes on a GPU. Use .clone().");
    return;
  }
  if (layout.depth() > INT32_MAX) {
    launch.fail("a depth of %lld is too large for a GPU", static_cast<long long>(x.shape[1]));
    return;
  }
  auto* bytes = static_cast<int8_t*>(a.workspace);
  auto* scales = reinterpret_cast<RowScale*>(bytes + quant::bytes_of_rows(m, layout));
  const QuantizeRows q{
      x.data, m,     x.shape[1], x.strides[0], layout.group, layout.depth(), row_form(x), layout.bits == 8 ? 128 : 8,
      bytes,  scales};
  launch.kernel(kFamily, KernelName("quantize_rows", x.dtype), grid_for(launch, m * layout.depth() / 4), kThreads, q);
  const QuantizedLinear p{bytes, scales,     packed.ptr<uint8_t>(), bias.data,       y.data,      row_form(y), m,
                          n,     x.shape[1], packed.shape[1],       bias.strides[0], layout.group};
  char name[32];
  const bool few = m <= kFewest;
  std::snprintf(name, sizeof name, "quantized_%s_rows_%d%s", few ? "few" : "many", layout.bits,
                layout.zero_point ? "_zero" : "");
  if (few) {
    const int64_t groups = kFewWarps * kRun / layout.group;
    launch.kernel(kFamily, KernelName(name, x.dtype), Dim(packed.shape[0], quant::blocks_of(m, kFewRows)),
                  kFewWarps * 32, p, static_cast<size_t>(groups * std::min(m, kFewRows) * kTermLine) * sizeof(float));
    return;
  }
  const int64_t stage = kTileRows * kRowLine + kTilePanels * kStageDepth * quant::kPanel * layout.bits / 8;
  launch.kernel(kFamily, KernelName(name, x.dtype),
                Dim(quant::blocks_of(packed.shape[0], kTilePanels), quant::blocks_of(m, kTileRows)), kTileThreads, p,
                static_cast<size_t>(kStages * stage));
}

}  // namespace shakti::cuda
