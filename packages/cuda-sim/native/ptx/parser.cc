// Recursive descent over the tokens. What it doesn't know it refuses, with the line.
#include <cstdlib>
#include <cstring>
#include <unordered_map>

#include "lexer.h"
#include "module.h"

namespace sim::ptx {
namespace {

using Kind = Token::Kind;

constexpr uint64_t kMostElements = uint64_t{1} << 36;

// Names declared between two braces.
struct Scope {
  std::unordered_map<std::string, int> registers;
  std::unordered_map<std::string, const Variable*> variables;
  std::unordered_map<std::string, uint32_t> labels;
  std::unordered_map<std::string, uint32_t> target_lists;
};

struct Reference {  // to a label that may come later
  size_t instruction, operand;
  std::string name;
  int line;
};

class Parser {
 public:
  explicit Parser(std::string_view text) : tokens_(lex(text)) {}

  Module module() {
    while (peek().kind != Kind::end) top_level();
    return std::move(m_);
  }

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
  Module m_;
  Function* f_ = nullptr;
  std::vector<Scope> scopes_;
  std::vector<std::vector<Reference>> pending_;
  int file_ = 0, source_line_ = 0;
  int depth_ = 0;

  // Nesting that no compiler makes must not use up the stack.
  struct Deeper {
    Parser& p;
    explicit Deeper(Parser& p) : p(p) {
      if (++p.depth_ > 100) p.fail("nested too deeply");
    }
    ~Deeper() { --p.depth_; }
  };

  // ---- tokens
  const Token& peek(size_t k = 0) const { return tokens_[std::min(at_ + k, tokens_.size() - 1)]; }
  const Token& next() {
    const Token& t = peek();
    if (at_ + 1 < tokens_.size()) ++at_;
    return t;
  }
  [[noreturn]] void fail(const std::string& message) const { throw Error{peek().line, message}; }
  [[noreturn]] void unexpected(const char* wanted) const {
    fail(std::string("expected ") + wanted + ", found '" + std::string(peek().text) + "'");
  }
  bool is(std::string_view text) const { return peek().text == text && peek().kind != Kind::string; }
  bool take(std::string_view text) {
    if (!is(text)) return false;
    next();
    return true;
  }
  void expect(const char* text) {
    if (!take(text)) unexpected(text);
  }
  std::string word() {
    if (peek().kind != Kind::word) unexpected("a name");
    return std::string(next().text);
  }
  uint64_t integer() {
    const bool minus = take("-");
    if (peek().kind != Kind::number) unexpected("a number");
    std::string text(next().text);
    while (!text.empty() && (text.back() == 'U' || text.back() == 'u')) text.pop_back();
    char* end;
    int base = 0;
    const char* start = text.c_str();
    if (text.size() > 2 && (text[1] == 'b' || text[1] == 'B') && text[0] == '0') {
      base = 2;
      start += 2;
    }
    const uint64_t value = std::strtoull(start, &end, base);
    if (*end != '\0') fail("'" + text + "' is no integer");
    return minus ? 0 - value : value;
  }
  void skip_braces() {
    expect("{");
    for (int depth = 1; depth > 0;) {
      if (peek().kind == Kind::end) unexpected("}");
      if (is("{")) ++depth;
      if (is("}")) --depth;
      next();
    }
  }
  void skip_line(int line) {
    while (peek().kind != Kind::end && peek().line == line) next();
  }

  // ---- module level
  void top_level() {
    const int line = peek().line;
    if (take(".version")) {
      const std::string text(next().text);
      const double v = std::strtod(text.c_str(), nullptr);
      m_.version = static_cast<int>(v * 10 + 0.5);
    } else if (take(".target")) {
      const std::string text = word();
      if (text.rfind("sm_", 0) != 0) fail("target '" + text + "' is no sm_ architecture");
      m_.target = std::atoi(text.c_str() + 3);
      m_.target_exact = text.back() == 'a' || text.back() == 'f';
      while (take(",")) word();
    } else if (take(".address_size")) {
      if (integer() != 64) fail("only .address_size 64 is known");
    } else if (take(".file")) {
      const int index = static_cast<int>(integer());
      if (peek().kind != Kind::string) unexpected("a file's name");
      m_.files[index] = std::string(next().text);
      skip_line(line);
    } else if (take(".loc")) {
      skip_line(line);
    } else if (take(".section")) {
      next();
      skip_braces();
    } else if (take(".pragma")) {
      next();
      expect(";");
    } else if (take(".alias")) {
      fail(".alias is not supported");
    } else {
      declaration();
    }
  }

