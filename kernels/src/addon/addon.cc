// The border: decodes calls from JavaScript, hands them to Env, encodes the answers. The only file that includes nan.
#include <nan.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "../cuda/device.h"
#include "../runtime/abi.gen.h"
#include "../runtime/cpu_features.h"
#include "../runtime/env.h"
#include "../runtime/pages.h"
#include "../runtime/pool.h"
#include "../runtime/transfer.h"

namespace {

using shakti::Env;
using v8::ArrayBuffer;
using v8::ArrayBufferView;
using v8::BackingStore;
using v8::Local;
using v8::Object;
using v8::Value;
using Info = const Nan::FunctionCallbackInfo<Value>&;

// Bytes reported to V8 lag behind by at most this.
constexpr int64_t kReportStep = 1 << 20;
// V8 collects in steps of wall time, beside helper threads; on a busy machine the memory of dropped tensors may outrun
// it. What weak handles stand for may grow by so much, or by half, before this side collects; by less if memory is
// short.
constexpr int64_t kMostUncollected = 512 << 20, kLeastUncollected = 32 << 20;

struct Binding;
struct Place;

// A weak handle on the object that owns a storage. Its callback runs inside the collection and calls no JavaScript.
struct Guard {
  Binding* binding;
  Place* place;
  v8::Global<Object> owner;
  double handle;
  int64_t bytes;
};

// A read on its way: filled by the executor, answered on the JavaScript thread.
struct Read {
  Place* place;
  Nan::Callback done;
  std::shared_ptr<BackingStore> into;
  bool failed;  // what the stream had met when the read's turn came
  shakti::StreamError error;
};

// A device as this thread sees it.
struct Place {
  explicit Place(std::unique_ptr<Env> e) : env(std::move(e)) {}

  std::unique_ptr<Env> env;
  std::unordered_map<double, Guard*> guards;  // by handle
  int64_t guarded = 0;                        // bytes of all guards
  int64_t fewest = 0;                         // guarded at the least since collect_above() collected

  // Forgets a guard. The caller tells V8.
  void end(std::unordered_map<double, Guard*>::iterator it) {
    guarded -= it->second->bytes;
    fewest = std::min(fewest, guarded);
    delete it->second;
    guards.erase(it);
  }

  // Collects when more is guarded than has lately been, and a good deal.
  void collect_above(v8::Isolate* isolate) {
    const auto limit = static_cast<int64_t>(env->allocator.limit() / 8);
    const int64_t room = limit == 0 ? kMostUncollected : std::clamp(limit, kLeastUncollected, kMostUncollected);
    if (guarded - fewest <= std::max(room, fewest / 2)) return;
    isolate->LowMemoryNotification();
    fewest = guarded;
  }
};

struct Binding {
  explicit Binding(v8::Isolate* i) : isolate(i) {
    places.push_back(std::make_unique<Place>(std::make_unique<Env>()));
    called = places[0].get();
  }

  v8::Isolate* isolate;
  std::vector<std::unique_ptr<Place>> places;  // 0: the CPU; then GPUs in the driver's order, null until they are used
  std::shared_ptr<BackingStore> buffer;        // kept here: JavaScript may transfer or drop its own reference
  Place* called;                               // by the last call
  int64_t unreported = 0;

  uv_async_t async;
  uv_prepare_t prepare;
  int open_handles = 2;
  std::mutex mutex;
  std::vector<Read*> finished;
  std::unordered_set<Read*> reads;  // those not answered yet
  std::unique_ptr<node::ACHHandle, node::DeleteACHHandle> hook;
  void (*closed)(void*) = nullptr;
  void* closed_data = nullptr;

  double* words() const { return buffer ? static_cast<double*>(buffer->Data()) : nullptr; }

