#include "access.h"

#include <algorithm>

namespace sim {
using ptx::Space;
namespace {

std::string hex(uint64_t x) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(x));
  return text;
}

const char* verb(Touch t) {
  return t == Touch::load || t == Touch::peek ? "reads" : t == Touch::store ? "writes" : "updates";
}

// All shadow bytes of an element at once.
inline uint64_t word(const uint8_t* s, unsigned bytes) {
  uint64_t w = 0;
  std::memcpy(&w, s, bytes);
  return w;
}
inline bool all_good(const uint8_t* s, unsigned bytes) {
  constexpr uint64_t good = 0x0303030303030303u;
  switch (bytes) {
    case 1: return s[0] == 3;
    case 2: return word(s, 2) == (good & 0xFFFF);
    case 4: return word(s, 4) == (good & 0xFFFFFFFF);
    case 8: return word(s, 8) == good;
    default:
      for (unsigned k = 0; k < bytes; k += 8)
        if (word(s + k, 8) != good) return false;
      return true;
  }
}
// And no asynchronous copy on its way to it.
inline bool all_writable(const uint8_t* s, unsigned bytes) {
  constexpr uint64_t one = 0x0101010101010101u, look = one | one << 2;
  switch (bytes) {
    case 1: return (s[0] & 5) == 1;
    case 2: return (word(s, 2) & look) == (one & 0xFFFF);
    case 4: return (word(s, 4) & look) == (one & 0xFFFFFFFF);
    case 8: return (word(s, 8) & look) == one;
    default:
      for (unsigned k = 0; k < bytes; k += 8)
        if ((word(s + k, 8) & look) != one) return false;
      return true;
  }
}
// True: the element may be touched so; it counts as initialised then.
inline bool pass(uint8_t* s, unsigned bytes, Touch touch) {
  if (touch == Touch::load || touch == Touch::atomic) return all_good(s, bytes);
  if (!all_writable(s, bytes)) return false;
  if (touch == Touch::peek) return true;
  std::memset(s, 3, bytes);
  return true;
}
inline bool pass_range(uint8_t* s, size_t bytes, Touch touch) {
  const bool good = touch == Touch::load || touch == Touch::atomic;
  const uint64_t wanted = good ? 0x0303030303030303u : 0x0101010101010101u, look = wanted | 0x0404040404040404u;
  uint64_t missing = 0;
  for (size_t k = 0; k < bytes; k += 8) missing |= (word(s + k, 8) & look) ^ wanted;
  if (missing != 0) return false;
  if (touch == Touch::store) std::memset(s, 3, bytes);
  return true;
}

[[noreturn]] void misaligned(Warp& w, int lane, uint64_t address, unsigned bytes, Touch touch) {
  w.worker->fault.address = address;
  w.fault("misaligned",
          std::string(verb(touch)) + " " + std::to_string(bytes) + " bytes at " + hex(address) +
              ", which is no multiple of " + std::to_string(bytes) + ".",
          lane);
}

// What the shadow says against it.
[[noreturn]] void refuse_global(Warp& w, int lane, uint64_t address, unsigned bytes, Touch touch) {
  const Memory& m = *w.grid().memory;
  w.worker->fault.address = address;
  const std::string what = std::string(verb(touch)) + " " + std::to_string(bytes) + " bytes at " + hex(address);
  uint64_t bad = address;
  const bool inside = address - m.base() < m.reserved();
  for (unsigned k = 0; inside && k < bytes; ++k)
    if ((m.shadow()[address - m.base() + k] & 1) == 0) {
      bad = address + k;
      if (m.was_freed(bad)) w.fault("use-after-free", what + ": " + m.where(bad) + ".", lane);
      w.fault("out-of-bounds", what + ": " + m.where(bad) + ".", lane);
    }
  if (!inside)
    w.fault("out-of-bounds", what + ": " + (address < 4096 ? "a null pointer" : m.where(address)) + ".", lane);
  for (unsigned k = 0; k < bytes; ++k)
    if (m.shadow()[address - m.base() + k] != 3) {
      bad = address + k;
      break;
    }
  w.fault("uninitialised", what + ", never written: " + m.where(bad) + ".", lane);
}

