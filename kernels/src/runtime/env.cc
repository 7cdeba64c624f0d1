#include "env.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <future>

#include "cpu_features.h"
#include "overlap.h"

namespace shakti {
namespace {

constexpr double kIndexSpan = 16777216;  // a handle is generation * 2^24 + index
constexpr uint32_t kMaxGeneration = (1u << 29) - 1;
constexpr int64_t kMaxInt = int64_t{1} << 53;

constexpr double kCopyNanoseconds = 0.1;  // a byte

// Stands for the memory of an output still to be allocated.
void* const kUnborn = reinterpret_cast<void*>(uintptr_t{64});

bool to_int(double v, int64_t low, int64_t high, int64_t* out) {
  // The comparisons are false for NaN.
  if (!(v >= static_cast<double>(low) && v <= static_cast<double>(high))) return false;
  *out = static_cast<int64_t>(v);
  return static_cast<double>(*out) == v;
}

// What an OP line promises about one side of an op: "x, bias?" or "scale?, grads*".
struct Signature {
  int fixed = 0;  // named operands before a list
  bool list = false;
  uint64_t optional = 0;  // bit i: operand i may be absent

  explicit Signature(const char* text) {
    for (const char* p = text; *p;) {
      while (*p == ' ' || *p == ',') ++p;
      if (!*p) break;
      const char* end = p;
      while (*end && *end != ',') ++end;
      const char last = end[-1];
      if (last == '*') {
        list = true;
      } else {
        if (last == '?') optional |= uint64_t{1} << fixed;
        ++fixed;
      }
      p = end;
    }
  }
  bool accepts(int64_t n) const { return list ? n >= fixed : n == fixed; }
  bool may_lack(int64_t i) const { return i < fixed && (optional >> i & 1); }
};

struct OpSignature {
  Signature in, out;
  std::vector<char> attrs;  // 'i'nt, 'f'loat, 'b'ool, 'I'nts, 'F'loats
  int64_t draws_at = -1;    // where the attributes seed_lo, seed_hi, offset of a random op begin

  explicit OpSignature(const Op& op) : in(op.inputs), out(op.outputs) {
    std::string text = op.attrs;
    for (size_t at = 0; (at = text.find(':', at)) != std::string::npos; ++at) {
      const bool many = text.compare(at + 1, 4, "ints") == 0 || text.compare(at + 1, 6, "floats") == 0;
      const char kind = text[at + 1];
      const size_t name = text.find_last_of(", ", at) + 1;  // npos + 1 is 0
      if (text.compare(name, at - name, "seed_lo") == 0) draws_at = static_cast<int64_t>(attrs.size());
      attrs.push_back(many ? static_cast<char>(kind - 'a' + 'A') : kind);
    }
  }

  // Whether the numbers fit the attributes' kinds; a list is its length and its elements.
  bool check(const double* v, int64_t n) const {
    int64_t at = 0;
    const auto one = [&](char kind) {
      if (at >= n) return false;
      int64_t i;
      const double x = v[at++];
      if (kind == 'i') return to_int(x, -kMaxInt, kMaxInt, &i);
      if (kind == 'b') return x == 0 || x == 1;
      return true;
    };
    for (char kind : attrs) {
      if (kind == 'I' || kind == 'F') {
        int64_t count;
        if (at >= n || !to_int(v[at], 0, n - at - 1, &count)) return false;
        ++at;
        for (int64_t i = 0; i < count; ++i) {
          if (!one(static_cast<char>(kind - 'A' + 'a'))) return false;
        }
      } else if (!one(kind)) {
        return false;
      }
    }
    return at == n;
  }
};

const std::vector<OpSignature>& signatures() {
  static const auto* all = [] {
    auto* v = new std::vector<OpSignature>;
    for (int i = 0; i < kOpCount; ++i) v->emplace_back(kOps[i]);
    return v;
  }();
  return *all;
}

std::string format_bytes(uint64_t bytes) {
  char text[32];
  if (bytes >= 1u << 30) {
    std::snprintf(text, sizeof text, "%.2f GiB", static_cast<double>(bytes) / (1u << 30));
  } else {
    std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1u << 20));
  }
  return text;
}

}  // namespace

const char* dtype_name(DType t) {
  static const char* names[] = {"f32", "bf16", "f16", "f64", "i32", "i64", "u8", "bool"};
  return names[static_cast<int>(t)];
}

