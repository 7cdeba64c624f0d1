// The module behind machine.h: what has been loaded, kernel by kernel.
#pragma once
#include "bind.h"
#include "block.h"

namespace sim {

constexpr uint32_t kSharedStart = 1024;  // below it lies nothing, so that an offset from null is seen
constexpr uint32_t kSharedGap = 128;     // between variables, not counted: a step beyond one does not reach the next

// A kernel with its own copy of each function that it calls, since shared variables lie elsewhere in each kernel.
class Kernel : public Function {
 public:
  const std::string& name() const override { return name_; }
  const std::vector<Parameter>& parameters() const override { return parameters_; }
  uint64_t parameter_bytes() const override { return parameter_bytes_; }
  uint64_t shared_bytes() const override { return shared_bytes_; }
  uint64_t local_bytes() const override { return codes_[0]->local_bytes; }
  uint64_t constant_bytes() const override { return constant_bytes_; }
  uint32_t registers() const override { return codes_[0]->registers; }
  uint32_t max_threads() const override { return max_threads_; }
  Dim3 required_threads() const override { return required_threads_; }
  Dim3 required_cluster() const override { return required_cluster_; }

  std::string name_;
  std::vector<Parameter> parameters_;
  uint64_t parameter_bytes_ = 0, shared_bytes_ = 0, constant_bytes_ = 0;
  uint32_t max_threads_ = 1024;
  uint32_t registers_allowed_ = 0, blocks_wanted_ = 0;  // .maxnreg, .minnctapersm; 0: not said
  Dim3 required_threads_{0, 0, 0}, required_cluster_{0, 0, 0};
  std::vector<std::unique_ptr<Code>> codes_;  // the kernel, then what it calls
  std::vector<char> constant_table_;
  char* constants_ = nullptr;  // aligned, within the table
  std::vector<SharedVariable> shared_;
  uint32_t dynamic_at_ = 0;  // where dynamic shared memory begins
  const ptx::Module* module_ = nullptr;
  bool one_worker_ = false;  // blocks may depend on each other, or print
};

}  // namespace sim