[[noreturn]] void refuse_shared(Warp& w, int lane, uint64_t at, unsigned bytes, Touch touch) {
  SharedMemory& s = w.block->shared;
  const Grid& g = w.grid();
  w.worker->fault.address = at;
  const std::string what =
      std::string(verb(touch)) + " " + std::to_string(bytes) + " bytes of shared memory at " + hex(at);
  const auto where = [&](uint64_t x) {
    const SharedVariable* before = nullptr;
    for (const auto& v : g.shared)
      if (v.at <= x && (before == nullptr || v.at > before->at)) before = &v;
    if (before == nullptr) return std::string("before the first variable");
    if (x - before->at < before->bytes) return "byte " + std::to_string(x - before->at) + " of " + before->name;
    return std::to_string(x - before->at - before->bytes) + " bytes after the end of " + before->name + " (" +
           std::to_string(before->bytes) + " bytes)";
  };
  for (unsigned k = 0; k < bytes; ++k) {
    const uint64_t x = at + k;
    if (x >= s.bytes() || (s.shadow()[x] & SharedMemory::kAddressable) == 0)
      w.fault("out-of-bounds", what + ": " + where(x) + ".", lane);
  }
  for (unsigned k = 0; k < bytes; ++k)
    if ((s.shadow()[at + k] & SharedMemory::kPending) != 0)
      w.fault("race",
              what + ", where an asynchronous copy that nobody has waited for will write: " + where(at + k) + ".",
              lane);
  for (unsigned k = 0; k < bytes; ++k)
    if (s.shadow()[at + k] != SharedMemory::kGood)
      w.fault("uninitialised", what + ", never written: " + where(at + k) + ".", lane);
  w.fault("out-of-bounds", what + ".", lane);
}

// Bytes that the lanes touch together, without counting any twice; and the distinct blocks of a size.
struct Distinct {
  uint64_t bytes = 0, blocks = 0;
};
Distinct distinct(const uint64_t* address, uint32_t mask, unsigned bytes, unsigned block) {
  if (mask == kAll) {
    // Side by side, or all at one place: what most requests are.
    uint64_t apart = 0, away = 0;
    for (int i = 0; i < kLanes; ++i) {
      apart |= address[i] ^ (address[0] + static_cast<uint64_t>(i) * bytes);
      away |= address[i] ^ address[0];
    }
    const uint64_t all = apart == 0 ? uint64_t{bytes} * kLanes : bytes;
    if (apart == 0 || away == 0) return {all, (address[0] + all - 1) / block - address[0] / block + 1};
  }
  uint64_t sorted[kLanes];
  int n = 0;
  each(mask, [&](int i) { sorted[n++] = address[i]; });
  std::sort(sorted, sorted + n);
  Distinct d;
  uint64_t end = 0, last_block = UINT64_MAX;
  for (int i = 0; i < n; ++i) {
    const uint64_t from = std::max(sorted[i], end), to = sorted[i] + bytes;
    if (to > from) d.bytes += to - from;
    end = std::max(end, to);
    for (uint64_t b = sorted[i] / block; b <= (to - 1) / block; ++b) {
      if (last_block != UINT64_MAX && b <= last_block) continue;
      ++d.blocks;
      last_block = b;
    }
  }
  return d;
}

void count_global(Warp& w, const Places& p, uint32_t mask, unsigned bytes, Touch touch, Traffic& t) {
  const Distinct d = distinct(p.address, mask, bytes, 32);
  const auto asked = static_cast<uint64_t>(__builtin_popcount(mask)) * bytes;
  if (touch == Touch::load || touch == Touch::peek)
    ++t.load_requests, t.load_bytes += asked;
  else
    ++t.store_requests, t.store_bytes += asked;
  t.moved += d.blocks;
  t.ideal += (d.bytes + 31) / 32;
  LineStat& line = w.stat();
  line.moved += d.blocks;
  line.ideal += (d.bytes + 31) / 32;
}