Env::Env(std::unique_ptr<Device> device)
    : own_device_(std::move(device)), stream(this->device()), allocator(this->device()) {
  record_.resize(kBufferBytes / sizeof(double));
  storages_.emplace_back();  // index 0 with generation 0 would be handle 0, "none"
  choose_isa(&stream.isa);
}

Env::~Env() { stop(); }

bool Env::fail(int code, const char* op, const std::string& message) {
  last_error = {code, message, op, false};
  return false;
}

double Env::refuse(int code, const char* op, const std::string& message) {
  fail(code, op, message);
  return -1;
}

void Env::set_late_error() {
  const StreamError e = stream.error();
  last_error = {Status::internal, e.message, e.op, true};
}

bool Env::refuse_if_failed(const char* op) {
  if (!stream.failed()) return false;
  set_late_error();
  last_error.message +=
      std::string(". Issued before '") + op + "'; the stream takes no more commands until resetDevice()";
  return true;
}

Env::Storage* Env::find(double handle) {
  int64_t h;
  if (!to_int(handle, 1, kMaxInt, &h)) return nullptr;
  const uint64_t index = static_cast<uint64_t>(h) & 0xffffff;
  const uint64_t generation = static_cast<uint64_t>(h) >> 24;
  if (index >= storages_.size()) return nullptr;
  Storage& s = storages_[index];
  return s.live && !s.released && s.generation == generation ? &s : nullptr;
}

Env::Storage* Env::use(const char* op, double handle) {
  Storage* s = find(handle);
  if (s == nullptr || s->capture) {
    fail(Status::disposed, op, "an operand's memory was released");
    return nullptr;
  }
  if (s->origin && recording_ && s->origin == recording_->origin) return s;
  if (s->origin && !s->origin->filled) {
    fail(Status::capture, op, "an operand was made inside a capture, whose commands have not run: replay() it first");
    return nullptr;
  }
  if (recording_ && recording_->pinned.insert(static_cast<uint32_t>(s - storages_.data())).second) ++s->pins;
  return s;
}

double Env::add(Storage storage) {
  uint32_t index;
  if (!free_.empty()) {
    index = free_.back();
    free_.pop_back();
    storage.generation = storages_[index].generation;
  } else {
    index = static_cast<uint32_t>(storages_.size());
    if (index >= kIndexSpan)
      return refuse(Status::out_of_memory, "alloc", "2^24 tensors are alive; free some (tidy, dispose)");
    storages_.emplace_back();
  }
  storage.live = true;
  if (!storage.capture) ++live_;
  storages_[index] = std::move(storage);
  return storages_[index].generation * kIndexSpan + index;
}

void* Env::allocate(const char* op, uint64_t bytes) {
  if (!recording_ && allocator.crowded(bytes)) {
    stream.sync();
    allocator.clear_stale();
  }
  void* p = allocator.allocate(bytes, arena());
  if (p == nullptr) {
    clear_cache();
    p = allocator.allocate(bytes, arena());
  }
  if (p == nullptr) {
    fail(Status::out_of_memory, op,
         "asked for " + format_bytes(bytes) + "; live " + format_bytes(allocator.stats().live) + " in " +
             std::to_string(live_) + " storages, cached " + format_bytes(allocator.stats().cached) + ", limit " +
             format_bytes(allocator.limit()) +
             ". Free tensors (tidy, dispose), use smaller batches, or setMemoryLimit()");
  }
  return p;
}

bool Env::reserve(const char* op, uint64_t bytes, Storage* s) {
  s->bytes = bytes;
  if (recording_) s->origin = recording_->origin;
  s->data = static_cast<char*>(allocate(op, bytes));
  return s->data != nullptr;
}

double Env::alloc(double bytes) {
  int64_t n;
  if (!to_int(bytes, 0, kMaxInt, &n)) return refuse(Status::value, "alloc", "not a number of bytes");
  Storage s;
  if (!reserve("alloc", static_cast<uint64_t>(n), &s)) return -1;
  char* data = s.data;
  const double handle = add(std::move(s));
  if (handle < 0) allocator.free(data, static_cast<uint64_t>(n), arena());
  return handle;
}

