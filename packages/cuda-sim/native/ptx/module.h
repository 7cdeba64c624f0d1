// A PTX module as data: every name of a register or variable resolved, every label an instruction's index.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sim::ptx {

// clang-format off
enum class Type : uint8_t {
  none, pred, b8, b16, b32, b64, b128, u8, u16, u32, u64, s8, s16, s32, s64,
  f16, f16x2, bf16, bf16x2, tf32, f32, f64, e4m3, e5m2, e4m3x2, e5m2x2, u16x2, s16x2
};
// clang-format on
enum class Space : uint8_t { generic, global, constant, shared, local, param };

Type type_of(std::string_view word);  // none: it names no type
unsigned size_of(Type);               // bytes; 1 for a predicate
bool is_float(Type);                  // one of the floating-point types
bool is_signed(Type);
const char* name_of(Type);

struct Error {
  int line;
  std::string message;
};

struct Relocation {  // an address within an initialiser
  uint64_t at;
  unsigned bytes;
  std::string symbol;
  int64_t addend;
  unsigned shift;  // which byte of the address: mask operators take them one by one
};

struct Variable {
  std::string name;
  Space space = Space::generic;
  uint64_t bytes = 0, align = 1;
  bool external = false;   // .extern: a dynamic shared array when it has no size
  std::vector<char> init;  // empty: not initialised
  std::vector<Relocation> relocations;
  int line = 0;
};

struct Register {
  std::string name;
  Type type;
};

struct Operand {
  enum class Kind : uint8_t {
    reg,       // value: index of the register; `negated` for !%p
    integer,   // value
    single,    // value: bits of an f32
    real,      // value: bits of an f64
    variable,  // variable + value, its address
    function,  // text
    label,     // value: index of an instruction
    targets,   // value: index of a list of .branchtargets
    special,   // text
    address,   // [parts[0] + value]; no parts: an absolute address
    vector,    // parts: {a, b}, or (a, b) of a call
    sink,      // _
  };
  Kind kind = Kind::integer;
  bool negated = false;
  uint64_t value = 0;
  const Variable* variable = nullptr;
  std::string text;
  std::vector<Operand> parts;  // also the second of a pair d|p: pair
  std::shared_ptr<Operand> pair;
};

struct Instruction {
  int line = 0;
  int file = 0, source_line = 0;  // .loc
  int guard = -1;                 // register
  bool guard_negated = false;
  std::string opcode;                  // the first word
  std::vector<std::string> modifiers;  // the others, without dots
  std::vector<Operand> operands;
  std::string text() const;  // opcode with modifiers
};

struct Function {
  std::string name;
  bool entry = false, defined = false;
  int line = 0;
  std::vector<const Variable*> returns, parameters;
  std::vector<std::unique_ptr<Variable>> variables;  // .param, .local, and those of shared memory
  std::vector<Register> registers;
  std::vector<Instruction> body;
  std::vector<std::vector<uint32_t>> targets;  // .branchtargets
  uint32_t max_threads[3] = {0, 0, 0}, required_threads[3] = {0, 0, 0}, required_cluster[3] = {0, 0, 0};
  uint32_t max_registers = 0, blocks_wanted = 0;  // .maxnreg, .minnctapersm
};

struct Module {
  int version = 0, target = 0;
  bool target_exact = false;  // sm_90a
  std::map<int, std::string> files;
  std::vector<std::unique_ptr<Variable>> variables;
  std::vector<std::unique_ptr<Function>> functions;
  const Function* function(std::string_view name) const;  // a definition before a declaration
  const Variable* variable(std::string_view name) const;
};

Module parse(std::string_view text);  // throws Error

}  // namespace sim::ptx