// Wavefronts: lanes of one phase (32, 16 or 8 of them for 4, 8 or 16 bytes) go together unless two want different words
// of one bank.
void count_shared(Warp& w, const Places& p, uint32_t mask, unsigned bytes, Touch touch) {
  Traffic& t = w.worker->counted.shared;
  const auto asked = static_cast<uint64_t>(__builtin_popcount(mask)) * bytes;
  if (touch == Touch::load || touch == Touch::peek)
    ++t.load_requests, t.load_bytes += asked;
  else
    ++t.store_requests, t.store_bytes += asked;
  const int phase = bytes <= 4 ? 32 : bytes == 8 ? 16 : 8;
  uint64_t moved = 0, away = 0, apart = 0;
  for (int i = 0; mask == kAll && i < kLanes; ++i) {
    apart |= p.address[i] ^ (p.address[0] + static_cast<uint64_t>(i) * bytes);
    away |= p.address[i] ^ p.address[0];
  }
  // Side by side or at one place, a phase never wants two words of a bank.
  const bool simple = mask == kAll && (apart == 0 || away == 0);
  if (simple) moved = static_cast<uint64_t>(kLanes / phase);
  for (int first = 0; !simple && first < kLanes; first += phase) {
    uint64_t words[32][kLanes];
    int n[32] = {}, most = 0;
    for (int i = first; i < first + phase; ++i) {
      if ((mask >> i & 1) == 0) continue;
      for (uint64_t x = p.address[i] / 4; x <= (p.address[i] + bytes - 1) / 4; ++x) {
        const unsigned bank = x % 32;
        if (std::find(words[bank], words[bank] + n[bank], x) != words[bank] + n[bank]) continue;
        words[bank][n[bank]++] = x;
        most = std::max(most, n[bank]);
      }
    }
    moved += static_cast<uint64_t>(most);
  }
  const uint64_t ideal = (distinct(p.address, mask, bytes, 4).bytes + 127) / 128;
  t.moved += moved;
  t.ideal += ideal;
  LineStat& line = w.stat();
  line.moved += moved;
  line.ideal += ideal;
}

// Blocks of a launch are in no order. Two workers may pass each other between looking and noting; the schedule decides
// then which of the two is told.
[[noreturn]] void block_race(Warp& w, int lane, uint64_t address, unsigned bytes, const char* what, const char* other,
                             uint32_t tag) {
  const Grid& g = w.grid();
  w.worker->fault.address = address;
  const uint32_t block = (tag & Memory::kManyBlocks) - 1, x = g.launch->grid.x, y = g.launch->grid.y;
  const std::string by = (tag & Memory::kManyBlocks) == Memory::kManyBlocks
                             ? "several blocks have"
                             : "block (" + std::to_string(block % x) + "," + std::to_string(block / x % y) + "," +
                                   std::to_string(block / x / y) + ") has";
  w.fault("race",
          std::string(what) + " " + std::to_string(bytes) + " bytes at " + hex(address) + " that " + by + " " + other +
              " in the same launch: " + g.memory->where(address) + ".",
          lane);
}
inline bool of_another(uint32_t tag, uint32_t mine) { return (tag ^ mine) >> 24 == 0 && tag != mine; }
uint32_t my_tag(Warp& w) { return w.grid().stamp | (static_cast<uint32_t>(w.block->number) + 1); }

void watch_global_load(Warp& w, int lane, uint64_t address, unsigned bytes) {
  const Grid& g = w.grid();
  const uint32_t mine = my_tag(w);
  const uint64_t off = address - g.memory->base();
  Memory::Tags* t = g.tags + off / g.granule;
  for (unsigned k = 0; k < bytes; k += g.granule, ++t) {
    const uint32_t read = __atomic_load_n(&t->read, __ATOMIC_RELAXED);
    if (read != mine) {
      const bool many = of_another(read, mine);
      __atomic_store_n(&t->read, many ? g.stamp | Memory::kManyBlocks : mine, __ATOMIC_RELAXED);
    }
    const uint32_t written = __atomic_load_n(&t->write, __ATOMIC_RELAXED);
    if (of_another(written, mine)) block_race(w, lane, address, bytes, "reads", "written", written);
  }
}

