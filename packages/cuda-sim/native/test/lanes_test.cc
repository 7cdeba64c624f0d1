// What lanes do together, vectors in memory, atomics, and the fragments of tensor cores as the manual draws them.
#include "harness.h"

namespace {

// One warp runs the body; lane l's words in[l * 8 ...] are %r1 to %r8, and %r11 to %r14 go to out[l * 4 ...].
std::string program(const std::string& body, const std::string& declarations = "") {
  std::string k =
      ".version 9.0\n.target sm_90\n.address_size 64\n.const .align 4 .b32 c[2] = {1065353216, 7};\n.global .align 4 "
      ".u32 v[2] = {8, 9};\n.global .align 8 .u64 p = generic(v);\n.visible .entry k(.param .u64 in, .param .u64 "
      "out)\n{\n" +
      declarations +
      ".reg .pred %p<8>;\n.reg .b16 %h<8>;\n.reg .b32 %r<40>;\n.reg .b64 %d<16>;\n.reg .f64 %q<8>;\nld.param.u64 %d1, "
      "[in];\nld.param.u64 %d2, [out];\n"
      "mov.u32 %r0, %tid.x;\nmul.wide.u32 %d3, %r0, 32;\nadd.s64 %d1, %d1, %d3;\nmul.wide.u32 %d3, %r0, 16;\nadd.s64 "
      "%d2, %d2, %d3;\n"
      "ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%d1];\nld.global.v4.u32 {%r5, %r6, %r7, %r8}, [%d1+16];\n"
      "mov.u32 %r11, 0;\nmov.u32 %r12, 0;\nmov.u32 %r13, 0;\nmov.u32 %r14, 0;\n" +
      body + "\nst.global.v4.u32 [%d2], {%r11, %r12, %r13, %r14};\nret;\n}\n";
  return k;
}

using Words = std::vector<uint32_t>;
constexpr uint32_t kAll = 0xFFFFFFFF;

// in(lane, word), want(lane, word)
template <class In, class Want>
void check(const char* what, const std::string& body, In in, Want want, int words = 1,
           const std::string& declarations = "", sim::Options options = {}) {
  Device d;
  d.options = options;
  if (!d.load(program(body, declarations))) return;
  Words input(256), expected(128);
  for (uint32_t l = 0; l < 32; ++l)
    for (uint32_t k = 0; k < 8; ++k) input[l * 8 + k] = in(l, k);
  const uint64_t px = d.put(input), out = d.empty(512);
  EXPECT(d.run("k", {1}, {32}, 0, px, out), "%s: %s", what, d.fault.message.c_str());
  const auto got = d.get<uint32_t>(out, 128);
  for (uint32_t l = 0; l < 32; ++l)
    for (int k = 0; k < words; ++k) {
      const uint32_t w = want(l, static_cast<uint32_t>(k));
      if (got[l * 4 + static_cast<uint32_t>(k)] == w) continue;
      EXPECT(false, "%s: lane %u, word %d is %x, not %x", what, l, k, got[l * 4 + static_cast<uint32_t>(k)], w);
      return;
    }
}
const auto number = [](uint32_t l, uint32_t k) { return 100 * (k + 1) + l; };

void shuffles() {
  const auto one = [](const char* text, auto from, auto good) {
    check(
        text, std::string(text) + " selp.u32 %r12, 1, 0, %p1;", number,
        [=](uint32_t l, uint32_t k) { return k == 0 ? 100 + from(l) : static_cast<uint32_t>(good(l)); }, 2);
  };
  one(
      "shfl.sync.up.b32 %r11|%p1, %r1, 3, 0, -1;", [](uint32_t l) { return l < 3 ? l : l - 3; },
      [](uint32_t l) { return l >= 3; });
  one(
      "shfl.sync.down.b32 %r11|%p1, %r1, 3, 31, -1;", [](uint32_t l) { return l + 3 > 31 ? l : l + 3; },
      [](uint32_t l) { return l + 3 <= 31; });
  one("shfl.sync.bfly.b32 %r11|%p1, %r1, 5, 31, -1;", [](uint32_t l) { return l ^ 5; }, [](uint32_t) { return true; });
  one("shfl.sync.idx.b32 %r11|%p1, %r1, 7, 31, -1;", [](uint32_t) { return 7u; }, [](uint32_t) { return true; });
  // segments of 8 lanes: mask 0x18 in bits 12 to 8, clamp 31 (0 for up)
  one(
      "shfl.sync.idx.b32 %r11|%p1, %r1, 3, 0x181f, -1;", [](uint32_t l) { return (l & 24) + 3; },
      [](uint32_t) { return true; });
  one(
      "shfl.sync.down.b32 %r11|%p1, %r1, 2, 0x181f, -1;", [](uint32_t l) { return (l & 7) + 2 > 7 ? l : l + 2; },
      [](uint32_t l) { return (l & 7) + 2 <= 7; });
  one(
      "shfl.sync.up.b32 %r11|%p1, %r1, 2, 0x1800, -1;", [](uint32_t l) { return (l & 7) < 2 ? l : l - 2; },
      [](uint32_t l) { return (l & 7) >= 2; });
}

void votes() {
  const std::string odd = "and.b32 %r20, %r0, 1; setp.eq.u32 %p1, %r20, 1; ";
  check(
      "ballot", odd + "vote.sync.ballot.b32 %r11, %p1, -1; vote.sync.ballot.b32 %r12, !%p1, -1;", number,
      [](uint32_t, uint32_t k) { return k == 0 ? 0xAAAAAAAA : 0x55555555; }, 2);
  check(
      "any all uni",
      odd +
          "vote.sync.any.pred %p2, %p1, -1; vote.sync.all.pred %p3, %p1, -1; vote.sync.uni.pred %p4, %p1, -1; selp.u32 "
          "%r11, 1, 0, %p2; selp.u32 %r12, 1, 0, %p3; selp.u32 %r13, 1, 0, %p4;",
      number, [](uint32_t, uint32_t k) { return k == 0 ? 1u : 0u; }, 3);
  // two groups, each with a mask of its own, at one instruction
  check(
      "ballot of two groups",
      odd +
          "selp.b32 %r21, 0xAAAAAAAA, 0x55555555, %p1; setp.lt.u32 %p2, %r0, 4; vote.sync.ballot.b32 %r11, %p2, %r21;",
      number, [](uint32_t l, uint32_t) { return (l & 1) != 0 ? 0xAu : 0x5u; });
  check("match any", "and.b32 %r20, %r0, 3; match.any.sync.b32 %r11, %r20, -1;", number,
        [](uint32_t l, uint32_t) { return 0x11111111u << (l & 3); });
  check(
      "match all", "match.all.sync.b32 %r11|%p1, %r0, -1; match.all.sync.b32 %r12, 5, -1;", number,
      [](uint32_t, uint32_t k) { return k == 0 ? 0 : kAll; }, 2);
  check("match any of 64 bits", "cvt.u64.u32 %d5, %r0; shr.u64 %d5, %d5, 4; match.any.sync.b64 %r11, %d5, -1;", number,
        [](uint32_t l, uint32_t) { return l < 16 ? 0xFFFFu : 0xFFFF0000u; });
  check(
      "redux",
      "redux.sync.add.s32 %r11, %r0, -1; redux.sync.max.u32 %r12, %r0, -1; redux.sync.max.s32 %r12, %r0, -1; "
      "redux.sync.min.s32 %r13, %r0, -1; redux.sync.xor.b32 %r14, %r1, -1;",
      number, [](uint32_t, uint32_t k) { return k == 0   ? 496u
                                                : k == 1 ? 31u
                                                         : 0u; }, 4);
  check(
      "redux or and", "redux.sync.or.b32 %r11, %r0, -1; redux.sync.and.b32 %r12, 6, -1;", number,
      [](uint32_t, uint32_t k) { return k == 0 ? 31u : 6u; }, 2);
  check(
      "elect", "elect.sync %r11|%p1, -1; selp.u32 %r12, 1, 0, %p1;", number,
      [](uint32_t l, uint32_t k) { return k == 0 ? 0u : l == 0; }, 2);
  check("activemask in a branch", "setp.gt.u32 %p1, %r0, 27; mov.u32 %r11, 7; @%p1 activemask.b32 %r11;", number,
        [](uint32_t l, uint32_t) { return l > 27 ? 0xF0000000 : 7u; });
  check(
      "bar.red",
      odd +
          "bar.red.popc.u32 %r11, 0, %p1; bar.red.and.pred %p2, 0, %p1; bar.red.or.pred %p3, 0, !%p1; selp.u32 %r12, "
          "1, 0, %p2; selp.u32 %r13, 1, 0, %p3;",
      number, [](uint32_t, uint32_t k) { return k == 0   ? 16u
                                                : k == 1 ? 0u
                                                         : 1u; }, 3);
}

void memory() {
  const std::string shared = ".shared .align 16 .b8 s[2048];\n.local .align 16 .b8 l[64];\n";
  const std::string at = "mov.u32 %r20, s; shl.b32 %r21, %r0, 4; add.u32 %r20, %r20, %r21; ";
  check(
      "vectors in shared memory",
      at + "st.shared.v4.b32 [%r20], {%r1, %r2, %r3, %r4}; ld.shared.v2.u32 {%r12, %r11}, [%r20+8]; ld.shared.b32 "
           "%r13, [%r20]; ld.volatile.shared.u32 %r14, [%r20+4];",
      number,
      [](uint32_t l, uint32_t k) {
        return number(l, k == 0 ? 3 : k == 1 ? 2 : k == 2 ? 0 : 1);
      },
      4, shared);
  check(
      "parts of a word, with and without a sign",
      at + "st.shared.u32 [%r20], 0x80FF7F01; ld.shared.s8 %r11, [%r20+2]; ld.shared.u8 %r12, [%r20+3]; ld.shared.s16 "
           "%r13, [%r20+2]; ld.shared.u16 %h1, [%r20]; cvt.u32.u16 %r14, %h1;",
      number, [](uint32_t, uint32_t k) { return k == 0   ? kAll
                                                : k == 1 ? 0x80u
                                                : k == 2 ? 0xFFFF80FFu
                                                         : 0x7F01u; }, 4,
      shared);
  check(
      "64 bits",
      at + "mov.b64 %d5, {%r1, %r2}; st.shared.b64 [%r20], %d5; ld.shared.v2.b32 {%r11, %r12}, [%r20]; st.shared.u8 "
           "[%r20+8], %d5; ld.shared.u8 %r13, [%r20+8];",
      number, [](uint32_t l, uint32_t k) { return k == 2 ? number(l, 0) & 0xFF : number(l, k); }, 3, shared);
  check(
      "generic addresses",
      at + "cvt.u64.u32 %d5, %r20; cvta.shared.u64 %d5, %d5; st.u32 [%d5], %r1; mov.u64 %d6, l; cvta.local.u64 %d7, "
           "%d6; st.u32 [%d7+4], %r2; ld.shared.u32 %r11, [%r20]; ld.local.u32 %r12, [l+4]; ld.u32 %r13, [%d1+8];",
      number, [](uint32_t l, uint32_t k) { return number(l, k); }, 3, shared);
  check(
      "a select of two spaces",
      at + "cvt.u64.u32 %d5, %r20; cvta.shared.u64 %d5, %d5; st.shared.u32 [%r20], %r1; setp.lt.u32 %p1, %r0, 16; "
           "selp.u64 %d6, %d5, %d1, %p1; ld.u32 %r11, [%d6];",
      number, [](uint32_t l, uint32_t) { return number(l, 0); }, 1, shared);
  const std::string own = "mad.lo.u32 %r21, %r0, 64, 0; cvt.u64.u32 %d5, %r21; add.u64 %d5, %d5, g; ";
  const std::string global = ".global .align 16 .b8 g[2048];\n";
  check(
      "global memory, every width",
      own +
          "st.global.u32 [%d5], %r1; st.global.u16 [%d5+4], %r2; st.global.u8 [%d5+6], 0x80; st.global.u8 [%d5+7], "
          "%r3; ld.global.s32 %r11, [%d5]; ld.global.u16 %r12, [%d5+4]; ld.global.s8 %r13, [%d5+6]; ld.global.u8 %r14, "
          "[%d5+7];",
      number,
      [](uint32_t l, uint32_t k) { return k == 2 ? 0xFFFFFF80u : number(l, k == 3 ? 2 : k) & (k == 3 ? 0xFFu : kAll); },
      4, global);
  check(
      "global vectors of words",
      own +
          "st.global.v4.u32 [%d5], {%r1, %r2, %r3, %r4}; ld.global.v4.f32 {%r14, %r13, %r12, %r11}, [%d5]; "
          "st.global.v4.f32 [%d5+16], {%r14, %r13, %r12, %r11}; ld.volatile.global.u32 %r13, [%d5+16]; "
          "st.volatile.global.u32 [%d5], %r14; st.global.f32 [%d5+4], %r14; ld.global.f32 %r14, [%d5+4];",
      number, [](uint32_t l, uint32_t k) { return number(l, k < 2 ? 3 - k : 0); }, 4, global);
  check(
      "global vectors of halves and bytes",
      own +
          "mov.b32 {%h1, %h2}, %r1; mov.b32 {%h3, %h4}, %r2; st.global.v4.u16 [%d5], {%h1, %h2, %h3, %h4}; "
          "st.global.v2.u16 [%d5+8], {%h3, %h1}; st.global.v2.u8 [%d5+12], {%h1, %h3}; st.global.v4.u8 [%d5+16], {%h1, "
          "%h3, %h1, %h3}; "
          "ld.global.v2.u16 {%h5, %h6}, [%d5]; mov.b32 %r11, {%h5, %h6}; ld.global.v4.u16 {%h1, %h2, %h3, %h4}, [%d5]; "
          "cvt.u32.u16 %r12, %h3; ld.global.v2.u8 {%h5, %h6}, [%d5+12]; cvt.u32.u16 %r13, %h6; ld.global.u32 %r14, "
          "[%d5+16];",
      [](uint32_t l, uint32_t k) { return 0x10000 * l + 3 * k + l; },
      [](uint32_t l, uint32_t k) {
        const uint32_t a = 0x10000 * l + l, b = a + 3;
        return k == 0 ? a : k == 1 ? b & 0xFFFF : k == 2 ? b & 0xFF : ((b & 0xFF) << 8 | (a & 0xFF)) * 0x10001;
      },
      4, global);
  check(
      "global vectors of 64 bits",
      own +
          "mov.b64 %d6, {%r1, %r2}; mov.b64 %d7, {%r3, %r4}; st.global.v2.u64 [%d5], {%d6, %d7}; ld.global.v2.f64 "
          "{%q1, %q2}, [%d5]; st.global.v2.f64 [%d5+16], {%q2, %q1}; ld.global.v2.u64 {%d8, %d9}, [%d5+16]; "
          "st.global.f64 [%d5+32], %q1; ld.global.u64 %d8, [%d5+32]; mov.b64 {%r11, %r12}, %d8; mov.b64 {%r13, %r14}, "
          "%d9;",
      number, [](uint32_t l, uint32_t k) { return number(l, k % 2); }, 4, global);
  check(
      "constants with values",
      "ld.const.f32 %r11, [c]; mov.u64 %d5, c; ld.const.u32 %r12, [%d5+4]; ld.global.u64 %d6, [p]; cvta.to.global.u64 "
      "%d6, %d6; ld.global.u32 %r13, [%d6+4]; cvta.const.u64 %d5, %d5; ld.u32 %r14, [%d5];",
      number, [](uint32_t, uint32_t k) { return k == 1   ? 7u
                                                : k == 2 ? 9u
                                                         : 0x3F800000u; }, 4);
  check(
      "shared memory, other words",
      at + "st.shared.f32 [%r20], %r1; ld.shared.f32 %r11, [%r20]; mov.b64 %d5, {%r2, %r3}; st.shared.u64 [%r20+8], "
           "%d5; ld.shared.u64 %d6, [%r20+8]; ld.shared.f64 %q1, [%r20+8]; st.shared.f64 [%r20+8], %q1; mov.b64 {%r12, "
           "%r13}, %d6; st.shared.u16 [%r20], %r4; ld.shared.u16 %r14, [%r20]; st.shared.v2.f32 [%r20], {%r1, %r2}; "
           "ld.shared.v4.f32 {%r30, %r31, %r32, %r33}, [%r20];",
      number, [](uint32_t l, uint32_t k) { return number(l, k); }, 4, shared);
  check("guards", "mov.u32 %r11, 1; setp.lt.u32 %p1, %r0, 5; @%p1 add.u32 %r11, %r11, %r0; @!%p1 mov.u32 %r11, 9;",
        number, [](uint32_t l, uint32_t) { return l < 5 ? 1 + l : 9; });
  check("a loop of each lane's own length",
        "mov.u32 %r20, 0; again: setp.ge.u32 %p1, %r20, %r0; @%p1 bra done; add.u32 %r11, %r11, %r20; add.u32 %r20, "
        "%r20, 1; bra again; done:",
        number, [](uint32_t l, uint32_t) { return l == 0 ? 0 : l * (l - 1) / 2; });
}

void atomics() {
  const auto one = [](const char* op, uint32_t start, auto want) {
    check(op,
          std::string("mov.u32 %r20, s; setp.eq.u32 %p1, %r0, 0; @%p1 st.shared.u32 [%r20], ") + std::to_string(start) +
              "; bar.sync 0; " + op + " bar.sync 0; ld.shared.u32 %r12, [%r20];",
          number, want, 2, ".shared .align 16 .b8 s[16];\n");
  };
  one("atom.shared.add.u32 %r11, [%r20], %r0;", 5,
      [](uint32_t l, uint32_t k) { return k == 0 ? 5 + (l == 0 ? 0 : l * (l - 1) / 2) : 501; });
  one("atom.shared.max.s32 %r11, [%r20], %r0;", 3, [](uint32_t l, uint32_t k) {
    return k == 1 ? 31 : l <= 4 ? 3 : l - 1;
  });
  one("atom.shared.min.u32 %r11, [%r20], %r0;", 3, [](uint32_t l, uint32_t k) { return k == 0 && l == 0 ? 3u : 0u; });
  one("atom.shared.exch.b32 %r11, [%r20], %r0;", 77, [](uint32_t l, uint32_t k) {
    return k == 1 ? 31 : l == 0 ? 77 : l - 1;
  });
  one("atom.shared.cas.b32 %r11, [%r20], %r0, 40;", 7, [](uint32_t l, uint32_t k) {
    return k == 1 ? 40u : l <= 7 ? 7u : 40u;
  });
  one("atom.shared.inc.u32 %r11, [%r20], 9;", 0, [](uint32_t l, uint32_t k) { return k == 1 ? 2 : l % 10; });
  one("atom.shared.dec.u32 %r11, [%r20], 9;", 0,
      [](uint32_t l, uint32_t k) { return k == 1 ? 8 : (10 - l % 10) % 10; });
  one("atom.shared.or.b32 %r11, [%r20], %r0; ", 0, [](uint32_t l, uint32_t k) {
    uint32_t before = 0;
    for (uint32_t i = 0; i < l; ++i) before |= i;
    return k == 1 ? 31u : before;
  });
  one("mov.u32 %r11, 0; red.shared.and.b32 [%r20], 12;", 7, [](uint32_t, uint32_t k) { return k == 0 ? 0u : 4u; });
  one("mov.u32 %r11, 0; red.shared.xor.b32 [%r20], %r0;", 7, [](uint32_t, uint32_t k) { return k == 0 ? 0u : 7u; });
  one("mov.u32 %r11, 0; red.shared.add.f32 [%r20], 0f3F800000;", 0,
      [](uint32_t, uint32_t k) { return k == 0 ? 0u : 0x42000000u; });
  one("mov.u32 %r11, 0; red.shared.add.noftz.f16x2 [%r20], 0x3C004000;", 0,
      [](uint32_t, uint32_t k) { return k == 0 ? 0u : 0x50005400u; });
  one("mov.u32 %r11, 0; red.shared.add.noftz.bf16x2 [%r20], 0x3F804000;", 0,
      [](uint32_t, uint32_t k) { return k == 0 ? 0u : 0x42004280u; });
  check(
      "64 bits in global memory",
      "mov.u64 %d6, 1; atom.global.add.u64 %d7, [%d1], %d6; ld.global.u64 %d8, [%d1]; sub.u64 %d8, %d8, %d7; "
      "cvt.u32.u64 %r11, %d8; atom.global.cas.b64 %d9, [%d1], %d8, %d6; "
      "setp.eq.u64 %p1, %d9, %d7; selp.u32 %r12, 1, 0, %p1; atom.global.exch.b64 %d9, [%d1], 0; "
      "atom.global.sys.cas.b32 %r30, [%d1], 1, 2; atom.global.add.f64 %q1, [%d1], 0d3FF0000000000000; ld.global.u64 "
      "%d8, [%d1]; mov.b64 {%r14, %r13}, %d8;",
      number, [](uint32_t, uint32_t k) { return k == 0   ? 1u
                                                : k == 1 ? 0u
                                                         : 0x3FF00000u; }, 3);
}

// Parameters of every size, and a function that takes and gives them.
void parameters() {
  Device d;
  if (!d.load(R"(.version 9.0
.target sm_80
.address_size 64
.func (.param .align 8 .b8 r[16]) twice(.param .f64 x, .param .align 4 .b8 s[8])
{
.reg .f64 %q<3>;
.reg .b32 %r<3>;
ld.param.f64 %q1, [x];
add.f64 %q1, %q1, %q1;
st.param.f64 [r], %q1;
ld.param.v2.u32 {%r1, %r2}, [s];
add.u32 %r1, %r1, %r2;
st.param.b32 [r+8], %r1;
st.param.b32 [r+12], %r2;
ret;
}
.visible .entry k(.param .u64 out, .param .f64 x, .param .u8 small, .param .align 8 .b8 s[16])
{
.reg .b64 %d<6>;
.reg .f64 %q<3>;
.reg .b32 %r<8>;
.reg .b16 %h<4>;
.local .align 8 .b8 room[16];
ld.param.u64 %d1, [out];
ld.param.f64 %q1, [x];
ld.param.u8 %h1, [small];
ld.param.v2.u8 {%h2, %h3}, [s+2];
ld.param.v2.u32 {%r1, %r2}, [s+8];
mov.b64 %d2, s;
ld.param.u32 %r3, [%d2+4];
{
.param .f64 a;
.param .align 4 .b8 b[8];
.param .align 8 .b8 c[16];
st.param.f64 [a], %q1;
st.param.v2.b32 [b], {%r1, %r2};
call.uni (c), twice, (a, b);
ld.param.f64 %q2, [c];
ld.param.v2.u32 {%r4, %r5}, [c+8];
}
mov.b64 %d3, %q2;
st.local.u64 [room+8], %d3;
ld.local.u64 %d4, [room+8];
st.global.u64 [%d1], %d4;
st.global.v2.u32 [%d1+8], {%r4, %r5};
cvt.u32.u16 %r6, %h1;
cvt.u32.u16 %r7, %h3;
st.global.v2.u32 [%d1+16], {%r6, %r7};
st.global.u32 [%d1+24], %r3;
ret;
})"))
    return;
  struct {
    uint8_t bytes[8];
    uint32_t a, b;
  } s{{1, 2, 3, 4, 5, 0, 0, 0}, 30, 12};
  const uint64_t out = d.empty(32);
  EXPECT(d.run("k", {1}, {1}, 0, out, 1.25, uint8_t{200}, s), "%s", d.fault.message.c_str());
  const auto got = d.get<uint32_t>(out, 7);
  EXPECT(d.get<double>(out, 1)[0] == 2.5 && got[2] == 42 && got[3] == 12 && got[4] == 200 && got[5] == 4 && got[6] == 5,
         "parameters: %u %u %u %u %u", got[2], got[3], got[4], got[5], got[6]);
}

void mbarriers() {
  const std::string shared = ".shared .align 8 .b64 s[2];\n";
  const std::string init =
      "mov.u32 %r20, s; setp.eq.u32 %p1, %r0, 0; @%p1 mbarrier.init.shared::cta.b64 [%r20], 32; bar.sync 0; ";
  check(
      "arrivals, phases, parities",
      init +
          "mbarrier.arrive.shared::cta.b64 %d5, [%r20]; mbarrier.pending_count.b64 %r11, %d5; "
          "mbarrier.test_wait.shared::cta.b64 %p2, "
          "[%r20], %d5; selp.u32 %r12, 1, 0, %p2; mbarrier.try_wait.parity.shared::cta.b64 %p3, [%r20], 0; "
          "mbarrier.test_wait.parity.shared::cta.b64 %p4, [%r20], 1; selp.u32 %r13, 1, 0, %p3; selp.u32 %r14, 1, 0, "
          "%p4;",
      number, [](uint32_t l, uint32_t k) { return k == 0  ? 32 - l
                                                  : k < 3 ? 1u
                                                          : 0u; }, 4, shared);
  check(
      "bytes that are expected",
      init +
          "@%p1 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r20], 16; @!%p1 mbarrier.arrive.shared::cta.b64 _, "
          "[%r20]; "
          "mbarrier.test_wait.parity.shared::cta.b64 %p2, [%r20], 0; selp.u32 %r11, 1, 0, %p2; bar.warp.sync -1; "
          "@%p1 mbarrier.complete_tx.shared::cta.b64 [%r20], 16; bar.warp.sync -1; "
          "mbarrier.test_wait.parity.shared::cta.b64 %p2, [%r20], 0; selp.u32 %r12, 1, 0, %p2; "
          "bar.warp.sync -1; @%p1 mbarrier.arrive.shared::cta.b64 %d5, [%r20], 32; bar.warp.sync -1; "
          "mbarrier.test_wait.parity.shared::cta.b64 %p2, [%r20], 1; selp.u32 %r13, 1, 0, %p2;",
      number, [](uint32_t, uint32_t k) { return k == 0 ? 0u : 1u; }, 3, shared);
}

void hints() {
  check(
      "fences and hints change nothing",
      "fence.acq_rel.gpu; fence.sc.sys; membar.gl; membar.cta; fence.proxy.async; fence.mbarrier_init.release.cluster; "
      "nanosleep.u32 20; prefetch.global.L2 "
      "[%d1]; prefetchu.L1 [%d1]; griddepcontrol.wait; griddepcontrol.launch_dependents; "
      "createpolicy.fractional.L2::evict_last.b64 %d7, "
      "0f3F800000; ld.global.nc.L1::no_allocate.L2::cache_hint.v2.u32 {%r11, %r12}, [%d1], %d7; "
      "ld.relaxed.gpu.global.u32 %r13, [%d1+8]; "
      "ld.acquire.sys.global.u32 %r14, [%d1+12]; st.release.gpu.global.u32 [%d1], %r1; st.global.cs.u32 [%d1], %r1; "
      "discard.global.L2 [%d1], 128;",
      number, [](uint32_t l, uint32_t k) { return number(l, k); }, 4);
}

// ---- tensor cores. Element (i, j) of a matrix is found by the manual's drawing; products of small integers are exact.
void matrices() {
  const std::string shared = ".shared .align 16 .b8 s[1024];\n";
  // Row r of matrix m at s + m * 128 + r * 16; element (r, c) is m * 64 + r * 8 + c.
  const std::string fill =
      "mov.u32 %r20, s; shl.b32 %r21, %r0, 4; add.u32 %r20, %r20, %r21; shl.b32 %r22, %r0, 3; mad.lo.u32 %r23, %r22, "
      "0x10001, 0x10000; add.u32 %r24, %r23, 0x20002; add.u32 %r25, %r23, 0x40004; add.u32 %r26, %r23, 0x60006; "
      "st.shared.v4.b32 [%r20], {%r23, %r24, %r25, %r26}; bar.sync 0; ";
  const auto element = [](uint32_t m, uint32_t r, uint32_t c) { return m * 64 + r * 8 + c; };
  check(
      "ldmatrix", fill + "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r11, %r12, %r13, %r14}, [%r20];", number,
      [=](uint32_t l, uint32_t k) { return element(k, l / 4, l % 4 * 2) | element(k, l / 4, l % 4 * 2 + 1) << 16; }, 4,
      shared);
  check(
      "ldmatrix.trans", fill + "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%r11, %r12, %r13, %r14}, [%r20];",
      number,
      [=](uint32_t l, uint32_t k) { return element(k, l % 4 * 2, l / 4) | element(k, l % 4 * 2 + 1, l / 4) << 16; }, 4,
      shared);
  check(
      "ldmatrix of two", fill + "ldmatrix.sync.aligned.m8n8.x2.shared::cta.b16 {%r11, %r12}, [%r20];", number,
      [=](uint32_t l, uint32_t k) { return element(k, l / 4, l % 4 * 2) | element(k, l / 4, l % 4 * 2 + 1) << 16; }, 2,
      shared);
  check(
      "movmatrix",
      fill +
          "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r27}, [%r20]; movmatrix.sync.aligned.m8n8.trans.b16 %r11, %r27;",
      number,
      [=](uint32_t l, uint32_t) { return element(0, l % 4 * 2, l / 4) | element(0, l % 4 * 2 + 1, l / 4) << 16; }, 1,
      shared);
  for (const bool trans : {false, true})
    check(
        trans ? "stmatrix.trans" : "stmatrix",
        fill + "ldmatrix.sync.aligned.m8n8.x4" + (trans ? ".trans" : "") +
            ".shared.b16 {%r27, %r28, %r29, %r30}, [%r20]; bar.sync 0; stmatrix.sync.aligned.m8n8.x4" +
            (trans ? ".trans" : "") +
            ".shared.b16 [%r20], {%r28, %r27, %r29, %r30}; bar.sync 0; ld.shared.v4.u32 {%r11, %r12, %r13, %r14}, "
            "[%r20];",
        number,
        [=](uint32_t l, uint32_t k) {
          const uint32_t m = l / 8, from = m < 2 ? 1 - m : m;
          return element(from, l % 8, 2 * k) | element(from, l % 8, 2 * k + 1) << 16;
        },
        4, shared);
}

struct Kind {
  const char* shape;
  const char* type;
  int k, bits;
};
// a(i, k), b(k, j), c(i, j): small integers, differing along both sides
int a_of(int i, int k) { return (i * 3 + k * 5) % 7 - 3; }
int b_of(int k, int j) { return (k * 2 + j * 3) % 5 - 2; }
int c_of(int i, int j) { return i - 2 * j; }
uint32_t bits_of(const std::string& type, int v) {
  const float f = static_cast<float>(v);
  uint32_t u;
  std::memcpy(&u, &f, 4);
  if (type == "bf16") return u >> 16;
  if (type == "tf32" || type == "f32") return u;
  if (type == "s8") return static_cast<uint32_t>(v) & 0xFF;
  if (type == "u8") return static_cast<uint32_t>(v + 3) & 0xFF;
  if (v == 0) return 0;
  if (type == "e4m3" || type == "e5m2") {
    static constexpr uint32_t e4m3[] = {0, 0x38, 0x40, 0x44}, e5m2[] = {0, 0x3C, 0x40, 0x42};
    return (type == "e4m3" ? e4m3 : e5m2)[std::abs(v)] | (v < 0 ? 0x80 : 0);
  }
  const int e = std::ilogb(f);  // f16 by hand
  return (v < 0 ? 0x8000u : 0u) | static_cast<uint32_t>(e + 15) << 10 |
         static_cast<uint32_t>((std::fabs(f) / std::ldexp(1.0f, e) - 1) * 1024);
}

void products() {
  for (const Kind& kind :
       {Kind{"m16n8k16", "bf16", 16, 16}, Kind{"m16n8k16", "f16", 16, 16}, Kind{"m16n8k8", "bf16", 8, 16},
        Kind{"m16n8k8", "f16", 8, 16}, Kind{"m16n8k8", "tf32", 8, 32}, Kind{"m16n8k4", "tf32", 4, 32},
        Kind{"m16n8k32", "s8", 32, 8}, Kind{"m16n8k16", "s8", 16, 8}, Kind{"m16n8k32", "u8", 32, 8},
        Kind{"m16n8k32", "e4m3", 32, 8}, Kind{"m16n8k32", "e5m2", 32, 8}}) {
    const std::string type = kind.type, out = kind.bits == 8 && type.size() == 2 ? "s32" : "f32";
    const int per = 32 / kind.bits, ra = 16 * kind.k / per / 32, rb = 8 * kind.k / per / 32;
    const auto in = [&](uint32_t l, uint32_t r) {
      const int g = static_cast<int>(l) / 4, t = static_cast<int>(l) % 4, k = static_cast<int>(r);
      uint32_t w = 0;
      if (k < ra)
        for (int i = 0; i < per; ++i)
          w |= bits_of(type, a_of(g + 8 * (k % 2), per * t + i + 4 * per * (k / 2))) << i * kind.bits;
      else if (k < ra + rb)
        for (int i = 0; i < per; ++i) w |= bits_of(type, b_of(per * t + i + 4 * per * (k - ra), g)) << i * kind.bits;
      return w;
    };
    const auto c = [&](uint32_t l, uint32_t k) {
      return c_of(static_cast<int>(l / 4 + 8 * (k / 2)), static_cast<int>(2 * (l % 4) + k % 2));
    };
    const auto regs = [](int from, int n) {
      std::string s = "{";
      for (int i = 0; i < n; ++i) s += (i ? ", %r" : "%r") + std::to_string(from + i);
      return s + "}";
    };
    // C is computed by the lanes: row - 2 * column
    std::string body =
        "shr.u32 %r20, %r0, 2; and.b32 %r21, %r0, 3; shl.b32 %r21, %r21, 2; sub.s32 %r31, %r20, %r21; sub.s32 %r32, "
        "%r31, 2; add.s32 %r33, %r31, 8; add.s32 %r34, %r32, 8; ";
    if (out == "f32")
      for (int i = 31; i < 35; ++i) body += "cvt.rn.f32.s32 %r" + std::to_string(i) + ", %r" + std::to_string(i) + "; ";
    body += "mma.sync.aligned." + std::string(kind.shape) + ".row.col." + out + "." + type + "." + type + "." + out +
            " " + regs(11, 4) + ", " + regs(1, ra) + ", " + regs(1 + ra, rb) + ", " + regs(31, 4) + ";";
    const int add = type == "u8" ? 3 : 0;  // unsigned ones are moved by 3
    for (const auto how :
         {sim::Options::Products::exact, sim::Options::Products::truncate, sim::Options::Products::chunked}) {
      sim::Options o;
      o.products = how;
      check((std::string("mma ") + kind.shape + " " + type).c_str(), body, in,
            [&](uint32_t l, uint32_t k) {
              const int row = static_cast<int>(l / 4 + 8 * (k / 2)), column = static_cast<int>(2 * (l % 4) + k % 2);
              int sum = c(l, k);
              for (int q = 0; q < kind.k; ++q) sum += (a_of(row, q) + add) * (b_of(q, column) + add);
              return out == "s32" ? static_cast<uint32_t>(sum) : bits_of("f32", sum);
            },
            4, "", o);
    }
  }
  // f16 sums: C and D in pairs
  check(
      "mma with f16 sums",
      "mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%r11, %r12}, {%r1, %r1, %r1, %r1}, {%r2, %r2}, {%r3, %r3};",
      [](uint32_t, uint32_t k) { return k == 0   ? 0x3C003C00u
                                        : k == 1 ? 0x40004000u
                                                 : 0x42003C00u; },
      [](uint32_t, uint32_t) { return 0x50605020u; }, 2);
  // 4 + 16 * 2^-24: the exact sum is two steps above 4; aligned to 4 every product is cut away, and four of them are
  // half a step, rounded to even.
  const auto tiny = [](uint32_t, uint32_t k) { return k == 0 ? 0x3C003C00u : k == 1 ? 0x00010001u : 0x40800000u; };
  const std::string small =
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%r11, %r12, %r13, %r14}, {%r1, %r1, %r1, %r1}, {%r2, %r2}, "
      "{%r3, %r3, %r3, %r3};";
  for (const auto how :
       {sim::Options::Products::exact, sim::Options::Products::truncate, sim::Options::Products::chunked}) {
    sim::Options o;
    o.products = how;
    check(
        "products far below the sum", small, tiny,
        [=](uint32_t, uint32_t) { return how == sim::Options::Products::exact ? 0x40800002u : 0x40800000u; }, 4, "", o);
  }
}

// Element (row, column) of each matrix lies in memory as the load says; what a fragment holds where is nobody's
// business.
void wmma() {
  struct Form {
    int m, n, k;
    const char* type;
    int bits, ra, rb;
  };
  for (const Form& f :
       {Form{16, 16, 16, "f16", 16, 8, 8}, Form{32, 8, 16, "f16", 16, 8, 8}, Form{8, 32, 16, "f16", 16, 8, 8},
        Form{16, 16, 16, "bf16", 16, 4, 4}, Form{32, 8, 16, "bf16", 16, 8, 2}, Form{8, 32, 16, "bf16", 16, 2, 8},
        Form{16, 16, 16, "s8", 8, 2, 2}, Form{16, 16, 16, "u8", 8, 2, 2}, Form{16, 16, 8, "tf32", 32, 4, 4}}) {
    for (const bool rows : {true, false}) {  // A by rows and B by columns, or the other way round
      const std::string type = f.type, sums = f.bits == 8 ? "s32" : "f32";
      const std::string shape = "m" + std::to_string(f.m) + "n" + std::to_string(f.n) + "k" + std::to_string(f.k);
      const std::string la = rows ? "row" : "col", lb = rows ? "col" : "row";
      const auto regs = [](int from, int n) {
        std::string t = "{";
        for (int i = 0; i < n; ++i) t += (i ? ", %r" : "%r") + std::to_string(from + i);
        return t + "}";
      };
      const std::string types = type == "f16" ? "f32.f32" : sums + "." + type + "." + type + "." + sums;
      const std::string text =
          ".version 9.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 a, .param .u64 b, .param .u64 "
          "c)\n{\n.reg .b32 %r<60>;\n"
          ".reg .b64 %d<4>;\nld.param.u64 %d1, [a];\nld.param.u64 %d2, [b];\nld.param.u64 %d3, [c];\n"
          "wmma.load.a.sync.aligned." +
          la + "." + shape + ".global." + type + " " + regs(1, f.ra) + ", [%d1], " + std::to_string(rows ? f.k : f.m) +
          ";\nwmma.load.b.sync.aligned." + lb + "." + shape + ".global." + type + " " + regs(11, f.rb) + ", [%d2], " +
          std::to_string(rows ? f.k : f.n) + ";\nwmma.load.c.sync.aligned.row." + shape + ".global." + sums + " " +
          regs(21, 8) + ", [%d3], " + std::to_string(f.n) + ";\nwmma.mma.sync.aligned." + la + "." + lb + "." + shape +
          "." + types + " " + regs(31, 8) + ", " + regs(1, f.ra) + ", " + regs(11, f.rb) + ", " + regs(21, 8) +
          ";\nwmma.store.d.sync.aligned.row." + shape + ".global." + sums + " [%d3], " + regs(31, 8) + ", " +
          std::to_string(f.n) + ";\nret;\n}\n";
      Device d;
      if (!d.load(text)) continue;
      const auto bytes = static_cast<size_t>(f.bits / 8);
      std::vector<uint8_t> a(static_cast<size_t>(f.m * f.k) * bytes), b(static_cast<size_t>(f.k * f.n) * bytes);
      Words c(static_cast<size_t>(f.m * f.n));
      const auto put = [&](std::vector<uint8_t>& to, int at, int v) {
        const uint32_t w = bits_of(type, v);
        std::memcpy(to.data() + static_cast<size_t>(at) * bytes, &w, bytes);
      };
      for (int i = 0; i < f.m; ++i)
        for (int q = 0; q < f.k; ++q) put(a, rows ? i * f.k + q : q * f.m + i, a_of(i, q));
      for (int q = 0; q < f.k; ++q)
        for (int j = 0; j < f.n; ++j) put(b, rows ? j * f.k + q : q * f.n + j, b_of(q, j));
      for (int i = 0; i < f.m; ++i)
        for (int j = 0; j < f.n; ++j)
          c[static_cast<size_t>(i * f.n + j)] =
              sums == "s32" ? static_cast<uint32_t>(c_of(i, j)) : bits_of("f32", c_of(i, j));
      const uint64_t pa = d.put(a), pb = d.put(b), pc = d.put(c);
      EXPECT(d.run("k", {1}, {32}, 0, pa, pb, pc), "%s %s: %s", shape.c_str(), f.type, d.fault.message.c_str());
      const auto got = d.get<uint32_t>(pc, c.size());
      const int add = type == "u8" ? 3 : 0;
      for (int i = 0; i < f.m; ++i)
        for (int j = 0; j < f.n; ++j) {
          int sum = c_of(i, j);
          for (int q = 0; q < f.k; ++q) sum += (a_of(i, q) + add) * (b_of(q, j) + add);
          const uint32_t want = sums == "s32" ? static_cast<uint32_t>(sum) : bits_of("f32", sum);
          EXPECT(got[static_cast<size_t>(i * f.n + j)] == want, "%s %s %s: (%d, %d) is %x, not %x", shape.c_str(),
                 f.type, la.c_str(), i, j, got[static_cast<size_t>(i * f.n + j)], want);
        }
    }
  }
}

// m8n8k4 of f64: a lane holds A (l / 4, l % 4), B (l % 4, l / 4) and C, D (l / 4, 2 (l % 4) + e).
void doubles() {
  check(
      "mma of f64",
      "shr.u32 %r20, %r0, 2; and.b32 %r21, %r0, 3; cvt.rn.f64.u32 %q1, %r20; cvt.rn.f64.u32 %q2, %r21; mov.f64 %q3, "
      "0d3FF0000000000000; "
      "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%q4, %q5}, {%q1}, {%q2}, {%q3, %q1}; cvt.rzi.u32.f64 %r11, "
      "%q4; cvt.rzi.u32.f64 %r12, %q5;",
      number, [](uint32_t l, uint32_t k) { return 6 * (l / 4) + (k == 0 ? 1 : l / 4); }, 2);
}

}  // namespace

int main() {
  shuffles();
  votes();
  memory();
  atomics();
  parameters();
  mbarriers();
  hints();
  matrices();
  products();
  wmma();
  doubles();
  return finish("lanes");
}
