// cp.async. A copy's data arrives when the program waits for it and not before (or at once, if the run asks for that);
// until then nobody may read or write the place.
#include "access.h"
#include "families.h"
#include "mbarrier.h"

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

void copy_arrive(Warp& w, const Inst& in, uint32_t mask) {
  each(mask, [&](int i) {
    // Without .noinc it adds the arrival that it is.
    w.arrivals.emplace_back(i, mbarrier_expect_arrivals(w, i, mbarrier_address(w, in, i), in.space, in.mode == 0));
  });
}

void cp(Binder& b) {
  if (b.has("reduce") || !b.take("async")) b.refuse("only cp.async is supported");
  if (b.take("bulk")) return bulk_copy(b);
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