void reach_global(Warp& w, Space space, uint32_t mask, Touch touch, unsigned bytes, Places* p) {
  const Grid& g = w.grid();
  const Memory& m = *g.memory;
  const uint64_t base = m.base(), limit = m.reserved() - 64;
  char* data = m.data();
  uint8_t* shadow = m.shadow();
  const uint64_t* a = p->address;
  bool near = false;
  if (mask == kAll) {
    // What most accesses are: the lanes side by side.
    const uint64_t start = a[0];
    uint64_t differ = 0;
    for (int i = 0; i < kLanes; ++i) differ |= a[i] ^ (start + static_cast<uint64_t>(i) * bytes);
    near = differ == 0 && bytes > 0 && start % bytes == 0 && start - base < limit - 512 &&
           pass_range(shadow + (start - base), static_cast<size_t>(bytes) * kLanes, touch);
    if (near)
      for (int i = 0; i < kLanes; ++i) p->at[i] = data + (a[i] - base);
  }
  if (!near) {
    each(mask, [&](int i) {
      const uint64_t x = a[i], off = x - base;
      if ((x & (bytes - 1)) != 0) misaligned(w, i, x, bytes, touch);
      if (off >= limit) {
        char* mapped = m.mapped(x, bytes);
        if (mapped == nullptr) refuse_global(w, i, x, bytes, touch);
        p->at[i] = mapped;
        return;
      }
      if (!pass(shadow + off, bytes, touch)) refuse_global(w, i, x, bytes, touch);
      p->at[i] = data + off;
    });
  }
  if (g.tags != nullptr && space != Space::constant) {
    p->global |= mask;
    if (touch != Touch::store)
      each(mask, [&](int i) {
        if (a[i] - base < limit) watch_global_load(w, i, a[i], bytes);
      });
  }
  if (g.counting)
    count_global(w, *p, mask, bytes, touch,
                 space == Space::constant ? w.worker->counted.constant : w.worker->counted.global);
}

void reach_local(Warp& w, uint32_t mask, Touch touch, unsigned bytes, Places* p) {
  Traffic& t = w.worker->counted.local;
  const auto asked = static_cast<uint64_t>(__builtin_popcount(mask)) * bytes;
  if (touch == Touch::load || touch == Touch::peek)
    ++t.load_requests, t.load_bytes += asked;
  else
    ++t.store_requests, t.store_bytes += asked;
  each(mask, [&](int i) {
    const uint64_t x = p->address[i];
    if ((x & (bytes - 1)) != 0) misaligned(w, i, x, bytes, touch);
    if (x + bytes > w.local_size() || !pass(w.local_shadow(i) + x, bytes, touch)) {
      w.worker->fault.address = x;
      const std::string what =
          std::string(verb(touch)) + " " + std::to_string(bytes) + " bytes of local memory at " + hex(x);
      bool outside = x + bytes > w.local_size();
      for (unsigned k = 0; !outside && k < bytes; ++k) outside = (w.local_shadow(i)[x + k] & 1) == 0;
      if (outside) w.fault("out-of-bounds", what + ": the thread has " + std::to_string(w.local_size()) + " bytes.", i);
      w.fault("uninitialised", what + ", never written.", i);
    }
    p->at[i] = w.local_data(i) + x;
  });
}

void reach_param(Warp& w, uint32_t mask, Touch touch, unsigned bytes, Places* p) {
  auto& params = w.grid().params;
  each(mask, [&](int i) {
    const uint64_t x = p->address[i];
    if (touch == Touch::store || touch == Touch::atomic)
      w.fault("out-of-bounds", "writes to the kernel's parameters.", i);
    if ((x & (bytes - 1)) != 0) misaligned(w, i, x, bytes, touch);
    if (x + bytes > params.size())
      w.fault("out-of-bounds", "reads beyond the kernel's " + std::to_string(params.size()) + " bytes of parameters.",
              i);
    p->at[i] = params.data() + x;
  });
}

// Ordered before what this warp does now?
inline bool ordered(const Warp& w, uint32_t me, uint32_t other, uint32_t clock) {
  if (clock <= w.floor || other == me) return true;
  const uint32_t warp = other / kLanes;
  return warp == w.index ? clock <= w.epoch_sync : clock <= w.known[warp];
}
// A tensor copy is ordered by its mbarrier alone, for the thread that issued it too.
inline bool write_ordered(const Warp& w, uint32_t me, const SharedMemory::Access& a) {
  const uint32_t other = a.writer & SharedMemory::kThread;
  if ((a.writer & SharedMemory::kAsync) == 0) return ordered(w, me, other, a.write);
  return a.write <= w.floor || a.write <= w.known[other / kLanes];
}