double Env::map_file(const char* path, double offset, double bytes) {
  int64_t at, n;
  if (!to_int(offset, 0, kMaxInt, &at) || !to_int(bytes, 0, kMaxInt - at, &n)) {
    return refuse(Status::value, "mapFile", "not an offset and a number of bytes");
  }
  if (n == 0) return alloc(0);
  // Opening a pipe that nobody writes to would wait for ever.
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat info;
  if (fd < 0 || fstat(fd, &info) != 0) {
    const std::string why = std::strerror(errno);
    if (fd >= 0) close(fd);
    return refuse(Status::value, "mapFile", std::string(path) + ": " + why);
  }
  if (!S_ISREG(info.st_mode) || info.st_size < at + n) {
    close(fd);
    return refuse(Status::value, "mapFile",
                  std::string(path) + " has " + std::to_string(info.st_size) + " bytes, wanted " + std::to_string(n) +
                      " from " + std::to_string(at));
  }
  const int64_t page = sysconf(_SC_PAGESIZE);
  const int64_t lead = at % page;
  const size_t length = static_cast<size_t>(n + lead);
  void* base = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, at - lead);
  const std::string why = base == MAP_FAILED ? std::strerror(errno) : "";
  close(fd);
  if (base == MAP_FAILED)
    return refuse(Status::out_of_memory, "mapFile", "asked for " + format_bytes(length) + " of " + path + ": " + why);
  Storage s;
  s.mapping = std::shared_ptr<void>(base, [length](void* p) { munmap(p, length); });
  s.data = static_cast<char*>(base) + lead;
  s.bytes = static_cast<uint64_t>(n);
  return add(std::move(s));
}

bool Env::upload(double handle, double offset, const char* data, uint64_t bytes) {
  if (refuse_if_failed("upload")) return false;
  char* to = resolve("upload", handle, offset, bytes);
  if (to == nullptr) return false;
  if (bytes == 0) return true;
  if (!recording_ && device().on_host() && stream.idle()) {
    std::memcpy(to, data, bytes);
    return true;
  }
  // A queued command may still read what lies there: the copy takes its place in the order. In a capture, the bytes are
  // part of it.
  const std::shared_ptr<char> staging = device().staging(bytes);
  if (!staging)
    return fail(Status::out_of_memory, "upload", "asked for " + format_bytes(bytes) + " to queue a copy of the data");
  if (!stream.start()) return fail(Status::internal, "upload", "the system gives no thread to run commands on");
  std::memcpy(staging.get(), data, bytes);
  auto task = [this, staging, to, bytes] { device().write(to, staging, bytes, stream); };
  if (recording_) {
    recording_->commands.push_back(Command::of(std::move(task)));
    recording_->nanoseconds += kCopyNanoseconds * static_cast<double>(bytes);
  } else {
    stream.enqueue(std::move(task));
  }
  return true;
}

bool Env::read(double handle, double offset, char* data, uint64_t bytes) {
  if (refuse_if_capturing("read")) return false;
  const char* from = resolve("read", handle, offset, bytes);
  if (from == nullptr) return false;
  stream.sync();
  if (!stream.failed() && bytes > 0) {
    std::promise<void> arrived;
    device().read(data, from, bytes, stream, [&] { arrived.set_value(); });
    arrived.get_future().wait();
  }
  if (!stream.failed()) return true;
  set_late_error();
  return false;
}

bool Env::release(double handle) {
  Storage* s = find(handle);
  if (s == nullptr) return false;
  if (s->pins > 0) {
    ++s->generation;
    s->released = true;
    return true;
  }
  if (s->capture) drop(*s->capture);
  remove(static_cast<uint32_t>(s - storages_.data()));
  return true;
}

void Env::remove(uint32_t index) {
  Storage* s = &storages_[index];
  if (s->mapping) {
    // Queued readers come first: the mapping stays until the stream drops this task.
    if (!stream.idle()) stream.enqueue([mapping = s->mapping] {});
  } else if (!s->capture) {
    if (poison && !recording_ && stream.start()) {
      char* data = s->data;
      const uint64_t bytes = s->bytes;
      stream.enqueue([this, data, bytes] { device().fill(data, 0xdb, bytes, stream); });
    }
    allocator.free(s->data, s->bytes, s->origin ? s->origin->arena.get() : nullptr);
  }
  if (!s->capture) --live_;
  const uint32_t generation = s->generation;
  *s = Storage();
  s->generation = generation + 1;
  // A slot whose generations are used up is never handed out again.
  if (generation < kMaxGeneration) free_.push_back(index);
}

char* Env::resolve(const char* op, double handle, double offset, uint64_t bytes) {
  Storage* s = use(op, handle);
  if (s == nullptr) return nullptr;
  int64_t at;
  if (!to_int(offset, 0, kMaxInt, &at) || static_cast<uint64_t>(at) > s->bytes ||
      bytes > s->bytes - static_cast<uint64_t>(at)) {
    fail(Status::shape, op,
         "bytes " + std::to_string(offset) + " .. +" + std::to_string(bytes) + " lie outside a storage of " +
             std::to_string(s->bytes));
    return nullptr;
  }
  return s->data + at;
}

