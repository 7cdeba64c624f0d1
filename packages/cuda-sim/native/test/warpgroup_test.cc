// Tensor copies, mbarriers and products of warpgroups: small programs whose results are computed by hand, and the same
// programs with a line taken out or changed, which has to be found.
#include "../exec/tensor_map.h"
#include "harness.h"

namespace {

constexpr char kHead[] = ".version 9.0\n.target sm_90a\n.address_size 64\n";

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  const size_t at = text.find(what);
  EXPECT(at != std::string::npos, "the program has no '%s'", what.c_str());
  return at == std::string::npos ? text : text.replace(at, what.size(), by);
}

// Elements of two bytes; the first dimension first.
sim::TensorMap map_of(uint64_t address, std::vector<uint32_t> sizes, std::vector<uint64_t> strides,
                      std::vector<uint16_t> box, uint8_t swizzle) {
  sim::TensorMap m{};
  m.magic = sim::TensorMap::kMagic;
  m.rank = static_cast<uint8_t>(sizes.size());
  m.element_bytes = 2;
  m.swizzle = swizzle;
  m.address = address;
  for (size_t d = 0; d < sizes.size(); ++d) {
    m.last[d] = sizes[d] - 1;
    m.box[d] = box[d];
    m.step[d] = 1;
    if (d > 0) m.strides[d - 1] = strides[d - 1];
  }
  return m;
}

// ---- one tile from coordinates (x, y, z), as it lies in shared memory then
const std::string kTile = std::string(kHead) + R"(
.shared .align 1024 .b8 tile[4096];
.shared .align 8 .b64 full;
.visible .entry tile_copy(.param .align 64 .b8 map[128], .param .u64 out, .param .u32 x, .param .u32 y, .param .u32 z, .param .u32 bytes)
{
.reg .pred %p<4>;
.reg .b32 %r<16>;
.reg .b64 %d<8>;
mov.u32 %r0, %tid.x;
ld.param.u64 %d1, [out];
ld.param.u32 %r1, [x];
ld.param.u32 %r2, [y];
ld.param.u32 %r3, [z];
ld.param.u32 %r4, [bytes];
mov.u32 %r5, full;
mov.u32 %r6, tile;
mov.b64 %d2, map;
cvta.param.u64 %d2, %d2;
setp.ne.u32 %p1, %r0, 0;
@%p1 bra ready;
mbarrier.init.shared::cta.b64 [%r5], 1;
fence.proxy.async.shared::cta;
prefetch.tensormap [%d2];
mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r5], %r4;
cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r6], [%d2, {%r1, %r2, %r3}], [%r5];
ready:
bar.sync 0;
again:
mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r5], 0;
@!%p2 bra again;
shl.b32 %r7, %r0, 4;
next:
setp.ge.u32 %p3, %r7, %r4;
@%p3 bra end;
add.u32 %r8, %r6, %r7;
ld.shared.v4.b32 {%r9, %r10, %r11, %r12}, [%r8];
cvt.u64.u32 %d3, %r7;
add.s64 %d3, %d1, %d3;
st.global.v4.b32 [%d3], {%r9, %r10, %r11, %r12};
add.u32 %r7, %r7, 512;
bra next;
end:
ret;
}
)";

std::vector<uint16_t> counted(size_t n) {
  std::vector<uint16_t> v(n);
  for (size_t i = 0; i < n; ++i) v[i] = static_cast<uint16_t>(i + 1);
  return v;
}