[[noreturn]] void race(Warp& w, uint32_t lane, uint32_t at, unsigned bytes, const char* what, const char* other,
                       uint32_t thread) {
  w.worker->fault.address = at;
  const std::string by = thread == UINT32_MAX ? "several threads" : "thread " + std::to_string(thread);
  w.fault("race",
          std::string(what) + " " + std::to_string(bytes) + " bytes of shared memory at " + hex(at) + " that " + by +
              " of the block has " + other + ", with no barrier between.",
          static_cast<int>(lane));
}

}  // namespace

void watch_load(Warp& w, uint32_t lane, uint32_t at, unsigned bytes, bool strong) {
  SharedMemory& s = w.block->shared;
  const uint32_t g = s.granule(), me = w.index * kLanes + lane, clock = w.block->clock;
  SharedMemory::Access* a = s.accesses() + at / g;
  for (unsigned k = 0; k < bytes; k += g, ++a) {
    if (a->write != 0 && !write_ordered(w, me, *a) && !(strong && (a->writer & SharedMemory::kStrong) != 0))
      race(w, lane, at, bytes, "reads", "written", a->writer & SharedMemory::kThread);
    if (strong) continue;
    if (a->read_clock <= w.floor) a->read_warps = 0;
    a->read_thread =
        a->read_warps == 0 || a->read_thread == me + 1 ? static_cast<uint16_t>(me + 1) : SharedMemory::kMany;
    a->read_warps |= 1u << w.index;
    a->read_clock = clock;
    s.note_read(*a, w.index, clock);
  }
}

void watch_loads(Warp& w, uint32_t mask, const Places& p, unsigned bytes, bool strong) {
  // All lanes at one place, as when a tile's row is read by all: one look does for them.
  uint64_t away = 0;
  for (int i = 0; mask == kAll && i < kLanes; ++i) away |= p.address[i] ^ p.address[0];
  if (mask == kAll && away == 0 && !strong) {
    SharedMemory& s = w.block->shared;
    const uint32_t g = s.granule();
    SharedMemory::Access* a = s.accesses() + p.address[0] / g;
    bool plain = true;
    for (unsigned k = 0; k < bytes; k += g) plain &= a[k / g].write <= w.floor;
    for (unsigned k = 0; plain && k < bytes; k += g, ++a) {
      if (a->read_clock <= w.floor) a->read_warps = 0;
      a->read_thread = SharedMemory::kMany;
      a->read_warps |= 1u << w.index;
      a->read_clock = w.block->clock;
      s.note_read(*a, w.index, a->read_clock);
    }
    if (plain) return;
  }
  each(mask,
       [&](int i) { watch_load(w, static_cast<uint32_t>(i), static_cast<uint32_t>(p.address[i]), bytes, strong); });
}

void watch_store(Warp& w, uint32_t lane, uint32_t at, unsigned bytes, bool strong, const void* value) {
  SharedMemory& s = w.block->shared;
  const uint32_t g = s.granule(), me = w.index * kLanes + lane, clock = w.block->clock;
  SharedMemory::Access* a = s.accesses() + at / g;
  const bool same = value != nullptr && std::memcmp(s.data() + at, value, bytes) == 0;
  const auto writer = static_cast<uint16_t>(me | (strong ? SharedMemory::kStrong : 0));
  for (unsigned k = 0; k < bytes; k += g, ++a) {
    if (a->write != 0 && !write_ordered(w, me, *a) && !(strong && (a->writer & SharedMemory::kStrong) != 0)) {
      if (!same) race(w, lane, at, bytes, "writes", "written", a->writer & SharedMemory::kThread);
      ++w.worker->counted.same_value_races;
    } else if (a->read_warps != 0 && a->read_clock > w.floor) {
      uint32_t other = UINT32_MAX;
      bool good = true;
      if (a->read_thread != SharedMemory::kMany) {
        other = a->read_thread - 1;
        good = ordered(w, me, other, a->read_clock);
      } else {
        for (uint32_t warps = a->read_warps; warps != 0; warps &= warps - 1) {
          const auto i = static_cast<uint32_t>(__builtin_ctz(warps));
          const uint32_t at_clock = s.read_by(*a, i);
          good &= at_clock <= w.floor || (i == w.index ? at_clock <= w.epoch_sync : at_clock <= w.known[i]);
        }
      }
      if (!good) {
        if (!same) race(w, lane, at, bytes, "writes", "read", other);
        ++w.worker->counted.same_value_races;
      }
    }
    a->write = clock;
    a->writer = writer;
    a->read_warps = 0;
    a->read_clock = 0;
  }
}

