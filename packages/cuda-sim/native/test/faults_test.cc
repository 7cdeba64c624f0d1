// Programs that are wrong: each is found, as what it is. And some that look wrong and run.
#include "harness.h"

namespace {

using Float = std::vector<float>;

void found(Device& d, const char* kernel, bool ran, const char* kind) {
  if (kind == nullptr) {
    EXPECT(ran, "%s: %s", kernel, d.fault.message.c_str());
  } else {
    EXPECT(!ran && d.fault.kind == kind, "%s: expected %s, found %s", kernel, kind,
           ran ? "nothing" : d.fault.message.c_str());
    EXPECT(d.fault.message.find(kernel) != std::string::npos && d.fault.kernel == kernel,
           "%s: the kernel is not named: %s", kernel, d.fault.message.c_str());
  }
}

void everything(const std::string& arch, const sim::Options& options) {
  Device d;
  d.options = options;
  if (!d.load_file("kernels/faults." + arch + ".ptx")) return;
  const Float ones(512, 1.5f);
  const uint64_t x = d.put(ones), y = d.empty(2048), small = d.put(Float(100, 1.0f)), out = d.empty(400),
                 fresh = d.empty(2048);
#define RUN(kind, kernel, grid, block, dynamic, ...) \
  found(d, #kernel, d.run(#kernel, grid, block, dynamic, __VA_ARGS__), kind)
  const sim::Dim3 one{1};
  RUN("out-of-bounds", off_by_one, sim::Dim3{4}, sim::Dim3{32}, 0, small, out, 100);
  EXPECT(d.fault.thread.x == 4 && d.fault.block.x == 3 && d.fault.line > 0, "%s", d.fault.message.c_str());
  EXPECT(d.fault.message.find("0 bytes after the end of an allocation of 400 bytes") != std::string::npos, "%s",
         d.fault.message.c_str());
  EXPECT(d.fault.source.find("faults.cu:") != std::string::npos, "%s", d.fault.message.c_str());
  RUN("out-of-bounds", before_start, one, sim::Dim3{32}, 0, small, out, 32);
  RUN("out-of-bounds", copy, one, sim::Dim3{32}, 0, uint64_t{0}, out, 32);
  RUN("out-of-bounds", shared_off_by_one, one, sim::Dim3{64}, 0, y);
  RUN("out-of-bounds", dynamic_too_small, one, sim::Dim3{64}, 252, y);
  RUN(nullptr, dynamic_too_small, one, sim::Dim3{64}, 256, y);
  RUN("uninitialised", copy, one, sim::Dim3{32}, 0, fresh, out, 32);
  const uint64_t gone = d.put(ones);
  d.memory.free(gone);
  RUN("use-after-free", copy, one, sim::Dim3{32}, 0, gone, out, 32);
  RUN("race", blocks_overlap, sim::Dim3{4}, sim::Dim3{64}, 0, y, 63);
  RUN(nullptr, blocks_overlap, sim::Dim3{4}, sim::Dim3{64}, 0, y, 64);
  RUN(nullptr, blocks_write_the_same, sim::Dim3{4}, sim::Dim3{64}, 0, y);
  RUN("race", reads_a_neighbour, sim::Dim3{4}, sim::Dim3{64}, 0, d.put(ones));
  RUN(nullptr, reads_a_neighbour, one, sim::Dim3{64}, 0, d.put(ones));
  RUN("race", missing_barrier, one, sim::Dim3{128}, 0, x, y);
  RUN("race", missing_second_barrier, one, sim::Dim3{128}, 0, x, y, 3);
  RUN(nullptr, missing_second_barrier, one, sim::Dim3{128}, 0, x, y, 1);
  RUN("race", missing_syncwarp, one, sim::Dim3{32}, 0, x, y);
  RUN(nullptr, with_syncwarp, one, sim::Dim3{32}, 0, x, y);
  RUN("race", same_place, one, sim::Dim3{64}, 0, y);
  d.counters = {};
  d.counting = true;
  RUN(nullptr, same_value, one, sim::Dim3{64}, 0, y, 0);
  EXPECT(d.counters.same_value_races == 63, "%d same-value races", static_cast<int>(d.counters.same_value_races));
  d.counting = false;
  RUN(nullptr, atomics_in_shared, one, sim::Dim3{64}, 0, y);
  EXPECT(d.get<int>(y, 1)[0] == 2016, "sum");
  RUN("race", atomics_not_awaited, one, sim::Dim3{64}, 0, y);
  RUN("uninitialised", shared_not_written, one, sim::Dim3{64}, 0, y);
  RUN("uninitialised", local_not_written, one, sim::Dim3{32}, 0, y, 10, 1);
  RUN(nullptr, local_not_written, one, sim::Dim3{32}, 0, y, 16, 1);
  RUN("misaligned", vector_load, one, sim::Dim3{32}, 0, x, y, 1);
  RUN(nullptr, vector_load, one, sim::Dim3{32}, 0, x, y, 4);
  RUN("shuffle", shuffle_of_absent, one, sim::Dim3{32}, 0, x, y);
  RUN("shuffle", shuffle_in_branch, one, sim::Dim3{32}, 0, x, y);
  RUN("shuffle", shuffle_not_member, one, sim::Dim3{32}, 0, x, y);
  RUN(nullptr, shuffle_of_half, one, sim::Dim3{32}, 0, x, y);
  RUN("barrier", barrier_in_branch, one, sim::Dim3{64}, 0, y);
  RUN("barrier", barrier_for_some_warps, one, sim::Dim3{64}, 0, y);
  RUN("barrier", left_before_barrier, one, sim::Dim3{64}, 0, y, 50);
  d.options.strict_barriers = false;
  RUN(nullptr, left_before_barrier, one, sim::Dim3{64}, 0, y, 50);
  d.options.strict_barriers = true;
  RUN("race", copy_not_awaited, one, sim::Dim3{32}, 0, x, y);
  RUN("race", copy_awaited_by_one_stage_too_few, one, sim::Dim3{32}, 0, x, y);
  RUN(nullptr, named_barriers, one, sim::Dim3{64}, 0, y);
  EXPECT(d.get<float>(y, 32)[3] == 28, "named barriers");
  RUN("barrier", named_barrier_alone, one, sim::Dim3{64}, 0, y);
  std::vector<int> threes(32);
  threes[7] = 3;
  const uint64_t t = d.put(threes);
  RUN("trap", stops_itself, one, sim::Dim3{32}, 0, t);
  RUN("assert", asserts, one, sim::Dim3{32}, 0, t);
  EXPECT(d.fault.thread.x == 7 && d.fault.message.find("x[threadIdx.x] != 3") != std::string::npos, "%s",
         d.fault.message.c_str());
  d.options.max_instructions = 100000;
  RUN("timeout", never_ends, one, sim::Dim3{32}, 0, t);
  d.options.max_instructions = 20'000'000'000;
  const uint64_t flags = d.put(std::vector<int>(4));
  RUN(nullptr, waits_for_a_lower_block, sim::Dim3{4}, sim::Dim3{64}, 0, flags, y);
  const uint64_t mutex = d.put(std::vector<int>(1)), sum = d.put(std::vector<int>(1));
  RUN(nullptr, lock, sim::Dim3{2}, sim::Dim3{64}, 0, mutex, sum);
  EXPECT(d.get<int>(sum, 1)[0] == 128, "lock: %d", d.get<int>(sum, 1)[0]);
  Float line(256);
  for (int i = 0; i < 256; ++i) line[i] = static_cast<float>(i);
  const uint64_t numbers = d.put(line);
  RUN(nullptr, mbarriers, one, sim::Dim3{64}, 0, numbers, y);
  EXPECT(d.get<float>(y, 128)[127] == 192, "mbarriers: %g", static_cast<double>(d.get<float>(y, 128)[127]));
  // At random a turn can end anywhere, so that nobody sees that all of them wait.
  const bool random = options.schedule == sim::Options::Schedule::random_warps;
  if (random) d.options.max_instructions = 1'000'000;
  RUN(random ? "timeout" : "barrier", mbarrier_waits_for_ever, one, sim::Dim3{64}, 0, y);
  RUN("barrier", too_many_arrivals, one, sim::Dim3{64}, 0, y);
  RUN("limit", copy, one, sim::Dim3{1025}, 0, x, y, 1);
  RUN("limit", copy, sim::Dim3{1, 65536}, sim::Dim3{32}, 0, x, y, 1);
  RUN("limit", dynamic_too_small, one, sim::Dim3{64}, 300000, y);
  EXPECT(d.memory.initialised(out, 400) == false, "only what was written is initialised");
}

void refused() {
  const auto log = [](const std::string& body) {
    sim::Memory memory(1 << 20);
    std::string text;
    const auto m = sim::Module::load(
        ".version 9.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 p)\n{\n.reg .b32 %r<4>;\n" +
            body + "\nret;\n}\n",
        memory, &text);
    EXPECT(m == nullptr, "loaded: %s", body.c_str());
    return text;
  };
  EXPECT(log("frobnicate.b32 %r1, %r2;") == "PTX line 7: 'frobnicate.b32': unknown instruction", "%s",
         log("frobnicate.b32 %r1, %r2;").c_str());
  EXPECT(log("add.strange.s32 %r1, %r2, %r3;").find("unknown modifier .strange") != std::string::npos, "modifier");
  EXPECT(log("add.s64 %r1, %r2, %r3;").find("register %r1 has 4 bytes") != std::string::npos, "width");
  EXPECT(log("add.s32 %r1, %r2;").find("operands") != std::string::npos, "operands");
  EXPECT(log("bra nowhere;").find("nowhere") != std::string::npos, "label");
  EXPECT(log("wgmma.fence.sync.aligned;").find("needs .target sm_90a") != std::string::npos, "wgmma");
  EXPECT(log("cp.async.bulk.commit_group;").find("alone is supported") != std::string::npos, "bulk");
  EXPECT(log("tcgen05.alloc;").find("not supported") != std::string::npos, "tcgen05");
  EXPECT(log("mov.u32 %r1, %nosuch;").find("%nosuch") != std::string::npos, "special");
  EXPECT(log("add.s32 %r1, %r2, %r3").find("expected") != std::string::npos, "semicolon");
  EXPECT(log("/* open").find("without an end") != std::string::npos, "comment");
}

}  // namespace

int main() {
  for (const std::string arch : {"sm_80", "sm_100"}) {
    sim::Options o;
    everything(arch, o);
    o.schedule = sim::Options::Schedule::reversed;
    o.copies = sim::Options::Copies::early;
    everything(arch, o);
    o.schedule = sim::Options::Schedule::random_warps;
    everything(arch, o);
  }
  refused();
  return finish("faults");
}
