#include "warp.h"

#include <algorithm>
#include <cstring>

#include "block.h"
#include "builtin.h"
#include "lanes.h"

namespace sim {
namespace {

constexpr uint32_t kAlign = 64;
constexpr uint64_t kRotation = 1 << 16;  // instructions

}  // namespace

void Warp::start(Block* b, Worker* wk, uint32_t i) {
  block = b;
  worker = wk;
  index = i;
  const Grid& g = *b->grid;
  const uint32_t first = i * kLanes, n = std::min<uint32_t>(kLanes, g.threads - first);
  live = n == kLanes ? kAll : (1u << n) - 1;
  exited = 0;
  copies.clear();
  arrivals.clear();
  std::fill(std::begin(committed), std::end(committed), 0);
  epoch_sync = floor = 0;
  known.assign(g.warps, 0);
  fenced.assign(g.warps, 0);
  products.clear();
  product_groups = products_issued = 0;
  tried = nullptr;
  registers = g.registers;
  yields = 0;
  steps_ = 0;
  rotate_at_ = kRotation;
  frames_.clear();
  free_frames_.clear();
  fragments_.clear();
  const Code& code = *g.code;
  unfenced.assign(code.held, 1);
  if (registers_.size() < code.register_bytes + kAlign) registers_.resize(code.register_bytes + kAlign);
  local_stride_ = 0;
  reserve_local(code.local_bytes);
  std::fill(local_shadow_.begin(), local_shadow_.end(), 0);
  if (code.local_bytes != 0)
    each(kAll, [&](int lane) { std::memset(local_shadow(lane), SharedMemory::kAddressable, code.local_bytes); });
  const uint32_t f = new_frame({&code, 0, 0, 0, 0, 0, nullptr, static_cast<uint32_t>(__builtin_popcount(live))});
  fragments_.push_back({0, live, f, Fragment::State::ready});
  enter(frames_[f]);
  // A program that reads what it never wrote gets the same garbage in every run.
  if (code.reads_unset) std::memset(bank[kRegisters], 0xCB, code.register_bytes);

  specials_.resize(kSpecialCount * kLanes + 16);
  const auto aligned = (reinterpret_cast<uintptr_t>(specials_.data()) + 63) / 64 * 64;
  bank[kSpecials] = reinterpret_cast<char*>(aligned);
  auto* s = reinterpret_cast<uint32_t*>(aligned);
  const auto all = [&](Special which, uint32_t value) { std::fill_n(s + which * kLanes, kLanes, value); };
  const Dim3 &block_size = g.launch->block, &grid_size = g.launch->grid;
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    const uint32_t t = first + lane;
    s[kTidX * kLanes + lane] = t % block_size.x;
    s[kTidY * kLanes + lane] = t / block_size.x % block_size.y;
    s[kTidZ * kLanes + lane] = t / block_size.x / block_size.y;
    s[kLaneid * kLanes + lane] = lane;
    s[kLanemaskEq * kLanes + lane] = 1u << lane;
    s[kLanemaskLt * kLanes + lane] = (1u << lane) - 1;
    s[kLanemaskLe * kLanes + lane] = (2u << lane) - 1;
    s[kLanemaskGt * kLanes + lane] = ~((2u << lane) - 1);
    s[kLanemaskGe * kLanes + lane] = ~((1u << lane) - 1);
  }
  all(kNtidX, block_size.x);
  all(kNtidY, block_size.y);
  all(kNtidZ, block_size.z);
  all(kCtaidX, b->index.x);
  all(kCtaidY, b->index.y);
  all(kCtaidZ, b->index.z);
  all(kNctaidX, grid_size.x);
  all(kNctaidY, grid_size.y);
  all(kNctaidZ, grid_size.z);
  all(kWarpid, i);
  all(kNwarpid, g.warps);
  const Limits* limits = limits_of(g.options->arch);
  all(kSmid, static_cast<uint32_t>(b->number % static_cast<uint64_t>(limits->multiprocessors)));
  all(kNsmid, static_cast<uint32_t>(limits->multiprocessors));
  all(kDynamicSmemSize, g.launch->dynamic_shared);
  all(kTotalSmemSize, g.shared_bytes);
  all(kZero, 0);
  all(kOne, 1);
  all(kEnvreg1, static_cast<uint32_t>(g.workspace >> 32));
  all(kEnvreg2, static_cast<uint32_t>(g.workspace));
  std::memset(s + kGridid * kLanes, 0, 8 * kLanes);
}

