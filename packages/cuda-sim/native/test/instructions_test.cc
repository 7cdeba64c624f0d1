// Each instruction on its own: operands and results worked out by hand from the PTX manual. A row's letters say what the
// operands are: h, r, d: 16, 32, 64 bits; f, q: f32 and f64, given by their bits too; p: a predicate. $0 is the result.
#include "harness.h"

namespace {

struct Row {
  const char* text;
  const char* kinds;
  std::vector<uint64_t> in;
  uint64_t out;
};

uint64_t F(float x) {
  uint32_t u;
  std::memcpy(&u, &x, 4);
  return u;
}
uint64_t Q(double x) {
  uint64_t u;
  std::memcpy(&u, &x, 8);
  return u;
}
constexpr uint64_t kOne = 0x3F800000, kNan = 0x7FFFFFFF, kInf = 0x7F800000, kMinus = 0x80000000;
constexpr uint64_t M1 = 0xFFFFFFFF, M1L = ~uint64_t{0};

const std::vector<Row>& rows() {
  static const std::vector<Row> all = {
      // ---- integers
      {"add.s32 $0, $1, $2;", "rrr", {7, M1}, 6},
      {"add.u32 $0, $1, 5;", "rr", {M1}, 4},
      {"add.s64 $0, $1, $2;", "ddd", {M1L, 3}, 2},
      {"add.u64 $0, $1, $2;", "ddd", {M1, 3}, 0x100000002},
      {"add.s16 $0, $1, $2;", "hhh", {0x7FFF, 1}, 0x8000},
      {"add.u16 $0, $1, $2;", "hhh", {0xFFFF, 2}, 1},
      {"add.sat.s32 $0, $1, $2;", "rrr", {0x7FFFFFFF, 1}, 0x7FFFFFFF},
      {"sub.s32 $0, $1, $2;", "rrr", {3, 5}, 0xFFFFFFFE},
      {"sub.sat.s32 $0, $1, $2;", "rrr", {0x80000000, 1}, 0x80000000},
      {"sub.u64 $0, $1, $2;", "ddd", {0, 1}, M1L},
      {"{ .reg .b32 a, b; add.cc.u32 a, $1, $2; addc.u32 $0, $3, $3; }", "rrrr", {M1, 1, 4}, 9},
      {"{ .reg .b32 a, b; sub.cc.u32 a, $1, $2; subc.u32 $0, $3, 1; }", "rrrr", {0, 1, 4}, 2},
      {"{ .reg .b64 a; add.cc.u64 a, $1, $2; addc.u64 $0, $3, 0; }", "dddd", {M1L, 1, 4}, 5},
      {"{ .reg .b32 a; mad.lo.cc.u32 a, $1, $2, $3; madc.hi.u32 $0, $1, $2, 0; }", "rrrr", {M1, M1, M1}, M1},
      {"mul.lo.s32 $0, $1, $2;", "rrr", {M1, 3}, 0xFFFFFFFD},
      {"mul.lo.u16 $0, $1, $2;", "hhh", {0xFFFF, 0xFFFF}, 1},
      {"mul.lo.s64 $0, $1, $2;", "ddd", {M1L, 3}, 0xFFFFFFFFFFFFFFFD},
      {"mul.hi.s32 $0, $1, $2;", "rrr", {M1, 3}, M1},
      {"mul.hi.u32 $0, $1, $2;", "rrr", {M1, 3}, 2},
      {"mul.hi.u64 $0, $1, $2;", "ddd", {M1L, 3}, 2},
      {"mul.hi.s64 $0, $1, $2;", "ddd", {M1L, 3}, M1L},
      {"mul.wide.s32 $0, $1, $2;", "drr", {M1, 3}, 0xFFFFFFFFFFFFFFFD},
      {"mul.wide.u32 $0, $1, $2;", "drr", {M1, 3}, 0x2FFFFFFFD},
      {"mul.wide.s16 $0, $1, $2;", "rhh", {0xFFFF, 3}, 0xFFFFFFFD},
      {"mul.wide.u16 $0, $1, $2;", "rhh", {0xFFFF, 3}, 0x2FFFD},
      {"mad.lo.s32 $0, $1, $2, $3;", "rrrr", {5, 6, 7}, 37},
      {"mad.lo.u64 $0, $1, $2, $3;", "dddd", {5, 6, 7}, 37},
      {"mad.hi.u32 $0, $1, $2, $3;", "rrrr", {0x80000000, 4, 7}, 9},
      {"mad.wide.u32 $0, $1, $2, $3;", "drrd", {M1, 2, 1}, 0x1FFFFFFFF},
      {"mad.wide.s32 $0, $1, $2, $3;", "drrd", {M1, 2, 1}, M1L},
      {"mad.wide.s16 $0, $1, $2, $3;", "rhhr", {0xFFFF, 2, 1}, M1},
      {"mul24.lo.u32 $0, $1, $2;", "rrr", {0xFF000003, 5}, 15},
      {"mad24.lo.s32 $0, $1, $2, $3;", "rrrr", {0xFFFFFF, 5, 1}, 0xFFFFFFFC},
      {"div.s32 $0, $1, $2;", "rrr", {0xFFFFFFF9, 2}, 0xFFFFFFFD},
      {"div.u32 $0, $1, $2;", "rrr", {0xFFFFFFF9, 2}, 0x7FFFFFFC},
      {"div.s64 $0, $1, $2;", "ddd", {M1L - 6, 2}, M1L - 2},
      {"div.u16 $0, $1, $2;", "hhh", {100, 7}, 14},
      {"rem.s32 $0, $1, $2;", "rrr", {0xFFFFFFF9, 2}, M1},
      {"rem.u32 $0, $1, $2;", "rrr", {23, 5}, 3},
      {"rem.u64 $0, $1, $2;", "ddd", {23, 5}, 3},
      {"min.s32 $0, $1, $2;", "rrr", {M1, 3}, M1},
      {"min.u32 $0, $1, $2;", "rrr", {M1, 3}, 3},
      {"max.s32 $0, $1, $2;", "rrr", {M1, 3}, 3},
      {"max.u32 $0, $1, $2;", "rrr", {M1, 3}, M1},
      {"max.s16 $0, $1, $2;", "hhh", {0xFFFF, 3}, 3},
      {"min.u64 $0, $1, $2;", "ddd", {M1L, 3}, 3},
      {"max.s64 $0, $1, $2;", "ddd", {M1L, 3}, 3},
      {"max.u16x2 $0, $1, $2;", "rrr", {0x0001FFFF, 0x00020003}, 0x0002FFFF},
      {"min.s16x2 $0, $1, $2;", "rrr", {0x0001FFFF, 0x00020003}, 0x0001FFFF},
      {"add.u16x2 $0, $1, $2;", "rrr", {0x0001FFFF, 0x00020003}, 0x00030002},
      {"abs.s32 $0, $1;", "rr", {0xFFFFFFF9}, 7},
      {"abs.s64 $0, $1;", "dd", {M1L}, 1},
      {"neg.s32 $0, $1;", "rr", {7}, 0xFFFFFFF9},
      {"neg.s16 $0, $1;", "hh", {7}, 0xFFF9},
      {"sad.u32 $0, $1, $2, $3;", "rrrr", {3, 10, 100}, 107},
      {"sad.s32 $0, $1, $2, $3;", "rrrr", {M1, 10, 100}, 111},
      {"and.b32 $0, $1, $2;", "rrr", {0xF0F0, 0xFF00}, 0xF000},
      {"or.b32 $0, $1, $2;", "rrr", {0xF0F0, 0xFF00}, 0xFFF0},
      {"xor.b32 $0, $1, $2;", "rrr", {0xF0F0, 0xFF00}, 0x0FF0},
      {"and.b64 $0, $1, 12;", "dd", {0xFF}, 12},
      {"or.b16 $0, $1, $2;", "hhh", {1, 2}, 3},
      {"not.b32 $0, $1;", "rr", {0xF}, 0xFFFFFFF0},
      {"not.b64 $0, $1;", "dd", {0xF}, M1L - 15},
      {"cnot.b32 $0, $1;", "rr", {0}, 1},
      {"and.pred $0, $1, $2;", "ppp", {1, 0}, 0},
      {"or.pred $0, $1, !$2;", "ppp", {0, 0}, 1},
      {"xor.pred $0, $1, $2;", "ppp", {1, 0}, 1},
      {"not.pred $0, $1;", "pp", {1}, 0},
      {"shl.b32 $0, $1, $2;", "rrr", {3, 4}, 48},
      {"shl.b32 $0, $1, $2;", "rrr", {3, 32}, 0},
      {"shl.b64 $0, $1, $2;", "ddr", {3, 40}, uint64_t{3} << 40},
      {"shl.b16 $0, $1, $2;", "hhr", {0xFFFF, 8}, 0xFF00},
      {"shr.u32 $0, $1, $2;", "rrr", {0x80000000, 31}, 1},
      {"shr.s32 $0, $1, $2;", "rrr", {0x80000000, 40}, M1},
      {"shr.u64 $0, $1, $2;", "ddr", {uint64_t{5} << 60, 60}, 5},
      {"shr.s64 $0, $1, $2;", "ddr", {M1L << 8, 8}, M1L},
      {"shr.u16 $0, $1, $2;", "hhr", {0xF000, 12}, 15},
      {"shf.l.wrap.b32 $0, $1, $2, $3;", "rrrr", {0x80000001, 0x12345678, 36}, 0x23456788},
      {"shf.r.wrap.b32 $0, $1, $2, $3;", "rrrr", {0x80000001, 0x12345678, 4}, 0x88000000},
      {"shf.l.clamp.b32 $0, $1, $2, $3;", "rrrr", {0x80000001, 0x12345678, 40}, 0x80000001},
      {"shf.r.clamp.b32 $0, $1, $2, $3;", "rrrr", {0x80000001, 0x12345678, 40}, 0x12345678},
      {"popc.b32 $0, $1;", "rr", {0xF0F0}, 8},
      {"popc.b64 $0, $1;", "rd", {M1L}, 64},
      {"clz.b32 $0, $1;", "rr", {1}, 31},
      {"clz.b32 $0, $1;", "rr", {0}, 32},
      {"clz.b64 $0, $1;", "rd", {1}, 63},
      {"brev.b32 $0, $1;", "rr", {1}, 0x80000000},
      {"brev.b64 $0, $1;", "dd", {1}, uint64_t{1} << 63},
      {"bfind.u32 $0, $1;", "rr", {0x1000}, 12},
      {"bfind.u32 $0, $1;", "rr", {0}, M1},
      {"bfind.s32 $0, $1;", "rr", {0xFFFFFFFB}, 2},
      {"bfind.shiftamt.u32 $0, $1;", "rr", {0x1000}, 19},
      {"bfind.u64 $0, $1;", "rd", {uint64_t{1} << 40}, 40},
      {"bfe.u32 $0, $1, $2, $3;", "rrrr", {0x12345678, 8, 8}, 0x56},
      {"bfe.s32 $0, $1, $2, $3;", "rrrr", {0x0000F000, 12, 4}, M1},
      {"bfe.s32 $0, $1, $2, $3;", "rrrr", {0x80000000, 30, 8}, 0xFFFFFFFE},
      {"bfe.u32 $0, $1, $2, $3;", "rrrr", {0x12345678, 8, 0}, 0},
      {"bfe.u64 $0, $1, $2, $3;", "ddrr", {0x123456789ABCDEF0, 32, 16}, 0x5678},
      {"bfi.b32 $0, $1, $2, $3, $4;", "rrrrr", {0xAB, 0x12345678, 8, 8}, 0x1234AB78},
      {"bfi.b64 $0, $1, $2, $3, $4;", "dddrr", {0xAB, 0, 32, 32}, uint64_t{0xAB} << 32},
      {"prmt.b32 $0, $1, $2, 0x5410;", "rrr", {0x33221100, 0x77665544}, 0x55441100},
      {"prmt.b32 $0, $1, $2, 0x7632;", "rrr", {0x33221100, 0x77665544}, 0x77663322},
      {"prmt.b32 $0, $1, $2, $3;", "rrrr", {0x80, 0, 0x8888}, M1},
      {"prmt.b32.f4e $0, $1, $2, $3;", "rrrr", {0x33221100, 0x77665544, 1}, 0x44332211},
      {"prmt.b32.rc16 $0, $1, $2, $3;", "rrrr", {0x33221100, 0, 1}, 0x33223322},
      {"lop3.b32 $0, $1, $2, $3, 0x80;", "rrrr", {0xFF, 0xF0, 0x3C}, 0x30},
      {"lop3.b32 $0, $1, $2, $3, 0x96;", "rrrr", {0xFF, 0xF0, 0x3C}, 0x33},
      {"lop3.b32 $0, $1, $2, $3, 0xF8;", "rrrr", {0x01, 0xF0, 0x3C}, 0x31},
      {"bmsk.clamp.b32 $0, $1, $2;", "rrr", {4, 8}, 0xFF0},
      {"bmsk.clamp.b32 $0, $1, $2;", "rrr", {0, 32}, M1},
      {"bmsk.wrap.b32 $0, $1, $2;", "rrr", {36, 40}, 0xFF0},
      {"szext.clamp.s32 $0, $1, $2;", "rrr", {0x80, 8}, 0xFFFFFF80},
      {"szext.wrap.u32 $0, $1, $2;", "rrr", {0x180, 40}, 0x80},
      {"dp4a.u32.u32 $0, $1, $2, $3;", "rrrr", {0x01020304, 0x01010101, 10}, 20},
      {"dp4a.s32.s32 $0, $1, $2, $3;", "rrrr", {0xFF020304, 0x01010101, 10}, 18},
      {"dp4a.u32.s32 $0, $1, $2, $3;", "rrrr", {0xFF000000, 0xFF000000, 0}, 0xFFFFFF01},
      {"dp2a.lo.s32.s32 $0, $1, $2, $3;", "rrrr", {0x00020003, 0x0000FF04, 1}, 11},
      {"dp2a.hi.u32.u32 $0, $1, $2, $3;", "rrrr", {0x00020003, 0x05040000, 1}, 23},
      // ---- f32 and f64
      {"add.f32 $0, $1, $2;", "fff", {F(1.5f), F(2.25f)}, F(3.75f)},
      {"add.rn.f32 $0, $1, $2;", "fff", {F(1), F(5.9604645e-8f)}, F(1)},
      {"add.rp.f32 $0, $1, $2;", "fff", {F(1), F(5.9604645e-8f)}, 0x3F800001},
      {"add.rz.f32 $0, $1, $2;", "fff", {F(-1), F(-1e-9f)}, F(-1)},
      {"add.rm.f32 $0, $1, $2;", "fff", {F(-1), F(-1e-9f)}, 0xBF800001},
      {"add.ftz.f32 $0, $1, $2;", "fff", {1, kMinus}, 0},
      {"add.f32 $0, $1, $2;", "fff", {1, 1}, 2},
      {"add.sat.f32 $0, $1, $2;", "fff", {F(0.75f), F(0.5f)}, kOne},
      {"add.sat.f32 $0, $1, $2;", "fff", {kNan, F(0.5f)}, 0},
      {"add.f64 $0, $1, $2;", "qqq", {Q(1.5), Q(2.25)}, Q(3.75)},
      {"add.rp.f64 $0, $1, $2;", "qqq", {Q(1), Q(1e-30)}, Q(1) + 1},
      {"sub.f32 $0, $1, $2;", "fff", {F(1), F(3)}, F(-2)},
      {"sub.ftz.f32 $0, $1, $2;", "fff", {F(1), F(3)}, F(-2)},
      {"mul.f32 $0, $1, $2;", "fff", {F(1.5f), F(-2)}, F(-3)},
      {"mul.ftz.f32 $0, $1, $2;", "fff", {F(1e-30f), F(1e-10f)}, 0},
      {"mul.f64 $0, $1, $2;", "qqq", {Q(1.5), Q(-2)}, Q(-3)},
      {"mul.rz.f32 $0, $1, $2;", "fff", {F(1.0000001f), F(1.0000001f)}, 0x3F800002},
      {"fma.rn.f32 $0, $1, $2, $3;", "ffff", {0x3F800002, 0x3F800002, F(-1)}, 0x35000001},
      {"fma.rn.ftz.f32 $0, $1, $2, $3;", "ffff", {F(2), F(3), F(1)}, F(7)},
      {"fma.rz.f32 $0, $1, $2, $3;", "ffff", {F(1), F(1), F(1e-9f)}, F(1)},
      {"fma.rn.f64 $0, $1, $2, $3;", "qqqq", {Q(2), Q(3), Q(1)}, Q(7)},
      {"mad.rn.f32 $0, $1, $2, $3;", "ffff", {F(2), F(3), F(1)}, F(7)},
      {"div.rn.f32 $0, $1, $2;", "fff", {F(1), F(3)}, 0x3EAAAAAB},
      {"div.rz.f32 $0, $1, $2;", "fff", {F(1), F(3)}, 0x3EAAAAAA},
      {"div.approx.f32 $0, $1, $2;", "fff", {F(6), F(3)}, F(2)},
      {"div.full.ftz.f32 $0, $1, $2;", "fff", {F(6), F(3)}, F(2)},
      {"div.rn.f64 $0, $1, $2;", "qqq", {Q(6), Q(3)}, Q(2)},
      {"min.f32 $0, $1, $2;", "fff", {kNan, F(3)}, F(3)},
      {"min.f32 $0, $1, $2;", "fff", {0, kMinus}, kMinus},
      {"max.f32 $0, $1, $2;", "fff", {kMinus, 0}, 0},
      {"max.NaN.f32 $0, $1, $2;", "fff", {kNan, F(3)}, kNan},
      {"max.ftz.f32 $0, $1, $2;", "fff", {F(-1), F(3)}, F(3)},
      {"min.xorsign.abs.f32 $0, $1, $2;", "fff", {F(-1), F(3)}, F(-1)},
      {"max.f64 $0, $1, $2;", "qqq", {Q(-1), Q(3)}, Q(3)},
      {"abs.f32 $0, $1;", "ff", {F(-2)}, F(2)},
      {"abs.f64 $0, $1;", "qq", {Q(-2)}, Q(2)},
      {"neg.f32 $0, $1;", "ff", {F(2)}, F(-2)},
      {"neg.ftz.f32 $0, $1;", "ff", {1}, kMinus},
      {"neg.f64 $0, $1;", "qq", {Q(2)}, Q(-2)},
      {"sqrt.rn.f32 $0, $1;", "ff", {F(2)}, 0x3FB504F3},
      {"sqrt.rp.f32 $0, $1;", "ff", {F(2)}, 0x3FB504F4},
      {"sqrt.approx.f32 $0, $1;", "ff", {F(9)}, F(3)},
      {"sqrt.rn.f64 $0, $1;", "qq", {Q(9)}, Q(3)},
      {"rcp.rn.f32 $0, $1;", "ff", {F(3)}, 0x3EAAAAAB},
      {"rcp.approx.ftz.f32 $0, $1;", "ff", {F(4)}, F(0.25f)},
      {"rcp.approx.f32 $0, $1;", "ff", {kMinus}, 0xFF800000},
      {"rcp.rn.f64 $0, $1;", "qq", {Q(4)}, Q(0.25)},
      {"rsqrt.approx.f32 $0, $1;", "ff", {F(4)}, F(0.5f)},
      {"rsqrt.approx.f32 $0, $1;", "ff", {0}, kInf},
      {"rsqrt.approx.f64 $0, $1;", "qq", {Q(4)}, Q(0.5)},
      {"sin.approx.f32 $0, $1;", "ff", {0}, 0},
      {"cos.approx.f32 $0, $1;", "ff", {0}, kOne},
      {"lg2.approx.f32 $0, $1;", "ff", {F(8)}, F(3)},
      {"lg2.approx.ftz.f32 $0, $1;", "ff", {0}, 0xFF800000},
      {"ex2.approx.f32 $0, $1;", "ff", {F(3)}, F(8)},
      {"ex2.approx.ftz.f32 $0, $1;", "ff", {F(-1)}, F(0.5f)},
      {"ex2.approx.ftz.f32 $0, $1;", "ff", {F(-127)}, 0},
      {"ex2.approx.f32 $0, $1;", "ff", {F(-127)}, 0x00400000},
      {"ex2.approx.f32 $0, $1;", "ff", {F(200)}, kInf},
      {"ex2.approx.f32 $0, $1;", "ff", {0xFF800000}, 0},
      {"tanh.approx.f32 $0, $1;", "ff", {0}, 0},
      {"tanh.approx.f32 $0, $1;", "ff", {F(20)}, kOne},
      {"copysign.f32 $0, $1, $2;", "fff", {F(-1), F(3)}, F(-3)},
      {"testp.notanumber.f32 $0, $1;", "pf", {kNan}, 1},
      {"testp.subnormal.f32 $0, $1;", "pf", {1}, 1},
      {"testp.finite.f64 $0, $1;", "pq", {Q(INFINITY)}, 0},
      // ---- f16 and bf16
      {"add.f16 $0, $1, $2;", "hhh", {0x3C00, 0x4000}, 0x4200},
      {"add.rn.f16 $0, $1, $2;", "hhh", {0x3C00, 0x1000}, 0x3C00},
      {"add.f16x2 $0, $1, $2;", "rrr", {0x3C004000, 0x40003C00}, 0x42004200},
      {"sub.f16 $0, $1, $2;", "hhh", {0x3C00, 0x4000}, 0xBC00},
      {"mul.f16 $0, $1, $2;", "hhh", {0x4200, 0x4000}, 0x4600},
      {"mul.f16 $0, $1, $2;", "hhh", {0x7BFF, 0x4000}, 0x7C00},
      {"mul.sat.f16x2 $0, $1, $2;", "rrr", {0x4200C200, 0x40004000}, 0x3C000000},
      {"fma.rn.f16 $0, $1, $2, $3;", "hhhh", {0x4200, 0x4000, 0x3C00}, 0x4700},
      {"fma.rn.f16 $0, $1, $2, $3;", "hhhh", {0x3C02, 0x3C02, 0xBC00}, 0x1C01},
      {"fma.rn.relu.f16x2 $0, $1, $2, $3;", "rrrr", {0x3C00BC00, 0x3C003C00, 0}, 0x3C000000},
      {"fma.rn.bf16 $0, $1, $2, $3;", "hhhh", {0x4040, 0x4000, 0x3F80}, 0x40E0},
      {"fma.rn.bf16x2 $0, $1, $2, $3;", "rrrr", {0x40404040, 0x40004000, 0x3F803F80}, 0x40E040E0},
      {"add.bf16x2 $0, $1, $2;", "rrr", {0x3F804000, 0x40003F80}, 0x40404040},
      {"mul.bf16 $0, $1, $2;", "hhh", {0x4040, 0x4000}, 0x40C0},
      {"sub.bf16 $0, $1, $2;", "hhh", {0x4040, 0x4000}, 0x3F80},
      {"min.f16 $0, $1, $2;", "hhh", {0x7E00, 0x4000}, 0x4000},
      {"max.f16x2 $0, $1, $2;", "rrr", {0x3C004000, 0x40003C00}, 0x40004000},
      {"max.NaN.bf16x2 $0, $1, $2;", "rrr", {0x7FC04000, 0x40003F80}, 0x7FFF4000},
      {"min.bf16 $0, $1, $2;", "hhh", {0x8000, 0}, 0x8000},
      {"abs.f16 $0, $1;", "hh", {0xBC00}, 0x3C00},
      {"neg.f16x2 $0, $1;", "rr", {0x3C00BC00}, 0xBC003C00},
      {"neg.bf16 $0, $1;", "hh", {0x3F80}, 0xBF80},
      {"abs.bf16x2 $0, $1;", "rr", {0xBF803F80}, 0x3F803F80},
      {"ex2.approx.f16 $0, $1;", "hh", {0x4200}, 0x4800},
      {"ex2.approx.ftz.bf16x2 $0, $1;", "rr", {0x40404040}, 0x41004100},
      {"tanh.approx.f16x2 $0, $1;", "rr", {0}, 0},
      {"tanh.approx.bf16 $0, $1;", "hh", {0x41A0}, 0x3F80},
      // ---- conversions
      {"cvt.u64.u32 $0, $1;", "dr", {M1}, M1},
      {"cvt.s64.s32 $0, $1;", "dr", {M1}, M1L},
      {"cvt.u32.u64 $0, $1;", "rd", {0x123456789}, 0x23456789},
      {"cvt.u32.u16 $0, $1;", "rh", {0xFFFF}, 0xFFFF},
      {"cvt.s32.s16 $0, $1;", "rh", {0xFFFF}, M1},
      {"cvt.u16.u32 $0, $1;", "hr", {0x12345}, 0x2345},
      {"cvt.s32.s8 $0, $1;", "rr", {0x1FF}, M1},
      {"cvt.s16.s8 $0, $1;", "hr", {0xFF}, 0xFFFF},
      {"cvt.u32.u8 $0, $1;", "rh", {0x1FF}, 0xFF},
      {"cvt.u8.u32 $0, $1;", "rr", {0x1FF}, 0xFF},
      {"cvt.sat.u8.s32 $0, $1;", "rr", {300}, 255},
      {"cvt.sat.s8.s32 $0, $1;", "rr", {300}, 127},
      {"cvt.sat.u8.s32 $0, $1;", "rr", {M1}, 0},
      {"cvt.rn.f32.s32 $0, $1;", "fr", {M1}, F(-1)},
      {"cvt.rn.f32.u32 $0, $1;", "fr", {M1}, F(4294967296.0f)},
      {"cvt.rz.f32.u32 $0, $1;", "fr", {M1}, 0x4F7FFFFF},
      {"cvt.rn.f32.u64 $0, $1;", "fd", {uint64_t{1} << 63}, F(9223372036854775808.0f)},
      {"cvt.rn.f32.s64 $0, $1;", "fd", {M1L}, F(-1)},
      {"cvt.rn.f64.s32 $0, $1;", "qr", {M1}, Q(-1)},
      {"cvt.rn.f64.u64 $0, $1;", "qd", {3}, Q(3)},
      {"cvt.rn.f32.u8 $0, $1;", "fr", {0x1FF}, F(255)},
      {"cvt.rzi.s32.f32 $0, $1;", "rf", {F(-2.7f)}, 0xFFFFFFFE},
      {"cvt.rni.s32.f32 $0, $1;", "rf", {F(2.5f)}, 2},
      {"cvt.rni.s32.f32 $0, $1;", "rf", {F(3.5f)}, 4},
      {"cvt.rmi.s32.f32 $0, $1;", "rf", {F(-2.1f)}, 0xFFFFFFFD},
      {"cvt.rpi.s32.f32 $0, $1;", "rf", {F(2.1f)}, 3},
      {"cvt.rzi.s32.f32 $0, $1;", "rf", {F(1e20f)}, 0x7FFFFFFF},
      {"cvt.rzi.s32.f32 $0, $1;", "rf", {kNan}, 0},
      {"cvt.rzi.u32.f32 $0, $1;", "rf", {F(-3)}, 0},
      {"cvt.rzi.u64.f32 $0, $1;", "df", {F(5.9f)}, 5},
      {"cvt.rzi.s64.f64 $0, $1;", "dq", {Q(-5.9)}, M1L - 4},
      {"cvt.rzi.u8.f32 $0, $1;", "rf", {F(300)}, 255},
      {"cvt.rni.f32.f32 $0, $1;", "ff", {F(2.5f)}, F(2)},
      {"cvt.rzi.f32.f32 $0, $1;", "ff", {F(-2.5f)}, F(-2)},
      {"cvt.rmi.f64.f64 $0, $1;", "qq", {Q(-2.5)}, Q(-3)},
      {"cvt.sat.f32.f32 $0, $1;", "ff", {F(7)}, kOne},
      {"cvt.ftz.sat.f32.f32 $0, $1;", "ff", {1}, 0},
      {"cvt.f64.f32 $0, $1;", "qf", {F(1.5f)}, Q(1.5)},
      {"cvt.rn.f32.f64 $0, $1;", "fq", {Q(1.0 / 3)}, 0x3EAAAAAB},
      {"cvt.rz.f32.f64 $0, $1;", "fq", {Q(1.0 / 3)}, 0x3EAAAAAA},
      {"cvt.f32.f16 $0, $1;", "fh", {0x3555}, 0x3EAAA000},
      {"cvt.f32.f16 $0, $1;", "fh", {1}, F(5.9604645e-8f)},
      {"cvt.f32.bf16 $0, $1;", "fh", {0x3EAB}, 0x3EAB0000},
      {"cvt.rn.f16.f32 $0, $1;", "hf", {0x3EAAAAAB}, 0x3555},
      {"cvt.rn.f16.f32 $0, $1;", "hf", {F(65520)}, 0x7C00},
      {"cvt.rn.f16.f32 $0, $1;", "hf", {F(65519)}, 0x7BFF},
      {"cvt.rn.f16.f32 $0, $1;", "hf", {F(8.9406967e-8f)}, 2},
      {"cvt.rz.f16.f32 $0, $1;", "hf", {F(65535)}, 0x7BFF},
      {"cvt.rn.bf16.f32 $0, $1;", "hf", {0x3F808000}, 0x3F80},
      {"cvt.rn.bf16.f32 $0, $1;", "hf", {0x3F818000}, 0x3F82},
      {"cvt.rz.bf16.f32 $0, $1;", "hf", {0x3F81FFFF}, 0x3F81},
      {"cvt.rn.f16x2.f32 $0, $1, $2;", "rff", {F(1), F(2)}, 0x3C004000},
      {"cvt.rn.bf16x2.f32 $0, $1, $2;", "rff", {F(1), F(2)}, 0x3F804000},
      {"cvt.rn.relu.bf16x2.f32 $0, $1, $2;", "rff", {F(-1), F(2)}, 0x00004000},
      {"cvt.rn.f16.s32 $0, $1;", "hr", {3}, 0x4200},
      {"cvt.rzi.s32.f16 $0, $1;", "rh", {0xC200}, 0xFFFFFFFD},
      {"cvt.rni.f16.f16 $0, $1;", "hh", {0x3E00}, 0x4000},
      {"cvt.rna.tf32.f32 $0, $1;", "rf", {0x3F801000}, 0x3F802000},
      {"cvt.rn.satfinite.e4m3x2.f32 $0, $1, $2;", "hff", {F(1), F(1000)}, 0x387E},
      {"cvt.rn.satfinite.e5m2x2.f32 $0, $1, $2;", "hff", {F(1), F(-2)}, 0x3CC0},
      {"cvt.rn.f16x2.e4m3x2 $0, $1;", "rh", {0x38B8}, 0x3C00BC00},
      {"cvt.pack.sat.s8.s32.b32 $0, $1, $2, $3;", "rrrr", {300, M1, 0x1234}, 0x12347FFF},
      // ---- moves, comparisons, selections
      {"mov.b32 $0, $1;", "rf", {F(1)}, kOne},
      {"mov.u64 $0, 0x123456789;", "d", {}, 0x123456789},
      {"mov.f32 $0, 0f40490FDB;", "f", {}, 0x40490FDB},
      {"mov.f64 $0, 0d3FF8000000000000;", "q", {}, Q(1.5)},
      {"mov.b32 $0, {$1, $2};", "rhh", {0x1111, 0x2222}, 0x22221111},
      {"mov.b64 $0, {$1, $2};", "drr", {1, 2}, uint64_t{2} << 32 | 1},
      {"mov.b64 $0, {$1, $2, $3, $4};", "dhhhh", {1, 2, 3, 4}, 0x0004000300020001},
      {"{ .reg .b32 a; mov.b64 {a, $0}, $1; }", "rd", {uint64_t{7} << 32}, 7},
      {"{ .reg .b16 a; mov.b32 {$0, a}, $1; }", "hr", {0x12345678}, 0x5678},
      {"mov.pred $0, $1;", "pp", {1}, 1},
      {"setp.lt.s32 $0, $1, $2;", "prr", {M1, 0}, 1},
      {"setp.lt.u32 $0, $1, $2;", "prr", {M1, 0}, 0},
      {"setp.hi.u32 $0, $1, $2;", "prr", {M1, 0}, 1},
      {"setp.eq.s64 $0, $1, $2;", "pdd", {5, 5}, 1},
      {"setp.ge.s16 $0, $1, $2;", "phh", {0xFFFF, 0}, 0},
      {"setp.ne.b32 $0, $1, 3;", "pr", {3}, 0},
      {"setp.lt.f32 $0, $1, $2;", "pff", {kNan, F(1)}, 0},
      {"setp.ltu.f32 $0, $1, $2;", "pff", {kNan, F(1)}, 1},
      {"setp.neu.f32 $0, $1, $2;", "pff", {kNan, kNan}, 1},
      {"setp.ne.f32 $0, $1, $2;", "pff", {kNan, kNan}, 0},
      {"setp.nan.f32 $0, $1, $2;", "pff", {kNan, 0}, 1},
      {"setp.num.f32 $0, $1, $2;", "pff", {0, 0}, 1},
      {"setp.gt.ftz.f32 $0, $1, $2;", "pff", {1, 0}, 0},
      {"setp.gtu.f64 $0, $1, $2;", "pqq", {Q(2), Q(1)}, 1},
      {"setp.lt.and.s32 $0, $1, $2, $3;", "prrp", {1, 2, 0}, 0},
      {"setp.lt.or.s32 $0, $1, $2, !$3;", "prrp", {3, 2, 0}, 1},
      {"{ .reg .pred a; setp.lt.s32 a|$0, $1, $2; }", "prr", {1, 2}, 0},
      {"setp.gt.f16 $0, $1, $2;", "phh", {0x4000, 0x3C00}, 1},
      {"{ .reg .pred a; setp.eq.f16x2 a|$0, $1, $2; }", "prr", {0x3C004000, 0x3C000000}, 1},
      {"setp.leu.bf16 $0, $1, $2;", "phh", {0x7FC0, 0}, 1},
      {"set.lt.u32.s32 $0, $1, $2;", "rrr", {1, 2}, M1},
      {"set.gt.f32.f32 $0, $1, $2;", "fff", {F(2), F(1)}, kOne},
      {"set.gt.f16x2.f16x2 $0, $1, $2;", "rrr", {0x40003C00, 0x3C003C00}, 0x3C000000},
      {"selp.b32 $0, $1, $2, $3;", "rrrp", {1, 2, 1}, 1},
      {"selp.f64 $0, $1, $2, $3;", "qqqp", {1, 2, 0}, 2},
      {"selp.b16 $0, $1, $2, $3;", "hhhp", {1, 2, 0}, 2},
      {"slct.b32.s32 $0, $1, $2, $3;", "rrrr", {1, 2, M1}, 2},
      {"slct.f32.f32 $0, $1, $2, $3;", "ffff", {1, 2, F(0)}, 1},
      {"{ .reg .b64 a; cvta.shared.u64 a, $1; cvta.to.shared.u64 $0, a; }", "dd", {64}, 64},
      {"{ .reg .b64 a; cvta.local.u64 a, $1; isspacep.local $0, a; }", "pd", {64}, 1},
      {"{ .reg .b64 a; cvta.local.u64 a, $1; isspacep.shared $0, a; }", "pd", {64}, 0},
      {"isspacep.global $0, $1;", "pd", {uint64_t{0x2000} << 32}, 1},
      {"mov.u32 $0, %ntid.x;", "r", {}, 40},
      {"mov.u32 $0, %nctaid.x;", "r", {}, 1},
      {"mov.u32 $0, %ctaid.x;", "r", {}, 0},
      {"{ .reg .b32 a; activemask.b32 a; setp.ne.u32 $0, a, 0; }", "p", {}, 1},
      {"{ .reg .b32 a, b; mov.u32 a, %laneid; mov.u32 b, %tid.x; and.b32 b, b, 31; setp.eq.u32 $0, a, b; }", "p", {}, 1},
      {"{ .reg .b32 a, b; mov.u32 a, %lanemask_le; mov.u32 b, %lanemask_gt; xor.b32 $0, a, b; }", "r", {}, M1},
      {"{ .reg .b64 a, b; mov.u64 a, %clock64; mov.u64 b, %clock64; setp.gt.u64 $0, b, a; }", "p", {}, 1},
      // ---- branches
      {"{ mov.b32 $0, 1; setp.eq.u32 %p0, $1, 0; @%p0 bra skip; mov.b32 $0, 2; skip: }", "rr", {0}, 1},
      {"{ ts: .branchtargets t0, t1, t2; mov.b32 $0, 9; brx.idx $1, ts; t0: mov.b32 $0, 5; bra done; t1: mov.b32 $0, 6; bra done; t2: mov.b32 $0, 7; done: }", "rr", {1}, 6},
      {"@!$2 add.s32 $0, $1, 1;", "rrp", {7, 0}, 8},
  };
  return all;
}

const char* register_of(char kind) {
  switch (kind) {
    case 'h': return "%h";
    case 'r': return "%r";
    case 'f': return "%f";
    case 'd': return "%d";
    case 'q': return "%q";
    default: return "%p";
  }
}

// A kernel a row: its operands come from an array of 64-bit words, its result goes to one for each thread.
std::string kernel(const Row& row, size_t index) {
  std::string k = ".visible .entry row" + std::to_string(index) +
                  "(.param .u64 in, .param .u64 out)\n{\n.reg .pred %p<16>;\n.reg .b16 %h<16>;\n.reg .b32 %r<16>;\n.reg .f32 %f<16>;\n.reg .b64 %d<16>;\n"
                  ".reg .f64 %q<16>;\n.reg .b64 %x<8>;\n.reg .b32 %t<4>;\nld.param.u64 %x1, [in];\nld.param.u64 %x2, [out];\n";
  const size_t n = std::strlen(row.kinds);
  const auto name = [&](size_t i) { return register_of(row.kinds[i]) + std::to_string(i + 1); };
  for (size_t i = 1; i < n; ++i) {
    const std::string from = "[%x1+" + std::to_string((i - 1) * 8) + "];\n";
    switch (row.kinds[i]) {
      case 'h': k += "ld.global.u16 " + name(i) + ", " + from; break;
      case 'r': k += "ld.global.u32 " + name(i) + ", " + from; break;
      case 'f': k += "ld.global.f32 " + name(i) + ", " + from; break;
      case 'd': k += "ld.global.u64 " + name(i) + ", " + from; break;
      case 'q': k += "ld.global.f64 " + name(i) + ", " + from; break;
      default: k += "ld.global.u32 %t1, " + from + "setp.ne.u32 " + name(i) + ", %t1, 0;\n";
    }
  }
  for (const char* c = row.text; *c != '\0'; ++c) {
    if (*c == '$')
      k += name(static_cast<size_t>(*++c - '0'));
    else
      k += *c;
  }
  k += "\nmov.u32 %t2, %tid.x;\nmul.wide.u32 %x3, %t2, 8;\nadd.s64 %x2, %x2, %x3;\n";
  switch (row.kinds[0]) {
    case 'h': k += "cvt.u64.u16 %x4, " + name(0) + ";\n"; break;
    case 'r': k += "cvt.u64.u32 %x4, " + name(0) + ";\n"; break;
    case 'f': k += "mov.b32 %t3, " + name(0) + ";\ncvt.u64.u32 %x4, %t3;\n"; break;
    case 'd': k += "mov.b64 %x4, " + name(0) + ";\n"; break;
    case 'q': k += "mov.b64 %x4, " + name(0) + ";\n"; break;
    default: k += "selp.u64 %x4, 1, 0, " + name(0) + ";\n";
  }
  return k + "st.global.u64 [%x2], %x4;\nret;\n}\n";
}

}  // namespace

int main() {
  Device d;
  std::string text = ".version 9.0\n.target sm_90\n.address_size 64\n";
  for (size_t i = 0; i < rows().size(); ++i) text += kernel(rows()[i], i);
  if (!d.load(text)) return finish("instructions");
  const uint64_t out = d.empty(40 * 8);
  for (size_t i = 0; i < rows().size(); ++i) {
    const Row& row = rows()[i];
    auto in = row.in;
    in.resize(8);
    const uint64_t px = d.put(in);
    // A full warp and one of 8 lanes.
    const bool ran = d.run(("row" + std::to_string(i)).c_str(), {1}, {40}, 0, px, out);
    EXPECT(ran, "%s: %s", row.text, d.fault.message.c_str());
    const auto got = d.get<uint64_t>(out, 40);
    for (int t = 0; t < 40; ++t) {
      if (got[t] == row.out) continue;
      EXPECT(false, "%s: thread %d has %llx, not %llx", row.text, t, static_cast<unsigned long long>(got[t]), static_cast<unsigned long long>(row.out));
      break;
    }
  }
  std::printf("%zu rows\n", rows().size());
  return finish("instructions");
}
