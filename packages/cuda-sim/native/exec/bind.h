// From an instruction of the text to one that runs: each opcode has a function that takes its modifiers and operands
// and leaves none unread.
#pragma once
#include <functional>
#include <set>
#include <unordered_map>

#include "code.h"
#include "lanes.h"
#include "number.h"

namespace sim {

using ptx::Operand;
using ptx::Space;
using ptx::Type;

// What all functions of a module share while they are being bound.
struct Linker {
  const ptx::Module* module;
  std::function<uint64_t(const ptx::Variable*)> address;         // of a global, constant or shared variable
  std::vector<char> constants;                                   // bank kConstants, without its alignment
  std::map<std::pair<unsigned, uint64_t>, Slot> constant_slots;  // by size and bits
  std::unordered_map<std::string, Code*> codes;
  Slot constant(unsigned bytes, uint64_t bits);
};

class Binder {
 public:
  Binder(Linker& linker, Code& code, const ptx::Function& function) : linker(linker), code(code), function(function) {}
  Linker& linker;
  Code& code;
  const ptx::Function& function;
  const ptx::Instruction* in = nullptr;
  Inst out;
  std::vector<Slot> registers;  // place of each register
  std::vector<bool> used_modifiers;

  void bind(const ptx::Instruction&);

  [[noreturn]] void refuse(const std::string& why) const;
  void want_sm_90a() const;  // what that chip alone has
  // ---- modifiers
  bool take(const char* modifier);  // once
  bool has(const char* modifier) const;
  std::string take_one(std::initializer_list<const char*> choices);  // empty: none of them
  Type take_type();                                                  // the first type among those not taken
  void drop(std::initializer_list<const char*> harmless);
  Round rounding(Round otherwise);
  // ---- operands
  size_t operands() const { return in->operands.size(); }
  const Operand& operand(size_t i) const;
  Slot source(const Operand&, Type);
  Slot source(size_t i, Type t) { return source(operand(i), t); }
  Slot result(const Operand&, Type);
  Slot result(size_t i, Type t) { return result(operand(i), t); }
  Slot predicate_source(const Operand&, bool* negated);
  unsigned width(const Operand&, unsigned otherwise) const;  // bytes of its register
  const Slot* list(std::vector<Slot>);
  void address(const Operand&, Slot* base);  // fills out.offset, out.framed, out.wide_address
  Space space();                             // .global, .shared::cta, ...
  void set(Run run, Class kind) {
    out.run = run;
    out.kind = kind;
  }
  // op[0] = result 0, op[1..] = sources, all of one type
  void plain(Run run, Class kind, Type t, size_t sources);
};

using Bind = void (*)(Binder&);
struct Row {
  const char* opcode;
  Bind bind;
};
// Tables of the families, ended by a null opcode.
extern const Row kIntegerRows[], kBitRows[], kFloatRows[], kHalfRows[], kConvertRows[], kMoveRows[], kMemoryRows[],
    kAtomicRows[], kControlRows[], kWarpRows[], kAsyncRows[], kMatrixRows[];

}  // namespace sim
