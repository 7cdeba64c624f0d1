// Branches, calls, barriers, fences and ends.
#include <algorithm>

#include "builtin.h"
#include "families.h"

namespace sim {
namespace {

void nothing(Warp&, const Inst&, uint32_t) {}

void bra(Binder& b) {
  b.take("uni");
  const Operand& o = b.operand(0);
  if (o.kind != Operand::Kind::label) b.refuse("the target is no label");
  b.out.flow = Flow::branch;
  b.out.kind = Class::control;
  b.out.target = static_cast<uint32_t>(o.value);
}

void brx(Binder& b) {
  if (!b.take("idx")) b.refuse("only .idx is known");
  b.take("uni");
  b.out.flow = Flow::indexed;
  b.out.kind = Class::control;
  b.out.op[0] = b.source(0, Type::u32);
  if (b.operand(1).kind != Operand::Kind::targets) b.refuse("no list of targets");
  b.out.target = static_cast<uint32_t>(b.operand(1).value);
}

void call(Binder& b) {
  b.take("uni");
  size_t i = 0;
  const Operand* results = nullptr;
  const Operand* arguments = nullptr;
  if (b.operand(0).kind == Operand::Kind::vector) results = &b.operand(i++);
  const Operand& name = b.operand(i++);
  if (name.kind != Operand::Kind::function) b.refuse("calls through a register are not supported");
  if (i < b.operands() && b.operand(i).kind == Operand::Kind::vector) arguments = &b.operand(i++);
  if (i != b.operands()) b.refuse("operands that are not known");
  const ptx::Function* callee = b.linker.module->function(name.text);
  Call c;
  const auto place = [&](const Operand& o) {
    if (o.kind != Operand::Kind::variable) b.refuse("arguments have to be .param variables");
    return b.code.locals.at(o.variable);
  };
  if (callee->defined) {
    Code* code = b.linker.codes.at(name.text);
    c.callee = code;
    const auto pair = [&](const Operand* list, const std::vector<const ptx::Variable*>& formal,
                          std::vector<Call::Argument>& into, bool out) {
      const size_t n = list == nullptr ? 0 : list->parts.size();
      if (n != formal.size())
        b.refuse("takes " + std::to_string(formal.size()) + " arguments, not " + std::to_string(n));
      for (size_t k = 0; k < n; ++k) {
        const uint32_t here = place(list->parts[k]), there = code->locals.at(formal[k]);
        const auto bytes = static_cast<uint32_t>(std::min(formal[k]->bytes, list->parts[k].variable->bytes));
        into.push_back(out ? Call::Argument{there, here, bytes} : Call::Argument{here, there, bytes});
      }
    };
    pair(arguments, callee->parameters, c.arguments, false);
    pair(results, callee->returns, c.results, true);
  } else {
    c.builtin = builtin_named(name.text);
    if (c.builtin < 0) b.refuse("function '" + name.text + "' is not defined in this module");
    if (arguments != nullptr)
      for (const Operand& o : arguments->parts)
        c.arguments.push_back({place(o), 0, static_cast<uint32_t>(o.variable->bytes)});
    if (results != nullptr)
      for (const Operand& o : results->parts)
        c.results.push_back({0, place(o), static_cast<uint32_t>(o.variable->bytes)});
    b.code.prints = true;
  }
  b.out.flow = Flow::call;
  b.out.kind = Class::control;
  b.out.target = static_cast<uint32_t>(b.code.calls.size());
  b.code.calls.push_back(std::move(c));
}

void ret(Binder& b) {
  b.take("uni");
  b.out.flow = Flow::ret;
  b.out.kind = Class::control;
}
void exit(Binder& b) {
  b.out.flow = Flow::exit;
  b.out.kind = Class::control;
}
void trap_run(Warp& w, const Inst&, uint32_t mask) {
  w.fault("trap", "the program stops itself.", __builtin_ctz(mask));
}
void trap(Binder& b) { b.set(trap_run, Class::control); }

// ---- barriers
enum Mode : uint16_t { kArrive = 1, kReduce = 2, kNegated = 4, kCount = 8, kAny = 16 };

void arrive_run(Warp& w, const Inst& in, uint32_t mask) { w.block->arrive(w, in, mask); }
void warp_sync_run(Warp& w, const Inst&, uint32_t) { w.epoch_sync = w.block->clock++; }

void bar(Binder& b) {
  const bool short_form = b.in->opcode == "bar";
  b.take("cta");
  if (b.take("warp")) {
    if (!b.take("sync")) b.refuse("bar.warp.sync is what there is");
    b.out.flow = Flow::sync;
    b.out.op[kMembers] = b.source(0, Type::b32);
    b.set(warp_sync_run, Class::barrier);
    return;
  }
  const std::string what = b.take_one({"sync", "arrive", "red"});
  if (what.empty()) b.refuse(b.has("cluster") ? "clusters are not supported" : "no form that is known");
  b.out.aligned = b.take("aligned") || short_form;
  const std::string reduce = b.take_one({"popc", "and", "or"});
  if ((what == "red") == reduce.empty()) b.refuse("no form that is known");
  if (what == "red") b.take_type();
  size_t i = 0;
  if (what == "red") b.out.op[0] = b.result(i++, reduce == "popc" ? Type::u32 : Type::pred);
  b.out.op[1] = b.source(i++, Type::u32);
  const size_t left = b.operands() - i - (what == "red" ? 1 : 0);
  b.out.count = 1;
  if (left == 1) {
    b.out.op[2] = b.source(i++, Type::u32);
    b.out.count = 2;
  }
  if (what == "red") {
    bool negated;
    b.out.op[3] = b.predicate_source(b.operand(i), &negated);
    b.out.mode = static_cast<uint16_t>(kReduce | (negated ? kNegated : 0) | (reduce == "popc" ? kCount : 0) |
                                       (reduce == "or" ? kAny : 0));
  }
  b.out.kind = Class::barrier;
  if (what == "arrive") {
    if (b.out.count != 2) b.refuse("needs a thread count");
    b.out.mode = kArrive;
    b.out.run = arrive_run;
  } else {
    b.out.flow = Flow::barrier;
  }
}

// What is ordered before it becomes visible to asynchronous copies and products.
void proxy_fence(Warp& w, const Inst&, uint32_t) {
  for (uint32_t k = 0; k < w.fenced.size(); ++k) w.fenced[k] = std::max({w.fenced[k], w.known[k], w.floor});
  w.fenced[w.index] = w.block->clock++;
}
// One memory, one order: nothing else is left to fence.
void fence(Binder& b) {
  const bool proxies = (b.has("proxy") && (b.has("async") || b.has("async::shared::cta"))) || b.has("mbarrier_init");
  b.drop({"gl",
          "cta",
          "sys",
          "gpu",
          "sc",
          "acq_rel",
          "acquire",
          "release",
          "cluster",
          "proxy",
          "alias",
          "async",
          "async::global",
          "async::shared::cta",
          "shared::cta",
          "global",
          "generic",
          "async::generic",
          "sync_restrict::shared::cta",
          "mbarrier_init"});
  b.set(proxies ? proxy_fence : nothing, Class::control);
}

// Registers from and to the block's own stock. A warp that takes waits for others to give; here it goes on, and the
// balance is looked at when the block ends.
void setmaxnreg_run(Warp& w, const Inst& in, uint32_t mask) {
  if (mask != kAll) w.fault("barrier", "setmaxnreg is for all lanes of a warp.", __builtin_ctz(mask));
  const uint32_t n = in.target;
  const bool takes = in.mode != 0;
  if (takes ? n < w.registers : n > w.registers)
    w.fault("limit",
            std::string(takes ? "setmaxnreg.inc" : "setmaxnreg.dec") + " to " + std::to_string(n) +
                " registers, the thread has " + std::to_string(w.registers) + ".",
            0);
  w.block->registers_left += (static_cast<int64_t>(w.registers) - n) * kLanes;
  w.registers = n;
}
void setmaxnreg(Binder& b) {
  b.want_sm_90a();
  const std::string how = b.take_one({"inc", "dec"});
  if (how.empty() || !b.take("sync") || !b.take("aligned")) b.refuse("no form that is known");
  b.take_type();
  const Operand& n = b.operand(0);
  if (n.kind != Operand::Kind::integer || n.value < 24 || n.value > 256 || n.value % 8 != 0)
    b.refuse("a multiple of 8 from 24 to 256 is wanted");
  b.out.target = static_cast<uint32_t>(n.value);
  b.out.mode = how == "inc";
  b.set(setmaxnreg_run, Class::control);
}
void wait_a_little(Warp& w, const Inst&, uint32_t) { ++w.yields; }
void nanosleep(Binder& b) {
  b.take_type();
  b.set(wait_a_little, Class::control);
}
// Grids of one stream run one after another: there is nothing to wait for.
void griddepcontrol(Binder& b) {
  if (b.take_one({"wait", "launch_dependents"}).empty()) b.refuse("no form that is known");
  b.set(nothing, Class::control);
}
void pmevent(Binder& b) {
  b.take("mask");
  b.set(nothing, Class::control);
}

void unsupported(Binder& b) { b.refuse("not supported by this simulator"); }

}  // namespace

const Row kControlRows[] = {{"bra", bra},
                            {"brx", brx},
                            {"call", call},
                            {"ret", ret},
                            {"exit", exit},
                            {"trap", trap},
                            {"brkpt", trap},
                            {"bar", bar},
                            {"barrier", bar},
                            {"membar", fence},
                            {"fence", fence},
                            {"nanosleep", nanosleep},
                            {"griddepcontrol", griddepcontrol},
                            {"pmevent", pmevent},
                            {"tcgen05", unsupported},
                            {"setmaxnreg", setmaxnreg},
                            {"mapa", unsupported},
                            {"getctarank", unsupported},
                            {"multimem", unsupported},
                            {"tensormap", unsupported},
                            {"clusterlaunchcontrol", unsupported},
                            {"alloca", unsupported},
                            {"stacksave", unsupported},
                            {"stackrestore", unsupported},
                            {"tex", unsupported},
                            {"tld4", unsupported},
                            {"txq", unsupported},
                            {"suld", unsupported},
                            {"sust", unsupported},
                            {"sured", unsupported},
                            {"suq", unsupported},
                            {"istypep", unsupported},
                            {nullptr, nullptr}};

}  // namespace sim
