// What the commands of a stream run on, and whose memory they use. The CPU has done a command when run() returns; a GPU
// has queued it.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "op.h"

namespace shakti {

class Stream;
struct Capture;
struct RandomState;

// What a stream says that was to get bytes of a device whose own stream knows more.
constexpr const char* kSourceFailed = "the device that the tensor came from had failed: read from it to see why";

class Device {
 public:
  virtual ~Device() = default;

  // ---- Memory; on the thread that issues commands.

  // At least *bytes, which becomes what there are; 64-byte aligned or better. Null: none left.
  virtual char* map(uint64_t* bytes) = 0;
  virtual void unmap(char* start, uint64_t bytes) = 0;
  // For finding faults: each tensor gets a mapping of its own, of so many bytes as it has, that no other uses after it.
  virtual bool exact() const { return false; }
  virtual uint64_t total_memory() const = 0;
  // Whether the host's instructions reach this memory.
  virtual bool on_host() const = 0;
  // Memory of the host that copies to the device are quick from. Null: none left.
  virtual std::shared_ptr<char> staging(uint64_t bytes) = 0;

  // ---- In the order of the stream; on the thread that executes it. What goes wrong is told to the stream.

  virtual void run(const Op& op, const Args& args, Stream& stream) = 0;
  // All commands of a capture as one piece of work, if the device has a way to do that. False: run them one by one.
  virtual bool replay(Capture&, const RandomState& /* now */, Stream&) { return false; }
  virtual void fill(void* to, int byte, uint64_t bytes, Stream& stream) = 0;
  virtual void write(void* to, std::shared_ptr<char> from, uint64_t bytes, Stream& stream) = 0;
  // Calls `done` when the bytes have arrived, maybe later and from another thread.
  virtual void read(char* to, const void* from, uint64_t bytes, Stream& stream, std::function<void()> done) = 0;
  // Copies what lies in another device's memory, of the same kind and no host's, behind all that either stream was
  // given so far and before all that either is given from now on. On the thread that executes `stream`, or on that
  // which executes `source_stream`, while the other waits.
  virtual void copy_from(Device& /* source */, Stream& /* source_stream */, const void* /* from */, void* /* to */,
                         uint64_t /* bytes */, Stream& /* stream */) {}
  // Returns when everything that was queued is done.
  virtual void finish(Stream& stream) = 0;
  // A point in the order of the work, where the device itself takes the time. One that takes none ignores it.
  virtual void mark(Stream&) {}
  // No `done` is called any more after this.
  virtual void stop() {}

  // Milliseconds from each mark to the next; then they are forgotten. After finish().
  virtual std::vector<double> times(Stream&) { return {}; }

  // ---- What it has of an op.

  // Bytes of memory that a command of this op needs while it runs.
  virtual size_t workspace(const Op& op, const Args& args) const = 0;
  // What is missing, as the end of a sentence; null: it has the op.
  virtual const char* lacks(const Op& op) const = 0;
  // A tiny command may run on the thread that issues it.
  virtual bool runs_inline() const { return false; }
};

// The one that host memory belongs to. It has no state of its own.
Device& cpu_device();

}  // namespace shakti