// True, with the error set, when an output that already has memory shares some of it with an operand. Kernels run in
// chunks in any order; an elementwise op may write the very view that it reads, as x.add_(y) does.
bool Env::refuse_overlap(const Op& op, bool pointwise, int64_t n_in) {
  by_address_.clear();
  for (size_t i = 0; i < operands_.size(); ++i) {
    const Operand& o = operands_[i];
    if (!o.present() || o.data == kUnborn) continue;
    const bool output = static_cast<int64_t>(i) >= n_in;
    if (output && overlaps_itself(o)) {
      fail(Status::shape, op.name, "cannot write to an expanded tensor: its elements share memory. Use contiguous()");
      return true;
    }
    by_address_.push_back(static_cast<int32_t>(i));
  }
  const auto at = [&](int32_t i) -> const Operand& { return operands_[static_cast<size_t>(i)]; };
  // Lists can hold thousands of operands: only neighbours by address can meet.
  std::sort(by_address_.begin(), by_address_.end(), [&](int32_t a, int32_t b) { return at(a).data < at(b).data; });
  for (size_t i = 0; i < by_address_.size(); ++i) {
    const int32_t a = by_address_[i];
    for (size_t j = i + 1; j < by_address_.size() && at(by_address_[j]).data < end_of(at(a)); ++j) {
      const int32_t b = by_address_[j];
      const int outputs = (a >= n_in) + (b >= n_in);
      if (outputs == 0 || (outputs == 1 && pointwise && same_view(at(a), at(b))) || !overlap(at(a), at(b))) continue;
      fail(Status::shape, op.name,
           outputs == 2 ? "two outputs share memory. Give each its own"
                        : "the output shares memory with an input. Use clone() on one of them first");
      return true;
    }
  }
  return false;
}

