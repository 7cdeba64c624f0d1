#include "block.h"

#include <algorithm>

#include "lanes.h"

namespace sim {
namespace {

constexpr uint32_t kVainRounds = 10'000;

}  // namespace

void Block::start(Grid& g, Worker& w, uint64_t n) {
  grid = &g;
  worker = &w;
  number = n;
  const Dim3& size = g.launch->grid;
  index = {static_cast<uint32_t>(n % size.x), static_cast<uint32_t>(n / size.x % size.y),
           static_cast<uint32_t>(n / size.x / size.y)};
  shared.reset(g.shared_bytes, 0xCB);
  for (const auto& v : g.shared) shared.allow(v.at, v.bytes);
  if (g.options->races && g.shared_bytes != 0) shared.watch(g.code->granule, g.code->asynchronous ? g.warps : 0);
  for (Barrier& b : barriers) b = Barrier{};
  live = g.threads;
  clock = 1;
  executed = 0;
  vain_rounds = 0;
  random.state = g.options->seed * 0xD1342543DE82EF95u ^ n;
  phases.clear();
  tiles.clear();
  warpgroups.assign((g.warps + 3) / 4, {});
  registers_left = 0;
  warps.resize(g.warps);
  for (uint32_t i = 0; i < g.warps; ++i) warps[i].start(this, &w, i);
}

bool Block::run(uint64_t turn) {
  const uint64_t start = executed;
  std::vector<uint32_t> order(warps.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto schedule = grid->options->schedule;
  if (schedule == Options::Schedule::reversed) std::reverse(order.begin(), order.end());
  while (executed - start < turn * kLanes) {
    bool moved = false;
    Warp* vain = nullptr;
    bool all_vain = true;
    const uint32_t before = clock;
    if (schedule == Options::Schedule::random_warps) std::shuffle(order.begin(), order.end(), random);
    for (uint32_t i : order) {
      Warp& w = warps[i];
      if (w.ended()) continue;
      // Random schedules stop a warp at any place.
      const uint64_t slice = schedule == Options::Schedule::random_warps ? 1 + random() % 64 : turn;
      if (!w.run(slice)) continue;
      moved = true;
      if (w.vain != nullptr)
        vain = &w;
      else
        all_vain = false;
    }
    if (live == 0) return true;
    if (!moved) {
      Warp* w = nullptr;
      int lane = 0;
      const char* kind = "barrier";
      const std::string message = deadlock(&w, &lane, &kind);
      w->fault(kind, message, lane);
    }
    vain_rounds = moved && all_vain && clock == before ? vain_rounds + 1 : 0;
    if (vain_rounds > kVainRounds) {
      vain->current = vain->vain;
      vain->fault("barrier", "waits at an mbarrier for arrivals or bytes that never come.", __builtin_ctz(vain->live));
    }
  }
  return false;
}

// What nobody will ever release: who waits where, and for whom.
std::string Block::deadlock(Warp** warp, int* lane, const char** kind) {
  struct Place {
    Warp* warp;
    int lane, line;
    std::string what;
  };
  std::vector<Place> waiting;
  for (Warp& w : warps) {
    for (const Fragment& f : w.fragments()) {
      const Code& code = *w.frame(f.frame).code;
      const Inst& in = code.inst[f.pc];
      const bool barrier = in.flow == Flow::barrier;
      Place p{&w, __builtin_ctz(f.mask), in.line, barrier ? "barrier" : "shuffle"};
      if (!barrier && in.kind == Class::barrier) p.what = "barrier";  // __syncwarp
      if (p.what == "shuffle")
        waiting.insert(waiting.begin(), p);
      else
        waiting.push_back(p);
    }
  }
  const Place& first = waiting.front();
  *warp = first.warp;
  *lane = first.lane;
  *kind = first.what == "shuffle" ? "shuffle" : "barrier";
  first.warp->current = nullptr;
  for (const Fragment& f : first.warp->fragments())
    if ((f.mask >> first.lane & 1) != 0) first.warp->current = &first.warp->frame(f.frame).code->inst[f.pc];
  const auto thread = [](const Place& p) {
    return "thread " + std::to_string(p.warp->index * kLanes + static_cast<uint32_t>(p.lane));
  };
  std::string text = "waits for threads that never come: ";
  bool other = false;
  for (const Place& p : waiting) {
    if (p.line == first.line) continue;
    text += thread(p) + " stands at line " + std::to_string(p.line) + ". ";
    other = true;
    break;
  }
  if (!other) text += std::to_string(grid->threads - live) + " of the block have ended.";
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

bool Block::full(const Barrier& b) const { return b.expected == 0 ? b.arrived >= live : b.arrived >= b.expected; }

void Block::arrive(Warp& w, const Inst& in, uint32_t mask) {
  const int first = __builtin_ctz(mask);
  const uint32_t id = w.lanes<uint32_t>(in.op[1])[first];
  if (id >= kBarriers) w.fault("barrier", "there are barriers 0 to 15, not " + std::to_string(id) + ".", first);
  Barrier& b = barriers[id];
  const uint32_t expected = in.count == 2 ? w.lanes<uint32_t>(in.op[2])[first] : 0;
  if (in.count == 2 && (expected == 0 || expected % kLanes != 0))
    w.fault("barrier", "a thread count of " + std::to_string(expected) + " is no multiple of 32.", first);
  if (b.arrived == 0) {
    b.expected = expected;
    b.line = in.line;
    b.any = b.count = 0;
    b.all = 1;
    b.arrivals.assign(warps.size(), 0);
  } else if (b.expected != expected) {
    w.fault("barrier",
            "barrier " + std::to_string(id) + " is given two thread counts: " + std::to_string(b.expected) +
                " at line " + std::to_string(b.line) + " and " + std::to_string(expected) + " here.",
            first);
  } else if (expected == 0 && b.line != in.line) {
    w.fault("barrier",
            "the threads of the block are at different barriers: others wait at line " + std::to_string(b.line) + ".",
            first);
  }
  if (expected == 0 && live < grid->threads && grid->options->strict_barriers)
    w.fault("barrier",
            std::to_string(grid->threads - live) +
                " threads of the block ended before this barrier (hardware does without them; "
                "SHAKTI_SIM_STRICT_BARRIERS=0 does too).",
            first);
  // With a count the hardware counts warps, whole.
  b.arrived += expected != 0 ? kLanes : static_cast<uint32_t>(__builtin_popcount(mask));
  b.arrivals[w.index] = clock++;
  const bool arrive_only = (in.mode & 1) != 0;
  if ((in.mode & 2) != 0) {  // .red
    const uint32_t p = (in.mode & 4) != 0 ? ~w.predicate(in.op[3]) : w.predicate(in.op[3]);
    b.count += static_cast<uint32_t>(__builtin_popcount(p & mask));
    b.any |= (p & mask) != 0;
    b.all &= (p & mask) == mask;
  }
  if (!arrive_only) each(mask, [&](int lane) { w.waiting_barrier[lane] = id; });
  if (b.expected != 0 && b.arrived > b.expected)
    w.fault("barrier", "more threads come to barrier " + std::to_string(id) + " than it waits for.", first);
  if (full(b)) complete(id);
}

void Block::complete(uint32_t id) {
  Barrier& b = barriers[id];
  worker->counted.barriers += 1;
  const uint32_t now = clock++;
  uint32_t floor = 0;
  for (uint32_t i = 0; i < warps.size(); ++i)
    if (b.arrivals[i] != 0) floor = std::max(floor, warps[i].floor);
  std::vector<uint32_t> fenced;
  if (grid->code->asynchronous) {
    fenced.assign(warps.size(), 0);
    for (uint32_t i = 0; i < warps.size(); ++i)
      for (uint32_t k = 0; b.arrivals[i] != 0 && k < warps.size(); ++k)
        fenced[k] = std::max(fenced[k], warps[i].fenced[k]);
  }
  for (Warp& w : warps) {
    if (w.ended()) continue;
    uint32_t waits = 0;
    const Inst* in = nullptr;
    for (const Fragment& f : w.fragments()) {
      if (f.state != Fragment::State::at_barrier || w.waiting_barrier[__builtin_ctz(f.mask)] != id) continue;
      waits |= f.mask;
      in = &w.frame(f.frame).code->inst[f.pc];
    }
    if (waits == 0) continue;
    if (b.expected == 0) {
      w.floor = now;
    } else {
      w.floor = std::max(w.floor, floor);
      for (uint32_t i = 0; i < warps.size(); ++i) {
        if (b.arrivals[i] == 0) continue;
        w.known[i] = std::max(w.known[i], b.arrivals[i]);
        for (uint32_t k = 0; k < warps.size(); ++k) w.known[k] = std::max(w.known[k], warps[i].known[k]);
      }
    }
    for (uint32_t k = 0; k < fenced.size(); ++k) w.fenced[k] = std::max(w.fenced[k], fenced[k]);
    w.epoch_sync = now;
    if ((in->mode & 2) != 0) {
      if ((in->mode & 8) != 0)
        write<uint32_t>(w, in->op[0], waits, [&](int) { return b.count; });
      else
        set_predicate(w, in->op[0], waits, ((in->mode & 16) != 0 ? b.any : b.all) != 0 ? kAll : 0);
    }
    w.pass_barrier(id);
  }
  b = Barrier{};
}

void Block::leave(Warp& w, uint32_t lanes) {
  live -= static_cast<uint32_t>(__builtin_popcount(lanes));
  if (live == 0) return end(w);
  for (uint32_t id = 0; id < kBarriers; ++id) {
    Barrier& b = barriers[id];
    if (b.arrived == 0 || b.expected != 0) continue;
    if (grid->options->strict_barriers)
      w.fault("barrier",
              "ends while " + std::to_string(b.arrived) + " threads wait for the whole block at line " +
                  std::to_string(b.line) + " (hardware lets them go on; SHAKTI_SIM_STRICT_BARRIERS=0 does too).",
              __builtin_ctz(lanes));
    if (full(b)) complete(id);
  }
}

void Block::end(Warp& w) {
  if (!tiles.empty())
    w.fault("race",
            "the block ends while a tensor copy is on its way into its shared memory (the mbarrier at " +
                std::to_string(tiles.front().barrier) + " was not waited for).",
            0);
  for (const Warpgroup& g : warpgroups)
    if (!g.issued.empty())
      w.fault("barrier",
              "not all four warps of a warpgroup have executed the product at line " +
                  std::to_string(g.issued.front().inst->line) + ".",
              0);
  if (registers_left < 0)
    w.fault("limit",
            "setmaxnreg takes " + std::to_string(-registers_left) +
                " registers more than the block has: a warp waits for ever.",
            0);
}

}  // namespace sim