  void account(int64_t bytes) {
    unreported += bytes;
    if (unreported < kReportStep && unreported > -kReportStep) return;
    const int64_t now = unreported;
    unreported = 0;
    isolate->AdjustAmountOfExternalAllocatedMemory(now);
  }
};

Binding* self(Info info) { return static_cast<Binding*>(info.Data().As<v8::External>()->Value()); }

void number(Info info, double v) { info.GetReturnValue().Set(v); }

// The device that argument i names by its place in the list; the CPU when it is left out.
Place& place_of(Info info, int i) {
  Binding* b = self(info);
  const double n = info[i]->IsNumber() ? info[i].As<v8::Number>()->Value() : 0;
  if (!(n >= 0 && n < static_cast<double>(b->places.size())) || !b->places[static_cast<size_t>(n)])
    throw std::runtime_error("this device was not opened");
  return *(b->called = b->places[static_cast<size_t>(n)].get());
}
Env& env_of(Info info, int i) { return *place_of(info, i).env; }

double arg(Info info, int i) { return info[i]->IsNumber() ? info[i].As<v8::Number>()->Value() : std::nan(""); }

// The bytes of an ArrayBuffer or of a view on one; false for anything else, and for a detached buffer.
bool bytes_of(Local<Value> value, std::shared_ptr<BackingStore>* store, char** data, size_t* size) {
  Local<ArrayBuffer> buffer;
  size_t offset = 0;
  if (value->IsArrayBufferView()) {
    Local<ArrayBufferView> view = value.As<ArrayBufferView>();
    buffer = view->Buffer();
    offset = view->ByteOffset();
    *size = view->ByteLength();
  } else if (value->IsArrayBuffer()) {
    buffer = value.As<ArrayBuffer>();
    *size = buffer->ByteLength();
  } else {
    return false;
  }
  *store = buffer->GetBackingStore();
  // Memory that JavaScript can shrink while the executor writes it.
  if ((*store)->IsResizableByUserJavaScript()) return false;
  *data = static_cast<char*>((*store)->Data()) + offset;
  return offset + *size <= (*store)->ByteLength();
}

bool refuse(Info info, int code, const char* op, const char* message) {
  self(info)->called->env->last_error = {code, message, op, false};
  number(info, -1);
  return false;
}

// Memory is short: tensors that nobody holds, but that no scope owned, are still there until V8 collects.
bool collect(Binding* b, const Place& place) {
  if (place.env->last_error.code != shakti::Status::out_of_memory || place.guards.empty()) return false;
  const size_t before = place.guards.size();
  b->isolate->LowMemoryNotification();
  return place.guards.size() < before;
}

void on_weak(const v8::WeakCallbackInfo<Guard>& info) {
  Guard* guard = info.GetParameter();
  guard->owner.Reset();
  Binding* b = guard->binding;
  guard->place->env->release(guard->handle);
  // Reporting to V8 may start a collection, which must not happen here; the next call does it.
  b->unreported -= guard->bytes;
  guard->place->end(guard->place->guards.find(guard->handle));
}

void on_finished(uv_async_t* async) {
  auto* b = static_cast<Binding*>(async->data);
  Nan::HandleScope scope;
  std::vector<Read*> reads;
  {
    std::lock_guard<std::mutex> lock(b->mutex);
    reads.swap(b->finished);
  }
  for (Read* read : reads) {
    std::unique_ptr<Read> owned(read);
    b->reads.erase(read);
    if (b->reads.empty()) uv_unref(reinterpret_cast<uv_handle_t*>(async));
    b->called = read->place;
    if (read->failed)
      read->place->env->last_error = {shakti::Status::internal, read->error.message, read->error.op, true};
    Local<Value> code = Nan::New<v8::Number>(read->failed ? -1 : 0);
    Nan::AsyncResource resource("shakti:read");
    owned->done.Call(1, &code, &resource);
  }
}

// The event loop is about to wait for something: commands that wait for company have waited long enough.
void on_prepare(uv_prepare_t* prepare) {
  for (const auto& place : static_cast<Binding*>(prepare->data)->places)
    if (place) place->env->stream.wake();
}

NAN_METHOD(Init) {
  Binding* b = self(info);
  std::shared_ptr<BackingStore> store;
  char* data;
  size_t size;
  if (!bytes_of(info[0], &store, &data, &size) || size < shakti::kBufferBytes || !info[0]->IsArrayBuffer()) {
    return Nan::ThrowTypeError("init: needs an ArrayBuffer of 512 KiB");
  }
  shakti::Isa isa;
  std::string why;
  if (!shakti::choose_isa(&isa, &why)) return Nan::ThrowError(why.c_str());
  b->buffer = store;
  Local<Object> out = Nan::New<Object>();
  const auto text = [](const std::string& s) { return Nan::New(s).ToLocalChecked(); };
  Nan::Set(out, text("abi"), text(SHAKTI_ABI));
  Nan::Set(out, text("isa"), text(shakti::isa_name(b->places[0]->env->stream.isa)));
  Local<v8::Array> isas = Nan::New<v8::Array>();
  for (int i = 0, n = 0; i < shakti::kIsaCount; ++i) {
    const auto isa = static_cast<shakti::Isa>(i);
    if (shakti::isa_available(isa)) Nan::Set(isas, n++, text(shakti::isa_name(isa)));
  }
  Nan::Set(out, text("isas"), isas);
  Nan::Set(out, text("threads"), Nan::New(shakti::Pool::instance().threads()));
  Nan::Set(out, text("cpu"), text(shakti::cpu_model()));
  Local<v8::Array> features = Nan::New<v8::Array>();
  uint32_t count = 0;
  for (const std::string& name : shakti::cpu_feature_names()) Nan::Set(features, count++, text(name));
  Nan::Set(out, text("features"), features);
  info.GetReturnValue().Set(out);
}

NAN_METHOD(Submit) {
  Binding* b = self(info);
  const double length = arg(info, 0);
  if (!b->buffer || !(length >= 0 && length <= static_cast<double>(shakti::kBufferBytes / sizeof(double)))) {
    refuse(info, shakti::Status::value, "submit", "bad record length, or init() was not called");
    return;
  }
  Place& place = place_of(info, 1);
  const auto submit = [&] { return place.env->submit(b->words(), static_cast<int64_t>(length), b->words()); };
  number(info, submit() || (collect(b, place) && submit()) ? 0 : -1);
}

NAN_METHOD(Alloc) {
  Place& place = place_of(info, 1);
  double handle = place.env->alloc(arg(info, 0));
  if (handle < 0 && collect(self(info), place)) handle = place.env->alloc(arg(info, 0));
  number(info, handle);
}

NAN_METHOD(Release) {
  Binding* b = self(info);
  const double length = arg(info, 0);
  if (!b->buffer || !(length >= 0 && length <= static_cast<double>(shakti::kBufferBytes / sizeof(double)))) return;
  Place& place = place_of(info, 1);
  const double* handles = b->words();
  int64_t unguarded = 0;
  for (int64_t i = 0; i < static_cast<int64_t>(length); ++i) {
    place.env->release(handles[i]);
    const auto it = place.guards.find(handles[i]);
    if (it == place.guards.end()) continue;
    // A guard ends with its memory: V8 would collect for the sake of bytes that are long gone.
    unguarded += it->second->bytes;
    place.end(it);
  }
  b->account(-unguarded);
}

NAN_METHOD(MakeGuard) {
  Binding* b = self(info);
  const double handle = arg(info, 1), bytes = arg(info, 2);
  if (!info[0]->IsObject() || !std::isfinite(handle) || !(bytes >= 0 && bytes < 1e15))
    return Nan::ThrowTypeError("guard: needs an object, a handle and bytes");
  Place& place = place_of(info, 3);
  if (place.guards.count(handle) != 0) return;
  auto* guard = new Guard{b, &place, {}, handle, static_cast<int64_t>(bytes)};
  guard->owner.Reset(b->isolate, info[0].As<Object>());
  guard->owner.SetWeak(guard, on_weak, v8::WeakCallbackType::kParameter);
  place.guards.emplace(handle, guard);
  place.guarded += guard->bytes;
  // A small object in JavaScript stands for this much memory: without the report V8 collects too late.
  b->account(guard->bytes);
  place.collect_above(b->isolate);
}

NAN_METHOD(AdjustExternal) {
  const double bytes = arg(info, 0);
  if (std::fabs(bytes) < 1e15) self(info)->account(static_cast<int64_t>(bytes));
}

NAN_METHOD(Upload) {
  Env& env = env_of(info, 3);
  std::shared_ptr<BackingStore> store;
  char* data;
  size_t size;
  if (!bytes_of(info[2], &store, &data, &size)) {
    refuse(info, shakti::Status::value, "upload", "needs an ArrayBuffer or a view that is not detached");
    return;
  }
  number(info, env.upload(arg(info, 0), arg(info, 1), data, size) ? 0 : -1);
}

NAN_METHOD(ReadSync) {
  Env& env = env_of(info, 3);
  std::shared_ptr<BackingStore> store;
  char* data;
  size_t size;
  if (!bytes_of(info[2], &store, &data, &size)) {
    refuse(info, shakti::Status::value, "read", "needs an ArrayBuffer or a view that is not detached");
    return;
  }
  number(info, env.read(arg(info, 0), arg(info, 1), data, size) ? 0 : -1);
}

// Queues `start`, which is to call what it is given when it is done; then the function info[i] is called.
void finish_later(Info info, int i, Place& place, std::shared_ptr<BackingStore> keep,
                  std::function<void(std::function<void()>)> start) {
  Binding* b = self(info);
  shakti::Stream& stream = place.env->stream;
  if (place.env->refuse_if_capturing("read")) return number(info, -1);
  if (!stream.start()) {
    refuse(info, shakti::Status::internal, "read", "the system gives no thread to run commands on");
    return;
  }
  auto* read = new Read{&place, Nan::Callback(info[i].As<v8::Function>()), std::move(keep), false, {}};
  if (b->reads.empty()) uv_ref(reinterpret_cast<uv_handle_t*>(&b->async));
  b->reads.insert(read);
  stream.enqueue([b, &stream, read, start = std::move(start)] {
    const auto done = [b, &stream, read] {
      read->failed = stream.failed();
      if (read->failed) read->error = stream.error();
      {
        std::lock_guard<std::mutex> lock(b->mutex);
        b->finished.push_back(read);
      }
      uv_async_send(&b->async);
    };
    if (stream.failed())
      done();
    else
      start(done);
  });
  number(info, 0);
}

NAN_METHOD(ReadAsync) {
  Place& place = place_of(info, 4);
  std::shared_ptr<BackingStore> store;
  char* data;
  size_t size;
  if (!bytes_of(info[2], &store, &data, &size) || !info[3]->IsFunction()) {
    refuse(info, shakti::Status::value, "read", "needs an ArrayBuffer that is not detached, and a function");
    return;
  }
  Env& env = *place.env;
  const char* from = env.resolve("read", arg(info, 0), arg(info, 1), size);
  if (from == nullptr) return number(info, -1);
  finish_later(info, 3, place, store, [&env, from, data, size](std::function<void()> done) {
    env.device().read(data, from, size, env.stream, std::move(done));
  });
}

NAN_METHOD(Flush) {
  if (!info[0]->IsFunction()) return Nan::ThrowTypeError("flush: needs a function");
  Place& place = place_of(info, 1);
  Env& env = *place.env;
  // A read of nothing is done when all before it is.
  finish_later(info, 0, place, nullptr, [&env](std::function<void()> done) {
    env.device().read(nullptr, nullptr, 0, env.stream, std::move(done));
  });
}

NAN_METHOD(Sync) {
  Env& env = env_of(info, 0);
  if (env.refuse_if_capturing("sync")) return number(info, -1);
  env.stream.sync();
  if (env.stream.failed()) {
    env.set_late_error();
    return number(info, -1);
  }
  number(info, 0);
}

NAN_METHOD(Mark) {
  Env& env = env_of(info, 0);
  if (env.refuse_if_capturing("mark") || !env.stream.start()) return number(info, -1);
  env.stream.enqueue([&env] { env.device().mark(env.stream); });
  number(info, 0);
}

NAN_METHOD(Times) {
  Env& env = env_of(info, 0);
  if (env.refuse_if_capturing("times")) return number(info, -1);
  env.stream.sync();
  const std::vector<double> times = env.device().times(env.stream);
  if (env.stream.failed()) {
    env.set_late_error();
    return number(info, -1);
  }
  Local<v8::Array> all = Nan::New<v8::Array>(static_cast<int>(times.size()));
  for (size_t i = 0; i < times.size(); ++i) Nan::Set(all, static_cast<uint32_t>(i), Nan::New(times[i]));
  info.GetReturnValue().Set(all);
}

shakti::RandomState random_state(Info info, int i) { return {arg(info, i), arg(info, i + 1), arg(info, i + 2)}; }

NAN_METHOD(BeginCapture) {
  const double pool = info[4]->IsUndefined() ? 0 : arg(info, 4);
  number(info, env_of(info, 3).begin_capture(random_state(info, 0), pool) ? 0 : -1);
}

NAN_METHOD(EndCapture) { number(info, env_of(info, 1).end_capture(info[0]->IsTrue())); }

NAN_METHOD(CaptureBytes) { number(info, env_of(info, 1).capture_bytes(arg(info, 0))); }

NAN_METHOD(Replay) { number(info, env_of(info, 4).replay(arg(info, 0), random_state(info, 1)) ? 0 : -1); }

void set(Local<Object> o, const char* key, double v) { Nan::Set(o, Nan::New(key).ToLocalChecked(), Nan::New(v)); }

// The GPUs that the driver has: [{ name, bytes, compute, multiprocessors }], or why there is none.
NAN_METHOD(CudaDevices) {
  std::string why;
  const int count = shakti::cuda::device_count(&why);
  if (count == 0) {
    info.GetReturnValue().Set(Nan::New(why).ToLocalChecked());
    return;
  }
  Local<v8::Array> all = Nan::New<v8::Array>(count);
  for (int i = 0; i < count; ++i) {
    shakti::cuda::DeviceProperties p;
    if (!shakti::cuda::properties_of(i, &p, &why)) return info.GetReturnValue().Set(Nan::New(why).ToLocalChecked());
    Local<Object> row = Nan::New<Object>();
    Nan::Set(row, Nan::New("name").ToLocalChecked(), Nan::New(p.name).ToLocalChecked());
    const std::string compute = std::to_string(p.major) + "." + std::to_string(p.minor);
    Nan::Set(row, Nan::New("compute").ToLocalChecked(), Nan::New(compute).ToLocalChecked());
    set(row, "bytes", static_cast<double>(p.bytes));
    set(row, "multiprocessors", p.multiprocessors);
    Nan::Set(all, static_cast<uint32_t>(i), row);
  }
  info.GetReturnValue().Set(all);
}

// Opens GPU info[0], with the modules in the folder info[1]; its place, info[0] + 1, names it in all other calls. A
// string says why not.
NAN_METHOD(OpenCuda) {
  Binding* b = self(info);
  const double ordinal = arg(info, 0);
  if (!(ordinal >= 0 && ordinal < 1024) || !info[1]->IsString())
    return Nan::ThrowTypeError("openCuda: needs a number and a folder");
  const auto place = static_cast<size_t>(ordinal) + 1;
  if (place < b->places.size() && b->places[place]) return number(info, static_cast<double>(place));
  std::string why;
  auto device = shakti::cuda::CudaDevice::open(static_cast<int>(ordinal), *Nan::Utf8String(info[1]), &why);
  if (!device) return info.GetReturnValue().Set(Nan::New(why).ToLocalChecked());
  if (b->places.size() <= place) b->places.resize(place + 1);
  b->places[place] = std::make_unique<Place>(std::make_unique<Env>(std::move(device)));
  number(info, static_cast<double>(place));
}

// transfer(from, handle, offset, to, handle, offset, bytes)
NAN_METHOD(Transfer) {
  Env& from = env_of(info, 0);
  Env& to = env_of(info, 3);
  const double bytes = arg(info, 6);
  if (!(bytes >= 0 && bytes < 1e15)) {
    refuse(info, shakti::Status::value, "to", "not a number of bytes");
    return;
  }
  Env* refused = nullptr;
  const bool ok = shakti::transfer(from, arg(info, 1), arg(info, 2), to, arg(info, 4), arg(info, 5),
                                   static_cast<uint64_t>(bytes), &refused);
  if (!ok && refused == &from) place_of(info, 0);  // whose error it is
  number(info, ok ? 0 : -1);
}

NAN_METHOD(MapFile) {
  if (!info[0]->IsString()) {
    refuse(info, shakti::Status::value, "mapFile", "needs a path");
    return;
  }
  Nan::Utf8String path(info[0]);
  if (*path == nullptr || std::strlen(*path) != static_cast<size_t>(path.length())) {
    refuse(info, shakti::Status::value, "mapFile", "a path cannot hold a zero byte");
    return;
  }
  number(info, env_of(info, 3).map_file(*path, arg(info, 1), arg(info, 2)));
}

NAN_METHOD(GetLastError) {
  const auto& e = self(info)->called->env->last_error;
  Local<Object> out = Nan::New<Object>();
  set(out, "code", e.code);
  Nan::Set(out, Nan::New("message").ToLocalChecked(), Nan::New(e.message).ToLocalChecked());
  Nan::Set(out, Nan::New("op").ToLocalChecked(), Nan::New(e.op).ToLocalChecked());
  Nan::Set(out, Nan::New("late").ToLocalChecked(), Nan::New(e.late));
  info.GetReturnValue().Set(out);
}

NAN_METHOD(ResetError) { env_of(info, 0).stream.reset_error(); }

NAN_METHOD(GetStats) {
  Env& env = env_of(info, 0);
  const auto s = env.stats();
  Local<Object> out = Nan::New<Object>();
  set(out, "handles", static_cast<double>(s.handles));
  set(out, "liveBytes", static_cast<double>(s.memory.live));
  set(out, "capturedBytes", static_cast<double>(s.memory.captured));
  set(out, "cachedBytes", static_cast<double>(s.memory.cached));
  set(out, "peakBytes", static_cast<double>(s.memory.peak));
  set(out, "reservedBytes", static_cast<double>(s.memory.reserved));
  set(out, "fragmentedBytes", static_cast<double>(env.allocator.fragmented()));
  set(out, "commands", static_cast<double>(env.stream.commands));
  set(out, "inlined", static_cast<double>(env.stream.inlined));
  set(out, "wakes", static_cast<double>(env.stream.wakes));
  info.GetReturnValue().Set(out);
}

NAN_METHOD(GetPages) {
  const auto pages = shakti::pages_of(env_of(info, 0).allocator);
  Local<Object> out = Nan::New<Object>();
  set(out, "residentBytes", static_cast<double>(pages.resident));
  set(out, "hugePageBytes", static_cast<double>(pages.huge));
  info.GetReturnValue().Set(out);
}

NAN_METHOD(ResetPeak) { env_of(info, 0).allocator.reset_peak(); }

NAN_METHOD(GetProfile) {
  Env& env = env_of(info, 0);
  env.stream.sync();
  Local<Object> out = Nan::New<Object>();
  for (size_t i = 0; i < env.stream.profile.size(); ++i) {
    const auto& p = env.stream.profile[i];
    if (p.calls == 0) continue;
    Local<Object> row = Nan::New<Object>();
    set(row, "calls", static_cast<double>(p.calls));
    set(row, "milliseconds", static_cast<double>(p.nanoseconds) * 1e-6);
    Nan::Set(out, Nan::New(shakti::kOps[i].name).ToLocalChecked(), row);
  }
  info.GetReturnValue().Set(out);
}

NAN_METHOD(ClearCache) { env_of(info, 0).clear_cache(); }

NAN_METHOD(SetMemoryLimit) {
  const double bytes = arg(info, 0);
  if (!(bytes >= 0 && bytes < 1e15)) return Nan::ThrowTypeError("setMemoryLimit: needs a number of bytes, 0 for none");
  env_of(info, 1).allocator.set_limit(static_cast<uint64_t>(bytes));
}

NAN_METHOD(Configure) {
  Env& env = env_of(info, 1);
  if (!info[0]->IsObject()) {
    refuse(info, shakti::Status::value, "configure", "needs an object");
    return;
  }
  Local<Object> o = info[0].As<Object>();
  const auto get = [&](const char* key) {
    return Nan::Get(o, Nan::New(key).ToLocalChecked()).FromMaybe(Local<Value>(Nan::Undefined()));
  };
  env.stream.sync();
  Local<Value> v = get("threads");
  const auto bounded = [](Local<Value> n, int low, int high) {
    return static_cast<int>(std::fmin(std::fmax(n.As<v8::Number>()->Value(), low), high));  // NaN gives low
  };
  if (v->IsNumber()) shakti::Pool::instance().set_threads(bounded(v, 1, shakti::kMaxThreads));
  v = get("isa");
  if (v->IsString()) {
    const std::string wanted = *Nan::Utf8String(v);
    bool found = false;
    for (int i = 0; i < shakti::kIsaCount; ++i) {
      const auto isa = static_cast<shakti::Isa>(i);
      if (wanted == shakti::isa_name(isa) && shakti::isa_available(isa)) {
        env.stream.isa = isa;
        found = true;
      }
    }
    if (!found) {
      refuse(info, shakti::Status::value, "configure", "this machine cannot run that instruction set");
      return;
    }
  }
  v = get("inline");
  if (v->IsString()) {
    const std::string mode = *Nan::Utf8String(v);
    env.stream.inline_mode = mode == "never"    ? shakti::InlineMode::never
                             : mode == "always" ? shakti::InlineMode::always
                                                : shakti::InlineMode::automatic;
  }
  v = get("slowMicroseconds");
  if (v->IsNumber()) env.stream.slow_microseconds = bounded(v, 0, 1000000);
  v = get("profile");
  if (v->IsBoolean()) {
    if (v->IsTrue()) env.stream.profile.assign(static_cast<size_t>(shakti::kOpCount), {});
    env.stream.profiling = v->IsTrue();
  }
  v = get("poison");
  if (v->IsBoolean()) env.poison = v->IsTrue();
  number(info, 0);
}

NAN_METHOD(OpNames) {
  Local<v8::Array> out = Nan::New<v8::Array>(shakti::kOpCount);
  for (int i = 0; i < shakti::kOpCount; ++i)
    Nan::Set(out, static_cast<uint32_t>(i), Nan::New(shakti::kOps[i].name).ToLocalChecked());
  info.GetReturnValue().Set(out);
}

// Runs when the JavaScript thread ends, by itself or by terminate(): queued work is dropped, the executor joined. The
// thread's loop may go only when its handles are closed, so the hook is of the asynchronous kind.
void cleanup(void* data, void (*closed)(void*), void* closed_data) {
  auto* b = static_cast<Binding*>(data);
  for (const auto& place : b->places) {
    if (!place) continue;
    place->env->stop();
    for (const auto& [handle, guard] : place->guards) delete guard;
  }
  for (Read* read : b->reads) delete read;
  b->closed = closed;
  b->closed_data = closed_data;
  const uv_close_cb on_close = [](uv_handle_t* handle) {
    auto* binding = static_cast<Binding*>(handle->data);
    if (--binding->open_handles > 0) return;
    binding->closed(binding->closed_data);
    delete binding;
  };
  uv_close(reinterpret_cast<uv_handle_t*>(&b->async), on_close);
  uv_close(reinterpret_cast<uv_handle_t*>(&b->prepare), on_close);
}

// No exception may leave an entry: it would unwind through V8.
template <void (*F)(Info)>
void guarded(Info info) {
  try {
    F(info);
  } catch (const std::bad_alloc&) {
    refuse(info, shakti::Status::out_of_memory, "native", "no memory for the call itself");
  } catch (const std::exception& e) {
    refuse(info, shakti::Status::internal, "native", e.what());
  }
}

NAN_MODULE_INIT(Load) {
  v8::Isolate* isolate = v8::Isolate::GetCurrent();
  auto* b = new Binding(isolate);
  uv_loop_t* loop = Nan::GetCurrentEventLoop();
  uv_async_init(loop, &b->async, on_finished);
  uv_prepare_init(loop, &b->prepare);
  uv_prepare_start(&b->prepare, on_prepare);
  b->async.data = b->prepare.data = b;
  // Neither keeps the process alive; a read on its way does.
  uv_unref(reinterpret_cast<uv_handle_t*>(&b->async));
  uv_unref(reinterpret_cast<uv_handle_t*>(&b->prepare));
  b->hook = node::AddEnvironmentCleanupHook(isolate, cleanup, b);

  Local<v8::External> data = Nan::New<v8::External>(b);
  const auto method = [&](const char* name, Nan::FunctionCallback callback) {
    Local<v8::FunctionTemplate> t = Nan::New<v8::FunctionTemplate>(callback, data);
    Nan::Set(target, Nan::New(name).ToLocalChecked(), Nan::GetFunction(t).ToLocalChecked());
  };
  method("init", guarded<Init>);
  method("submit", guarded<Submit>);
  method("alloc", guarded<Alloc>);
  method("release", guarded<Release>);
  method("guard", guarded<MakeGuard>);
  method("adjustExternal", guarded<AdjustExternal>);
  method("upload", guarded<Upload>);
  method("readSync", guarded<ReadSync>);
  method("readAsync", guarded<ReadAsync>);
  method("flush", guarded<Flush>);
  method("sync", guarded<Sync>);
  method("mark", guarded<Mark>);
  method("times", guarded<Times>);
  method("beginCapture", guarded<BeginCapture>);
  method("endCapture", guarded<EndCapture>);
  method("captureBytes", guarded<CaptureBytes>);
  method("replay", guarded<Replay>);
  method("cudaDevices", guarded<CudaDevices>);
  method("openCuda", guarded<OpenCuda>);
  method("transfer", guarded<Transfer>);
  method("mapFile", guarded<MapFile>);
  method("lastError", guarded<GetLastError>);
  method("resetError", guarded<ResetError>);
  method("stats", guarded<GetStats>);
  method("profile", guarded<GetProfile>);
  method("pages", guarded<GetPages>);
  method("resetPeak", guarded<ResetPeak>);
  method("clearCache", guarded<ClearCache>);
  method("setMemoryLimit", guarded<SetMemoryLimit>);
  method("configure", guarded<Configure>);
  method("opNames", guarded<OpNames>);
}

}  // namespace

NAN_MODULE_WORKER_ENABLED(shakti, Load)
