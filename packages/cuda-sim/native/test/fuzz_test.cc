// PTX that somebody has broken: it loads or is refused with a reason, and nothing else happens.
#include "harness.h"

namespace {

std::string file(const char* name) {
  const std::string here = __FILE__;
  std::ifstream in(here.substr(0, here.rfind('/') + 1) + name);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

void load(const std::string& text) {
  sim::Memory memory(uint64_t{1} << 28);
  std::string log;
  const auto m = sim::Module::load(text, memory, &log);
  EXPECT((m != nullptr) == log.empty(), "neither loaded nor refused");
}

void broken(const std::string& text, uint64_t seed) {
  Random r(seed);
  std::string s = text;
  const auto place = [&] { return r.word() % s.size(); };
  for (uint32_t n = 1 + r.word() % 3; n > 0; --n) {
    const size_t at = place();
    switch (r.word() % 6) {
      case 0: s.resize(at + 1); break;
      case 1: s.erase(at, 1 + r.word() % 20); break;
      case 2: s[at] = static_cast<char>(r.word()); break;
      case 3: s.insert(at, s.substr(place(), r.word() % 40)); break;
      case 4: s.insert(at, 1, "{}()[]<>,;:.%@!-+|\"_09"[r.word() % 22]); break;
      default: {  // another word of the text in this one's place
        const size_t from = s.find_first_of(" \t\n", place()), to = s.find_first_of(" \t\n", at);
        if (from == std::string::npos || to == std::string::npos) break;
        const size_t end = s.find_first_of(" \t\n,;", from + 1), stop = s.find_first_of(" \t\n,;", to + 1);
        if (end != std::string::npos && stop != std::string::npos)
          s.replace(to + 1, stop - to - 1, s.substr(from + 1, end - from - 1));
      }
    }
    if (s.empty()) s = ".";
  }
  load(s);
}

}  // namespace

int main() {
  const std::string head = ".version 9.0\n.target sm_80\n.address_size 64\n";
  const auto body = [&](const std::string& text) {
    load(head + ".visible .entry k(.param .u64 p)\n{\n.reg .b32 %r<4>;\n" + text + "\nret;\n}\n");
  };
  load("");
  load("\0\0");
  load(std::string(100000, '{'));
  body(std::string(100000, '{'));
  body("mov.b32 %r1, " + std::string(100000, '{'));
  body("mov.b32 %r1, " + std::string(100000, '!') + "%r2;");
  load(head + ".global .b8 x[4] = " + std::string(100000, '{') + ";");
  load(head + ".global .b8 x[99999999999999999];");
  load(head + ".global .b8 x[99999999999][99999999999];");
  load(head + ".global .b64 x[99999999999] = {1};");
  body(".shared .b8 s[5000000000]; mov.u32 %r1, s;");
  body(".shared .b8 s[18446744073709551615]; mov.u32 %r1, s;");
  body(".local .b8 s[18446744073709551615]; mov.u32 %r1, s;");
  body(".shared .align 18446744073709551615 .b8 s[4]; mov.u32 %r1, s;");
  body(".shared .align 0 .b8 s[4]; mov.u32 %r1, s;");
  body(".shared .align 3 .b8 s[4]; mov.u32 %r1, s;");
  body(".reg .b32 %x<4000000000>;");
  body("bra 5;");
  body("brx.idx %r1, %r2;");
  body("ld.global.v4.u32 {%r1, %r2}, [%r1];");
  body("setp.lt.s32 %r1, %r2, %r3;");
  body("call k;");
  body("call (%r1), k, (%r2);");
  body("shfl.sync.bfly.b32 %r1|%r2, %r1, %r2, %r3, -1;");
  body("cp.async.cg.shared.global [%r1], [%r2], 16;");
  body("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 %r1, %r1, %r1, %r1;");
  body("@%r1 mov.b32 %r1, %r2;");
  body("mov.b32 %r1, p;");
  body("mov.b64 %r1, {%r1, %r2, %r3};");
  for (const char* name : {"kernels/basic.sm_80.ptx", "kernels/faults.sm_100.ptx"}) {
    const std::string text = file(name);
    EXPECT(!text.empty(), "no file %s", name);
    for (uint64_t seed = 1; seed <= 150; ++seed) broken(text, seed);
  }
  return finish("fuzz");
}