void tiles(const sim::Options& options) {
  // 3 matrices of 20 lines of 100 numbers, lines 104 apart
  const int columns = 100, lines = 20, matrices = 3, apart = 104;
  Device d;
  d.options = options;
  if (!d.load(kTile)) return;
  const auto numbers = counted(static_cast<size_t>(apart * lines * matrices));
  const uint64_t from = d.put(numbers), out = d.empty(4096);
  struct Case {
    uint8_t swizzle;
    uint16_t wide, high;
    int x, y, z;
  };
  for (const Case& c : {Case{0, 8, 4, 0, 0, 0}, Case{0, 24, 5, 3, 2, 1}, Case{1, 16, 16, 40, 1, 2},
                        Case{2, 32, 9, 0, 0, 0}, Case{3, 64, 16, 0, 0, 0}, Case{3, 64, 16, 64, 8, 2},
                        Case{3, 64, 16, -3, -2, 1}, Case{3, 64, 16, 100, 0, 0}, Case{3, 64, 16, 0, 0, 3}}) {
    const auto map = map_of(from, {columns, lines, matrices}, {apart * 2, static_cast<uint64_t>(apart * lines * 2)},
                            {c.wide, c.high, 1}, c.swizzle);
    const uint32_t bytes = c.wide * c.high * 2u;
    EXPECT(d.run("tile_copy", {1}, {32}, 0, map, out, c.x, c.y, c.z, bytes), "%s", d.fault.message.c_str());
    const auto got = d.get<uint16_t>(out, bytes / 2);
    for (int i = 0; i < c.high; ++i)
      for (int j = 0; j < c.wide; ++j) {
        const int x = c.x + j, y = c.y + i;
        const bool inside = x >= 0 && x < columns && y >= 0 && y < lines && c.z >= 0 && c.z < matrices;
        const uint16_t want = inside ? numbers[static_cast<size_t>((c.z * lines + y) * apart + x)] : uint16_t{0};
        // As the manual draws it: chunks of 8 numbers; a pattern of 8, 4 or 2 of them repeats after 8 lines of 128
        // bytes.
        const int byte = (i * c.wide + j) * 2, line = byte / 128 % 8, chunk = byte / 16 % 8;
        static constexpr int keep[] = {0, 1, 3, 7};
        const int at = byte / 128 * 128 + (chunk ^ (line & keep[c.swizzle])) * 16 + byte % 16;
        const uint16_t found = got[static_cast<size_t>(at / 2)];
        if (found != want)
          EXPECT(false, "swizzle %d at (%d, %d, %d): element (%d, %d) is %u, not %u", c.swizzle, c.x, c.y, c.z, i, j,
                 found, want);
      }
  }
}

// `kind`: one of several words.
void found(const char* what, const sim::Options& options, Device& d, bool ran, const char* kind, const char* text) {
  // A turn of a random schedule can end anywhere, so that nobody sees that all wait.
  const bool random = options.schedule == sim::Options::Schedule::random_warps;
  const bool hang = random && std::string(kind) == "barrier" && d.fault.kind == "timeout";
  const bool fits = !ran && std::string(kind).find(d.fault.kind) != std::string::npos;
  EXPECT(!ran && (hang || (fits && d.fault.message.find(text) != std::string::npos)), "%s: expected %s '%s', found %s",
         what, kind, text, ran ? "nothing" : d.fault.message.c_str());
}

void tile_faults(const sim::Options& options) {
  const auto run = [&](const char* what, const std::string& program, const char* kind, const char* text,
                       int columns = 64, uint32_t bytes = 2048, uint64_t offset = 0) {
    Device d;
    d.options = options;
    d.options.max_instructions = 1'000'000;
    if (!d.load(program)) return;
    const uint64_t from = d.put(counted(64 * 16)), out = d.empty(4096);
    auto map = map_of(from + offset, {static_cast<uint32_t>(columns), 16, 1}, {128, 2048}, {64, 16, 1}, 3);
    if (bytes == 0) map.magic = 0, bytes = 2048;
    const bool ran = d.run("tile_copy", {1}, {32}, 0, map, out, 0, 0, 0, bytes);
    if (kind == nullptr)
      EXPECT(ran, "%s: %s", what, d.fault.message.c_str());
    else
      found(what, options, d, ran, kind, text);
  };
  run("as it is", kTile, nullptr, "");
  // Early copies may be there at the first look.
  if (options.copies == sim::Options::Copies::late)
    run("nobody waits", replaced(kTile, "@!%p2 bra again;", ""), "race", "asynchronous copy");
  run("too many bytes are expected", kTile, "barrier", "never come", 64, 2064);
  run("too few bytes are expected", kTile, "barrier", "never come", 64, 2032);
  run("the other phase is waited for", replaced(kTile, "[%r5], 0;\n@!", "[%r5], 1;\n@!"), "race", "asynchronous copy");
  run("no fence after the barrier is made", replaced(kTile, "fence.proxy.async.shared::cta;", ""), "race",
      "fence.proxy.async");
  run("no barrier is made", replaced(kTile, "mbarrier.init.shared::cta.b64 [%r5], 1;", ""), "uninitialised", "");
  run("two arrivals are wanted, one comes", replaced(kTile, "[%r5], 1;\nfence", "[%r5], 2;\nfence"), "barrier",
      "never come");
  run("the tile is written to meanwhile", replaced(kTile, "ready:\n", "st.shared.b32 [%r6+64], %r0;\nready:\n"), "race",
      "asynchronous copy");
  run("the copy is still under way at the end", replaced(kTile, "again:\n", "bra end;\nagain:\n"), "race",
      "block ends");
  run("its place is not aligned", replaced(kTile, "[%r6], [%d2", "[%r6+64], [%d2"), "misaligned", "128 bytes");
  run("its place reaches beyond the variable", replaced(kTile, "tile[4096]", "tile[1024]"), "out-of-bounds", "tile");
  run("the tensor reaches beyond its allocation", kTile, "out-of-bounds", "", 64, 2048, 64);
  run("no tensor map", kTile, "trap", "cuTensorMapEncodeTiled", 64, 0);
  run("coordinates of another rank",
      replaced(replaced(kTile, "tensor.3d", "tensor.2d"), "{%r1, %r2, %r3}", "{%r1, %r2}"), "trap", "3 dimensions");
}