uint32_t Warp::new_frame(Frame f) {
  if (!free_frames_.empty()) {
    const uint32_t i = free_frames_.back();
    free_frames_.pop_back();
    frames_[i] = f;
    return i;
  }
  frames_.push_back(f);
  return static_cast<uint32_t>(frames_.size() - 1);
}

void Warp::drop_frame(uint32_t i, uint32_t lanes) {
  if ((frames_[i].users -= lanes) == 0) free_frames_.push_back(i);
}

void Warp::reserve_local(uint32_t bytes) {
  bytes = (bytes + 15) / 16 * 16;
  if (bytes <= local_stride_) return;
  std::vector<char> data(static_cast<size_t>(bytes) * kLanes, static_cast<char>(0xCB));
  std::vector<uint8_t> shadow(data.size(), 0);
  for (int lane = 0; local_stride_ != 0 && lane < kLanes; ++lane) {
    std::memcpy(data.data() + static_cast<size_t>(lane) * bytes, local_data(lane), local_stride_);
    std::memcpy(shadow.data() + static_cast<size_t>(lane) * bytes, local_shadow(lane), local_stride_);
  }
  local_ = std::move(data);
  local_shadow_ = std::move(shadow);
  local_stride_ = bytes;
}

void Warp::enter(const Frame& f) {
  const auto aligned = (reinterpret_cast<uintptr_t>(registers_.data()) + kAlign - 1) / kAlign * kAlign;
  bank[kRegisters] = reinterpret_cast<char*>(aligned) + f.registers;
  bank[kConstants] = block->grid->constants;
  local_base = f.local;
  running_ = f.code;
}

LineStat& Warp::stat() { return worker->stats[running_->index][static_cast<size_t>(current - running_->inst.data())]; }

bool Warp::ready() const {
  for (const Fragment& f : fragments_)
    if (f.state == Fragment::State::ready) return true;
  return false;
}

void Warp::fault(const char* kind, const std::string& message, int lane) {
  Fault& f = worker->fault;
  const Grid& g = *block->grid;
  f.kind = kind;
  f.kernel = g.code->name;
  f.block = block->index;
  const uint32_t t = index * kLanes + static_cast<uint32_t>(lane);
  const Dim3& size = g.launch->block;
  f.thread = {t % size.x, t / size.x % size.y, t / size.x / size.y};
  f.line = current != nullptr ? current->line : 0;
  const auto triple = [](const Dim3& d) {
    return "(" + std::to_string(d.x) + "," + std::to_string(d.y) + "," + std::to_string(d.z) + ")";
  };
  std::string where = "line " + std::to_string(f.line);
  std::string text;
  // Which function it is in can differ from the kernel; the line tells.
  for (const auto& function : g.module->functions) {
    for (const auto& in : function->body) {
      if (in.line != f.line) continue;
      text = in.text();
      const auto file = g.module->files.find(in.file);
      if (in.source_line != 0 && file != g.module->files.end())
        f.source = file->second + ":" + std::to_string(in.source_line);
      break;
    }
    if (!text.empty()) break;
  }
  f.message = "[" + f.kernel + "] " + f.kind + ": " + message + " Block " + triple(f.block) + ", thread " +
              triple(f.thread) + ", PTX " + where + (text.empty() ? "" : " (" + text + ")") +
              (f.source.empty() ? "" : ", " + f.source) + ".";
  worker->failed = true;
  throw Stop{};
}

// Deepest call first, then the lowest instruction.
int Warp::pick() {
  int best = -1;
  for (int i = 0; i < static_cast<int>(fragments_.size()); ++i) {
    const Fragment& f = fragments_[i];
    if (f.state != Fragment::State::ready) continue;
    if (best < 0) {
      best = i;
      continue;
    }
    const Fragment& b = fragments_[best];
    const uint32_t depth = frames_[f.frame].depth, best_depth = frames_[b.frame].depth;
    if (depth > best_depth || (depth == best_depth && f.pc < b.pc)) best = i;
  }
  return best;
}

