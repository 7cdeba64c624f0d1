// What a kernel says of content that is wrong; included by kernels too. The first to say something wins. The sentences
// are those of the CPU's kernels.
#pragma once

namespace shakti::cuda {

enum class Wrong : int {
  index,       // a: the index, b: its place, c: how many there are
  target,      // a: the class, b: its place, c: the last class, d: ignore_index
  lengths,     // a: 0 cu_q, 1 cu_k, b: where it is to end
  weight,      // x: a weight of a multinomial, a: its class, b: its row
  weights,     // all 0; a: their row
  not_finite,  // a: a row of a weight to be quantised
  overflow,    // a: a result that does not fit into i32, b: its place
  rate,        // x: a learning rate
  step,        // x: a step of AdamW
};

struct Report {
  unsigned taken;  // 0: nothing was wrong
  int op;          // in kOps
  Wrong wrong;
  long long a, b, c, d;
  double x;
};

// What a kernel is given of it.
struct Reporter {
  Report* report;
  int op;

#ifdef __CUDACC__
  __device__ void say(Wrong wrong, long long a, long long b = 0, long long c = 0, long long d = 0, double x = 0) const {
    if (atomicCAS_system(&report->taken, 0u, 1u) != 0) return;
    report->op = op;
    report->wrong = wrong;
    report->a = a;
    report->b = b;
    report->c = c;
    report->d = d;
    report->x = x;
  }
#endif
};

}  // namespace shakti::cuda
