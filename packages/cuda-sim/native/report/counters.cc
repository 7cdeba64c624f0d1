#include "counters.h"

namespace sim {
namespace {

void add(Traffic& a, const Traffic& b) {
  a.load_requests += b.load_requests;
  a.store_requests += b.store_requests;
  a.load_bytes += b.load_bytes;
  a.store_bytes += b.store_bytes;
  a.moved += b.moved;
  a.ideal += b.ideal;
}

}  // namespace

Counters& Counters::operator+=(const Counters& o) {
  launches += o.launches;
  blocks += o.blocks;
  warps += o.warps;
  warp_instructions += o.warp_instructions;
  thread_instructions += o.thread_instructions;
  for (const auto& [name, n] : o.classes) classes[name] += n;
  add(global, o.global);
  add(shared, o.shared);
  add(local, o.local);
  add(constant, o.constant);
  atomics += o.atomics;
  mma += o.mma;
  mma_flop += o.mma_flop;
  barriers += o.barriers;
  same_value_races += o.same_value_races;
  for (const auto& [name, theirs] : o.kernels) {
    auto& mine = kernels[name];
    std::map<int, size_t> at;
    for (size_t i = 0; i < mine.size(); ++i) at[mine[i].line] = i;
    for (const LineCount& l : theirs) {
      const auto found = at.find(l.line);
      if (found == at.end()) {
        mine.push_back(l);
        continue;
      }
      LineCount& m = mine[found->second];
      m.issued += l.issued;
      m.threads += l.threads;
      m.moved += l.moved;
      m.ideal += l.ideal;
    }
  }
  return *this;
}

void Counters::each(const std::function<void(const char* name, double value)>& f) const {
  const auto give = [&](const std::string& name, uint64_t value) { f(name.c_str(), static_cast<double>(value)); };
  give("launches", launches);
  give("blocks", blocks);
  give("warps", warps);
  give("warp_instructions", warp_instructions);
  give("thread_instructions", thread_instructions);
  for (const auto& [name, n] : classes) give("class." + name, n);
  const auto traffic = [&](const std::string& name, const Traffic& t) {
    give(name + ".load_requests", t.load_requests);
    give(name + ".store_requests", t.store_requests);
    give(name + ".load_bytes", t.load_bytes);
    give(name + ".store_bytes", t.store_bytes);
    give(name + ".moved", t.moved);
    give(name + ".ideal", t.ideal);
  };
  traffic("global", global);
  traffic("shared", shared);
  traffic("local", local);
  traffic("constant", constant);
  give("atomics", atomics);
  give("mma", mma);
  give("mma_flop", mma_flop);
  give("barriers", barriers);
  give("same_value_races", same_value_races);
}

}  // namespace sim