void watch_async_load(Warp& w, uint32_t at, unsigned bytes) {
  SharedMemory& s = w.block->shared;
  const uint32_t g = s.granule();
  if (g == 0) return;
  SharedMemory::Access* a = s.accesses() + at / g;
  for (unsigned k = 0; k < bytes; k += g, ++a) {
    const uint32_t by = a->writer & SharedMemory::kThread;
    if (a->write != 0 && !write_ordered(w, w.index * kLanes, *a)) race(w, 0, at, bytes, "reads", "written", by);
    if (a->write != 0 && (a->writer & SharedMemory::kAsync) == 0 && a->write > w.fenced[by / kLanes])
      w.fault("race",
              "reads " + std::to_string(bytes) + " bytes of shared memory at " + hex(at) + " that thread " +
                  std::to_string(by) + " has written, with no fence.proxy.async between.",
              0);
    if (a->read_clock <= w.floor) a->read_warps = 0;
    a->read_thread = SharedMemory::kMany;
    a->read_warps |= 1u << w.index;
    a->read_clock = w.block->clock;
    s.note_read(*a, w.index, a->read_clock);
  }
}

void reach_shared_range(Warp& w, int lane, uint32_t at, uint32_t bytes, Touch touch) {
  SharedMemory& s = w.block->shared;
  if (touch == Touch::load && !w.grid().options->uninitialised) touch = Touch::peek;
  for (uint32_t k = 0; k < bytes; k += 16) {
    if (at + k + 16 > s.bytes() || !pass(s.shadow() + at + k, 16, touch)) refuse_shared(w, lane, at + k, 16, touch);
    if (touch == Touch::store && watched(w)) watch_store(w, static_cast<uint32_t>(lane), at + k, 16, false, nullptr);
  }
  if (touch != Touch::store) watch_async_load(w, at, bytes);
}

void reach_global_range(Warp& w, int lane, uint64_t address, uint64_t bytes) {
  const Grid& g = w.grid();
  const Memory& m = *g.memory;
  const uint64_t off = address - m.base();
  const bool ours = off < m.reserved() && bytes < m.reserved() - off;
  const uint8_t good = g.options->uninitialised ? Memory::kGood : Memory::kAddressable;
  for (uint64_t k = 0; k < bytes; ++k)
    if (ours ? (m.shadow()[off + k] & good) != good : k == 0 && m.mapped(address, bytes) == nullptr)
      refuse_global(w, lane, address + k, 1, Touch::load);
  for (uint64_t k = 0; ours && g.tags != nullptr && k < bytes; k += g.granule)
    watch_global_load(w, lane, address + k, static_cast<unsigned>(g.granule));
  if (!g.counting) return;
  Traffic& t = w.worker->counted.global;
  LineStat& line = w.stat();
  const uint64_t sectors = (address + bytes - 1) / 32 - address / 32 + 1;
  ++t.load_requests;
  t.load_bytes += bytes;
  t.moved += sectors;
  t.ideal += (bytes + 31) / 32;
  line.moved += sectors;
  line.ideal += (bytes + 31) / 32;
}

