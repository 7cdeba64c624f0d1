#include "program.h"

#include <algorithm>
#include <set>

#include "families.h"
#include "registers.h"

namespace sim {
namespace {

uint64_t up(uint64_t x, uint64_t to) { return (x + to - 1) / to * to; }

template <class F>
void each_operand(const Operand& o, const F& f) {
  f(o);
  for (const auto& p : o.parts) each_operand(p, f);
  if (o.pair != nullptr) each_operand(*o.pair, f);
}

class Program : public Module {
 public:
  Program(ptx::Module parsed, Memory& memory) : parsed_(std::move(parsed)), memory_(memory) {}
  ~Program() override {
    for (const auto& [variable, address] : addresses_) memory_.free(address);
  }

  Function* function(std::string_view name) override {
    for (auto& k : kernels_)
      if (k->name_ == name) return k.get();
    return nullptr;
  }
  std::vector<Function*> functions() override {
    std::vector<Function*> all;
    for (auto& k : kernels_) all.push_back(k.get());
    return all;
  }
  bool global(std::string_view name, uint64_t* address, uint64_t* bytes) override {
    for (const auto& [variable, at] : addresses_) {
      if (variable->name != name) continue;
      if (address != nullptr) *address = at;
      if (bytes != nullptr) *bytes = variable->bytes;
      return true;
    }
    return false;
  }
  int ptx_version() const override { return parsed_.version; }
  int target() const override { return parsed_.target; }
  bool target_exact() const override { return parsed_.target_exact; }

  void link() {
    place_globals();
    for (const auto& f : parsed_.functions)
      if (f->entry && f->defined) kernel(*f);
  }

 private:
  ptx::Module parsed_;
  Memory& memory_;
  std::map<const ptx::Variable*, uint64_t> addresses_;
  uint64_t constant_bytes_ = 0;
  std::vector<std::unique_ptr<Kernel>> kernels_;

  void place_globals() {
    for (const auto& v : parsed_.variables) {
      if (v->space != Space::global && v->space != Space::constant) continue;
      if (v->external) throw ptx::Error{v->line, "variable '" + v->name + "' is defined in no module here"};
      const uint64_t at = memory_.allocate(std::max<uint64_t>(v->bytes, 1), v->align, v->name.c_str());
      if (at == 0) throw ptx::Error{v->line, "no device memory left for variable '" + v->name + "'"};
      addresses_[v.get()] = at;
      if (v->space == Space::constant) constant_bytes_ += v->bytes;
    }
    for (const auto& [v, at] : addresses_) {
      auto* data = static_cast<char*>(memory_.host(at, v->bytes));
      if (data == nullptr) continue;
      std::memset(data, 0, v->bytes);
      std::copy(v->init.begin(), v->init.end(), data);
      for (const auto& r : v->relocations) {
        const ptx::Variable* to = parsed_.variable(r.symbol);
        const auto found = to == nullptr ? addresses_.end() : addresses_.find(to);
        if (found == addresses_.end())
          throw ptx::Error{v->line, "the address of '" + r.symbol + "' cannot be taken here"};
        const uint64_t value = (found->second + static_cast<uint64_t>(r.addend)) >> r.shift;
        std::memcpy(data + r.at, &value, r.bytes);
      }
      memory_.mark_initialised(at, v->bytes);
    }
  }

  // The functions that one calls, each once, itself first.
  std::vector<const ptx::Function*> closure(const ptx::Function& f) const {
    std::vector<const ptx::Function*> all{&f};
    for (size_t i = 0; i < all.size(); ++i)
      for (const auto& in : all[i]->body)
        for (const auto& o : in.operands)
          if (o.kind == Operand::Kind::function) {
            const ptx::Function* g = parsed_.function(o.text);
            if (g->defined && std::find(all.begin(), all.end(), g) == all.end()) all.push_back(g);
          }
    return all;
  }

