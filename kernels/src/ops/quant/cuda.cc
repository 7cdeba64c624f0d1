#include "cuda.h"

#include "../../cuda/host.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "quant";
constexpr int64_t kRows = 4;  // of x that a warp takes

}  // namespace

void run_quantize_weight(const Args& a, Launch& launch) {
  const Operand &w = a.in[0], &packed = a.out[0];
  const QuantizeWeight p{w.data,          packed.ptr<uint8_t>(), w.shape[0],
                         w.shape[1],      w.strides[0],          w.strides[1],
                         packed.shape[0], packed.shape[1],       static_cast<int>(a.attr_int(0)),
                         a.attr_int(1),   launch.reporter()};
  const int64_t groups = p.panels * quant::kPanel * quant::Layout(p.k, p.bits, p.group).groups;
  launch.kernel(kFamily, KernelName("quantize_weight", w.dtype), grid_for(launch, groups * 32), kThreads, p);
}

void run_dequantize_weight(const Args& a, Launch& launch) {
  const Operand &packed = a.in[0], &w = a.out[0];
  const DequantizeWeight p{packed.ptr<uint8_t>(),           w.data,       w.shape[0], w.shape[1], packed.shape[1],
                           static_cast<int>(a.attr_int(0)), a.attr_int(1)};
  launch.kernel(kFamily, KernelName("dequantize_weight", w.dtype), grid_for(launch, w.numel()), kThreads, p);
}

size_t workspace_quantized_linear(const Args& a) {
  const Operand& x = a.in[0];
  return static_cast<size_t>(quant::workspace(x.shape[0], quant::Layout(x.shape[1], a.attr_int(0), a.attr_int(1))));
}

void run_quantized_linear(const Args& a, Launch& launch) {
  const Operand &x = a.in[0], &packed = a.in[1], &bias = a.in[2], &y = a.out[0];
  const quant::Layout layout(x.shape[1], a.attr_int(0), a.attr_int(1));
  const int64_t m = x.shape[0];
  auto* bytes = static_cast<int8_t*>(a.workspace);
  auto* scales = reinterpret_cast<float*>(bytes + quant::bytes_of_rows(m, layout));
  auto* starts = reinterpret_cast<int32_t*>(scales + m * layout.groups);
  const QuantizeRows q{
      x.data, m,      x.shape[1], x.strides[0], x.strides[1], layout.group, layout.groups, layout.bits == 4 ? 8 : 0,
      bytes,  scales, starts};
  launch.kernel(kFamily, KernelName("quantize_rows", x.dtype), grid_for(launch, m * layout.groups * 32), kThreads, q);
  const QuantizedLinear p{bytes,      scales,     starts,          packed.ptr<uint8_t>(), bias.data,    y.data,     m,
                          y.shape[1], x.shape[1], packed.shape[1], bias.strides[0],       layout.group, layout.bits};
  constexpr int64_t warps = 4;
  launch.kernel(kFamily, KernelName(layout.bits == 8 ? "quantized_linear_8" : "quantized_linear_4", x.dtype),
                Dim(quant::blocks_of(packed.shape[0], warps), quant::blocks_of(m, kRows)), warps * 32, p);
}

}  // namespace shakti::cuda
