#include "module.h"

namespace sim::ptx {
namespace {

struct TypeRow {
  const char* name;
  unsigned bytes;
};
// In the order of Type.
constexpr TypeRow kTypes[] = {{"", 0},       {"pred", 1},   {"b8", 1},    {"b16", 2},  {"b32", 4},   {"b64", 8},
                              {"b128", 16},  {"u8", 1},     {"u16", 2},   {"u32", 4},  {"u64", 8},   {"s8", 1},
                              {"s16", 2},    {"s32", 4},    {"s64", 8},   {"f16", 2},  {"f16x2", 4}, {"bf16", 2},
                              {"bf16x2", 4}, {"tf32", 4},   {"f32", 4},   {"f64", 8},  {"e4m3", 1},  {"e5m2", 1},
                              {"e4m3x2", 2}, {"e5m2x2", 2}, {"u16x2", 4}, {"s16x2", 4}};

}  // namespace

Type type_of(std::string_view word) {
  for (unsigned i = 1; i < std::size(kTypes); ++i)
    if (word == kTypes[i].name) return static_cast<Type>(i);
  return Type::none;
}

unsigned size_of(Type t) { return kTypes[static_cast<unsigned>(t)].bytes; }
const char* name_of(Type t) { return kTypes[static_cast<unsigned>(t)].name; }
bool is_signed(Type t) { return t >= Type::s8 && t <= Type::s64; }
bool is_float(Type t) { return t >= Type::f16 && t <= Type::e5m2x2; }

std::string Instruction::text() const {
  std::string s = opcode;
  for (const auto& m : modifiers) s += "." + m;
  return s;
}

const Function* Module::function(std::string_view name) const {
  const Function* found = nullptr;
  for (const auto& f : functions)
    if (f->name == name && (found == nullptr || f->defined)) found = f.get();
  return found;
}

const Variable* Module::variable(std::string_view name) const {
  for (const auto& v : variables)
    if (v->name == name) return v.get();
  return nullptr;
}

}  // namespace sim::ptx