// Lanes that wait at __syncwarp may stand at different ones. True: some go on.
bool Warp::release_waiting() {
  for (const Fragment& f : fragments_) {
    if (f.state != Fragment::State::at_sync) continue;
    const Inst& in = frames_[f.frame].code->inst[f.pc];
    if (in.kind != Class::barrier || in.flow != Flow::sync) continue;
    const Frame& frame = frames_[f.frame];
    enter(frame);
    const uint32_t members = lanes<uint32_t>(in.op[kMembers])[__builtin_ctz(f.mask)];
    uint32_t here = 0;
    for (const Fragment& g : fragments_) {
      const Inst& other = frames_[g.frame].code->inst[g.pc];
      if (g.state != Fragment::State::at_sync || other.run != in.run) continue;
      enter(frames_[g.frame]);
      each(g.mask, [&](int lane) {
        if (lanes<uint32_t>(other.op[kMembers])[lane] == members) here |= 1u << lane;
      });
    }
    if ((members & ~exited & ~here) != 0) continue;
    for (Fragment& g : fragments_) {
      if (g.state == Fragment::State::at_sync && (g.mask & ~here) == 0) {
        g.state = Fragment::State::ready;
        ++g.pc;
      }
    }
    epoch_sync = block->clock++;
    return true;
  }
  return false;
}

// Registers of products that are under way belong to those, until a wgmma.wait_group.
void Warp::touch_held(const Inst& in) {
  const Code::Touches& t = running_->touches.at(static_cast<uint32_t>(&in - running_->inst.data()));
  const auto refuse = [&](const AsyncProduct& p, const char* what) {
    fault("race",
          std::string(what) + " the product (wgmma) at line " + std::to_string(p.inst->line) +
              " holds, with no wgmma.wait_group between.",
          __builtin_ctz(live));
  };
  for (const AsyncProduct& p : products) {
    const auto meets = [](const std::vector<uint16_t>& a, const std::vector<uint16_t>& b) {
      for (uint16_t x : a)
        if (std::find(b.begin(), b.end(), x) != b.end()) return true;
      return false;
    };
    if (meets(t.read, p.holds->written)) refuse(p, "reads a sum that");
    if (meets(t.written, p.holds->written)) refuse(p, "writes a sum that");
    if (meets(t.written, p.holds->read)) refuse(p, "writes a factor that");
  }
  for (uint16_t x : t.read) unfenced[x] = 1;
  for (uint16_t x : t.written) unfenced[x] = 1;
}

uint32_t Warp::join_point(const Fragment& f) const {
  uint32_t join = UINT32_MAX;
  for (const Fragment& g : fragments_)
    if (g.frame == f.frame && g.state != Fragment::State::at_barrier && g.pc > f.pc) join = std::min(join, g.pc);
  return join;
}

void Warp::leave(uint32_t mask) {
  finish_copies(mask, UINT32_MAX);
  if (!products.empty())
    fault("race",
          "ends before the products of its warpgroup (wgmma) at line " + std::to_string(products.front().inst->line) +
              " were waited for.",
          __builtin_ctz(mask));
  live &= ~mask;
  exited |= mask;
  block->leave(*this, mask);
  // Whoever waits for these lanes looks again.
  for (Fragment& f : fragments_)
    if (f.state == Fragment::State::at_sync) f.state = Fragment::State::ready;
}

void Warp::pass_barrier(uint32_t barrier) {
  for (Fragment& f : fragments_) {
    if (f.state != Fragment::State::at_barrier) continue;
    if (waiting_barrier[__builtin_ctz(f.mask)] != barrier) continue;
    f.state = Fragment::State::ready;
    ++f.pc;
  }
}