// ---- one product; its operands' bytes are given as they lie
const std::string kProduct = std::string(kHead) + R"(
.shared .align 1024 .b8 tile[32768];
.visible .entry product(.param .u64 image, .param .u64 out, .param .u64 a, .param .u64 b, .param .u32 add)
.maxntid 128
{
.reg .pred %p<4>;
.reg .b32 %r<16>;
.reg .b64 %d<8>;
.reg .f32 %f<9>;
mov.u32 %r0, %tid.x;
ld.param.u64 %d1, [image];
ld.param.u64 %d2, [out];
ld.param.u64 %d3, [a];
ld.param.u64 %d4, [b];
ld.param.u32 %r1, [add];
setp.ne.u32 %p1, %r1, 0;
mov.u32 %r2, tile;
// where the tile lies becomes part of the descriptors
shr.u32 %r3, %r2, 4;
cvt.u64.u32 %d5, %r3;
add.s64 %d3, %d3, %d5;
add.s64 %d4, %d4, %d5;
shl.b32 %r3, %r0, 4;
fill:
cvt.u64.u32 %d5, %r3;
add.s64 %d5, %d1, %d5;
ld.global.v4.b32 {%r4, %r5, %r6, %r7}, [%d5];
add.u32 %r8, %r2, %r3;
st.shared.v4.b32 [%r8], {%r4, %r5, %r6, %r7};
add.u32 %r3, %r3, 2048;
setp.lt.u32 %p2, %r3, 32768;
@%p2 bra fill;
fence.proxy.async.shared::cta;
bar.sync 0;
mov.f32 %f1, 0f3F800000;
mov.f32 %f2, 0f3F800000;
mov.f32 %f3, 0f3F800000;
mov.f32 %f4, 0f3F800000;
mov.f32 %f5, 0f3F800000;
mov.f32 %f6, 0f3F800000;
mov.f32 %f7, 0f3F800000;
mov.f32 %f8, 0f3F800000;
// factors in registers: thread t holds t / 32 * 16 + t % 32 / 4 in each
shr.u32 %r4, %r0, 5;
shl.b32 %r4, %r4, 4;
and.b32 %r5, %r0, 31;
shr.u32 %r5, %r5, 2;
add.u32 %r4, %r4, %r5;
cvt.rn.f32.u32 %f0, %r4;
cvt.rn.bf16x2.f32 %r4, %f0, %f0;
mov.b32 %r5, %r4;
mov.b32 %r6, %r4;
mov.b32 %r7, %r4;
wgmma.fence.sync.aligned;
wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%f1, %f2, %f3, %f4, %f5, %f6, %f7, %f8}, %d3, %d4, %p1, 1, 1, 0, 0;
wgmma.commit_group.sync.aligned;
wgmma.wait_group.sync.aligned 0;
mul.wide.u32 %d5, %r0, 32;
add.s64 %d2, %d2, %d5;
st.global.v4.f32 [%d2], {%f1, %f2, %f3, %f4};
st.global.v4.f32 [%d2+16], {%f5, %f6, %f7, %f8};
ret;
}
)";