bool Env::submit(const double* source, int64_t length, double* reply) {
  if (length < 4 || length > static_cast<int64_t>(record_.size()))
    return fail(Status::value, "submit", "bad record length");
  std::memcpy(record_.data(), source, static_cast<size_t>(length) * sizeof(double));
  const double* r = record_.data();
  int64_t code, n_in, n_out, n_attrs;
  if (!to_int(r[0], 0, kOpCount - 1, &code)) return fail(Status::value, "submit", "no such command");
  const Op& op = kOps[code];
  const OpSignature& signature = signatures()[static_cast<size_t>(code)];
  if (refuse_if_failed(op.name)) return false;
  if (!stream.start()) return fail(Status::internal, op.name, "the system gives no thread to run commands on");
  if (!to_int(r[1], 0, kMaxOperands, &n_in) || !to_int(r[2], 0, kMaxOperands, &n_out) ||
      !to_int(r[3], 0, length, &n_attrs) || !signature.in.accepts(n_in) || !signature.out.accepts(n_out)) {
    return fail(Status::value, op.name, "wrong number of operands or attributes");
  }

  const int64_t operands = n_in + n_out;
  operands_.resize(static_cast<size_t>(operands));
  fresh_.clear();
  bool in_place = false, writes = false;
  int64_t largest = 0;
  int64_t at = 4;
  for (int64_t i = 0; i < operands; ++i) {
    const bool output = i >= n_in;
    const int64_t nth = output ? i - n_in : i;
    Operand& o = operands_[static_cast<size_t>(i)];
    // The whole struct in one memset becomes a loop of the microcode that takes as long as all the rest (25 ns).
    o.data = nullptr;
    std::memset(o.shape, 0, sizeof o.shape);
    std::memset(o.strides, 0, sizeof o.strides);
    o.ndim = 0;
    o.dtype = DType::f32;
    int64_t dtype, ndim, offset;
    if (at + 4 > length || !to_int(r[at + 1], -1, kDTypeCount - 1, &dtype) || !to_int(r[at + 3], 0, kMaxDims, &ndim) ||
        !to_int(r[at + 2], 0, kMaxInt, &offset) || at + 4 + 2 * ndim > length) {
      return fail(Status::value, op.name, "malformed operand");
    }
    if (dtype < 0) {
      const Signature& side = output ? signature.out : signature.in;
      if (!side.may_lack(nth)) return fail(Status::value, op.name, "a required operand is missing");
      at += 4;
      continue;
    }
    o.dtype = static_cast<DType>(dtype);
    o.ndim = static_cast<int32_t>(ndim);
    // Highest element touched, in checked arithmetic.
    int64_t numel = 1, last = offset;
    for (int64_t d = 0; d < ndim; ++d) {
      if (!to_int(r[at + 4 + d], 0, kMaxInt, &o.shape[d]) || !to_int(r[at + 4 + ndim + d], 0, kMaxInt, &o.strides[d])) {
        return fail(Status::value, op.name, "sizes and strides must be integers from 0");
      }
      int64_t reach;
      if (__builtin_mul_overflow(numel, o.shape[d], &numel) ||
          __builtin_mul_overflow(std::max<int64_t>(o.shape[d] - 1, 0), o.strides[d], &reach) ||
          __builtin_add_overflow(last, reach, &last)) {
        return fail(Status::shape, op.name, "the size of an operand overflows");
      }
    }
    const int64_t size = static_cast<int64_t>(dtype_size(o.dtype));
    if (last >= kMaxInt / size || numel >= kMaxInt / size)
      return fail(Status::shape, op.name, "the size of an operand overflows");
    largest = std::max(largest, numel);
    writes |= output && numel > 0;
    if (output && r[at] == 0) {
      if (!o.contiguous() || offset != 0) return fail(Status::value, op.name, "a new output must be contiguous");
      fresh_.push_back(at);
      o.data = kUnborn;
    } else {
      Storage* s = use(op.name, r[at]);
      if (s == nullptr) return false;
      if (numel > 0 && static_cast<uint64_t>((last + 1) * size) > s->bytes) {
        return fail(Status::shape, op.name, "an operand reaches outside its storage");
      }
      o.data = s->data + (numel > 0 ? offset * size : 0);
      if (reinterpret_cast<uintptr_t>(o.data) % static_cast<uintptr_t>(size) != 0) {
        return fail(Status::value, op.name, "an operand is not aligned to its element size");
      }
      in_place = in_place || output;
    }
    at += 4 + 2 * ndim;
  }
  if (at + n_attrs != length || !signature.check(r + at, n_attrs)) {
    return fail(Status::value, op.name, "attributes do not fit the op");
  }

  Args args{};
  args.in = operands_.data();
  args.out = operands_.data() + n_in;
  args.attrs = r + at;
  args.n_in = static_cast<int32_t>(n_in);
  args.n_out = static_cast<int32_t>(n_out);
  args.n_attrs = static_cast<int32_t>(n_attrs);
  const Status status = op.check(args);
  if (!status) return fail(status.code, op.name, status.message);
  if (const char* what = device().lacks(op)) return fail(Status::value, op.name, what);
  if (recording_ && signature.draws_at >= 0 && refuse_draw(op, args.attrs + signature.draws_at)) return false;
  const bool pointwise = code < kElementwiseCount || std::strcmp(op.name, "copy") == 0;
  if (in_place && refuse_overlap(op, pointwise, n_in)) return false;

  // Reserve everything before anything runs; on failure nothing stays.
  handles_.clear();
  const auto undo = [&] {
    for (double h : handles_) release(h);
    return false;
  };
  for (int64_t i = n_in; i < operands; ++i) {
    Operand& o = operands_[static_cast<size_t>(i)];
    if (o.data != kUnborn) continue;
    Storage s;
    const uint64_t bytes = static_cast<uint64_t>(o.numel()) * dtype_size(o.dtype);
    if (!reserve(op.name, bytes, &s)) return undo();
    o.data = s.data;
    const double handle = add(std::move(s));
    if (handle < 0) {
      allocator.free(o.data, bytes, arena());
      return undo();
    }
    handles_.push_back(handle);
  }
  if (const size_t bytes = device().workspace(op, args); bytes > 0) {
    args.workspace = allocate(op.name, bytes);
    if (args.workspace == nullptr) return undo();
    // Free for the next command: it runs after this one.
    allocator.free(args.workspace, bytes, arena());
  }
  const double nanoseconds = op.cost * static_cast<double>(largest) + 20;
  if (recording_ && writes && !record(op, args, nanoseconds, signature.draws_at)) return undo();
  // Only now: a record that failed can be submitted again as it stands.
  for (size_t i = 0; i < handles_.size(); ++i) reply[fresh_[i]] = handles_[i];
  // With nothing to write there is nothing to do: kernels need not think of empty outputs.
  if (writes && !recording_) stream.submit(op, args, nanoseconds);
  return true;
}

Env::Stats Env::stats() const { return {live_, allocator.stats()}; }

void Env::clear_cache() {
  stream.sync();
  allocator.clear_cache();
}

}  // namespace shakti
