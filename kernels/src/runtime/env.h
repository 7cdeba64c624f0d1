// Everything native that belongs to one JavaScript thread: storages, allocator, stream. No V8 type appears here.
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
  Env();
  ~Env();

  // Checks and issues the record in `buffer` (runtime/op.h and packages/tensor/src/native/encode.ts describe it);
  // handles of new outputs are written into `reply`, which is the buffer that JavaScript reads. False: see
  // last_error().
  bool submit(const double* record, int64_t length, double* reply);

  // A handle, or -1.
  double alloc(double bytes);
  double map_file(const char* path, double offset, double bytes);
  // False when the handle is stale or forged.
  bool release(double handle);

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
    std::shared_ptr<void> mapping;  // of a file; unmapped with the last holder, which may be a queued task
  };

  bool fail(int code, const char* op, const std::string& message);
  double refuse(int code, const char* op, const std::string& message);  // fail, as a handle
  Storage* find(double handle);
  double add(Storage storage);
  void* allocate(const char* op, uint64_t bytes);

  bool refuse_overlap(const Op& op, bool pointwise, int64_t n_in);

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
