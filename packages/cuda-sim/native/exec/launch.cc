// A grid from its launch to its end: limits, workers, the order of blocks.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "program.h"

namespace sim {
namespace {

constexpr uint64_t kTurn = 1 << 20;       // warp instructions of one warp before another block gets a turn
constexpr uint64_t kShortTurn = 1 << 12;  // the same in a cooperative launch, whose blocks spin for each other
constexpr size_t kResident = 1024;        // blocks that can be under way at once

std::string triple(const Dim3& d) {
  return "(" + std::to_string(d.x) + "," + std::to_string(d.y) + "," + std::to_string(d.z) + ")";
}

// What no chip of this kind would start; empty: fine.
std::string too_much(const Launch& l, const Kernel& k, const Limits& c) {
  const uint64_t threads = static_cast<uint64_t>(l.block.x) * l.block.y * l.block.z;
  if (threads == 0 || static_cast<uint64_t>(l.grid.x) * l.grid.y * l.grid.z == 0)
    return "an empty grid or block: grid " + triple(l.grid) + ", block " + triple(l.block) + ".";
  if (l.grid.x > c.grid_x || l.grid.y > c.grid_y || l.grid.z > c.grid_z)
    return "grid " + triple(l.grid) + " exceeds " + triple({c.grid_x, c.grid_y, c.grid_z}) + ".";
  if (l.block.x > c.block_x || l.block.y > c.block_y || l.block.z > c.block_z || threads > c.threads_per_block)
    return "block " + triple(l.block) + " exceeds " + std::to_string(c.threads_per_block) + " threads or " +
           triple({c.block_x, c.block_y, c.block_z}) + ".";
  if (threads > k.max_threads())
    return "block " + triple(l.block) + " exceeds the " + std::to_string(k.max_threads()) +
           " threads of the kernel's launch bounds.";
  const Dim3 r = k.required_threads();
  if (r.x != 0 && (r.x != l.block.x || r.y != l.block.y || r.z != l.block.z))
    return "block " + triple(l.block) + " is not the kernel's .reqntid " + triple(r) + ".";
  if (k.shared_bytes() + l.dynamic_shared > c.shared_per_block_optin)
    return std::to_string(k.shared_bytes() + l.dynamic_shared) + " bytes of shared memory exceed " +
           std::to_string(c.shared_per_block_optin) + ".";
  if (static_cast<uint64_t>(l.cluster.x) * l.cluster.y * l.cluster.z > 1)
    return "clusters of several blocks are not supported.";
  if (l.params.size() < k.parameter_bytes())
    return std::to_string(l.params.size()) + " bytes of parameters, the kernel takes " +
           std::to_string(k.parameter_bytes()) + ".";
  return "";
}

// The blocks in the order in which they are started; workers take the next one.
class Queue {
 public:
  Queue(const Grid& g, const Options& o) : count_(g.blocks), reversed_(o.schedule == Options::Schedule::reversed) {
    if (o.schedule != Options::Schedule::random_blocks || count_ > 1 << 24) return;
    order_.resize(count_);
    for (uint64_t i = 0; i < count_; ++i) order_[i] = i;
    Random random{o.seed};
    std::shuffle(order_.begin(), order_.end(), random);
  }
  bool next(uint64_t* place, uint64_t* block) {
    const uint64_t i = taken_.fetch_add(1);
    if (i >= count_) return false;
    *place = i;
    *block = !order_.empty() ? order_[i] : reversed_ ? count_ - 1 - i : i;
    return true;
  }