// How an operand lies: the offset of element (row, k), as the manual draws it, and its descriptor.
struct Lie {
  bool transposed;
  int swizzle;  // bytes; 0: none
  int bytes;    // of an element
  int leading, stride;
  int at(int row, int k) const {
    const int e = 16 / bytes, line = transposed ? k : row, along = transposed ? row : k;
    const int chunk = along / e, rest = along % e * bytes;
    if (swizzle == 0) {
      const int groups = line / 8, lead = transposed ? leading : stride, step = transposed ? stride : leading;
      return groups * lead + line % 8 * 16 + chunk * step + rest;
    }
    // Chunks of a line of the swizzle's width change places by the line, of 128 bytes, that it is part of.
    const int wide = swizzle / 16, of_128 = line % 8 * swizzle / 128;
    return line / 8 * stride + chunk / wide * leading + line % 8 * swizzle +
           (chunk % wide ^ (of_128 & (wide - 1))) * 16 + rest;
  }
  uint64_t descriptor(int start) const {
    const uint64_t code = swizzle == 0 ? 0 : swizzle == 128 ? 1 : swizzle == 64 ? 2 : 3;
    return code << 62 | static_cast<uint64_t>(stride / 16) << 32 | static_cast<uint64_t>(leading / 16) << 16 |
           static_cast<uint64_t>(start / 16);
  }
};

constexpr int kStartB = 16384;

double factor(int row, int k) { return (row * 7 + k * 3) % 11 - 5; }
double other(int k, int column) { return (k * 5 + column * 2) % 9 - 4; }

void check_product(const char* what, Device& d, const std::vector<char>& image, uint64_t a, uint64_t b, bool add, int k,
                   double (*value_a)(int, int), double sign = 1) {
  const uint64_t from = d.put(image), out = d.empty(128 * 32);
  EXPECT(d.run("product", {1}, {128}, 0, from, out, a, b, static_cast<uint32_t>(add)), "%s: %s", what,
         d.fault.message.c_str());
  const auto got = d.get<float>(out, 128 * 8);
  for (int t = 0; t < 128; ++t)
    for (int r = 0; r < 8; ++r) {
      const int row = t / 32 * 16 + t % 32 / 4 + r / 2 % 2 * 8, column = r / 4 * 8 + t % 4 * 2 + r % 2;
      double want = add ? 1 : 0;
      for (int l = 0; l < k; ++l) want += sign * value_a(row, l) * other(l, column);
      const auto found = static_cast<double>(got[static_cast<size_t>(t * 8 + r)]);
      if (found != want) {
        EXPECT(false, "%s: (%d, %d) is %g, not %g", what, row, column, found, want);
        return;
      }
    }
}

std::vector<char> image_of(const Lie& a, const Lie& b, int k, uint32_t (*bits)(double)) {
  std::vector<char> image(32768);
  const auto put = [&](int at, double x, int bytes) {
    const uint32_t v = bits(x);
    std::memcpy(image.data() + at, &v, static_cast<size_t>(bytes));
  };
  for (int l = 0; l < k; ++l) {
    for (int i = 0; i < 64; ++i) put(a.at(i, l), factor(i, l), a.bytes);
    for (int j = 0; j < 16; ++j) put(kStartB + b.at(j, l), other(l, j), b.bytes);
  }
  return image;
}
uint32_t as_bf16(double x) { return bf16(static_cast<float>(x)); }
uint32_t as_f16(double x) {  // of small integers
  if (x == 0) return 0;
  const int e = std::ilogb(x);
  return (x < 0 ? 0x8000u : 0) | static_cast<uint32_t>(e + 15) << 10 |
         static_cast<uint32_t>(std::ldexp(std::fabs(x), 10 - e) - 1024);
}
uint32_t as_f32(double x) {
  const auto f = static_cast<float>(x);
  uint32_t u;
  std::memcpy(&u, &f, 4);
  return u;
}

