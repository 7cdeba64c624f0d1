// cp.async and mbarriers. A copy's data arrives when the program waits for it and not before (or at once, if the run
// asks for that); until then nobody may read the place.
#include "access.h"
#include "families.h"

namespace sim {
namespace {

void copy_lane(Warp& w, const AsyncCopy& c, int lane) {
  SharedMemory& s = w.block->shared;
  const uint32_t to = c.to[lane], n = c.source_bytes[lane];
  if (n != 0) {
    const Memory& m = *w.grid().memory;
    const uint64_t off = c.from[lane] - m.base();
    std::memcpy(s.data() + to, off < m.reserved() ? m.data() + off : m.mapped(c.from[lane], n), n);
  }
  std::memset(s.data() + to + n, 0, c.bytes - n);
}

void issue(Warp& w, const Inst& in, uint32_t mask) {
  Places to, from;
  const unsigned bytes = in.bytes;
  reach(w, in, mask, Touch::store, bytes, &to);
  AsyncCopy c{};
  c.bytes = static_cast<uint8_t>(bytes);
  c.mask = mask;
  c.line = in.line;
  const uint64_t* base = w.lanes<uint64_t>(in.op[2]);
  uint32_t whole = 0;
  each(mask, [&](int i) {
    uint32_t n = bytes;
    if (in.count == 2) n = std::min<uint32_t>(bytes, w.lanes<uint32_t>(in.op[3])[i]);
    if (in.count == 3 && (w.predicate(in.op[3]) >> i & 1) != 0) n = 0;
    c.source_bytes[i] = static_cast<uint8_t>(n);
    c.from[i] = from.address[i] = base[i] + static_cast<uint64_t>(in.offset2);
    c.to[i] = static_cast<uint32_t>(to.address[i]);
    c.group[i] = w.committed[i];
    whole |= static_cast<uint32_t>(n == bytes) << i;
  });
  if (whole != 0) reach_at(w, Space::global, whole, Touch::load, bytes, &from);
  each(mask & ~whole, [&](int i) {  // only part of it is read
    for (unsigned k = 0; k < c.source_bytes[i]; ++k) {
      Places byte;
      byte.address[i] = c.from[i] + k;
      reach_at(w, Space::global, 1u << i, Touch::load, 1, &byte);
    }
  });
  SharedMemory& s = w.block->shared;
  const bool early = w.grid().options->copies == Options::Copies::early;
  each(mask, [&](int i) {
    if (watched(w)) watch_store(w, static_cast<uint32_t>(i), c.to[i], bytes, false, nullptr);
    if (early) copy_lane(w, c, i);
    std::memset(s.shadow() + c.to[i], SharedMemory::kAddressable | SharedMemory::kPending, bytes);
  });
  w.copies.push_back(c);
}

void commit(Warp& w, const Inst&, uint32_t mask) {
  each(mask, [&](int i) { ++w.committed[i]; });
}
void wait(Warp& w, const Inst& in, uint32_t mask) { w.finish_copies(mask, in.target); }

// ---- mbarrier: one word of 64 bits: phase, threads expected, threads pending, bytes pending (with a sign)
struct Word {
  uint64_t phase, expected, pending;
  int64_t bytes;
  static Word of(uint64_t x) {
    return {x >> 63, x >> 42 & 0xFFFFF, x >> 22 & 0xFFFFF, static_cast<int64_t>(x << 42) >> 42};
  }
  uint64_t bits() const {
    return phase << 63 | expected << 42 | pending << 22 | (static_cast<uint64_t>(bytes) & 0x3FFFFF);
  }
};

uint64_t* word_at(Warp& w, int lane, uint64_t address, Space space, Touch touch, Places* p) {
  p->address[lane] = address;
  reach_at(w, space, 1u << lane, touch, 8, p);
  if (watched(w))
    watch_store(w, static_cast<uint32_t>(lane), static_cast<uint32_t>(p->address[lane]), 8, touch != Touch::store,
                nullptr);
  return reinterpret_cast<uint64_t*>(p->at[lane]);
}

Phases& phases_of(Warp& w, uint64_t address) {
  Phases& p = w.block->phases[address];
  if (p.coming.empty()) {
    p.coming.assign(w.block->warps.size(), 0);
    p.done = p.coming;
  }
  return p;
}

void settle(Phases& p, Word* word) {
  if (word->pending != 0 || word->bytes != 0) return;
  word->phase ^= 1;
  word->pending = word->expected;
  for (size_t i = 0; i < p.done.size(); ++i) p.done[i] = std::max(p.done[i], p.coming[i]);
}

// What of these bits apply to the operation.
enum Mbarrier : uint16_t { kExpect = 1, kDrop = 2, kNoArrival = 4, kParity = 8, kComplete = 16 };

void arrive_one(Warp& w, int lane, uint64_t address, Space space, uint64_t count, int64_t bytes, uint16_t mode,
                uint64_t* state) {
  Places place;
  uint64_t* at = word_at(w, lane, address, space, Touch::atomic, &place);
  uint64_t raw;
  std::memcpy(&raw, at, 8);
  Word word = Word::of(raw);
  if (state != nullptr) *state = raw;
  Phases& p = phases_of(w, place.address[lane]);
  if ((mode & kExpect) != 0) word.bytes += bytes;
  if ((mode & kComplete) != 0) word.bytes -= bytes;
  if ((mode & kNoArrival) == 0) {
    if (count > word.pending)
      w.fault("barrier",
              "an mbarrier gets more arrivals than the " + std::to_string(word.expected) + " it was initialised for.",
              lane);
    word.pending -= count;
    if ((mode & kDrop) != 0) word.expected -= count;
    p.coming[w.index] = w.block->clock++;
  }
  settle(p, &word);
  raw = word.bits();
  std::memcpy(at, &raw, 8);
}

uint64_t address_of(Warp& w, const Inst& in, int lane) {
  return in.wide_address ? w.lanes<uint64_t>(in.op[1])[lane] + static_cast<uint64_t>(in.offset)
                         : w.lanes<uint32_t>(in.op[1])[lane] + static_cast<uint32_t>(in.offset);
}

void mbarrier_init(Warp& w, const Inst& in, uint32_t mask) {
  each(mask, [&](int i) {
    const uint64_t count = w.lanes<uint32_t>(in.op[2])[i];
    Places place;
    uint64_t* at = word_at(w, i, address_of(w, in, i), in.space, Touch::store, &place);
    if (count == 0 || count > 0xFFFFF) w.fault("barrier", "an mbarrier for " + std::to_string(count) + " arrivals.", i);
    const uint64_t raw = Word{0, count, count, 0}.bits();
    std::memcpy(at, &raw, 8);
    w.block->phases.erase(place.address[i]);
  });
}
void mbarrier_inval(Warp& w, const Inst& in, uint32_t mask) {
  each(mask, [&](int i) {
    Places place;
    word_at(w, i, address_of(w, in, i), in.space, Touch::atomic, &place);
    std::memset(w.block->shared.shadow() + place.address[i], SharedMemory::kAddressable, 8);
  });
}
void mbarrier_arrive(Warp& w, const Inst& in, uint32_t mask) {
  each(mask, [&](int i) {
    const uint32_t extra = in.count == 2 ? w.lanes<uint32_t>(in.op[2])[i] : 1;
    const bool transfers = (in.mode & (kExpect | kComplete)) != 0;
    uint64_t state = 0;
    arrive_one(w, i, address_of(w, in, i), in.space, transfers ? 1 : extra, transfers ? extra : 0, in.mode, &state);
    w.lanes<uint64_t>(in.op[0])[i] = state;
  });
}

bool passed(Warp& w, const Inst& in, int i) {
  Places place;
  place.address[i] = address_of(w, in, i);
  reach_at(w, in.space, 1u << i, Touch::load, 8, &place);
  if (watched(w)) watch_load(w, static_cast<uint32_t>(i), static_cast<uint32_t>(place.address[i]), 8, true);
  uint64_t raw;
  std::memcpy(&raw, place.at[i], 8);
  const Word word = Word::of(raw);
  const uint64_t phase =
      (in.mode & kParity) != 0 ? w.lanes<uint32_t>(in.op[2])[i] & 1 : w.lanes<uint64_t>(in.op[2])[i] >> 63;
  if (word.phase == phase) return false;
  const Phases& p = phases_of(w, place.address[i]);
  for (uint32_t k = 0; k < p.done.size(); ++k) w.known[k] = std::max(w.known[k], p.done[k]);
  w.epoch_sync = std::max(w.epoch_sync, p.done[w.index]);
  return true;
}

// Copies whose arrival at an mbarrier is due arrive as late as that: when somebody would wait in vain.
bool deliver(Block& b) {
  bool any = false;
  for (Warp& w : b.warps) {
    const auto due = std::move(w.arrivals);
    w.arrivals.clear();
    for (const auto& [lane, address] : due) {
      w.finish_copies(1u << lane, UINT32_MAX);
      arrive_one(w, static_cast<int>(lane), address, Space::shared, 1, 0, 0, nullptr);
      any = true;
    }
  }
  return any;
}

void mbarrier_wait(Warp& w, const Inst& in, uint32_t mask) {
  uint32_t r = 0, left = mask;
  each(mask, [&](int i) { r |= static_cast<uint32_t>(passed(w, in, i)) << i; });
  left &= ~r;
  if (left != 0 && deliver(*w.block)) each(left, [&](int i) { r |= static_cast<uint32_t>(passed(w, in, i)) << i; });
  set_predicate(w, in.op[0], mask, r);
  if ((mask & ~r) == 0) return;
  ++w.yields;
  w.vain = &in;
}
void mbarrier_pending(Warp& w, const Inst& in, uint32_t mask) {
  const uint64_t* state = w.lanes<uint64_t>(in.op[1]);
  write<uint32_t>(w, in.op[0], mask, [=](int i) { return static_cast<uint32_t>(Word::of(state[i]).pending); });
}

void copy_arrive(Warp& w, const Inst& in, uint32_t mask) {
  each(mask, [&](int i) {
    Places place;
    uint64_t* at = word_at(w, i, address_of(w, in, i), in.space, Touch::atomic, &place);
    if (in.mode == 0) {  // without .noinc it adds the arrival that it is
      uint64_t raw;
      std::memcpy(&raw, at, 8);
      Word word = Word::of(raw);
      ++word.pending;
      raw = word.bits();
      std::memcpy(at, &raw, 8);
    }
    w.arrivals.emplace_back(i, place.address[i]);
  });
}

void cp(Binder& b) {
  if (b.has("reduce") || !b.take("async")) b.refuse("only cp.async is supported");
  if (b.has("bulk")) b.refuse("cp.async.bulk (TMA) is not supported");
  b.out.kind = Class::copy;
  if (b.take("commit_group")) return b.set(commit, Class::copy);
  if (b.take("wait_all")) {
    b.out.target = UINT32_MAX;
    return b.set(wait, Class::copy);
  }
  if (b.take("wait_group")) {
    if (b.operand(0).kind != Operand::Kind::integer) b.refuse("the number of groups has to be a constant");
    b.out.target = static_cast<uint32_t>(b.operand(0).value);
    return b.set(wait, Class::copy);
  }
  if (b.take("mbarrier")) {
    if (!b.take("arrive")) b.refuse("no form that is known");
    b.out.mode = b.take("noinc");
    b.out.space = b.space();
    b.take_type();
    b.address(b.operand(0), &b.out.op[1]);
    return b.set(copy_arrive, Class::copy);
  }
  if (b.take_one({"ca", "cg"}).empty()) b.refuse("no form that is known");
  if (!b.take("shared") && !b.take("shared::cta")) b.refuse("only copies to shared memory are supported");
  if (!b.take("global")) b.refuse("only copies from global memory are supported");
  b.drop({"L2::64B", "L2::128B", "L2::256B"});
  const bool policy = b.take("L2::cache_hint");
  b.out.space = Space::global;
  b.address(b.operand(1), &b.out.op[2]);
  if (!b.out.wide_address) b.refuse("the source has a 64-bit address");
  b.out.offset2 = b.out.offset;
  b.out.space = Space::shared;
  b.address(b.operand(0), &b.out.op[1]);
  const Operand& size = b.operand(2);
  if (size.kind != Operand::Kind::integer || (size.value != 4 && size.value != 8 && size.value != 16))
    b.refuse("copies have 4, 8 or 16 bytes");
  b.out.bytes = static_cast<uint8_t>(size.value);
  b.out.count = 1;
  if (b.operands() == (policy ? 5u : 4u)) {
    const Operand& third = b.operand(3);
    const bool predicate = third.kind == Operand::Kind::reg && b.function.registers[third.value].type == Type::pred;
    b.out.op[3] = b.source(3, predicate ? Type::pred : Type::u32);
    b.out.count = predicate ? 3 : 2;
  }
  b.set(issue, Class::copy);
  b.code.granule = std::min(b.code.granule, static_cast<uint32_t>(size.value));
}

void mbarrier(Binder& b) {
  const std::string what = b.take_one(
      {"init", "inval", "arrive", "arrive_drop", "test_wait", "try_wait", "expect_tx", "complete_tx", "pending_count"});
  b.drop({"release", "acquire", "relaxed", "cta", "cluster"});
  if (what == "pending_count") {
    b.take_type();
    b.out.op[0] = b.result(0, Type::b32);
    b.out.op[1] = b.source(1, Type::b64);
    return b.set(mbarrier_pending, Class::barrier);
  }
  const bool expect = b.take("expect_tx"), parity = b.take("parity");
  b.take("noComplete");
  b.out.space = b.space();
  b.take_type();
  b.code.granule = std::min(b.code.granule, 8u);
  size_t i = 0;
  if (what == "init" || what == "inval" || what == "expect_tx" || what == "complete_tx") {
    b.address(b.operand(i++), &b.out.op[1]);
    if (what != "inval") b.out.op[2] = b.source(i++, Type::u32);
    b.out.op[0] = kSink;
    b.out.count = 2;
    b.out.mode = what == "expect_tx" ? kExpect | kNoArrival : what == "complete_tx" ? kComplete | kNoArrival : 0;
    return b.set(what == "init" ? mbarrier_init : what == "inval" ? mbarrier_inval : mbarrier_arrive, Class::barrier);
  }
  if (what == "arrive" || what == "arrive_drop") {
    b.out.op[0] = b.operand(0).kind == Operand::Kind::address ? kSink : b.result(i++, Type::b64);
    b.address(b.operand(i++), &b.out.op[1]);
    b.out.count = 1;
    if (i < b.operands()) {
      b.out.op[2] = b.source(i, Type::u32);
      b.out.count = 2;
    }
    b.out.mode = static_cast<uint16_t>((expect ? kExpect : 0) | (what == "arrive_drop" ? kDrop : 0));
    return b.set(mbarrier_arrive, Class::barrier);
  }
  if (what != "test_wait" && what != "try_wait") b.refuse("no form that is known");
  b.out.op[0] = b.result(0, Type::pred);
  b.address(b.operand(1), &b.out.op[1]);
  b.out.op[2] = b.source(2, parity ? Type::u32 : Type::b64);
  b.out.mode = parity ? kParity : 0;
  b.set(mbarrier_wait, Class::barrier);
}

}  // namespace

void Warp::finish_copies(uint32_t mask, uint32_t but) {
  if (copies.empty()) return;
  SharedMemory& s = block->shared;
  const bool late = grid().options->copies == Options::Copies::late;
  size_t kept = 0;
  for (AsyncCopy& c : copies) {
    each(c.mask & mask, [&](int i) {
      if (but != UINT32_MAX && static_cast<uint64_t>(c.group[i]) + but >= committed[i]) return;
      if (late) copy_lane(*this, c, i);
      std::memset(s.shadow() + c.to[i], SharedMemory::kGood, c.bytes);
      // The bytes count as written now, by this thread.
      if (s.granule() != 0) watch_store(*this, static_cast<uint32_t>(i), c.to[i], c.bytes, false, nullptr);
      c.mask &= ~(1u << i);
    });
    if (c.mask != 0) {
      if (&copies[kept] != &c) copies[kept] = c;
      ++kept;
    }
  }
  copies.resize(kept);
}

const Row kAsyncRows[] = {{"cp", cp}, {"mbarrier", mbarrier}, {nullptr, nullptr}};

}  // namespace sim
