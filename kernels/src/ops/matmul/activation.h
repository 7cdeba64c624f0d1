// The attribute `activation`: what a product may apply to its sums.
#pragma once

namespace shakti {
namespace matmul {

enum class Activation { none = 0, gelu = 1, gelu_tanh = 2, silu = 3 };

}  // namespace matmul
}  // namespace shakti