void Warp::call(Fragment& f, const Inst& in, uint32_t mask) {
  const Frame caller = frames_[f.frame];
  const Call& c = caller.code->calls[in.target];
  if (c.callee == nullptr) {
    run_builtin(*this, c, mask);
    return;  // the caller of this function has moved pc
  }
  const Code& code = *c.callee;
  Frame frame{&code,
              f.pc,
              f.frame,
              caller.depth + 1,
              caller.registers + (caller.code->register_bytes + 63) / 64 * 64,
              caller.local + (caller.code->local_bytes + 15) / 16 * 16,
              &c,
              static_cast<uint32_t>(__builtin_popcount(mask))};
  if (frame.depth > 10'000) fault("limit", "calls go deeper than 10000.", __builtin_ctz(mask));
  const uint32_t need = frame.registers + code.register_bytes + kAlign;
  if (registers_.size() < need) {
    // Registers lie at an aligned place within the vector: it may be another one in the new vector.
    std::vector<char> grown(std::max<size_t>(need, registers_.size() * 2));
    const auto place = [](std::vector<char>& v) {
      return reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(v.data()) + kAlign - 1) / kAlign * kAlign);
    };
    std::memcpy(place(grown), place(registers_), caller.registers + caller.code->register_bytes);
    registers_ = std::move(grown);
  }
  reserve_local(frame.local + code.local_bytes);
  each(mask, [&](int lane) {
    std::memset(local_shadow(lane) + frame.local, SharedMemory::kAddressable, code.local_bytes);
    for (const auto& a : c.arguments) {
      std::memcpy(local_data(lane) + frame.local + a.to, local_data(lane) + caller.local + a.from, a.bytes);
      std::memcpy(local_shadow(lane) + frame.local + a.to, local_shadow(lane) + caller.local + a.from, a.bytes);
    }
  });
  f.frame = new_frame(frame);
  f.pc = 0;
  enter(frame);
}

// True: the lanes have gone back to the caller; false: they have left the kernel.
bool Warp::ret(Fragment& f, uint32_t mask) {
  const Frame frame = frames_[f.frame];
  if (frame.depth == 0) {
    leave(mask);
    return false;
  }
  const Frame& caller = frames_[frame.parent];
  each(mask, [&](int lane) {
    for (const auto& r : frame.call->results) {
      std::memcpy(local_data(lane) + caller.local + r.to, local_data(lane) + frame.local + r.from, r.bytes);
      std::memcpy(local_shadow(lane) + caller.local + r.to, local_shadow(lane) + frame.local + r.from, r.bytes);
    }
  });
  drop_frame(f.frame, static_cast<uint32_t>(__builtin_popcount(mask)));
  f.frame = frame.parent;
  f.pc = frame.return_pc;
  enter(caller);
  return true;
}

// Runs the instruction for those groups of lanes that are complete; returns the lanes that have passed it.
uint32_t Warp::sync(const Inst& in, uint32_t mask) {
  const uint32_t* members = lanes<uint32_t>(in.op[kMembers]);
  uint32_t passed = 0;
  for (uint32_t rest = mask; rest != 0;) {
    const int first = __builtin_ctz(rest);
    const uint32_t want = members[first];
    uint32_t group = 0;
    each(rest, [&](int lane) { group |= static_cast<uint32_t>(members[lane] == want) << lane; });
    rest &= ~group;
    if ((group & ~want) != 0)
      fault("shuffle", "the lane is not in the member mask that it gives.", __builtin_ctz(group & ~want));
    if ((want & ~exited & ~group) != 0) continue;
    in.run(*this, in, group);
    passed |= group;
  }
  return passed;
}

