// Counts worked out by hand: sectors, wavefronts, instructions, lanes; and that threads change nothing.
#include "harness.h"

namespace {

// Loads and stores with a stride in words; `body` in between.
std::string program(const std::string& body) {
  return ".version 9.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 x, .param .u32 "
         "stride)\n{\n.shared .align 16 .b8 s[8192];\n.reg .pred %p<4>;\n.reg .b32 %r<12>;\n.reg .b64 %d<8>;\n"
         "ld.param.u64 %d1, [x];\nld.param.u32 %r1, [stride];\nmov.u32 %r2, %tid.x;\nmul.lo.u32 %r3, %r2, "
         "%r1;\nmul.wide.u32 %d2, %r3, 4;\nadd.u64 %d3, %d1, %d2;\nshl.b32 %r4, %r3, 2;\nmov.u32 %r5, s;\nadd.u32 %r5, "
         "%r5, %r4;\n" +
         body + "\nret;\n}\n";
}
constexpr uint64_t kFrame = 10;  // instructions around the body

sim::Counters count(const std::string& body, uint32_t stride, uint32_t threads = 32) {
  Device d;
  d.counting = true;
  if (!d.load(program(body))) return {};
  const uint64_t x = d.put(std::vector<uint32_t>(4096));
  EXPECT(d.run("k", {1}, {threads}, 0, x, stride), "%s", d.fault.message.c_str());
  return d.counters;
}
#define EQUAL(a, b) \
  EXPECT((a) == (b), #a " is %llu, not %llu", static_cast<unsigned long long>(a), static_cast<unsigned long long>(b))

void global() {
  struct Row {
    const char* body;
    uint32_t stride;
    uint64_t moved, ideal, bytes;
  };
  for (const Row& r : {Row{"ld.global.u32 %r6, [%d3];", 1, 4, 4, 128}, Row{"ld.global.u32 %r6, [%d3];", 2, 8, 4, 128},
                       Row{"ld.global.u32 %r6, [%d3];", 8, 32, 4, 128}, Row{"ld.global.u32 %r6, [%d3];", 0, 1, 1, 128},
                       Row{"ld.global.u32 %r6, [%d3+16];", 1, 5, 4, 128},
                       Row{"ld.global.v4.u32 {%r6, %r7, %r8, %r9}, [%d3];", 4, 16, 16, 512},
                       Row{"ld.global.u8 %r6, [%d3];", 1, 4, 1, 32},
                       Row{"setp.lt.u32 %p1, %r2, 8; @%p1 ld.global.u32 %r6, [%d3];", 1, 1, 1, 32}}) {
    const auto c = count(r.body, r.stride);
    EXPECT(c.global.moved == r.moved && c.global.ideal == r.ideal && c.global.load_bytes == r.bytes &&
               c.global.load_requests == 1 && c.global.store_requests == 0,
           "%s, stride %u: %d sectors, ideal %d, %d bytes", r.body, r.stride, static_cast<int>(c.global.moved),
           static_cast<int>(c.global.ideal), static_cast<int>(c.global.load_bytes));
  }
  const auto c = count("st.global.u32 [%d3], %r2;", 4);
  EQUAL(c.global.store_bytes, 128u);
  EQUAL(c.global.moved, 16u);
}

void shared() {
  struct Row {
    const char* body;
    uint32_t stride;
    uint64_t moved, ideal;
  };
  for (const Row& r : {Row{"st.shared.u32 [%r5], %r2;", 1, 1, 1}, Row{"st.shared.u32 [%r5], %r2;", 2, 2, 1},
                       Row{"st.shared.u32 [%r5], %r2;", 32, 32, 1}, Row{"st.shared.u32 [%r5], %r2;", 33, 1, 1},
                       Row{"st.shared.v4.u32 [%r5], {%r2, %r2, %r2, %r2};", 4, 4, 4},
                       Row{"st.shared.v4.u32 [%r5], {%r2, %r2, %r2, %r2};", 32, 32, 4},
                       Row{"st.shared.v2.u32 [%r5], {%r2, %r2};", 2, 2, 2}}) {
    const auto c = count(r.body, r.stride);
    EXPECT(c.shared.moved == r.moved && c.shared.ideal == r.ideal, "%s, stride %u: %d wavefronts, ideal %d", r.body,
           r.stride, static_cast<int>(c.shared.moved), static_cast<int>(c.shared.ideal));
  }
}

void instructions() {
  auto c = count("add.u32 %r6, %r2, 1; mul.lo.u32 %r6, %r6, 3; bar.sync 0;", 1, 48);
  EQUAL(c.warps, 2u);
  EQUAL(c.warp_instructions, 2 * (kFrame + 3));
  EQUAL(c.thread_instructions, 48 * (kFrame + 3));
  EQUAL(c.barriers, 1u);
  EQUAL(c.classes["barrier"], 2u);
  EQUAL(c.classes["constant"], 4u);
  // lanes 0 to 9 go round l + 1 times, the others not at all
  c = count(
      "mov.u32 %r6, 0; setp.gt.u32 %p1, %r2, 9; @%p1 bra done; again: add.u32 %r6, %r6, 1; setp.le.u32 %p2, %r6, %r2; "
      "@%p2 bra again; done:",
      1);
  // 55 rounds, 45 of them followed by another
  EQUAL(c.thread_instructions, 32 * (kFrame + 2) + 22 + 55 * 2 + 45);
  uint64_t lines = 0;
  for (const auto& l : c.kernels["k"]) lines += l.issued;
  EQUAL(lines, c.warp_instructions);
}

void threads() {
  std::vector<std::vector<float>> results;
  for (const int n : {1, 2, 5}) {
    Device d;
    d.options.threads = n;
    if (!d.load_file("kernels/basic.sm_80.ptx")) return;
    std::vector<float> x(3000);
    Random r(9);
    for (float& v : x) v = r.number();
    const uint64_t px = d.put(x), out = d.empty(64 * 4);
    EXPECT(d.run("reduce_sum", {64}, {64}, 0, px, out, 3000), "%s", d.fault.message.c_str());
    results.push_back(d.get<float>(out, 64));
    // The first block that fails is told, whoever runs it.
    EXPECT(!d.run("reduce_sum", {64}, {64}, 0, px, out, 3200) && d.fault.block.x == 46 && d.fault.thread.x == 56, "%s",
           d.fault.message.c_str());
  }
  EXPECT(results[0] == results[1] && results[0] == results[2], "results depend on the number of threads");
}

// Sums whose order is the schedule's: a block's schedule is its own, whoever runs it.
void schedules() {
  std::vector<std::vector<uint32_t>> results;
  for (const int n : {1, 2, 5, 1}) {
    Device d;
    d.options.threads = n;
    d.options.schedule = sim::Options::Schedule::random_warps;
    d.options.seed = results.size() == 3 ? 2 : 1;
    if (!d.load(".version 9.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 x)\n{\n.shared .f32 "
                "s;\n.reg .pred %p<2>;\n.reg .b32 %r<4>;\n.reg .f32 %f<4>;\n.reg .b64 %d<4>;\n"
                "ld.param.u64 %d1, [x]; mov.u32 %r1, %tid.x; setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.f32 [s], "
                "0f00000000; bar.sync 0; cvt.rn.f32.u32 %f1, %r1; mul.f32 %f1, %f1, 0f3DCCCCCD; "
                "red.shared.add.f32 [s], %f1; bar.sync 0; ld.shared.f32 %f2, [s]; mov.u32 %r2, %ctaid.x; mul.wide.u32 "
                "%d2, %r2, 4; add.u64 %d1, %d1, %d2; @%p1 st.global.f32 [%d1], %f2; ret;\n}\n"))
      return;
    const uint64_t x = d.empty(64 * 4);
    EXPECT(d.run("k", {64}, {256}, 0, x), "%s", d.fault.message.c_str());
    results.push_back(d.get<uint32_t>(x, 64));
  }
  EXPECT(results[0] == results[1] && results[0] == results[2], "the schedule depends on the number of threads");
  EXPECT(results[0] != results[3], "the seed changes nothing");
}

}  // namespace

int main() {
  global();
  shared();
  instructions();
  threads();
  schedules();
  return finish("counters");
}
