// What cuTensorMapEncodeTiled leaves for kernels: 128 bytes that say where a tensor lies and which tile of it is
// copied.
#pragma once
#include <cstdint>

namespace sim {

struct TensorMap {
  static constexpr uint32_t kMagic = 0x50414D54;
  static constexpr int kMaxRank = 5;
  enum Swizzle : uint8_t { kNone = 0, k32 = 1, k64 = 2, k128 = 3 };
  uint32_t magic;
  uint8_t rank, type, element_bytes, interleave, swizzle, fill, reserved[2];
  uint64_t address;
  uint64_t strides[4];  // bytes, of dimensions 1 to 4
  uint32_t last[5];     // index of each dimension's last element
  uint16_t box[5];
  uint8_t step[5], padding[37];
};
static_assert(sizeof(TensorMap) == 128, "CUtensorMap");

}  // namespace sim