 private:
  uint64_t count_;
  bool reversed_;
  std::vector<uint64_t> order_;
  std::atomic<uint64_t> taken_{0};
};

// Runs blocks until none is left, or until one that comes earlier has failed. A block that does not end within its turn
// may be waiting for others: they are started beside it.
void work(Worker& w, Queue& queue, std::atomic<uint64_t>& failed_at, size_t resident) {
  struct Slot {
    std::unique_ptr<Block> block;
    uint64_t place;
  };
  std::vector<Slot> running;
  std::vector<std::unique_ptr<Block>> spare;
  bool more = true;
  const auto start = [&] {
    uint64_t place, number;
    if (!more || !(more = queue.next(&place, &number))) return false;
    if (place > failed_at.load()) return more = false;
    std::unique_ptr<Block> b;
    if (spare.empty()) {
      b = std::make_unique<Block>();
    } else {
      b = std::move(spare.back());
      spare.pop_back();
    }
    b->start(w.grid, w, number);
    ++w.counted.blocks;
    w.counted.warps += w.grid.warps;
    running.push_back({std::move(b), place});
    return true;
  };
  uint64_t place = 0;
  try {
    while (running.size() < resident && start()) {
    }
    for (size_t i = 0; !running.empty(); i = running.empty() ? 0 : (i + 1) % running.size()) {
      place = running[i].place;
      if (running[i].block->run(w.grid.turn)) {
        spare.push_back(std::move(running[i].block));
        running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
        if (running.empty()) start();
      } else if (running.size() < kResident) {
        start();
      }
      if (i >= running.size()) i = 0;
    }
  } catch (const Stop&) {
    w.fault_order = place;
    for (uint64_t seen = failed_at.load(); place < seen && !failed_at.compare_exchange_weak(seen, place);) {
    }
  }
}

}  // namespace

bool run(const Launch& launch, Memory& memory, const Options& options, Counters* counters, Fault* fault) {
  const auto* kernel = static_cast<const Kernel*>(launch.function);
  const auto refuse = [&](const char* kind, const std::string& message) {
    if (fault != nullptr) {
      *fault = Fault{};
      fault->kind = kind;
      fault->kernel = kernel != nullptr ? kernel->name() : "";
      fault->message = "[" + fault->kernel + "] " + kind + ": " + message;
    }
    return false;
  };
  if (kernel == nullptr) return refuse("limit", "no kernel is given.");
  const Limits* limits = limits_of(options.arch);
  if (limits == nullptr) return refuse("limit", "there is no chip sm_" + std::to_string(options.arch) + " here.");
  const std::string much = too_much(launch, *kernel, *limits);
  if (!much.empty()) return refuse("limit", much);

  Grid grid{};
  grid.launch = &launch;
  grid.options = &options;
  grid.memory = &memory;
  grid.code = kernel->codes_[0].get();
  grid.module = kernel->module_;
  grid.constants = kernel->constants_;
  grid.blocks = static_cast<uint64_t>(launch.grid.x) * launch.grid.y * launch.grid.z;
  grid.threads = launch.block.x * launch.block.y * launch.block.z;
  grid.warps = (grid.threads + kLanes - 1) / kLanes;
  grid.shared = kernel->shared_;
  if (launch.dynamic_shared != 0)
    grid.shared.push_back({kernel->dynamic_at_, launch.dynamic_shared, "dynamic shared memory"});
  grid.shared_bytes = grid.shared.empty() ? 0 : kernel->dynamic_at_ + launch.dynamic_shared;
  grid.counting = counters != nullptr;
  grid.params = launch.params;
  grid.granule = 4;
  grid.turn = launch.cooperative ? kShortTurn : kTurn;
  // What ptxas gives a thread, as far as the launch bounds tell.
  const uint32_t share =
      limits->registers_per_block / std::max(1u, kernel->blocks_wanted_) / kernel->max_threads() / 8 * 8;
  grid.registers = kernel->registers_allowed_ != 0 ? kernel->registers_allowed_ : std::min(share, 248u);
  if (launch.cooperative) {
    if (grid.blocks > kResident)
      return refuse("limit", std::to_string(grid.blocks) + " blocks cannot be resident at once.");
    grid.workspace = memory.allocate(64, 64, "cooperative launch");
    if (grid.workspace == 0) return refuse("limit", "no memory left for a cooperative launch.");
    std::memset(memory.host(grid.workspace, 64), 0, 64);
    memory.mark_initialised(grid.workspace, 64);
  }

  // Blocks that may see each other's writes run one after another, so that the result has one order.
  const bool alone = kernel->one_worker_ || launch.cooperative || grid.blocks == 1;
  const auto threads = static_cast<uint32_t>(
      alone ? 1 : std::clamp<uint64_t>(static_cast<uint64_t>(options.threads), 1, std::min<uint64_t>(grid.blocks, 64)));
  std::vector<std::unique_ptr<Worker>> workers;
  for (uint32_t i = 0; i < threads; ++i) {
    workers.push_back(std::make_unique<Worker>(grid));
    Worker& w = *workers.back();
    for (const auto& c : kernel->codes_) w.stats.emplace_back(c->inst.size());
    w.budget = options.max_instructions;
  }
  // Where blocks synchronise by atomics an order is intended: what they share is not looked at.
  if (options.races && !alone && grid.blocks < Memory::kManyBlocks - 1) grid.tags = memory.watch(&grid.stamp);
  for (const auto& c : kernel->codes_) grid.granule = std::min(grid.granule, c->global_granule);
  Queue queue(grid, options);
  std::atomic<uint64_t> failed_at{UINT64_MAX};
  const size_t resident = launch.cooperative ? std::min<uint64_t>(grid.blocks, kResident) : 1;
  std::vector<std::thread> helpers;
  for (uint32_t i = 1; i < threads; ++i)
    helpers.emplace_back([&, i] { work(*workers[i], queue, failed_at, resident); });
  work(*workers[0], queue, failed_at, resident);
  for (auto& t : helpers) t.join();
  if (grid.workspace != 0) memory.free(grid.workspace);

  const Worker* first = nullptr;
  for (const auto& w : workers)
    if (w->failed && (first == nullptr || w->fault_order < first->fault_order)) first = w.get();
  if (counters != nullptr) {
    ++counters->launches;
    for (auto& w : workers) {
      for (const auto& c : kernel->codes_) {
        for (size_t i = 0; i < c->inst.size(); ++i) {
          const LineStat& s = w->stats[c->index][i];
          w->counted.warp_instructions += s.issued;
          w->counted.thread_instructions += s.threads;
          if (s.issued != 0) w->counted.classes[name_of(c->inst[i].kind)] += s.issued;
        }
      }
      *counters += w->counted;
    }
    auto& lines = counters->kernels[kernel->name()];
    std::map<int, size_t> at;
    for (size_t i = 0; i < lines.size(); ++i) at[lines[i].line] = i;
    for (const auto& c : kernel->codes_) {
      for (size_t i = 0; i < c->inst.size() && i < c->source->body.size(); ++i) {
        const auto& text = c->source->body[i];
        const auto [found, fresh] = at.emplace(text.line, lines.size());
        if (fresh) {
          const auto file = grid.module->files.find(text.file);
          LineCount line;
          line.line = text.line;
          line.text = text.text();
          if (text.source_line != 0 && file != grid.module->files.end())
            line.source = file->second + ":" + std::to_string(text.source_line);
          lines.push_back(line);
        }
        LineCount& line = lines[found->second];
        for (const auto& w : workers) {
          const LineStat& s = w->stats[c->index][i];
          line.issued += s.issued;
          line.threads += s.threads;
          line.moved += s.moved;
          line.ideal += s.ideal;
        }
      }
    }
    std::sort(lines.begin(), lines.end(), [](const LineCount& a, const LineCount& b) { return a.line < b.line; });
  }
  if (first == nullptr) return true;
  if (fault != nullptr) *fault = first->fault;
  return false;
}

}  // namespace sim