void products(const sim::Options& options) {
  // Along k: groups of 8 rows. Along m: 64, 32 or 16 rows at a time, `leading` apart; without a swizzle the other way
  // round.
  const auto lies = [](bool transposed, int bytes) {
    if (transposed)
      return std::vector<Lie>{{true, 128, bytes, 8192, 1024},
                              {true, 64, bytes, 2048, 512},
                              {true, 32, bytes, 1024, 256},
                              {true, 0, bytes, 128, 256}};
    return std::vector<Lie>{{false, 128, bytes, 16, 1024},
                            {false, 64, bytes, 16, 512},
                            {false, 32, bytes, 16, 256},
                            {false, 0, bytes, 128, 256}};
  };
  for (int turn = 0; turn < 4; ++turn) {
    const bool ta = turn / 2 != 0, tb = turn % 2 != 0;
    const std::string program =
        replaced(kProduct, "1, 1, 0, 0;", std::string("1, 1, ") + (ta ? "1" : "0") + (tb ? ", 1;" : ", 0;"));
    Device d;
    d.options = options;
    if (!d.load(program)) return;
    for (const Lie& a : lies(ta, 2))
      for (const Lie& b : lies(tb, 2)) {
        const std::string what = std::string("a ") + (ta ? "along m" : "along k") + " swizzle " +
                                 std::to_string(a.swizzle) + ", b " + (tb ? "along n" : "along k") + " swizzle " +
                                 std::to_string(b.swizzle);
        check_product(what.c_str(), d, image_of(a, b, 16, as_bf16), a.descriptor(0), b.descriptor(kStartB),
                      a.swizzle == b.swizzle, 16, factor);
      }
  }
  const Lie along_k{false, 128, 2, 16, 1024};
  {  // both factors taken -1 times, then one
    for (const char* signs : {"-1, -1, 0", "-1, 1, 0", "1, -1, 0"}) {
      Device d;
      if (!d.load(replaced(kProduct, "1, 1, 0", signs))) return;
      check_product(signs, d, image_of(along_k, along_k, 16, as_bf16), along_k.descriptor(0),
                    along_k.descriptor(kStartB), true, 16, factor, std::string(signs) == "-1, -1, 0" ? 1 : -1);
    }
  }
  {  // the second 16 of k of a line: 32 bytes on
    Device d;
    if (!d.load(kProduct)) return;
    Lie b = along_k;
    std::vector<char> image(32768);
    const std::vector<char> straight = image_of(along_k, b, 16, as_bf16);
    for (int i = 0; i < 64; ++i)
      for (int l = 0; l < 16; ++l) {
        std::memcpy(image.data() + along_k.at(i, l + 16), straight.data() + along_k.at(i, l), 2);
        if (i < 16) std::memcpy(image.data() + kStartB + b.at(i, l + 16), straight.data() + kStartB + b.at(i, l), 2);
      }
    check_product("32 bytes on", d, image, along_k.descriptor(32), b.descriptor(kStartB + 32), false, 16, factor);
  }
  {
    Device d;
    if (!d.load(replaced(kProduct, "f32.bf16.bf16", "f32.f16.f16"))) return;
    check_product("f16", d, image_of(along_k, along_k, 16, as_f16), along_k.descriptor(0), along_k.descriptor(kStartB),
                  true, 16, factor);
  }
  {  // f32 operands, of which tensor cores read 19 bits
    const Lie a{false, 128, 4, 16, 1024};
    Device d;
    if (!d.load(
            replaced(kProduct, "m64n16k16.f32.bf16.bf16", "m64n16k8.f32.tf32.tf32")
                .replace(replaced(kProduct, "m64n16k16.f32.bf16.bf16", "m64n16k8.f32.tf32.tf32").find("1, 1, 0, 0;"),
                         11, "1, 1;")))
      return;
    check_product("tf32", d, image_of(a, a, 8, as_f32), a.descriptor(0), a.descriptor(kStartB), true, 8, factor);
  }
  {  // a in registers: rows r and r + 8 hold row r's number here
    Device d;
    if (!d.load(replaced(kProduct, "%d3, %d4, %p1, 1, 1, 0, 0;", "{%r4, %r5, %r6, %r7}, %d4, %p1, 1, 1, 0;"))) return;
    check_product("a in registers", d, image_of(along_k, along_k, 16, as_bf16), 0, along_k.descriptor(kStartB), true,
                  16, [](int row, int) { return static_cast<double>(row / 16 * 16 + row % 8); });
  }
}

