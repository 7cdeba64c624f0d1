// mbarriers: arrivals of threads and bytes of copies, counted by phases in a word of shared memory.
#include "mbarrier.h"

#include <algorithm>

#include "families.h"

namespace sim {
namespace {

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
    p.done = p.coming_fenced = p.done_fenced = p.coming;
  }
  return p;
}

void raise(std::vector<uint32_t>& to, const std::vector<uint32_t>& from) {
  for (size_t i = 0; i < to.size(); ++i) to[i] = std::max(to[i], from[i]);
}

void settle(Phases& p, Word* word) {
  if (word->pending != 0 || word->bytes != 0) return;
  word->phase ^= 1;
  word->pending = word->expected;
  raise(p.done, p.coming);
  raise(p.done_fenced, p.coming_fenced);
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
    // With this thread comes all that came before it.
    for (size_t i = 0; i < p.coming.size(); ++i) p.coming[i] = std::max({p.coming[i], w.known[i], w.floor});
    p.coming[w.index] = w.block->clock++;
    raise(p.coming_fenced, w.fenced);
  }
  settle(p, &word);
  raw = word.bits();
  std::memcpy(at, &raw, 8);
}

void mbarrier_init(Warp& w, const Inst& in, uint32_t mask) {
  each(mask, [&](int i) {
    const uint64_t count = w.lanes<uint32_t>(in.op[2])[i];
    Places place;
    uint64_t* at = word_at(w, i, mbarrier_address(w, in, i), in.space, Touch::store, &place);
    if (count == 0 || count > 0xFFFFF) w.fault("barrier", "an mbarrier for " + std::to_string(count) + " arrivals.", i);
    const uint64_t raw = Word{0, count, count, 0}.bits();
    std::memcpy(at, &raw, 8);
    w.block->phases.erase(place.address[i]);
    Phases& p = phases_of(w, place.address[i]);
    p.made_by = w.index;
    p.made_at = w.block->clock++;
  });
}
void mbarrier_inval(Warp& w, const Inst& in, uint32_t mask) {
  each(mask, [&](int i) {
    Places place;
    word_at(w, i, mbarrier_address(w, in, i), in.space, Touch::atomic, &place);
    std::memset(w.block->shared.shadow() + place.address[i], SharedMemory::kAddressable, 8);
  });
}
void mbarrier_arrive(Warp& w, const Inst& in, uint32_t mask) {
  each(mask, [&](int i) {
    const uint32_t extra = in.count == 2 ? w.lanes<uint32_t>(in.op[2])[i] : 1;
    const bool transfers = (in.mode & (kExpect | kComplete)) != 0;
    uint64_t state = 0;
    arrive_one(w, i, mbarrier_address(w, in, i), in.space, transfers ? 1 : extra, transfers ? extra : 0, in.mode,
               &state);
    w.lanes<uint64_t>(in.op[0])[i] = state;
  });
}

bool passed(Warp& w, const Inst& in, int i) {
  Places place;
  place.address[i] = mbarrier_address(w, in, i);
  reach_at(w, in.space, 1u << i, Touch::load, 8, &place);
  if (watched(w)) watch_load(w, static_cast<uint32_t>(i), static_cast<uint32_t>(place.address[i]), 8, true);
  uint64_t raw;
  std::memcpy(&raw, place.at[i], 8);
  const Word word = Word::of(raw);
  const uint64_t phase =
      (in.mode & kParity) != 0 ? w.lanes<uint32_t>(in.op[2])[i] & 1 : w.lanes<uint64_t>(in.op[2])[i] >> 63;
  if (word.phase == phase) return false;
  const Phases& p = phases_of(w, place.address[i]);
  raise(w.known, p.done);
  raise(w.fenced, p.done_fenced);
  w.epoch_sync = std::max(w.epoch_sync, p.done[w.index]);
  return true;
}

// Copies whose arrival at an mbarrier is due arrive as late as that: when somebody would wait in vain.
bool deliver(Block& b, uint64_t barrier) {
  bool any = deliver_tiles(b, barrier);
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
  // A wait may come back with nothing: what is late is there at the second look.
  if (w.grid().options->copies == Options::Copies::late && left != 0 && w.tried != &in) {
    w.tried = &in;
    left = 0;
  }
  each(left, [&](int i) {
    const uint64_t at = mbarrier_address(w, in, i) - (in.space == Space::generic ? kSharedWindow : 0);
    if (deliver(*w.block, at)) r |= static_cast<uint32_t>(passed(w, in, i)) << i;
  });
  set_predicate(w, in.op[0], mask, r);
  if ((mask & ~r) == 0) {
    w.tried = nullptr;
    return;
  }
  ++w.yields;
  w.vain = &in;
}
void mbarrier_pending(Warp& w, const Inst& in, uint32_t mask) {
  const uint64_t* state = w.lanes<uint64_t>(in.op[1]);
  write<uint32_t>(w, in.op[0], mask, [=](int i) { return static_cast<uint32_t>(Word::of(state[i]).pending); });
}

}  // namespace

uint64_t mbarrier_address(Warp& w, const Inst& in, int lane) {
  return in.wide_address ? w.lanes<uint64_t>(in.op[1])[lane] + static_cast<uint64_t>(in.offset)
                         : w.lanes<uint32_t>(in.op[1])[lane] + static_cast<uint32_t>(in.offset);
}

uint64_t mbarrier_expect_arrivals(Warp& w, int lane, uint64_t address, Space space, unsigned more) {
  Places place;
  uint64_t* at = word_at(w, lane, address, space, Touch::atomic, &place);
  uint64_t raw;
  std::memcpy(&raw, at, 8);
  Word word = Word::of(raw);
  word.pending += more;
  raw = word.bits();
  std::memcpy(at, &raw, 8);
  return place.address[lane];
}

uint64_t mbarrier_for_tile(Warp& w, int lane, uint64_t address) {
  const uint64_t at = mbarrier_expect_arrivals(w, lane, address, Space::shared, 0);
  const auto p = w.block->phases.find(at);
  if (p == w.block->phases.end())
    w.fault("barrier", "no mbarrier was initialised at " + std::to_string(at) + " of shared memory.", lane);
  if (p->second.made_at > w.fenced[p->second.made_by])
    w.fault(
        "race",
        "the mbarrier was initialised and no fence.proxy.async (or fence.mbarrier_init) stands between: the copy may "
        "not see it.",
        lane);
  return at;
}

void mbarrier_complete(Warp& w, int lane, uint64_t address, int64_t bytes, uint32_t issued) {
  Phases& p = phases_of(w, address);
  p.coming[w.index] = std::max(p.coming[w.index], issued);
  arrive_one(w, lane, address, Space::shared, 0, bytes, kComplete | kNoArrival, nullptr);
}

void mbarrier(Binder& b) {
  const std::string what = b.take_one(
      {"init", "inval", "arrive", "arrive_drop", "test_wait", "try_wait", "expect_tx", "complete_tx", "pending_count"});
  b.drop({"release", "acquire", "relaxed", "cta", "cluster"});
  b.code.asynchronous = true;
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

}  // namespace sim