  void declaration() {
    bool external = false, entry = false;
    for (;;) {
      if (take(".extern"))
        external = true;
      else if (!take(".visible") && !take(".weak") && !take(".common"))
        break;
    }
    if ((entry = take(".entry")) || take(".func")) {
      function(entry);
    } else {
      variable(m_.variables, external, [this](const Variable* v) {
        if (m_.variable(v->name) != v) {
          // An extern declaration may be followed by the definition; two declarations of a dynamic array are one.
          if (!v->external && !m_.variable(v->name)->external) fail("'" + v->name + "' is declared twice");
        }
      });
    }
  }

  static bool space_of(std::string_view w, Space* s) {
    if (w == ".global") return *s = Space::global, true;
    if (w == ".const") return *s = Space::constant, true;
    if (w == ".shared") return *s = Space::shared, true;
    if (w == ".local") return *s = Space::local, true;
    if (w == ".param") return *s = Space::param, true;
    return false;
  }

  // After the linkage words: .space [.align n] [.v2|.v4] .type name[dims] [= init] {, name...} ;
  template <class Declared>
  void variable(std::vector<std::unique_ptr<Variable>>& into, bool external, Declared declared, bool one = false) {
    Space space;
    if (!space_of(peek().text, &space)) unexpected("a declaration");
    next();
    uint64_t align = 0, vector = 1;
    Type type = Type::none;
    while (peek().kind == Kind::word && peek().text[0] == '.') {
      const std::string w = word();
      if (w == ".align") {
        align = integer();
      } else if (w == ".v2" || w == ".v4") {
        vector = w == ".v2" ? 2 : 4;
      } else if (w == ".ptr") {  // what a parameter points to: says nothing about the parameter
        Space ignored;
        while (is(".global") || is(".const") || is(".shared") || is(".local")) space_of(next().text, &ignored);
        if (take(".align")) integer();
      } else if (w == ".attribute") {
        expect("(");
        while (!take(")")) next();
      } else if ((type = type_of(std::string_view(w).substr(1))) == Type::none) {
        fail("unknown word '" + w + "' in a declaration");
      }
    }
    if (type == Type::none) unexpected("a type");
    do {
      auto v = std::make_unique<Variable>();
      v->line = peek().line;
      v->name = word();
      v->space = space;
      v->external = external;
      v->align = align != 0 ? align : size_of(type) * vector;
      uint64_t count = vector;
      bool sized = true;
      while (take("[")) {
        if (take("]")) {
          sized = false;
        } else {
          const uint64_t n = integer();
          if (n > kMostElements / std::max<uint64_t>(count, 1)) fail("'" + v->name + "' is too large");
          count *= n;
          expect("]");
        }
      }
      if ((v->align & (v->align - 1)) != 0 || v->align == 0 || v->align > 1 << 16)
        fail("an alignment that is no power of two up to 65536");
      if (take("=")) initialiser(*v, type);
      const uint64_t given = v->init.size() / size_of(type);
      if (!sized) count *= given / vector;
      if (given > count) fail("more values than elements of '" + v->name + "'");
      v->bytes = count * size_of(type);
      if (!v->init.empty()) {
        if (v->bytes > uint64_t{1} << 30) fail("'" + v->name + "' is too large for a variable with values");
        v->init.resize(v->bytes);
      }
      if (!sized && v->bytes == 0 && !external && space != Space::param) fail("'" + v->name + "' has no size");
      into.push_back(std::move(v));
      declared(into.back().get());
    } while (!one && take(","));
    if (!one) expect(";");
  }

