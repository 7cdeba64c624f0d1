// Products of a warpgroup, four warps, whose operands lie in shared memory (PTX ISA, sm_90a alone). They run
// asynchronously: the sums belong to the tensor cores until they have been waited for.
#pragma once
#include <type_traits>

#include "numbers.cuh"

namespace shakti::cuda {

// An operand as it lies in shared memory: tiles of lines of 128 bytes, eight of which (1024 bytes, aligned) share a
// swizzle of their 16-byte chunks. Lines that run along k: `apart` is not used. Lines that run along m or n: the next
// 64 of m or n lie `apart` bytes on.
__device__ __forceinline__ uint64_t operand_at(unsigned at, unsigned apart) {
  constexpr uint64_t swizzle_128 = uint64_t{1} << 62, eight_lines = uint64_t{1024 >> 4} << 32;
  return swizzle_128 | eight_lines | static_cast<uint64_t>(apart >> 4) << 16 | (at & 0x3FFFF) >> 4;
}

// Before the first product, and after anything else has touched the sums.
__device__ __forceinline__ void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Until all but the last N groups are done.
template <int N>
__device__ __forceinline__ void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}
// Keeps the compiler from moving what it does with the sums over this point: it does not know who else writes them.
template <int N>
__device__ __forceinline__ void pin(float (&sums)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) asm volatile("" : "+f"(sums[i])::"memory");
}

// Registers of each thread, for all warps of the warpgroup.
template <int N>
__device__ __forceinline__ void registers_give_back() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}
template <int N>
__device__ __forceinline__ void registers_take() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}

// sums[64, 256] += a[64, 16] b[16, 256]. Thread t of the warpgroup holds, of rows t / 32 * 16 + t % 32 / 4 and that +
// 8, columns 8 j + t % 4 * 2 and + 1 in sums[4 j ...]: the first row's, then the second's. Transposed: lines run along
// m or n.
template <class T, bool TransposedA, bool TransposedB>
__device__ __forceinline__ void multiply_add_64x256(float (&c)[128], uint64_t a, uint64_t b) {
#define SHAKTI_TEN(t) \
  "%" #t "0, %" #t "1, %" #t "2, %" #t "3, %" #t "4, %" #t "5, %" #t "6, %" #t "7, %" #t "8, %" #t "9, "
#define SHAKTI_FOUR(i) "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3])
#define SHAKTI_SIXTEEN(i) SHAKTI_FOUR(i), SHAKTI_FOUR(i + 4), SHAKTI_FOUR(i + 8), SHAKTI_FOUR(i + 12)
#define SHAKTI_PRODUCT(type)                                                                                        \
  asm volatile("{\n.reg .pred p;\nsetp.eq.u32 p, 0, 0;\nwgmma.mma_async.sync.aligned.m64n256k16.f32." type "." type \
               " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, " SHAKTI_TEN(1) SHAKTI_TEN(2) SHAKTI_TEN(3) SHAKTI_TEN(4) \
                   SHAKTI_TEN(5) SHAKTI_TEN(6) SHAKTI_TEN(7) SHAKTI_TEN(8) SHAKTI_TEN(9) SHAKTI_TEN(10) SHAKTI_TEN( \
                       11) "%120, %121, %122, %123, %124, %125, %126, %127}, %128, %129, p, 1, 1, %130, %131;\n}"   \
               : SHAKTI_SIXTEEN(0), SHAKTI_SIXTEEN(16), SHAKTI_SIXTEEN(32), SHAKTI_SIXTEEN(48), SHAKTI_SIXTEEN(64), \
                 SHAKTI_SIXTEEN(80), SHAKTI_SIXTEEN(96), SHAKTI_SIXTEEN(112)                                        \
               : "l"(a), "l"(b), "n"(int{TransposedA}), "n"(int{TransposedB}))
  if constexpr (std::is_same<T, bf16>::value)
    SHAKTI_PRODUCT("bf16");
  else
    SHAKTI_PRODUCT("f16");
#undef SHAKTI_PRODUCT
#undef SHAKTI_SIXTEEN
#undef SHAKTI_FOUR
#undef SHAKTI_TEN
}

}  // namespace shakti::cuda
