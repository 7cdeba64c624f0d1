// A GPU as the device of one JavaScript thread: its primary context, one CUDA stream, the modules of kernels, pinned
// memory for copies, and a thread that waits for copies so that the executor need not.
#pragma once
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "../runtime/capture.h"
#include "../runtime/device.h"
#include "launch.h"

namespace shakti::cuda {

// A report as the user reads it.
std::string sentence(const Report& report);

class CudaDevice : public Device {
 public:
  // `modules` is the folder of the compiled kernels. Null: *why is a sentence for the user.
  static std::unique_ptr<CudaDevice> open(int ordinal, const std::string& modules, std::string* why);
  ~CudaDevice() override;

  char* map(uint64_t* bytes) override;
  void unmap(char* start, uint64_t bytes) override;
  bool exact() const override { return exact_; }
  uint64_t total_memory() const override { return gpu_.bytes; }
  bool on_host() const override { return false; }
  std::shared_ptr<char> staging(uint64_t bytes) override;

  size_t workspace(const Op& op, const Args& args) const override;
  const char* lacks(const Op& op) const override;
  void run(const Op& op, const Args& args, Stream& stream) override;
  bool replay(Capture& capture, const RandomState& now, Stream& stream) override;
  void fill(void* to, int byte, uint64_t bytes, Stream& stream) override;
  void write(void* to, std::shared_ptr<char> from, uint64_t bytes, Stream& stream) override;
  void read(char* to, const void* from, uint64_t bytes, Stream& stream, std::function<void()> done) override;
  void copy_from(Device& source, Stream& source_stream, const void* from, void* to, uint64_t bytes,
                 Stream& stream) override;
  void finish(Stream& stream) override;
  void mark(Stream& stream) override;
  std::vector<double> times(Stream& stream) override;
  void stop() override;

 private:
  friend class Launch;

  // Host memory that copies run from and to without the driver's own staging, kept for the next copy.
  struct Pinned {
    const Driver& driver;
    CUcontext context;
    std::mutex mutex;
    std::map<uint64_t, std::vector<char*>> free;  // by size, a power of two
    Pinned(const Driver& d, CUcontext c) : driver(d), context(c) {}
    ~Pinned();
  };
  // What is to happen once the GPU has come as far as `event`.
  struct Arrival {
    CUevent event;
    std::shared_ptr<char> pinned;  // of the copy
    char* to;                      // null: nothing to hand on
    uint64_t bytes;
    Stream* stream;
    std::function<void()> done;  // may be empty
  };

  CudaDevice(const Driver& driver, int ordinal, std::string modules);
  bool start(std::string* why);
  void enter() const { driver_.enter(context_); }
  // False, once the driver reported that something failed: then the stream knows, and so does every later call.
  bool succeeded(CUresult result, const char* what, Stream& stream);
  bool refuse_if_lost(const char* op, Stream& stream);
  CUfunction function(const char* family, const char* name, Stream& stream, const char* op);
  CUmodule module(const std::string& family, std::string* why);
  std::string capability() const;  // "9.0"
  void arrive(Arrival arrival, Stream& stream);
  void wait_for_arrivals();
  // The commands as a graph, made at the first replay; null: the stream knows why.
  CUgraphExec graph_of(Capture& capture, Stream& stream);
  // Whether the GPU still works, and nothing that it has done so far was found wrong.
  bool sound(Stream& stream);
  // Hands what kernels reported on to the stream. The GPU must have come past them.
  void collect_reports(Stream& stream);

  const Driver& driver_;
  const int ordinal_;
  const std::string modules_;
  const bool exact_;
  DeviceProperties gpu_;
  CUcontext context_ = nullptr;
  CUstream cuda_stream_ = nullptr;
  CUevent passed_ = nullptr;        // how far this stream was when another GPU's was to wait for it
  Report* report_ = nullptr;        // in pinned memory
  CUdeviceptr report_address_ = 0;  // the same, as kernels see it
  std::mutex report_mutex_;
  std::shared_ptr<Pinned> pinned_;

  std::unordered_map<std::string, CUmodule> loaded_;
  std::unordered_map<std::string, CUfunction> functions_;  // by family/name
  std::unordered_map<CUfunction, size_t> shared_limits_;   // dynamic shared bytes that a function was set to

  std::vector<CUevent> marks_;

  RandomNow* random_now_ = nullptr;     // on the GPU
  const Capture* capturing_ = nullptr;  // while its commands become a graph

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::deque<Arrival> arrivals_;  // the first may be under way
  std::vector<CUevent> events_;   // free ones
  bool stopping_ = false;
  std::string lost_;  // why the device takes no more work
  std::thread waiter_;
};

}  // namespace shakti::cuda