  void initialiser(Variable& v, Type type) {
    const Deeper guard(*this);
    if (take("{")) {
      while (!take("}")) {
        initialiser(v, type);
        if (!take(",") && !is("}")) unexpected("}");
      }
      return;
    }
    const unsigned bytes = size_of(type);
    const uint64_t at = v.init.size();
    v.init.resize(at + bytes);
    uint64_t value = 0;
    if (peek().kind == Kind::word) {
      relocation(v, at, bytes, 0);
      return;
    }
    if (peek().kind == Kind::number && peek(1).text == "(") {  // 0xFF00(symbol): one byte of its address
      const uint64_t mask = integer();
      expect("(");
      relocation(v, at, bytes, static_cast<unsigned>(__builtin_ctzll(mask | uint64_t{1} << 63)));
      expect(")");
      return;
    }
    const bool minus = is("-");
    const std::string_view text = peek(minus ? 1 : 0).text;
    if (is_float(type) && bytes >= 4) {
      const Operand o = number();
      if (bytes == 4) {
        value = o.kind == Operand::Kind::single ? o.value : 0;
        if (o.kind == Operand::Kind::real || o.kind == Operand::Kind::integer) {
          double d = static_cast<double>(static_cast<int64_t>(o.value));
          if (o.kind == Operand::Kind::real) std::memcpy(&d, &o.value, 8);
          const float f = static_cast<float>(d);
          uint32_t bits;
          std::memcpy(&bits, &f, 4);
          value = bits;
        }
      } else {
        value = o.value;
        if (o.kind != Operand::Kind::real) fail("expected a double, found '" + std::string(text) + "'");
      }
    } else {
      value = integer();
    }
    std::memcpy(v.init.data() + at, &value, bytes);
  }

  void relocation(Variable& v, uint64_t at, unsigned bytes, unsigned shift) {
    std::string name = word();
    bool parenthesis = false;
    if (name == "generic") {
      parenthesis = true;
      expect("(");
      name = word();
    }
    int64_t addend = 0;
    if (take("+")) addend = static_cast<int64_t>(integer());
    if (parenthesis) expect(")");
    if (take("+")) addend += static_cast<int64_t>(integer());
    v.relocations.push_back({at, bytes, name, addend, shift});
  }

  // ---- functions
  void function(bool entry) {
    m_.functions.push_back(std::make_unique<Function>());
    f_ = m_.functions.back().get();
    f_->entry = entry;
    f_->line = peek().line;
    scopes_.assign(1, {});
    pending_.assign(1, {});
    const auto list = [this](std::vector<const Variable*>& into) {
      while (!take(")")) {
        variable(
            f_->variables, false,
            [&](const Variable* v) {
              into.push_back(v);
              scopes_.back().variables[v->name] = v;
            },
            true);
        if (!take(",") && !is(")")) unexpected(")");
      }
    };
    if (!entry && take("(")) list(f_->returns);
    f_->name = word();
    if (take("(")) list(f_->parameters);
    for (;;) {
      const auto three = [this](uint32_t* to) {
        for (int i = 0; i < 3; ++i) to[i] = i == 0 || take(",") ? static_cast<uint32_t>(integer()) : 1;
      };
      if (take(".maxntid"))
        three(f_->max_threads);
      else if (take(".reqntid"))
        three(f_->required_threads);
      else if (take(".reqnctapercluster"))
        three(f_->required_cluster);
      else if (take(".minnctapersm"))
        f_->blocks_wanted = static_cast<uint32_t>(integer());
      else if (take(".maxnreg"))
        f_->max_registers = static_cast<uint32_t>(integer());
      else if (take(".maxclusterrank"))
        integer();
      else if (!take(".noreturn") && !take(".explicitcluster") && !take(".blocksareclusters")) {
        if (!take(".pragma")) break;
        next();
        take(";");
      }
    }
    if (take(";")) return;  // a declaration
    f_->defined = true;
    expect("{");
    while (!take("}")) statement();
    close_scope();
    // Running off the end returns.
    Instruction end;
    end.line = peek().line;
    end.opcode = "ret";
    f_->body.push_back(std::move(end));
    f_ = nullptr;
  }

  void close_scope() {
    std::vector<Reference> open;
    for (auto& r : pending_.back()) {
      const auto found = scopes_.back().labels.find(r.name);
      const auto list = scopes_.back().target_lists.find(r.name);
      Operand& o = f_->body[r.instruction].operands[r.operand];
      if (found != scopes_.back().labels.end())
        o.value = found->second;
      else if (list != scopes_.back().target_lists.end())
        o.kind = Operand::Kind::targets, o.value = list->second;
      else if (pending_.size() == 1)
        throw Error{r.line, "unknown name '" + r.name + "'"};
      else
        open.push_back(r);
    }
    std::vector<OpenTarget> still;
    for (auto& target : open_targets_) {
      const auto found = scopes_.back().labels.find(target.name);
      if (found != scopes_.back().labels.end())
        f_->targets[target.list][target.position] = found->second;
      else if (pending_.size() == 1)
        throw Error{target.line, "unknown label '" + target.name + "'"};
      else
        still.push_back(target);
    }
    open_targets_ = std::move(still);
    pending_.pop_back();
    scopes_.pop_back();
    if (!pending_.empty()) pending_.back().insert(pending_.back().end(), open.begin(), open.end());
  }

