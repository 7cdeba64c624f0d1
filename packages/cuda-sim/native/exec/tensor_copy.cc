// cp.async.bulk.tensor: tiles from global to shared memory, as a tensor map describes them. A tile arrives when
// somebody would wait for its bytes in vain, and not before (or at once, if the run asks for that); until then nobody
// may touch its place.
#include <cstring>

#include "families.h"
#include "mbarrier.h"

namespace sim {
namespace {

constexpr uint32_t kPlaceAlign = 128, kMapAlign = 64;

unsigned items(const TensorMap& m, int d) { return d == 0 ? m.box[0] : (m.box[d] + m.step[d] - 1u) / m.step[d]; }
uint32_t bytes_of(const TensorMap& m) {
  uint32_t n = m.element_bytes;
  for (int d = 0; d < m.rank; ++d) n *= items(m, d);
  return n;
}

// The rows of a tile, `row(at, source, before, inside)`: the row's place in the tile, where its first element within
// the tensor lies, and how many elements come before that and from there on; none where the row lies outside.
template <class F>
void each_row(const TensorCopy& c, F row) {
  const TensorMap& m = c.map;
  const uint32_t row_bytes = uint32_t{m.box[0]} * m.element_bytes;
  const int64_t x = c.from[0], last = m.last[0];
  const int64_t first = std::max<int64_t>(x, 0), end = std::min<int64_t>(x + m.box[0] - 1, last);
  unsigned index[5] = {};
  for (uint32_t at = 0;; at += row_bytes) {
    uint64_t source = m.address;
    bool inside = end >= first;
    for (int d = 1; d < m.rank; ++d) {
      const int64_t y = c.from[d] + static_cast<int64_t>(index[d]) * m.step[d];
      inside = inside && y >= 0 && y <= m.last[d];
      source += static_cast<uint64_t>(y) * m.strides[d - 1];
    }
    source += static_cast<uint64_t>(first) * m.element_bytes;
    row(at, source, inside ? static_cast<uint32_t>(first - x) : m.box[0],
        inside ? static_cast<uint32_t>(end - first + 1) : 0u);
    int d = 1;
    while (d < m.rank && ++index[d] == items(m, d)) index[d++] = 0;
    if (d >= m.rank) return;
  }
}

// Which of its 16-byte chunks changes places with which depends on the address alone.
uint32_t swizzled(const TensorMap& m, uint32_t at) {
  static constexpr uint32_t mask[] = {0, 0x10, 0x30, 0x70};
  return at ^ (at >> 3 & mask[m.swizzle]);
}

void move_in(Block& b, const TensorCopy& c) {
  const Memory& memory = *b.grid->memory;
  const TensorMap& m = c.map;
  char* data = b.shared.data();
  std::vector<char> line(static_cast<size_t>(m.box[0]) * m.element_bytes);
  each_row(c, [&](uint32_t at, uint64_t source, uint32_t before, uint32_t inside) {
    std::memset(line.data(), 0, line.size());
    const uint64_t off = source - memory.base();
    if (inside != 0)
      std::memcpy(line.data() + size_t{before} * m.element_bytes,
                  off < memory.reserved() ? memory.data() + off : memory.mapped(source, inside * m.element_bytes),
                  size_t{inside} * m.element_bytes);
    for (uint32_t k = 0; k < line.size(); k += 16) std::memcpy(data + swizzled(m, c.to + at + k), line.data() + k, 16);
  });
}

// The map, read as a kernel reads it.
TensorMap map_at(Warp& w, int lane, uint64_t address, Space space) {
  if (address % kMapAlign != 0) w.fault("misaligned", "a tensor map begins on a multiple of 64 bytes.", lane);
  TensorMap m;
  for (unsigned k = 0; k < sizeof m; k += 16) {
    Places p;
    p.address[lane] = address + k;
    reach_at(w, space, 1u << lane, Touch::load, 16, &p);
    std::memcpy(reinterpret_cast<char*>(&m) + k, p.at[lane], 16);
  }
  if (m.magic != TensorMap::kMagic) w.fault("trap", "no tensor map that cuTensorMapEncodeTiled made.", lane);
  // What of the maps that the driver makes is not copied here.
  static constexpr uint16_t spans[] = {0, 32, 64, 128};
  const unsigned line = m.box[0] * m.element_bytes;
  const char* lacks = m.interleave != 0                            ? "interleaved tensors"
                      : m.swizzle > 3                              ? "this swizzle"
                      : m.fill != 0                                ? "filling with NaN"
                      : m.element_bytes == 0                       ? "elements of this type"
                      : m.swizzle != 0 && line != spans[m.swizzle] ? "a tile whose lines are shorter than its swizzle"
                                                                   : nullptr;
  if (lacks != nullptr) w.fault("unsupported", std::string(lacks) + ": not supported by this simulator.", lane);
  return m;
}

void issue(Warp& w, const Inst& in, uint32_t mask) {
  Block& b = *w.block;
  const bool early = w.grid().options->copies == Options::Copies::early;
  const auto at = [&](Slot s, int lane, bool wide, int64_t offset) {
    return wide ? w.lanes<uint64_t>(s)[lane] + static_cast<uint64_t>(offset)
                : w.lanes<uint32_t>(s)[lane] + static_cast<uint32_t>(offset);
  };
  each(mask, [&](int lane) {
    TensorCopy c{};
    // list: to, its offset; map; barrier, its offset; coordinates
    c.map = map_at(w, lane, at(in.op[2], lane, true, in.offset2), Space::generic);
    if (c.map.rank != in.count)
      w.fault("trap",
              "the tensor map has " + std::to_string(c.map.rank) + " dimensions, not " + std::to_string(in.count) + ".",
              lane);
    c.to = static_cast<uint32_t>(at(in.op[1], lane, in.wide_address, in.offset));
    for (int d = 0; d < in.count; ++d) c.from[d] = w.lanes<int32_t>(in.list[d])[lane];
    if (c.to % kPlaceAlign != 0) w.fault("misaligned", "a tile's place begins on a multiple of 128 bytes.", lane);
    const uint64_t barrier = w.lanes<uint32_t>(in.op[3])[lane] + static_cast<uint64_t>(in.target);
    c.barrier = mbarrier_for_tile(w, lane, barrier);
    c.warp = w.index;
    c.lane = static_cast<uint32_t>(lane);
    c.clock = b.clock++;
    each_row(c, [&](uint32_t, uint64_t source, uint32_t, uint32_t inside) {
      if (inside != 0) reach_global_range(w, lane, source, uint64_t{inside} * c.map.element_bytes);
    });
    reach_shared_range(w, lane, c.to, bytes_of(c.map), Touch::store);
    if (early) move_in(b, c);
    std::memset(b.shared.shadow() + c.to, SharedMemory::kAddressable | SharedMemory::kPending, bytes_of(c.map));
    b.tiles.push_back(c);
  });
}

}  // namespace

bool deliver_tiles(Block& b, uint64_t barrier) {
  bool any = false;
  for (size_t i = 0; i < b.tiles.size();) {
    if (b.tiles[i].barrier != barrier) {
      ++i;
      continue;
    }
    const TensorCopy c = b.tiles[i];
    b.tiles.erase(b.tiles.begin() + static_cast<std::ptrdiff_t>(i));
    const uint32_t bytes = bytes_of(c.map);
    if (b.grid->options->copies == Options::Copies::late) move_in(b, c);
    std::memset(b.shared.shadow() + c.to, SharedMemory::kGood, bytes);
    const uint32_t g = b.shared.granule();
    for (uint32_t k = 0; g != 0 && k < bytes; k += g) {
      SharedMemory::Access& a = b.shared.accesses()[(c.to + k) / g];
      a = {};
      a.write = c.clock;
      a.writer = static_cast<uint16_t>((c.warp * kLanes + c.lane) | SharedMemory::kAsync);
    }
    mbarrier_complete(b.warps[c.warp], static_cast<int>(c.lane), c.barrier, bytes, c.clock);
    any = true;
  }
  return any;
}

void bulk_copy(Binder& b) {
  if (!b.take("tensor")) b.refuse("of the bulk copies cp.async.bulk.tensor alone is supported");
  const std::string rank = b.take_one({"1d", "2d", "3d", "4d", "5d"});
  if (rank.empty()) b.refuse("a number of dimensions is missing");
  if (b.linker.module->target < 90) b.refuse("it needs .target sm_90 or later");
  b.code.asynchronous = true;
  if (!b.take("shared::cluster") && !b.take("shared::cta")) b.refuse("only copies to shared memory are supported");
  if (!b.take("global")) b.refuse("only copies from global memory are supported");
  b.take("tile");
  if (!b.take("mbarrier::complete_tx::bytes")) b.refuse(".mbarrier::complete_tx::bytes is missing");
  const bool policy = b.take("L2::cache_hint");
  if (b.operands() != (policy ? 4u : 3u)) b.refuse("operands that are not known");
  // [place], [map, {coordinates}], [barrier]
  Operand map = b.operand(1);
  if (map.kind != Operand::Kind::address || map.parts.size() != 2 || map.parts[1].kind != Operand::Kind::vector)
    b.refuse("the tensor map and its coordinates are missing");
  const std::vector<Operand> coordinates = map.parts[1].parts;
  map.parts.pop_back();
  b.out.count = static_cast<uint8_t>(rank[0] - '0');
  if (coordinates.size() != b.out.count) b.refuse("as many coordinates as dimensions are wanted");
  std::vector<Slot> slots;
  for (const Operand& o : coordinates) slots.push_back(b.source(o, Type::s32));
  b.out.list = b.list(std::move(slots));
  b.out.space = Space::generic;
  b.address(map, &b.out.op[2]);
  if (!b.out.wide_address || b.out.framed) b.refuse("the tensor map has a generic 64-bit address");
  b.out.offset2 = b.out.offset;
  b.out.space = Space::shared;
  b.address(b.operand(2), &b.out.op[3]);
  if (b.out.wide_address) b.refuse("the mbarrier has a 32-bit address");
  b.out.target = static_cast<uint32_t>(b.out.offset);
  b.address(b.operand(0), &b.out.op[1]);
  b.set(issue, Class::copy);
}

}  // namespace sim
