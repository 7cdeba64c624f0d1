// Element types. The codes cross the native border; packages/tensor/src/dtype.ts holds the same list.
#pragma once
#include <cstddef>
#include <cstdint>

// Headers that kernels for a GPU include too.
#ifdef __CUDACC__
#define SHAKTI_INLINE __host__ __device__ __forceinline__
#else
#define SHAKTI_INLINE inline __attribute__((always_inline))
#endif

namespace shakti {

enum class DType : int32_t { f32 = 0, bf16 = 1, f16 = 2, f64 = 3, i32 = 4, i64 = 5, u8 = 6, boolean = 7 };
constexpr int kDTypeCount = 8;

SHAKTI_INLINE size_t dtype_size(DType t) {
  switch (t) {
    case DType::f64:
    case DType::i64: return 8;
    case DType::f32:
    case DType::i32: return 4;
    case DType::bf16:
    case DType::f16: return 2;
    default: return 1;
  }
}
SHAKTI_INLINE bool dtype_is_float(DType t) { return static_cast<int32_t>(t) <= static_cast<int32_t>(DType::f64); }
const char* dtype_name(DType t);

}  // namespace shakti