  void kernel(const ptx::Function& f) {
    auto k = std::make_unique<Kernel>();
    k->name_ = f.name;
    k->module_ = &parsed_;
    k->registers_allowed_ = f.max_registers;
    k->blocks_wanted_ = f.blocks_wanted;
    k->constant_bytes_ = constant_bytes_;
    std::map<const ptx::Variable*, uint64_t> params;
    for (const ptx::Variable* v : f.parameters) {
      k->parameter_bytes_ = up(k->parameter_bytes_, std::max<uint64_t>(v->align, 1));
      params[v] = k->parameter_bytes_;
      k->parameters_.push_back({k->parameter_bytes_, v->bytes, v->align});
      k->parameter_bytes_ += v->bytes;
    }
    const auto product = [](const uint32_t* d) { return d[0] * d[1] * d[2]; };
    if (f.max_threads[0] != 0) k->max_threads_ = product(f.max_threads);
    if (f.required_threads[0] != 0) {
      k->max_threads_ = product(f.required_threads);
      k->required_threads_ = {f.required_threads[0], f.required_threads[1], f.required_threads[2]};
    }
    if (f.required_cluster[0] != 0)
      k->required_cluster_ = {f.required_cluster[0], f.required_cluster[1], f.required_cluster[2]};

    const auto functions = closure(f);
    auto shared = place_shared(functions, *k);
    Linker linker;
    linker.module = &parsed_;
    linker.address = [&](const ptx::Variable* v) {
      if (const auto at = addresses_.find(v); at != addresses_.end()) return at->second;
      if (const auto at = params.find(v); at != params.end()) return at->second;
      if (const auto at = shared.find(v); at != shared.end()) return static_cast<uint64_t>(at->second);
      throw ptx::Error{v->line, "variable '" + v->name + "' has no place here"};
    };
    for (const ptx::Function* g : functions) {
      k->codes_.push_back(std::make_unique<Code>());
      Code& code = *k->codes_.back();
      code.name = g->name;
      code.source = g;
      code.index = static_cast<uint32_t>(k->codes_.size() - 1);
      linker.codes[g->name] = &code;
      uint64_t at = 0;
      for (const auto& v : g->variables) {
        if (v->space != Space::local && v->space != Space::param) continue;
        if (g->entry && params.count(v.get()) != 0) continue;
        at = up(at, std::max<uint64_t>(v->align, 1));
        code.locals[v.get()] = static_cast<uint32_t>(at);
        at += v->bytes;
      }
      code.local_bytes = static_cast<uint32_t>(up(at, 16));
      if (at > 512 * 1024) throw ptx::Error{g->line, "more than 512 KB of local memory for each thread"};
    }
    for (size_t i = 0; i < functions.size(); ++i) bind(linker, *k->codes_[i], *functions[i]);
    k->constant_table_.resize(linker.constants.size() + 64);
    k->constants_ = reinterpret_cast<char*>(up(reinterpret_cast<uintptr_t>(k->constant_table_.data()), 64));
    std::copy(linker.constants.begin(), linker.constants.end(), k->constants_);
    for (const auto& c : k->codes_) k->one_worker_ |= c->uses_global_atomics || c->prints;
    if (k->codes_.size() > 1) {
      uint32_t granule = 16;
      for (const auto& c : k->codes_) {
        granule = std::min(granule, c->granule);
        k->codes_[0]->asynchronous |= c->asynchronous;
      }
      k->codes_[0]->granule = granule;
    }
    kernels_.push_back(std::move(k));
  }

  static void bind(Linker& linker, Code& code, const ptx::Function& f) {
    Binder binder(linker, code, f);
    const RegisterMap map = place_registers(f);
    binder.registers = map.slots;
    code.register_bytes = map.bytes;
    code.registers = map.words;
    code.reads_unset = map.reads_unset;
    code.targets = f.targets;
    code.inst.reserve(f.body.size());
    for (const auto& in : f.body) binder.bind(in);
    find_held(code, f);
  }

  // Static variables in the order of the text, then the dynamic ones, all at one place. The kernel's own size has no
  // gaps.
  std::map<const ptx::Variable*, uint32_t> place_shared(const std::vector<const ptx::Function*>& functions,
                                                        Kernel& k) const {
    std::set<const ptx::Variable*> used;
    for (const ptx::Function* f : functions)
      for (const auto& in : f->body)
        for (const auto& o : in.operands)
          each_operand(o, [&](const Operand& p) {
            if (p.variable != nullptr && p.variable->space == Space::shared) used.insert(p.variable);
          });
    std::vector<const ptx::Variable*> fixed, dynamic;
    const auto add = [&](const std::vector<std::unique_ptr<ptx::Variable>>& from) {
      for (const auto& v : from)
        if (used.count(v.get()) != 0) (v->external && v->bytes == 0 ? dynamic : fixed).push_back(v.get());
    };
    add(parsed_.variables);
    for (const ptx::Function* f : functions) add(f->variables);
    std::map<const ptx::Variable*, uint32_t> places;
    uint64_t at = 0, gap = 0;
    const auto place = [&](uint64_t align) {
      at = up(at, align);
      gap = up(gap, std::max<uint64_t>(align, kSharedGap));
      return static_cast<uint32_t>(kSharedStart + at + gap);
    };
    for (const ptx::Variable* v : fixed) {
      const uint32_t here = place(v->align);
      places[v] = here;
      k.shared_.push_back({here, static_cast<uint32_t>(v->bytes), v->name});
      at += v->bytes;
      gap += kSharedGap;
    }
    if (at > 1 << 28) throw ptx::Error{functions[0]->line, "more than 256 MB of shared memory"};
    k.shared_bytes_ = at;
    uint64_t align = 16;
    for (const ptx::Variable* v : dynamic) align = std::max(align, v->align);
    k.dynamic_at_ = place(align);
    for (const ptx::Variable* v : dynamic) places[v] = k.dynamic_at_;
    return places;
  }
};

}  // namespace

std::unique_ptr<Module> Module::load(std::string_view text, Memory& memory, std::string* log) {
  try {
    auto program = std::make_unique<Program>(ptx::parse(text), memory);
    program->link();
    return program;
  } catch (const ptx::Error& e) {
    if (log != nullptr) *log = "PTX line " + std::to_string(e.line) + ": " + e.message;
  } catch (const std::exception& e) {
    if (log != nullptr) *log = e.what();
  }
  return nullptr;
}

}  // namespace sim
