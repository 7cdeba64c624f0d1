// Everything native that one JavaScript thread has of one device: storages, allocator, stream. No V8 type appears here.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "allocator.h"
#include "stream.h"

namespace shakti {

constexpr size_t kBufferBytes = 512 * 1024;  // of the command buffer
constexpr int kMaxOperands = 4096;

// The last refusal, for the caller to turn into an error in its own stack.
struct LastError {
  int code = 0;
  std::string message;
  std::string op;
  bool late = false;
};

class Env {
 public:
  // The CPU's.
  Env() : Env(nullptr) {}
  explicit Env(std::unique_ptr<Device> device);
  ~Env();

  // Checks and issues the record in `buffer` (runtime/op.h and packages/tensor/src/native/encode.ts describe it);
  // handles of new outputs are written into `reply`, which is the buffer that JavaScript reads. False: see
  // last_error().
  bool submit(const double* record, int64_t length, double* reply);

  // A handle, or -1.
  double alloc(double bytes);
  double map_file(const char* path, double offset, double bytes);
  // Copies `bytes` in, in order with the commands.
  bool upload(double handle, double offset, const char* data, uint64_t bytes);
  // Copies `bytes` out, and waits for them.
  bool read(double handle, double offset, char* data, uint64_t bytes);
  // Of a storage or of a capture. False when the handle is stale or forged.
  bool release(double handle);

  // From begin to end commands are checked as ever and recorded, but not run; memory comes from an arena of the
  // capture's own. What a capture uses of other memory stays, even if it is released, until the capture is released.
  // `pool`: a capture to share memory with; 0: none.
  bool begin_capture(const RandomState& now, double pool);
  // A handle of the capture; 0 when it is not kept; -1 sets last_error.
  double end_capture(bool keep);
  double capture_bytes(double handle);  // or -1
  bool replay(double handle, const RandomState& now);
  bool refuse_if_capturing(const char* op);

  // Address of [offset, offset + bytes) of a storage, checked; null sets last_error.
  char* resolve(const char* op, double handle, double offset, uint64_t bytes);
  bool refuse_if_failed(const char* op);
  void set_late_error();

  struct Stats {
    int64_t handles;
    Allocator::Stats memory;
  };
  Stats stats() const;
  void clear_cache();

  // Nothing runs any more after this.
  void stop() {
    stream.stop();
    device().stop();
  }

  Device& device() { return own_device_ ? *own_device_ : cpu_device(); }

 private:
  std::unique_ptr<Device> own_device_;  // null: the CPU

 public:
  Stream stream;
  Allocator allocator;
  LastError last_error;
  bool poison = false;

 private:
  struct Storage {
    char* data = nullptr;
    uint64_t bytes = 0;
    uint32_t generation = 1;
    bool live = false;
    bool released = false;                    // no handle is left, but a capture pins the memory
    uint32_t pins = 0;                        // captures that use it and did not make it
    std::shared_ptr<void> mapping;            // of a file; unmapped with the last holder, which may be a queued task
    std::shared_ptr<Capture::Origin> origin;  // made in a capture: in which
    std::shared_ptr<Capture> capture;         // then the handle is a capture's, and there is no memory
  };

  bool fail(int code, const char* op, const std::string& message);
  double refuse(int code, const char* op, const std::string& message);  // fail, as a handle
  Storage* find(double handle);
  std::shared_ptr<Capture> find_capture(const char* op, double handle);  // null sets last_error
  // A storage that a command may use now; null sets last_error. A capture under way pins it.
  Storage* use(const char* op, double handle);
  double add(Storage storage);
  void remove(uint32_t index);
  void drop(Capture& capture);
  Allocator::Arena* arena() const { return recording_ ? recording_->origin->arena.get() : nullptr; }
  // From the arena of the capture under way, if there is one.
  void* allocate(const char* op, uint64_t bytes);
  // A storage with new memory; false sets last_error.
  bool reserve(const char* op, uint64_t bytes, Storage* storage);
  bool refuse_draw(const Op& op, const double* state);
  bool record(const Op& op, const Args& args, double nanoseconds, int64_t draws_at);

  bool refuse_overlap(const Op& op, bool pointwise, int64_t n_in);

  std::shared_ptr<Capture> recording_;
  std::vector<Storage> storages_;
  std::vector<uint32_t> free_;
  std::vector<double> record_;  // the record is copied out before it is checked: JavaScript could change it meanwhile
  std::vector<Operand> operands_;
  std::vector<int64_t> fresh_;   // places in the record of outputs to allocate
  std::vector<double> handles_;  // of those outputs
  std::vector<int32_t> by_address_;
  int64_t live_ = 0;
};

}  // namespace shakti