  struct OpenTarget {  // a label in .branchtargets
    size_t list, position;
    std::string name;
    int line;
  };
  std::vector<OpenTarget> open_targets_;

  void statement() {
    const Deeper guard(*this);
    const int line = peek().line;
    if (take("{")) {
      scopes_.emplace_back();
      pending_.emplace_back();
      while (!take("}")) statement();
      close_scope();
      return;
    }
    if (take(";")) return;
    if (peek().kind == Kind::end) unexpected("}");
    if (take(".loc")) {
      file_ = static_cast<int>(integer());
      source_line_ = static_cast<int>(integer());
      skip_line(line);
    } else if (take(".pragma")) {
      next();
      expect(";");
    } else if (take(".reg")) {
      registers();
    } else if (is(".param") || is(".local") || is(".shared") || is(".global") || is(".const")) {
      const bool module_wide = is(".global") || is(".const");
      variable(module_wide ? m_.variables : f_->variables, false,
               [this](const Variable* v) { scopes_.back().variables[v->name] = v; });
    } else if (peek().kind == Kind::word && peek(1).text == ":") {
      label();
    } else {
      instruction();
    }
  }

  void registers() {
    Type type = Type::none;
    while (peek().kind == Kind::word && peek().text[0] == '.') {
      const std::string w = word();
      if ((type = type_of(std::string_view(w).substr(1))) == Type::none) fail("unknown register type '" + w + "'");
    }
    do {
      const std::string name = word();
      if (take("<")) {
        const uint64_t n = integer();
        expect(">");
        if (n > 1'000'000) fail("too many registers");
        for (uint64_t i = 0; i < n; ++i) declare(name + std::to_string(i), type);
      } else {
        declare(name, type);
      }
    } while (take(","));
    expect(";");
  }
  void declare(const std::string& name, Type type) {
    scopes_.back().registers[name] = static_cast<int>(f_->registers.size());
    f_->registers.push_back({name, type});
  }

  void label() {
    const std::string name = word();
    expect(":");
    if (take(".branchtargets")) {
      std::vector<uint32_t> targets;
      do {
        open_targets_.push_back({f_->targets.size(), targets.size(), std::string(peek().text), peek().line});
        word();
        targets.push_back(0);
      } while (take(","));
      expect(";");
      scopes_.back().target_lists[name] = static_cast<uint32_t>(f_->targets.size());
      f_->targets.push_back(std::move(targets));
    } else if (is(".callprototype") || is(".calltargets")) {
      while (!take(";")) next();
    } else if (!scopes_.back().labels.emplace(name, static_cast<uint32_t>(f_->body.size())).second) {
      fail("label '" + name + "' stands twice");
    }
  }

  void instruction() {
    Instruction in;
    in.line = peek().line;
    in.file = file_;
    in.source_line = source_line_;
    if (take("@")) {
      in.guard_negated = take("!");
      in.guard = find_register(word());
      if (in.guard < 0) fail("a guard that is no register");
    }
    const std::string text = word();
    for (size_t start = 0; start <= text.size();) {
      size_t dot = text.find('.', start);
      if (dot == std::string::npos) dot = text.size();
      if (start == 0)
        in.opcode = text.substr(0, dot);
      else
        in.modifiers.push_back(text.substr(start, dot - start));
      start = dot + 1;
    }
    if (in.opcode.empty()) fail("unknown directive '" + text + "'");
    f_->body.push_back(std::move(in));
    const size_t index = f_->body.size() - 1;
    while (!take(";")) {
      Operand o = operand(index, f_->body[index].operands.size());
      if (take("|")) o.pair = std::make_shared<Operand>(operand(index, SIZE_MAX));
      f_->body[index].operands.push_back(std::move(o));
      if (!take(",") && !is(";")) unexpected("; after the operands");
    }
  }

