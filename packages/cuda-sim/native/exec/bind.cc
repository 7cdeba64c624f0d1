#include "bind.h"

#include <algorithm>

#include "builtin.h"

namespace sim {
namespace {

struct SpecialRow {
  const char* name;
  uint32_t which;
};
constexpr SpecialRow kSpecialRows[] = {
    {"%tid.x", kTidX},
    {"%tid.y", kTidY},
    {"%tid.z", kTidZ},
    {"%ntid.x", kNtidX},
    {"%ntid.y", kNtidY},
    {"%ntid.z", kNtidZ},
    {"%ctaid.x", kCtaidX},
    {"%ctaid.y", kCtaidY},
    {"%ctaid.z", kCtaidZ},
    {"%nctaid.x", kNctaidX},
    {"%nctaid.y", kNctaidY},
    {"%nctaid.z", kNctaidZ},
    {"%laneid", kLaneid},
    {"%warpid", kWarpid},
    {"%nwarpid", kNwarpid},
    {"%smid", kSmid},
    {"%nsmid", kNsmid},
    {"%lanemask_eq", kLanemaskEq},
    {"%lanemask_lt", kLanemaskLt},
    {"%lanemask_le", kLanemaskLe},
    {"%lanemask_gt", kLanemaskGt},
    {"%lanemask_ge", kLanemaskGe},
    {"%dynamic_smem_size", kDynamicSmemSize},
    {"%total_smem_size", kTotalSmemSize},
    // One block is a cluster of its own.
    {"%cluster_ctaid.x", kZero},
    {"%cluster_ctaid.y", kZero},
    {"%cluster_ctaid.z", kZero},
    {"%cluster_ctarank", kZero},
    {"%cluster_nctaid.x", kOne},
    {"%cluster_nctaid.y", kOne},
    {"%cluster_nctaid.z", kOne},
    {"%cluster_nctarank", kOne},
    {"%clusterid.x", kCtaidX},
    {"%clusterid.y", kCtaidY},
    {"%clusterid.z", kCtaidZ},
    {"%nclusterid.x", kNctaidX},
    {"%nclusterid.y", kNctaidY},
    {"%nclusterid.z", kNctaidZ},
    {"%gridid", kGridid},
    // Where the blocks of a cooperative launch meet: an address, as cooperative_groups.h reads it.
    {"%envreg1", kEnvreg1},
    {"%envreg2", kEnvreg2},
};

const std::unordered_map<std::string, Bind>& table() {
  static const auto* rows = [] {
    auto* t = new std::unordered_map<std::string, Bind>;
    for (const Row* family : {kIntegerRows, kBitRows, kFloatRows, kConvertRows, kMoveRows, kMemoryRows, kAtomicRows,
                              kControlRows, kWarpRows, kAsyncRows, kMatrixRows})
      for (const Row* r = family; r->opcode != nullptr; ++r) t->emplace(r->opcode, r->bind);
    return t;
  }();
  return *rows;
}

}  // namespace

const char* name_of(Class c) {
  static const char* const names[kClasses] = {"integer", "float",    "convert", "move",   "compare",
                                              "control", "barrier",  "warp",    "global", "shared",
                                              "local",   "constant", "atomic",  "mma",    "copy"};
  return names[static_cast<int>(c)];
}

Slot Linker::constant(unsigned bytes, uint64_t value) {
  if (bytes < 8) value &= (uint64_t{1} << bytes * 8) - 1;
  const auto [at, fresh] = constant_slots.emplace(std::make_pair(bytes, value), 0);
  if (fresh) {
    const size_t start = (constants.size() + 63) / 64 * 64;
    at->second = slot(kConstants, static_cast<uint32_t>(start));
    constants.resize(start + std::max<size_t>(64, static_cast<size_t>(bytes) * kLanes));
    for (int lane = 0; lane < kLanes; ++lane) {
      char* to = constants.data() + start + static_cast<size_t>(lane) * bytes;
      std::memset(to, 0, bytes);
      std::memcpy(to, &value, std::min(bytes, 8u));
    }
  }
  return at->second;
}

void Binder::refuse(const std::string& why) const { throw ptx::Error{in->line, "'" + in->text() + "': " + why}; }

void Binder::want_sm_90a() const {
  if (linker.module->target != 90 || !linker.module->target_exact) refuse("it needs .target sm_90a");
}

bool Binder::has(const char* modifier) const {
  return std::find(in->modifiers.begin(), in->modifiers.end(), modifier) != in->modifiers.end();
}

bool Binder::take(const char* modifier) {
  for (size_t i = 0; i < in->modifiers.size(); ++i) {
    if (used_modifiers[i] || in->modifiers[i] != modifier) continue;
    used_modifiers[i] = true;
    return true;
  }
  return false;
}

std::string Binder::take_one(std::initializer_list<const char*> choices) {
  for (const char* c : choices)
    if (take(c)) return c;
  return "";
}

Type Binder::take_type() {
  for (size_t i = 0; i < in->modifiers.size(); ++i) {
    if (used_modifiers[i]) continue;
    const Type t = ptx::type_of(in->modifiers[i]);
    if (t == Type::none) continue;
    used_modifiers[i] = true;
    return t;
  }
  refuse("no type that is known");
}

void Binder::drop(std::initializer_list<const char*> harmless) {
  for (const char* m : harmless) take(m);
}

Round Binder::rounding(Round otherwise) {
  if (take("rn") || take("rni")) return Round::nearest_even;
  if (take("rz") || take("rzi")) return Round::zero;
  if (take("rm") || take("rmi")) return Round::down;
  if (take("rp") || take("rpi")) return Round::up;
  if (take("rna")) return Round::nearest_away;
  return otherwise;
}

const Operand& Binder::operand(size_t i) const {
  if (i >= in->operands.size()) refuse("operand " + std::to_string(i + 1) + " is missing");
  return in->operands[i];
}

unsigned Binder::width(const Operand& o, unsigned otherwise) const {
  if (o.kind != Operand::Kind::reg) return otherwise;
  const unsigned bytes = ptx::size_of(function.registers[o.value].type);
  return bytes == 1 ? 2 : bytes;  // an 8-bit register takes a 16-bit one's place
}

Slot Binder::source(const Operand& o, Type t) {
  const unsigned bytes = std::max(2u, ptx::size_of(t));
  switch (o.kind) {
    case Operand::Kind::reg: {
      const Type have = function.registers[o.value].type;
      if ((t == Type::pred) != (have == Type::pred)) refuse("predicates and other registers are mixed");
      if (t != Type::pred && width(o, 0) != bytes)
        refuse("register " + function.registers[o.value].name + " has " + std::to_string(width(o, 0)) +
               " bytes, the instruction reads " + std::to_string(bytes));
      return registers[o.value];
    }
    case Operand::Kind::integer:
      if (t == Type::pred) return linker.constant(4, o.value != 0 ? kAll : 0);
      if (t == Type::f64) return linker.constant(8, bits<uint64_t>(static_cast<double>(static_cast<int64_t>(o.value))));
      if (t == Type::f32) return linker.constant(4, bits<uint32_t>(static_cast<float>(static_cast<int64_t>(o.value))));
      return linker.constant(bytes, o.value);
    case Operand::Kind::single:
      if (t == Type::f64)
        return linker.constant(8, bits<uint64_t>(static_cast<double>(bits<float>(static_cast<uint32_t>(o.value)))));
      return linker.constant(bytes, o.value);
    case Operand::Kind::real:
      if (bytes == 4) return linker.constant(4, bits<uint32_t>(static_cast<float>(bits<double>(o.value))));
      return linker.constant(8, o.value);
    case Operand::Kind::variable: {
      const auto local = code.locals.find(o.variable);
      if (o.variable->space == Space::local ||
          (o.variable->space == Space::param && !(function.entry && local == code.locals.end())))
        refuse("the address of '" + o.variable->name + "' is only known to mov");
      return linker.constant(bytes, linker.address(o.variable) + o.value);
    }
    case Operand::Kind::special: {
      if (o.text == "WARP_SZ") return linker.constant(bytes, kLanes);
      for (const auto& row : kSpecialRows) {
        if (o.text != row.name) continue;
        if (row.which == kGridid ? bytes != 8 : bytes != 4)
          refuse("special register " + o.text + " read as " + std::to_string(bytes) + " bytes");
        return slot(kSpecials, row.which * kLanes * 4);
      }
      refuse("unknown register " + o.text);
    }
    default: refuse("an operand of a kind that does not fit here");
  }
}

Slot Binder::result(const Operand& o, Type t) {
  if (o.kind == Operand::Kind::sink) return kSink;
  if (o.kind != Operand::Kind::reg) refuse("the result is no register");
  return source(o, t);
}

Slot Binder::predicate_source(const Operand& o, bool* negated) {
  *negated = o.negated;
  return source(o, Type::pred);
}

const Slot* Binder::list(std::vector<Slot> slots) {
  code.lists.push_back(std::move(slots));
  return code.lists.back().data();  // the data stays where it is when the outer vector grows
}

Space Binder::space() {
  if (take("global")) return Space::global;
  if (take("shared") || take("shared::cta")) return Space::shared;
  if (take("local")) return Space::local;
  if (take("const")) return Space::constant;
  if (take("param") || take("param::func") || take("param::entry")) return Space::param;
  if (has("shared::cluster")) refuse("clusters are not supported");
  return Space::generic;
}

void Binder::address(const Operand& o, Slot* base) {
  if (o.kind != Operand::Kind::address) refuse("an address in brackets is missing");
  if (o.parts.size() > 1) refuse("tensor coordinates are not supported");
  out.offset = static_cast<int64_t>(o.value);
  out.wide_address = true;
  if (o.parts.empty()) {
    *base = linker.constant(8, 0);
    return;
  }
  const Operand& b = o.parts[0];
  if (b.kind == Operand::Kind::variable) {
    const auto local = code.locals.find(b.variable);
    if (local != code.locals.end()) {  // of the frame
      out.framed = true;
      if (out.space == Space::param) out.space = Space::local;
      *base = linker.constant(8, local->second);
    } else {
      *base = linker.constant(8, linker.address(b.variable));
    }
    return;
  }
  if (b.kind != Operand::Kind::reg) refuse("an address that is neither register nor variable");
  out.wide_address = width(b, 8) == 8;
  if (out.space == Space::param && !function.entry) out.space = Space::local;
  *base = source(b, out.wide_address ? Type::b64 : Type::b32);
}

void Binder::plain(Run run, Class kind, Type t, size_t sources) {
  set(run, kind);
  if (operands() != sources + 1) refuse("expected " + std::to_string(sources + 1) + " operands");
  out.op[0] = result(0, t);
  for (size_t i = 1; i <= sources; ++i) out.op[i] = source(i, t);
}

void Binder::bind(const ptx::Instruction& instruction) {
  in = &instruction;
  out = Inst{};
  out.line = instruction.line;
  used_modifiers.assign(instruction.modifiers.size(), false);
  if (instruction.guard >= 0) {
    if (function.registers[static_cast<size_t>(instruction.guard)].type != Type::pred)
      refuse("the guard is no predicate");
    out.guard = registers[static_cast<size_t>(instruction.guard)];
    out.guarded = instruction.guard_negated ? 2 : 1;
  }
  const auto row = table().find(instruction.opcode);
  if (row == table().end()) refuse("unknown instruction");
  row->second(*this);
  for (size_t i = 0; i < used_modifiers.size(); ++i)
    if (!used_modifiers[i]) refuse("unknown modifier ." + instruction.modifiers[i]);
  if (out.run == nullptr && out.flow == Flow::straight) refuse("no form of it has these types");
  code.inst.push_back(out);
}

}  // namespace sim