void product_faults(const sim::Options& options) {
  const Lie lie{false, 128, 2, 16, 1024};
  const auto run = [&](const char* what, const std::string& program, const char* kind, const char* text,
                       uint32_t threads = 128, int start = 0) {
    Device d;
    d.options = options;
    if (!d.load(program)) return;
    const uint64_t from = d.put(image_of(lie, lie, 16, as_bf16)), out = d.empty(256 * 32);
    found(what, options, d,
          d.run("product", {1}, {threads}, 0, from, out, lie.descriptor(start), lie.descriptor(kStartB), 1u), kind,
          text);
  };
  const std::string mma =
      "wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%f1, %f2, %f3, %f4, %f5, %f6, %f7, %f8}, %d3, %d4, %p1, "
      "1, 1, 0, "
      "0;\n";
  run("sums are stored before the wait", replaced(kProduct, "wgmma.wait_group.sync.aligned 0;", ""), "race",
      "reads a sum");
  run("the wait leaves one group", replaced(kProduct, "wait_group.sync.aligned 0", "wait_group.sync.aligned 1"), "race",
      "reads a sum");
  run("nothing was committed", replaced(kProduct, "wgmma.commit_group.sync.aligned;", ""), "race", "reads a sum");
  run("a sum is written meanwhile", replaced(kProduct, mma, mma + "mov.f32 %f3, 0f00000000;\n"), "race",
      "writes a sum");
  run("no wgmma.fence", replaced(kProduct, "wgmma.fence.sync.aligned;", ""), "race", "wgmma.fence");
  run("a sum is set after the fence", replaced(kProduct, mma, "mov.f32 %f3, 0f00000000;\n" + mma), "race",
      "wgmma.fence");
  run("a factor in registers is written meanwhile",
      replaced(replaced(kProduct, "%d3, %d4, %p1, 1, 1, 0, 0;", "{%r4, %r5, %r6, %r7}, %d4, %p1, 1, 1, 0;"),
               "wgmma.commit", "mov.b32 %r5, 0;\nwgmma.commit"),
      "race", "writes a factor");
  run("no fence between stores and products", replaced(kProduct, "fence.proxy.async.shared::cta;", ""), "race",
      "fence.proxy.async");
  run("no barrier between them", replaced(kProduct, "bar.sync 0;", ""), "race uninitialised", "");
  run("shared memory changes meanwhile",
      replaced(kProduct, "wgmma.commit", "setp.eq.u32 %p3, %r0, 0;\n@%p3 st.shared.b32 [%r2], %r1;\nwgmma.commit"),
      "race", "");
  run("a descriptor beyond the end", kProduct, "out-of-bounds", "", 128, 32768);
  run("one warp takes another way",
      replaced(kProduct, mma, "setp.gt.u32 %p3, %r0, 95;\n@%p3 bra away;\n" + mma + "away:\n"), "barrier",
      "four warps");
  run("warps give different descriptors",
      replaced(kProduct, mma, "setp.gt.u32 %p3, %r0, 95;\n@%p3 add.s64 %d4, %d4, 2;\n" + mma), "barrier",
      "descriptors");
  run("three warps", kProduct, "barrier", "four warps", 96);
}

