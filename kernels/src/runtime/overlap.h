// Whether strided views share memory. Kernels run chunk by chunk on several threads and in any order, so what a
// command writes may meet what it reads only where that is the very same element.
#pragma once
#include "args.h"

namespace shakti {

// True when two places of the view may be one element. Exact for every view that shape functions make of a
// contiguous tensor.
bool overlaps_itself(const Operand& view);
// True when some byte belongs to both. Exact but for contrived strides, where the answer is true.
bool overlap(const Operand& a, const Operand& b);
bool same_view(const Operand& a, const Operand& b);
// Address of the first byte after the last element; `data` for an empty view.
const char* end_of(const Operand& view);

}  // namespace shakti
