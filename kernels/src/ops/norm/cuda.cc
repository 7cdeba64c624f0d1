#include "cuda.h"

#include "../../cuda/host_rows.h"
#include "../../runtime/check.h"

namespace shakti::cuda {
namespace {

constexpr const char* kFamily = "norm";

// Rows whose gradients of the parameters one block adds up: the order of addition depends on the number of rows alone.
int64_t rows_of_part(int64_t rows) { return std::max<int64_t>(16, blocks_of(rows, 512)); }

DType dtype_of_parameters(const Operand& x, const Operand& weight, const Operand& bias) {
  return weight.present() ? weight.dtype : bias.present() ? bias.dtype : x.dtype;
}

const Operand kAbsent{};

RowForm form_of(const Operand& o) { return o.present() ? row_form(o) : RowForm{1, false}; }

// x, weight?, bias? -> y, mean, rstd
void forward(const Args& a, Launch& launch, const char* name, bool centred) {
  const Operand &x = a.in[0], &weight = a.in[1], &bias = centred ? a.in[2] : kAbsent, &y = a.out[0];
  if (weight.present() && bias.present() && weight.dtype != bias.dtype)
    return launch.fail("weight is %s and bias %s; on a GPU they must be equal", dtype_name(weight.dtype),
                       dtype_name(bias.dtype));
  const Norm p{x.data,
               weight.data,
               bias.data,
               y.data,
               centred ? a.out[1].data : nullptr,
               a.out[centred ? 2 : 1].data,
               x.size(-1),
               a.attr(0),
               row_form(x),
               row_form(y),
               form_of(weight),
               form_of(bias),
               row_walk({&x})};
  launch.kernel(kFamily, KernelName(name, x.dtype, dtype_of_parameters(x, weight, bias)), p.rows.numel, row_threads(x),
                p);
}

// g, x, weight?, mean, rstd -> dx, dweight?, dbias?
void backward(const Args& a, Launch& launch, const char* name, bool centred) {
  const Operand &g = a.in[0], &x = a.in[1], &weight = a.in[2], &dx = a.out[0], &dweight = a.out[1];
  const Operand& dbias = centred ? a.out[2] : kAbsent;
  const bool sums = dweight.present() || dbias.present();
  const int64_t n = x.size(-1), rows = n > 0 ? x.numel() / n : 0, part = rows_of_part(rows),
                parts = blocks_of(rows, part);
  const NormBackward p{g.data,
                       x.data,
                       weight.data,
                       centred ? a.in[3].data : nullptr,
                       a.in[centred ? 4 : 3].data,
                       dx.data,
                       sums ? a.workspace : nullptr,
                       n,
                       part,
                       row_form(g),
                       row_form(x),
                       row_form(dx),
                       form_of(weight),
                       row_walk({&g, &x})};
  launch.kernel(kFamily, KernelName(name, x.dtype, dtype_of_parameters(x, weight, kAbsent)), parts, row_threads(x), p);
  if (!sums || n == 0) return;
  // Their dtypes need not be equal.
  const int kinds = centred ? 2 : 1;
  for (const Operand* d : {&dweight, &dbias}) {
    if (!d->present()) continue;
    NormSums q{a.workspace, {nullptr, nullptr}, n, parts, kinds};
    q.to[d == &dbias] = d->data;
    launch.kernel(kFamily, KernelName("norm_sums", d->dtype), Dim(blocks_of(n, kThreads), kinds), kThreads, q);
  }
}

size_t workspace(const Args& a, int kinds) {
  const Operand& x = a.in[1];
  const int64_t n = x.size(-1), rows = n > 0 ? x.numel() / n : 0;
  return static_cast<size_t>(blocks_of(rows, rows_of_part(rows)) * kinds * n) * dtype_size(statistics_of(x.dtype));
}

}  // namespace

void run_layer_norm(const Args& a, Launch& launch) { forward(a, launch, "layer_norm", true); }
void run_rms_norm(const Args& a, Launch& launch) { forward(a, launch, "rms_norm", false); }
void run_layer_norm_backward(const Args& a, Launch& launch) { backward(a, launch, "layer_norm_backward", true); }
void run_rms_norm_backward(const Args& a, Launch& launch) { backward(a, launch, "rms_norm_backward", false); }
size_t workspace_layer_norm_backward(const Args& a) { return workspace(a, 2); }
size_t workspace_rms_norm_backward(const Args& a) { return workspace(a, 1); }

}  // namespace shakti::cuda
