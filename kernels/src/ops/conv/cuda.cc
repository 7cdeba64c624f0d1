#include "cuda.h"

#include "../../cuda/host.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "conv";

Planes planes(const Operand& o) { return {o.data, {o.strides[0], o.strides[1], o.strides[2], o.strides[3]}}; }

Convolution geometry(const Args& a, const Operand& x, const Operand& w, const Operand& y) {
  return {planes(x),     planes(w),     planes(y),     nullptr,       0,
          x.shape[0],    x.shape[1],    x.shape[2],    x.shape[3],    w.shape[0],
          w.shape[1],    w.shape[2],    w.shape[3],    y.shape[2],    y.shape[3],
          a.attr_int(0), a.attr_int(1), a.attr_int(2), a.attr_int(3), a.attr_int(4),
          a.attr_int(5), a.attr_int(6)};
}

// Patches times weights; `written` is y, or x where it is the gradient.
void run_product(const char* op, const Operand& written, int64_t channels, const Convolution& p, Launch& launch) {
  const int64_t depth = std::max(p.o / p.groups, p.cg) * p.kh * p.kw;
  if (std::max({depth, p.o, p.c, p.h + 2 * p.pad_h, p.width + 2 * p.pad_w}) > INT32_MAX / 2) {
    launch.fail("channels, kernels and images of this size are too large for a GPU");
    return;
  }
  const int64_t places = written.shape[0] * written.shape[2] * written.shape[3];
  launch.kernel(kFamily, KernelName(op, written.dtype),
                Dim(blocks_of(places, kConvColumns), p.groups * blocks_of(channels, kConvRows)), kConvThreads, p);
}

}  // namespace

void run_conv2d(const Args& a, Launch& launch) {
  const Operand &bias = a.in[2], &y = a.out[0];
  Convolution p = geometry(a, a.in[0], a.in[1], y);
  p.bias = bias.data;
  p.bias_stride = bias.strides[0];
  run_product("conv2d", y, p.o / p.groups, p, launch);
}

void run_conv2d_backward_input(const Args& a, Launch& launch) {
  const Operand& dx = a.out[0];
  const Convolution p = geometry(a, dx, a.in[1], a.in[0]);
  run_product("conv2d_backward_input", dx, p.cg, p, launch);
}

void run_conv2d_backward_weight(const Args& a, Launch& launch) {
  const Operand& dw = a.out[0];
  const Convolution p = geometry(a, a.in[1], dw, a.in[0]);
  launch.kernel(kFamily, KernelName("conv2d_backward_weight", dw.dtype), dw.numel(), kThreads, p);
}

}  // namespace shakti::cuda
