// Tensor maps: how cp.async.bulk.tensor finds its tiles. What the manual demands of the arguments is checked here.
#include "../exec/tensor_map.h"

#include "call.h"

namespace sim {
namespace {

constexpr uint64_t kLongest = uint64_t{1} << 32, kWidestStride = uint64_t{1} << 40;
constexpr uint32_t kLargestBox = 256, kLargestStep = 8;

// Bytes of an element; 0: several are packed.
unsigned bytes_of(CUtensorMapDataType type) {
  static constexpr unsigned bytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4, 0, 0, 0};
  return bytes[type];
}
bool is_floating(CUtensorMapDataType type) {
  return type >= CU_TENSOR_MAP_DATA_TYPE_FLOAT16 && type <= CU_TENSOR_MAP_DATA_TYPE_TFLOAT32_FTZ;
}
// Conversions on the way, which copies here don't do.
bool is_plain(CUtensorMapDataType type) { return type <= CU_TENSOR_MAP_DATA_TYPE_BFLOAT16; }

struct Tiled {
  CUtensorMapDataType type;
  uint32_t rank;
  uint64_t address;
  const uint64_t *sizes, *strides;
  const uint32_t *box, *steps;
  CUtensorMapInterleave interleave;
  CUtensorMapSwizzle swizzle;
  CUtensorMapL2promotion promotion;
  CUtensorMapFloatOOBfill fill;
};

// What is wrong with it; null: nothing.
const char* wrong(const Tiled& t) {
  const auto in = [](int value, int last) { return value >= 0 && value <= last; };
  if (!in(t.type, CU_TENSOR_MAP_DATA_TYPE_16U6_ALIGN16B)) return "an unknown data type";
  if (!in(t.interleave, CU_TENSOR_MAP_INTERLEAVE_32B)) return "an unknown interleave";
  if (!in(t.swizzle, CU_TENSOR_MAP_SWIZZLE_128B_ATOM_64B)) return "an unknown swizzle";
  if (!in(t.promotion, CU_TENSOR_MAP_L2_PROMOTION_L2_256B)) return "an unknown promotion";
  if (!in(t.fill, CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA)) return "an unknown fill";
  const bool interleaved = t.interleave != CU_TENSOR_MAP_INTERLEAVE_NONE;
  if (t.rank == 0 || t.rank > TensorMap::kMaxRank) return "a rank that is not 1 to 5";
  if (interleaved && t.rank < 3) return "interleaved tensors have a rank of at least 3";
  if (!t.sizes || !t.box || !t.steps || (t.rank > 1 && !t.strides)) return "a null pointer";
  const bool wide = t.type == CU_TENSOR_MAP_DATA_TYPE_16U4_ALIGN16B || t.type == CU_TENSOR_MAP_DATA_TYPE_16U6_ALIGN16B;
  const unsigned align = wide || t.interleave == CU_TENSOR_MAP_INTERLEAVE_32B ? 32 : 16;
  if (t.address == 0 || t.address % align != 0) return "an address that is null or no multiple of 16 (or 32) bytes";
  for (uint32_t d = 0; d < t.rank; ++d) {
    if (t.sizes[d] == 0 || t.sizes[d] > kLongest) return "a size that is not 1 to 2^32";
    if (t.box[d] == 0 || t.box[d] > kLargestBox) return "a box that is not 1 to 256";
    if (t.steps[d] == 0 || t.steps[d] > kLargestStep) return "an element stride that is not 1 to 8";
  }
  for (uint32_t d = 0; d + 1 < t.rank; ++d)
    if (t.strides[d] % align != 0 || t.strides[d] >= kWidestStride)
      return "a stride that is no multiple of 16 (or 32) bytes below 2^40";
  const unsigned bytes = bytes_of(t.type);
  if (wide && (t.sizes[0] % 128 != 0 || t.box[0] != 128)) return "packed elements come by 128";
  if (t.type == CU_TENSOR_MAP_DATA_TYPE_16U4_ALIGN8B && t.sizes[0] % 2 != 0) return "packed elements come by 2";
  if (t.interleave == CU_TENSOR_MAP_INTERLEAVE_32B && t.swizzle != CU_TENSOR_MAP_SWIZZLE_32B)
    return "an interleave of 32 bytes wants a swizzle of 32";
  if (!interleaved && bytes != 0) {
    const unsigned line = t.box[0] * bytes;
    static constexpr unsigned spans[] = {~0u, 32, 64, 128, 128, 128, 128};
    if (line % 16 != 0) return "a box whose lines are no multiple of 16 bytes";
    if (line > spans[t.swizzle]) return "a box whose lines are longer than the swizzle";
    if (t.rank > 1 && t.strides[0] < t.sizes[0] * bytes && t.sizes[1] > 1) return "lines that overlap";
  }
  if (t.type == CU_TENSOR_MAP_DATA_TYPE_16U6_ALIGN16B && interleaved) return "6-bit elements are not interleaved";
  if (wide && t.swizzle != CU_TENSOR_MAP_SWIZZLE_NONE && t.swizzle != CU_TENSOR_MAP_SWIZZLE_128B &&
      t.swizzle != CU_TENSOR_MAP_SWIZZLE_128B_ATOM_32B &&
      !(t.type == CU_TENSOR_MAP_DATA_TYPE_16U6_ALIGN16B && t.swizzle == CU_TENSOR_MAP_SWIZZLE_128B_ATOM_64B))
    return "a swizzle that packed elements don't take";
  if (t.fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE && !is_floating(t.type)) return "NaN for elements that have none";
  return nullptr;
}

CUresult encode(CUtensorMap* out, const Tiled& t) {
  return in_context([&](Context&) -> CUresult {
    if (driver().options.arch < 90)
      return refuse(CUDA_ERROR_INVALID_VALUE, "tensor maps are of compute capability 9.0");
    if (!out || reinterpret_cast<uintptr_t>(out) % 64 != 0)
      return refuse(CUDA_ERROR_INVALID_VALUE, "a tensor map lies on a multiple of 64 bytes");
    if (const char* why = wrong(t)) return refuse(CUDA_ERROR_INVALID_VALUE, "a tensor map of %s", why);
    TensorMap m{};
    m.magic = TensorMap::kMagic;
    m.rank = static_cast<uint8_t>(t.rank);
    m.type = static_cast<uint8_t>(t.type);
    m.element_bytes = is_plain(t.type) ? static_cast<uint8_t>(bytes_of(t.type)) : uint8_t{0};
    m.interleave = static_cast<uint8_t>(t.interleave);
    m.swizzle = static_cast<uint8_t>(t.swizzle);
    m.fill = static_cast<uint8_t>(t.fill);
    m.address = t.address;
    for (uint32_t d = 0; d < t.rank; ++d) {
      if (d > 0) m.strides[d - 1] = t.strides[d - 1];
      m.last[d] = static_cast<uint32_t>(t.sizes[d] - 1);
      m.box[d] = static_cast<uint16_t>(t.box[d]);
      // Along the first dimension there are no steps.
      m.step[d] =
          d == 0 && t.interleave == CU_TENSOR_MAP_INTERLEAVE_NONE ? uint8_t{1} : static_cast<uint8_t>(t.steps[d]);
    }
    std::memcpy(out, &m, sizeof m);
    return CUDA_SUCCESS;
  });
}

}  // namespace
}  // namespace sim

CU_API cuTensorMapEncodeTiled(CUtensorMap* out, CUtensorMapDataType type, uint32_t rank, void* address,
                              const uint64_t* sizes, const uint64_t* strides, const uint32_t* box,
                              const uint32_t* steps, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                              CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill) {
  return sim::encode(out, {type, rank, reinterpret_cast<uint64_t>(address), sizes, strides, box, steps, interleave,
                           swizzle, promotion, fill});
}