bool Warp::run(uint64_t turn) {
  bool moved = false;
  uint64_t left = turn;
  yields = 0;
  vain = nullptr;
  while (left != 0 && yields == 0) {
    int k = pick();
    if (k < 0) {
      if (!release_waiting()) break;
      k = pick();
      if (k < 0) break;
    }
    // A loop in which lanes wait for others of their warp must not keep those from running.
    if (fragments_.size() > 1 && steps_ >= rotate_at_) {
      rotate_at_ = steps_ + kRotation;
      const int other = static_cast<int>(block->random() % fragments_.size());
      if (fragments_[other].state == Fragment::State::ready) k = other;
    }
    Fragment f = fragments_[k];
    fragments_[k] = fragments_.back();
    fragments_.pop_back();
    for (size_t i = 0; i < fragments_.size();) {
      const Fragment& g = fragments_[i];
      if (g.pc == f.pc && g.frame == f.frame && g.state != Fragment::State::at_barrier) {
        f.mask |= g.mask;
        fragments_[i] = fragments_.back();
        fragments_.pop_back();
      } else {
        ++i;
      }
    }
    enter(frames_[f.frame]);
    const Code* code = frames_[f.frame].code;
    const Inst* insts = code->inst.data();
    LineStat* stats = worker->stats[code->index].data();
    uint32_t join = fragments_.empty() ? UINT32_MAX : join_point(f);
    uint64_t threads = 0;
    if (rotate_at_ <= steps_) rotate_at_ = steps_ + kRotation;
    const uint64_t turn_end = fragments_.empty() ? 0 : left - std::min(left, rotate_at_ - steps_);
    const uint64_t left_before = left;
    bool gone = false;  // all lanes of the fragment have exited
    for (;;) {
      const Inst& in = insts[f.pc];
      uint32_t mask = f.mask;
      if (in.guarded != 0) mask &= in.guarded == 1 ? predicate(in.guard) : ~predicate(in.guard);
      const int active = __builtin_popcount(mask);
      ++stats[f.pc].issued;
      stats[f.pc].threads += static_cast<uint64_t>(active);
      threads += static_cast<uint64_t>(active);
      --left;
      current = &in;
      if (in.watched && mask != 0) touch_held(in);
      if (in.flow == Flow::straight) {
        if (mask != 0) in.run(*this, in, mask);
        ++f.pc;
      } else if (mask == 0) {
        ++f.pc;
      } else if (in.flow == Flow::branch) {
        if (mask == f.mask) {
          f.pc = in.target;
        } else {
          fragments_.push_back({f.pc + 1, f.mask & ~mask, f.frame, Fragment::State::ready});
          f.mask = mask;
          f.pc = in.target;
          break;
        }
        if (!fragments_.empty()) break;
      } else if (in.flow == Flow::sync) {
        const uint32_t passed = sync(in, mask), waits = mask & ~passed;
        if (waits != 0) {
          fragments_.push_back({f.pc, waits, f.frame, Fragment::State::at_sync});
          f.mask &= ~waits;
          if (f.mask == 0) {
            gone = true;
            break;
          }
          ++f.pc;
          break;
        }
        ++f.pc;
      } else if (in.flow == Flow::barrier) {
        // The aligned form waits for the rest of the warp first.
        if (in.aligned && (mask != f.mask || f.mask != live)) {
          fragments_.push_back({f.pc, mask, f.frame, mask == live ? Fragment::State::ready : Fragment::State::at_sync});
          f.mask &= ~mask;
          gone = f.mask == 0;
          ++f.pc;
          break;
        }
        fragments_.push_back({f.pc, mask, f.frame, Fragment::State::at_barrier});
        f.mask &= ~mask;
        gone = f.mask == 0;
        ++f.pc;
        block->arrive(*this, in, mask);
        break;
      } else if (in.flow == Flow::exit || (in.flow == Flow::ret && frames_[f.frame].depth == 0)) {
        leave(mask);
        f.mask &= ~mask;
        gone = f.mask == 0;
        ++f.pc;
        break;
      } else if (in.flow == Flow::call || in.flow == Flow::ret) {
        if (mask != f.mask) {
          fragments_.push_back({f.pc + 1, f.mask & ~mask, f.frame, Fragment::State::ready});
          f.mask = mask;
        }
        ++f.pc;
        if (in.flow == Flow::call)
          call(f, in, mask);
        else
          ret(f, mask);
        break;
      } else {  // brx.idx
        const auto& targets = code->targets[in.target];
        const uint32_t* which = lanes<uint32_t>(in.op[0]);
        if (mask != f.mask) fragments_.push_back({f.pc + 1, f.mask & ~mask, f.frame, Fragment::State::ready});
        for (uint32_t rest = mask; rest != 0;) {
          const int lane = __builtin_ctz(rest);
          if (which[lane] >= targets.size()) fault("trap", "brx.idx beyond its list of targets.", lane);
          uint32_t same = 0;
          each(rest, [&](int l) { same |= static_cast<uint32_t>(which[l] == which[lane]) << l; });
          rest &= ~same;
          fragments_.push_back({targets[which[lane]], same, f.frame, Fragment::State::ready});
        }
        gone = true;
        break;
      }
      if (f.pc >= join || left <= turn_end || yields != 0) break;
    }
    if (!gone) fragments_.push_back(f);
    steps_ += left_before - left;
    block->executed += threads;
    moved = true;
    if (worker->budget < threads)
      fault("timeout", "the launch has executed SHAKTI_SIM_MAX_INSTRUCTIONS thread instructions and goes on.",
            __builtin_ctz(f.mask | uint32_t{1} << 31));
    worker->budget -= threads;
  }
  return moved;
}

}  // namespace sim