void watch_global_store(Warp& w, uint32_t lane, uint64_t address, unsigned bytes, const void* value) {
  const Grid& g = w.grid();
  const uint64_t off = address - g.memory->base();
  if (off >= g.memory->reserved()) return;
  const uint32_t mine = my_tag(w);
  Memory::Tags* t = g.tags + off / g.granule;
  for (unsigned k = 0; k < bytes; k += g.granule, ++t) {
    // What a tag tells of has been written: the tag comes after the bytes.
    const uint32_t written = __atomic_load_n(&t->write, __ATOMIC_ACQUIRE);
    const uint32_t read = __atomic_load_n(&t->read, __ATOMIC_RELAXED);
    const bool by_write = of_another(written, mine);
    if (!by_write && !of_another(read, mine)) continue;
    if (std::memcmp(g.memory->data() + off, value, bytes) != 0)
      block_race(w, static_cast<int>(lane), address, bytes, "writes", by_write ? "written" : "read",
                 by_write ? written : read);
    ++w.worker->counted.same_value_races;
  }
  std::memcpy(g.memory->data() + off, value, bytes);
  t = g.tags + off / g.granule;
  for (unsigned k = 0; k < bytes; k += g.granule, ++t) __atomic_store_n(&t->write, mine, __ATOMIC_RELEASE);
}

void reach_shared(Warp& w, uint32_t mask, Touch touch, unsigned bytes, Places* p) {
  SharedMemory& s = w.block->shared;
  const uint64_t size = s.bytes();
  char* data = s.data();
  uint8_t* shadow = s.shadow();
  uint64_t apart = 0;
  for (int i = 0; i < kLanes; ++i) apart |= p->address[i] ^ (p->address[0] + static_cast<uint64_t>(i) * bytes);
  const bool near = mask == kAll && apart == 0 && touch == Touch::store && p->address[0] % bytes == 0 &&
                    p->address[0] + kLanes * bytes <= size &&
                    pass_range(shadow + p->address[0], size_t{kLanes} * bytes, touch);
  for (int i = 0; near && i < kLanes; ++i) p->at[i] = data + p->address[i];
  if (!near)
    each(mask, [&](int i) {
      const uint64_t x = p->address[i];
      if ((x & (bytes - 1)) != 0) misaligned(w, i, x, bytes, touch);
      if (x >= size || bytes > size - x || !pass(shadow + x, bytes, touch)) refuse_shared(w, i, x, bytes, touch);
      p->at[i] = data + x;
    });
  p->shared |= mask;
  if (w.grid().counting) count_shared(w, *p, mask, bytes, touch);
}

void reach(Warp& w, const Inst& in, uint32_t mask, Touch touch, unsigned bytes, Places* p) {
  if (in.wide_address) {
    const uint64_t* a = w.lanes<uint64_t>(in.op[1]);
    const uint64_t add = static_cast<uint64_t>(in.offset) + (in.framed ? w.local_base : 0);
    for (int i = 0; i < kLanes; ++i) p->address[i] = a[i] + add;
  } else {
    const uint32_t* a = w.lanes<uint32_t>(in.op[1]);
    const auto add = static_cast<uint32_t>(in.offset);
    for (int i = 0; i < kLanes; ++i) p->address[i] = a[i] + add;
  }
  reach_at(w, in.space, mask, touch, bytes, p);
}

void reach_at(Warp& w, Space space, uint32_t mask, Touch touch, unsigned bytes, Places* p) {
  if (touch == Touch::load && !w.grid().options->uninitialised) touch = Touch::peek;
  switch (space) {
    case Space::global:
    case Space::constant: return reach_global(w, space, mask, touch, bytes, p);
    case Space::shared: return reach_shared(w, mask, touch, bytes, p);
    case Space::local: return reach_local(w, mask, touch, bytes, p);
    case Space::param: return reach_param(w, mask, touch, bytes, p);
    default: break;
  }
  uint32_t shared = 0, local = 0, param = 0;
  each(mask, [&](int i) {
    const uint64_t window = p->address[i] / kWindow;
    const uint32_t bit = 1u << i;
    if (window == kSharedWindow / kWindow) shared |= bit, p->address[i] -= kSharedWindow;
    if (window == kLocalWindow / kWindow) local |= bit, p->address[i] -= kLocalWindow;
    if (window == kParamWindow / kWindow) param |= bit, p->address[i] -= kParamWindow;
  });
  const uint32_t global = mask & ~(shared | local | param);
  if (global != 0) reach_global(w, space, global, touch, bytes, p);
  if (shared != 0) reach_shared(w, shared, touch, bytes, p);
  if (local != 0) reach_local(w, local, touch, bytes, p);
  if (param != 0) reach_param(w, param, touch, bytes, p);
}

}  // namespace sim