// ---- a ring: a warpgroup fetches tiles of 64 of k, another multiplies them
const std::string kRing = std::string(kHead) + R"(
.shared .align 1024 .b8 tiles[20480];
.shared .align 8 .b64 bars[4];
.visible .entry ring(.param .align 64 .b8 map_a[128], .param .align 64 .b8 map_b[128], .param .u64 out, .param .u32 steps, .param .u64 place)
.maxntid 256
.maxnreg 128
{
.reg .pred %p<8>;
.reg .b32 %r<32>;
.reg .b64 %d<16>;
.reg .f32 %f<9>;
mov.u32 %r0, %tid.x;
ld.param.u64 %d1, [out];
ld.param.u32 %r1, [steps];
ld.param.u64 %d9, [place];
mov.u32 %r2, tiles;
mov.u32 %r3, bars;
mov.b64 %d2, map_a;
cvta.param.u64 %d2, %d2;
mov.b64 %d3, map_b;
cvta.param.u64 %d3, %d3;
setp.ne.u32 %p1, %r0, 0;
@%p1 bra made;
mbarrier.init.shared::cta.b64 [%r3], 1;
mbarrier.init.shared::cta.b64 [%r3+8], 1;
mbarrier.init.shared::cta.b64 [%r3+16], 4;
mbarrier.init.shared::cta.b64 [%r3+24], 4;
fence.proxy.async.shared::cta;
made:
bar.sync 0;
mov.u32 %r4, 0;
setp.gt.u32 %p2, %r0, 127;
@%p2 bra consumer;
setmaxnreg.dec.sync.aligned.u32 40;
@%p1 bra end;
produce:
// stage, its barriers, its place, the round's parity
and.b32 %r5, %r4, 1;
shl.b32 %r6, %r5, 3;
add.u32 %r7, %r3, %r6;
mul.lo.u32 %r8, %r5, 10240;
add.u32 %r8, %r2, %r8;
shr.u32 %r9, %r4, 1;
and.b32 %r9, %r9, 1;
xor.b32 %r10, %r9, 1;
free:
mbarrier.try_wait.parity.shared::cta.b64 %p3, [%r7+16], %r10;
@!%p3 bra free;
mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r7], 10240;
shl.b32 %r11, %r4, 6;
cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r8], [%d2, {%r11, 0}], [%r7];
cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r8+8192], [%d3, {%r11, 0}], [%r7];
add.u32 %r4, %r4, 1;
setp.lt.u32 %p4, %r4, %r1;
@%p4 bra produce;
bra end;
consumer:
setmaxnreg.inc.sync.aligned.u32 216;
mov.f32 %f1, 0f00000000;
mov.f32 %f2, 0f00000000;
mov.f32 %f3, 0f00000000;
mov.f32 %f4, 0f00000000;
mov.f32 %f5, 0f00000000;
mov.f32 %f6, 0f00000000;
mov.f32 %f7, 0f00000000;
mov.f32 %f8, 0f00000000;
setp.eq.u32 %p7, 0, 0;
elect.sync _|%p5, -1;
consume:
and.b32 %r5, %r4, 1;
shl.b32 %r6, %r5, 3;
add.u32 %r7, %r3, %r6;
mul.lo.u32 %r8, %r5, 10240;
add.u32 %r8, %r2, %r8;
shr.u32 %r9, %r4, 1;
and.b32 %r9, %r9, 1;
there:
mbarrier.try_wait.parity.shared::cta.b64 %p3, [%r7], %r9;
@!%p3 bra there;
shr.u32 %r12, %r8, 4;
cvt.u64.u32 %d4, %r12;
or.b64 %d4, %d4, %d9;
add.s64 %d5, %d4, 512;
wgmma.fence.sync.aligned;
wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%f1, %f2, %f3, %f4, %f5, %f6, %f7, %f8}, %d4, %d5, %p7, 1, 1, 0, 0;
add.s64 %d4, %d4, 2;
add.s64 %d5, %d5, 2;
wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%f1, %f2, %f3, %f4, %f5, %f6, %f7, %f8}, %d4, %d5, %p7, 1, 1, 0, 0;
add.s64 %d4, %d4, 2;
add.s64 %d5, %d5, 2;
wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%f1, %f2, %f3, %f4, %f5, %f6, %f7, %f8}, %d4, %d5, %p7, 1, 1, 0, 0;
add.s64 %d4, %d4, 2;
add.s64 %d5, %d5, 2;
wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%f1, %f2, %f3, %f4, %f5, %f6, %f7, %f8}, %d4, %d5, %p7, 1, 1, 0, 0;
wgmma.commit_group.sync.aligned;
wgmma.wait_group.sync.aligned 0;
@%p5 mbarrier.arrive.shared::cta.b64 _, [%r7+16];
add.u32 %r4, %r4, 1;
setp.lt.u32 %p4, %r4, %r1;
@%p4 bra consume;
and.b32 %r13, %r0, 127;
mul.wide.u32 %d6, %r13, 32;
add.s64 %d1, %d1, %d6;
st.global.v4.f32 [%d1], {%f1, %f2, %f3, %f4};
st.global.v4.f32 [%d1+16], {%f5, %f6, %f7, %f8};
end:
ret;
}
)";