  int find_register(const std::string& name) const {
    for (size_t i = scopes_.size(); i-- > 0;) {
      const auto found = scopes_[i].registers.find(name);
      if (found != scopes_[i].registers.end()) return found->second;
    }
    return -1;
  }
  const Variable* find_variable(const std::string& name) const {
    for (size_t i = scopes_.size(); i-- > 0;) {
      const auto found = scopes_[i].variables.find(name);
      if (found != scopes_[i].variables.end()) return found->second;
    }
    return m_.variable(name);
  }

  Operand number() {
    Operand o;
    const bool minus = is("-");
    const std::string_view text = peek(minus ? 1 : 0).text;
    const auto hex = [&](size_t digits) {
      return text.size() == digits + 2 && text.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string_view::npos;
    };
    if (text.size() > 2 && text[0] == '0' && (text[1] == 'f' || text[1] == 'F') && hex(8)) {
      o.kind = Operand::Kind::single;
      o.value = std::strtoull(std::string(text.substr(2)).c_str(), nullptr, 16);
    } else if (text.size() > 2 && text[0] == '0' && (text[1] == 'd' || text[1] == 'D') && hex(16)) {
      o.kind = Operand::Kind::real;
      o.value = std::strtoull(std::string(text.substr(2)).c_str(), nullptr, 16);
    } else if (text.find('.') != std::string_view::npos ||
               (text.find_first_of("eE") != std::string_view::npos && text.substr(0, 2) != "0x")) {
      o.kind = Operand::Kind::real;
      const double d = std::strtod(std::string(text).c_str(), nullptr);
      std::memcpy(&o.value, &d, 8);
    } else {
      o.value = integer();
      return o;
    }
    if (minus) {
      next();
      o.value ^= o.kind == Operand::Kind::single ? uint64_t{1} << 31 : uint64_t{1} << 63;
    }
    next();
    return o;
  }

  Operand operand(size_t index, size_t position) {
    const Deeper guard(*this);
    Operand o;
    if (peek().kind == Kind::number || is("-")) return number();
    if (take("!")) {
      o = operand(index, position);
      o.negated = true;
      return o;
    }
    if (is("{") || is("(")) {
      const bool brace = is("{");
      next();
      o.kind = Operand::Kind::vector;
      while (!take(brace ? "}" : ")")) {
        o.parts.push_back(operand(index, SIZE_MAX));
        if (!take(",") && !is(brace ? "}" : ")")) unexpected("the end of a list");
      }
      return o;
    }
    if (take("[")) return address(index);
    const int line = peek().line;
    const std::string name = word();
    if (name == "_") {
      o.kind = Operand::Kind::sink;
      return o;
    }
    const int r = find_register(name);
    if (r >= 0) {
      o.kind = Operand::Kind::reg;
      o.value = static_cast<uint64_t>(r);
      // An address in brackets handles its offset itself.
      return o;
    }
    if (const Variable* v = find_variable(name)) {
      o.kind = Operand::Kind::variable;
      o.variable = v;
      if (take("+")) o.value = integer();
      return o;
    }
    if (name[0] == '%') {
      o.kind = Operand::Kind::special;
      o.text = name;
      return o;
    }
    if (m_.function(name) != nullptr) {
      o.kind = Operand::Kind::function;
      o.text = name;
      return o;
    }
    if (position == SIZE_MAX) throw Error{line, "unknown name '" + name + "'"};
    o.kind = Operand::Kind::label;
    o.text = name;
    pending_.back().push_back({index, position, name, line});
    return o;
  }

  // After "[": a base and an offset, and for tensors [base, {coordinates}].
  Operand address(size_t index) {
    Operand o;
    o.kind = Operand::Kind::address;
    if (peek().kind == Kind::number || is("-")) {
      o.value = integer();
    } else {
      o.parts.push_back(operand(index, SIZE_MAX));
      if (o.parts[0].kind == Operand::Kind::variable) {
        o.value = o.parts[0].value;
        o.parts[0].value = 0;
      }
      if (take("+")) o.value += integer();
      if (is("-")) o.value += integer();
    }
    while (take(",")) o.parts.push_back(operand(index, SIZE_MAX));
    expect("]");
    return o;
  }
};

}  // namespace

Module parse(std::string_view text) { return Parser(text).module(); }

}  // namespace sim::ptx
