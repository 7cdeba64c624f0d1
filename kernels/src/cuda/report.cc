#include "report.h"

#include <cstdio>

#include "device.h"

namespace shakti::cuda {

std::string sentence(const Report& r) {
  char text[200];
  switch (r.wrong) {
    case Wrong::index:
      std::snprintf(text, sizeof text, "index %lld at place %lld is outside [0, %lld)", r.a, r.b, r.c);
      break;
    case Wrong::target:
      std::snprintf(text, sizeof text, "target %lld at place %lld is not a class (0 .. %lld) nor ignore_index %lld",
                    r.a, r.b, r.c, r.d);
      break;
    case Wrong::lengths:
      std::snprintf(text, sizeof text, "%s must ascend from 0 to %lld", r.a == 0 ? "cu_q" : "cu_k", r.b);
      break;
    case Wrong::weight:
      std::snprintf(text, sizeof text, "weight %g of class %lld in row %lld is not a number from 0", r.x, r.a, r.b);
      break;
    case Wrong::weights: std::snprintf(text, sizeof text, "the weights of row %lld are all 0", r.a); break;
    case Wrong::not_finite: std::snprintf(text, sizeof text, "row %lld of the weight is not finite", r.a); break;
    case Wrong::overflow:
      std::snprintf(text, sizeof text, "the result %lld at place %lld does not fit into i32. Convert to i64 first", r.a,
                    r.b);
      break;
    case Wrong::rate: std::snprintf(text, sizeof text, "lr is %g, not a finite number from 0", r.x); break;
    case Wrong::step: std::snprintf(text, sizeof text, "step is %g, it counts from 1", r.x); break;
  }
  return text;
}

}  // namespace shakti::cuda