void ring(const sim::Options& options) {
  const int steps = 5, k = steps * 64 - 24;  // the last tile is cut
  std::vector<uint16_t> a(static_cast<size_t>(64 * 320)), b(static_cast<size_t>(16 * 320));
  for (int l = 0; l < k; ++l) {
    for (int i = 0; i < 64; ++i) a[static_cast<size_t>(i * 320 + l)] = bf16(static_cast<float>(factor(i, l)));
    for (int j = 0; j < 16; ++j) b[static_cast<size_t>(j * 320 + l)] = bf16(static_cast<float>(other(l, j)));
  }
  const auto run = [&](const char* what, const std::string& program, const char* kind = nullptr,
                       const char* text = "") {
    Device d;
    d.options = options;
    d.options.max_instructions = 4'000'000;
    if (!d.load(program)) return;
    const uint64_t pa = d.put(a), pb = d.put(b), out = d.empty(128 * 32);
    const auto map_a = map_of(pa, {static_cast<uint32_t>(k), 64}, {640}, {64, 64}, 3);
    const auto map_b = map_of(pb, {static_cast<uint32_t>(k), 16}, {640}, {64, 16}, 3);
    const uint64_t lie = Lie{false, 128, 2, 16, 1024}.descriptor(0);
    const bool ran = d.run("ring", {1}, {256}, 0, map_a, map_b, out, static_cast<uint32_t>(steps), lie);
    if (kind != nullptr) return found(what, options, d, ran, kind, text);
    EXPECT(ran, "%s: %s", what, d.fault.message.c_str());
    if (!ran) return;
    const auto got = d.get<float>(out, 128 * 8);
    for (int t = 0; t < 128; ++t)
      for (int r = 0; r < 8; ++r) {
        const int row = t / 32 * 16 + t % 32 / 4 + r / 2 % 2 * 8, column = r / 4 * 8 + t % 4 * 2 + r % 2;
        double want = 0;
        for (int l = 0; l < k; ++l) want += factor(row, l) * other(l, column);
        const auto found = static_cast<double>(got[static_cast<size_t>(t * 8 + r)]);
        if (found != want) {
          EXPECT(false, "%s: (%d, %d) is %g, not %g", what, row, column, found, want);
          return;
        }
      }
  };
  run("ring", kRing);
  run("the producer does not wait for a free stage", replaced(kRing, "@!%p3 bra free;", ""), "race", "");
  run("the consumer does not wait for its tile", replaced(kRing, "@!%p3 bra there;", ""), "race", "");
  run("the producer waits for the wrong phase", replaced(kRing, "[%r7+16], %r10", "[%r7+16], %r9"), "barrier",
      "never come");
  run("the consumer's phase stands still", replaced(kRing, "and.b32 %r9, %r9, 1;\nthere:", "mov.u32 %r9, 0;\nthere:"),
      "race", "");
  run("a stage is given back too early", replaced(kRing, "wait_group.sync.aligned 0", "wait_group.sync.aligned 1"),
      "race", "");
  run("a stage is given back before the wait",
      replaced(replaced(kRing, "@%p5 mbarrier.arrive.shared::cta.b64 _, [%r7+16];\n", ""),
               "wgmma.commit_group.sync.aligned;\n",
               "wgmma.commit_group.sync.aligned;\n@%p5 mbarrier.arrive.shared::cta.b64 _, [%r7+16];\n"),
      "race", "");
  run("one warp's arrival is missing", replaced(kRing, "[%r3+16], 4;", "[%r3+16], 5;"), "barrier", "never come");
  run("the bytes of one tile are forgotten", replaced(kRing, "_, [%r7], 10240;", "_, [%r7], 8192;"), "race", "");
  run("one tile is never fetched",
      replaced(kRing,
               "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r8+8192], [%d3, "
               "{%r11, 0}], [%r7];",
               ""),
      "barrier", "never come");
  run("the barriers are not fenced", replaced(kRing, "fence.proxy.async.shared::cta;", ""), "race",
      "fence.proxy.async");
  run("the last tile is not waited for",
      replaced(kRing, "add.u32 %r4, %r4, 1;\nsetp.lt.u32 %p4, %r4, %r1;\n@%p4 bra consume;",
               "add.u32 %r4, %r4, 1;\nadd.u32 %r14, %r4, 1;\nsetp.lt.u32 %p4, %r14, %r1;\n@%p4 bra consume;"),
      "race", "block ends");
  run("more registers are taken than given", replaced(kRing, "setmaxnreg.dec.sync.aligned.u32 40;", ""), "limit",
      "for ever");
  run("registers are given to a larger number", replaced(kRing, "u32 40;", "u32 256;"), "limit", "setmaxnreg.dec");
}

}  // namespace

int main() {
  sim::Options o;
  const auto all = [&] {
    tiles(o);
    tile_faults(o);
    products(o);
    product_faults(o);
    ring(o);
  };
  all();
  o.schedule = sim::Options::Schedule::reversed;
  o.copies = sim::Options::Copies::early;
  all();
  o.copies = sim::Options::Copies::late;
  o.schedule = sim::Options::Schedule::random_warps;
  all();
  o.schedule = sim::Options::Schedule::in_order;
  for (const auto how : {sim::Options::Products::truncate, sim::Options::Products::chunked}) {
    o.products = how;
    products(o);
    ring(o);
  }
  return finish("warpgroup");
}
