// The program behind the command cuda-sim: loads a file of PTX with the library beside it, lists its kernels or runs
// one, and prints one JSON object. The command (src/cli.ts) makes the arguments and reads the answer.
//   cuda-sim check FILE
//   cuda-sim run FILE KERNEL GRID BLOCK SHARED SEED [ARG ...]      GRID, BLOCK: 4,1,1; ARG: see parse_argument,
//   Parameter
// It ends with 0 when the kernel ran, 1 when the library refused or found a fault, 2 when it was called wrongly.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "../driver/api.h"

extern "C" {
CUresult cuInit(unsigned);
CUresult cuGetErrorName(CUresult, const char**);
CUresult cuGetErrorString(CUresult, const char**);
CUresult cuDevicePrimaryCtxRetain(CUcontext*, CUdevice);
CUresult cuCtxSetCurrent(CUcontext);
CUresult cuModuleLoadDataEx(CUmodule*, const void*, unsigned, CUjit_option*, void**);
CUresult cuModuleGetFunction(CUfunction*, CUmodule, const char*);
CUresult cuModuleGetFunctionCount(unsigned*, CUmodule);
CUresult cuModuleEnumerateFunctions(CUfunction*, unsigned, CUmodule);
CUresult cuFuncGetName(const char**, CUfunction);
CUresult cuFuncGetAttribute(int*, CUfunction_attribute, CUfunction);
CUresult cuFuncSetAttribute(CUfunction, CUfunction_attribute, int);
CUresult cuFuncGetParamInfo(CUfunction, size_t, size_t*, size_t*);
CUresult cuMemAlloc_v2(CUdeviceptr*, size_t);
CUresult cuMemcpyHtoD_v2(CUdeviceptr, const void*, size_t);
CUresult cuMemcpyDtoH_v2(void*, CUdeviceptr, size_t);
CUresult cuLaunchKernel(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream,
                        void**, void**);
CUresult cuCtxSynchronize();
}

namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out += '\\';
    if (u < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", u);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

[[noreturn]] void wrong(const std::string& message) {
  std::printf("{\"usage\":%s}\n", quoted(message).c_str());
  std::exit(2);
}

[[noreturn]] void refused(CUresult code, const std::string& what) {
  const char *name = "?", *text = "";
  cuGetErrorName(code, &name);
  cuGetErrorString(code, &text);
  std::printf("{\"error\":{\"code\":%d,\"name\":%s,\"message\":%s}}\n", code, quoted(name).c_str(),
              quoted(what.empty() ? text : what).c_str());
  std::exit(1);
}

void check(CUresult code, const std::string& what = "") {
  if (code != CUDA_SUCCESS) refused(code, what);
}

float from_half(uint16_t h) {
  const int e = h >> 10 & 31;
  const float m = static_cast<float>(h & 1023), sign = (h & 0x8000) != 0 ? -1.0f : 1.0f;
  if (e == 31) return m == 0 ? sign * INFINITY : NAN;
  return sign * (e == 0 ? std::ldexp(m, -24) : std::ldexp(1024 + m, e - 25));
}

uint16_t to_half(double v) {
  const uint16_t sign = std::signbit(v) ? 0x8000 : 0;
  const double a = std::fabs(v);
  if (std::isnan(v)) return 0x7E00;
  if (a >= 65520) return sign | 0x7C00;
  const int e = std::max(a == 0 ? -14 : std::ilogb(a), -14);
  const auto m = static_cast<int>(std::nearbyint(std::ldexp(a, 10 - e)));
  return static_cast<uint16_t>(sign | (m + ((e + 14) << 10)));
}

template <class To, class From>
To bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "of one size");
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

uint16_t to_bf16(double v) {
  const auto u = bits<uint32_t>(static_cast<float>(v));
  return static_cast<uint16_t>(std::isnan(v) ? 0x7FC0 : (u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

struct Type {
  const char* name;
  size_t bytes;
  bool is_float, is_signed;
};
constexpr Type kTypes[] = {{"f32", 4, true, true},   {"f64", 8, true, true},   {"f16", 2, true, true},
                           {"bf16", 2, true, true},  {"u8", 1, false, false},  {"s8", 1, false, true},
                           {"u16", 2, false, false}, {"s16", 2, false, true},  {"u32", 4, false, false},
                           {"s32", 4, false, true},  {"u64", 8, false, false}, {"s64", 8, false, true}};

const Type& type_named(const std::string& name) {
  std::string all;
  for (const Type& type : kTypes) {
    if (name == type.name) return type;
    all += std::string(all.empty() ? "" : ", ") + type.name;
  }
  wrong("there is no type " + name + "; there are " + all);
}

double get(const Type& t, const char* at) {
  uint64_t u = 0;
  std::memcpy(&u, at, t.bytes);
  if (t.is_float) {
    if (t.bytes == 8) return bits<double>(u);
    if (t.bytes == 4) return static_cast<double>(bits<float>(static_cast<uint32_t>(u)));
    if (t.name[0] == 'b') return static_cast<double>(bits<float>(static_cast<uint32_t>(u) << 16));
    return static_cast<double>(from_half(static_cast<uint16_t>(u)));
  }
  if (!t.is_signed) return static_cast<double>(u);
  const int unused = static_cast<int>(64 - 8 * t.bytes);
  return static_cast<double>(static_cast<int64_t>(u << unused) >> unused);
}

void put(const Type& t, char* at, double v) {
  uint64_t u = 0;
  if (t.is_float) {
    if (t.bytes == 8) u = bits<uint64_t>(v);
    if (t.bytes == 4) u = bits<uint32_t>(static_cast<float>(v));
    if (t.bytes == 2) u = t.name[0] == 'b' ? to_bf16(v) : to_half(v);
  } else {
    u = v < 0 ? static_cast<uint64_t>(static_cast<int64_t>(v)) : static_cast<uint64_t>(v);
  }
  std::memcpy(at, &u, t.bytes);
}

bool read_file(const std::string& path, std::string* bytes) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  *bytes = text.str();
  return static_cast<bool>(file);
}

double number(const std::string& text) {
  char* end = nullptr;
  const double v = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0') wrong("\"" + text + "\" is no number");
  return v;
}

struct Argument {
  std::string name;  // its place: 2, or 2.1 of a structure
  const Type* type = nullptr;
  bool is_buffer = false, is_filled = true;
  size_t count = 1;
  std::vector<char> bytes;  // the value, or what the buffer holds at first
  CUdeviceptr address = 0;
};

uint64_t random_state = 1;
double random_unit() {  // splitmix64
  uint64_t z = random_state += 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

// TYPE:VALUE is a value; TYPE:COUNT:CONTENT a buffer, of which CONTENT is random, zeros, iota, none (it stays as fresh
// memory is), a number, or @FILE with its bytes.
Argument parse_argument(const std::string& text) {
  Argument a;
  const size_t first = text.find(':');
  if (first == std::string::npos) wrong("an argument is TYPE:VALUE or TYPE:COUNT:CONTENT, not " + text);
  const size_t second = text.find(':', first + 1);
  a.type = &type_named(text.substr(0, first));
  const std::string middle = text.substr(first + 1, second == std::string::npos ? second : second - first - 1);
  if (second == std::string::npos) {
    a.bytes.resize(a.type->bytes);
    // Whole numbers keep all their digits.
    if (a.type->is_float) {
      put(*a.type, a.bytes.data(), number(middle));
    } else {
      number(middle);
      const uint64_t u = middle[0] == '-' ? static_cast<uint64_t>(std::strtoll(middle.c_str(), nullptr, 0))
                                          : std::strtoull(middle.c_str(), nullptr, 0);
      std::memcpy(a.bytes.data(), &u, a.type->bytes);
    }
    return a;
  }
  a.is_buffer = true;
  const double count = number(middle);
  if (count < 1 || count > 1e10 || count != std::floor(count)) wrong("a buffer of " + middle + " elements");
  a.count = static_cast<size_t>(count);
  const std::string content = text.substr(second + 1);
  a.is_filled = content != "none";
  if (!a.is_filled) return a;
  a.bytes.resize(a.count * a.type->bytes);
  if (content[0] == '@') {
    std::string bytes;
    if (!read_file(content.substr(1), &bytes)) wrong("the file " + content.substr(1) + " cannot be read");
    if (bytes.size() != a.bytes.size()) {
      wrong(content.substr(1) + " has " + std::to_string(bytes.size()) + " bytes, " + text.substr(0, second) +
            " takes " + std::to_string(a.bytes.size()));
    }
    std::memcpy(a.bytes.data(), bytes.data(), bytes.size());
    return a;
  }
  const bool random = content == "random", iota = content == "iota";
  const double value = random || iota || content == "zeros" ? 0 : number(content);
  for (size_t i = 0; i < a.count; ++i) {
    const double v = iota     ? static_cast<double>(i)
                     : random ? (a.type->is_float ? 2 * random_unit() - 1 : std::floor(100 * random_unit()))
                              : value;
    put(*a.type, a.bytes.data() + i * a.type->bytes, v);
  }
  return a;
}

std::string json_number(double v) {
  if (!std::isfinite(v)) return std::isnan(v) ? "\"nan\"" : v > 0 ? "\"inf\"" : "\"-inf\"";
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", v);
  return text;
}

std::string summary(const Argument& a, const std::vector<char>& now) {
  const Type& t = *a.type;
  size_t changed = 0, not_finite = 0;
  double low = INFINITY, high = -INFINITY, sum = 0;
  std::string first;
  for (size_t i = 0; i < a.count; ++i) {
    const char* at = now.data() + i * t.bytes;
    if (a.is_filled && std::memcmp(at, a.bytes.data() + i * t.bytes, t.bytes) != 0) ++changed;
    const double v = get(t, at);
    if (std::isfinite(v)) {
      low = std::min(low, v);
      high = std::max(high, v);
      sum += v;
    } else {
      ++not_finite;
    }
    if (i < 8) first += (i > 0 ? "," : "") + json_number(v);
  }
  const size_t finite = a.count - not_finite;
  return "\"min\":" + json_number(finite > 0 ? low : NAN) + ",\"max\":" + json_number(finite > 0 ? high : NAN) +
         ",\"mean\":" + json_number(finite > 0 ? sum / static_cast<double>(finite) : NAN) +
         ",\"notFinite\":" + std::to_string(not_finite) +
         (a.is_filled ? ",\"changed\":" + std::to_string(changed) : "") + ",\"first\":[" + first + "]";
}

CUmodule load(const char* path) {
  std::string image;
  if (!read_file(path, &image)) wrong(std::string("the file ") + path + " cannot be read");
  image.push_back('\0');
  check(cuInit(0));
  CUcontext context = nullptr;
  check(cuDevicePrimaryCtxRetain(&context, 0));
  check(cuCtxSetCurrent(context));
  std::vector<char> log(4096);
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log.data(), reinterpret_cast<void*>(log.size())};
  CUmodule module = nullptr;
  const CUresult loaded = cuModuleLoadDataEx(&module, image.data(), 2, options, values);
  check(loaded, log.data());
  return module;
}

int attribute(CUfunction f, CUfunction_attribute which) {
  int value = 0;
  check(cuFuncGetAttribute(&value, which, f));
  return value;
}

std::vector<size_t> parameter_sizes(CUfunction f) {
  std::vector<size_t> sizes;
  for (size_t offset = 0, bytes = 0; cuFuncGetParamInfo(f, sizes.size(), &offset, &bytes) == CUDA_SUCCESS;) {
    sizes.push_back(bytes);
  }
  return sizes;
}

int list(const char* path) {
  const CUmodule module = load(path);
  unsigned count = 0;
  check(cuModuleGetFunctionCount(&count, module));
  std::vector<CUfunction> functions(count);
  check(cuModuleEnumerateFunctions(functions.data(), count, module));
  std::string out;
  for (const CUfunction f : functions) {
    const char* name = nullptr;
    check(cuFuncGetName(&name, f));
    std::string parameters;
    for (const size_t bytes : parameter_sizes(f)) {
      parameters += (parameters.empty() ? "" : ",") + std::to_string(bytes);
    }
    out += (out.empty() ? "{\"name\":" : ",{\"name\":") + quoted(name) + ",\"parameters\":[" + parameters +
           "],\"registers\":" + std::to_string(attribute(f, CU_FUNC_ATTRIBUTE_NUM_REGS)) +
           ",\"shared\":" + std::to_string(attribute(f, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)) +
           ",\"local\":" + std::to_string(attribute(f, CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES)) +
           ",\"maxThreads\":" + std::to_string(attribute(f, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)) + "}";
  }
  std::printf("{\"kernels\":[%s]}\n", out.c_str());
  return 0;
}

std::vector<unsigned> parse_dim(const std::string& text) {
  std::vector<unsigned> dim;
  std::stringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const double v = number(part);
    if (v < 0 || v > 4294967295.0 || v != std::floor(v)) wrong(text + " is no grid or block");
    dim.push_back(static_cast<unsigned>(v));
  }
  if (dim.empty() || dim.size() > 3) wrong(text + " is no grid or block: wanted are one to three numbers");
  dim.resize(3, 1);
  return dim;
}

// One parameter of the kernel: a value, a buffer's address, or {ARG,ARG,...}, a structure of such at their natural
// places.
struct Parameter {
  std::vector<char> bytes;
  std::vector<std::pair<size_t, size_t>> buffers;  // which of the arguments, at which offset
  size_t align = 1;
};

size_t round_up(size_t n, size_t step) { return (n + step - 1) / step * step; }

void append(Parameter* p, Argument a, std::vector<Argument>* all) {
  const size_t bytes = a.is_buffer ? sizeof a.address : a.bytes.size();
  const size_t offset = round_up(p->bytes.size(), bytes);
  p->align = std::max(p->align, bytes);
  p->bytes.resize(offset + bytes);
  if (a.is_buffer) {
    p->buffers.emplace_back(all->size(), offset);
    all->push_back(std::move(a));
  } else {
    std::memcpy(p->bytes.data() + offset, a.bytes.data(), bytes);
  }
}

Parameter parse_parameter(const std::string& text, const std::string& index, std::vector<Argument>* all) {
  Parameter p;
  if (text[0] != '{') {
    Argument a = parse_argument(text);
    a.name = index;
    append(&p, std::move(a), all);
    return p;
  }
  if (text.back() != '}') wrong("a structure is {ARG,ARG,...}, not " + text);
  std::stringstream members(text.substr(1, text.size() - 2));
  size_t i = 0;
  for (std::string member; std::getline(members, member, ',');) {
    Argument a = parse_argument(member);
    a.name = index + "." + std::to_string(i++);
    append(&p, std::move(a), all);
  }
  p.bytes.resize(round_up(p.bytes.size(), p.align));
  return p;
}

int run(int argc, char** argv) {
  if (argc < 8) wrong("run FILE KERNEL GRID BLOCK SHARED SEED [ARG ...]");
  const std::string name = argv[3];
  const std::vector<unsigned> grid = parse_dim(argv[4]), block = parse_dim(argv[5]);
  const auto shared = static_cast<unsigned>(number(argv[6]));
  random_state = static_cast<uint64_t>(number(argv[7])) * 0xD1342543DE82EF95ull;
  std::vector<Argument> buffers;
  std::vector<Parameter> parameters;
  for (int i = 8; i < argc; ++i) parameters.push_back(parse_parameter(argv[i], std::to_string(i - 8), &buffers));

  const CUmodule module = load(argv[2]);
  CUfunction f = nullptr;
  check(cuModuleGetFunction(&f, module, name.c_str()), "the file has no kernel " + name);
  const std::vector<size_t> sizes = parameter_sizes(f);
  if (sizes.size() != parameters.size()) {
    wrong(name + " takes " + std::to_string(sizes.size()) + " arguments, " + std::to_string(parameters.size()) +
          " are given");
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].bytes.size() == sizes[i]) continue;
    wrong("argument " + std::to_string(i) + " of " + name + " has " + std::to_string(sizes[i]) + " bytes, not " +
          std::to_string(parameters[i].bytes.size()));
  }
  for (Argument& a : buffers) {
    check(cuMemAlloc_v2(&a.address, a.count * a.type->bytes));
    if (a.is_filled) check(cuMemcpyHtoD_v2(a.address, a.bytes.data(), a.bytes.size()));
  }
  std::vector<void*> params;
  for (Parameter& p : parameters) {
    for (const auto& [which, offset] : p.buffers) {
      std::memcpy(p.bytes.data() + offset, &buffers[which].address, sizeof(CUdeviceptr));
    }
    params.push_back(p.bytes.data());
  }
  if (shared > 0)
    check(cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, static_cast<int>(shared)));
  check(cuLaunchKernel(f, grid[0], grid[1], grid[2], block[0], block[1], block[2], shared, nullptr, params.data(),
                       nullptr),
        "the launch was refused: see SHAKTI_SIM_VERBOSE=1");
  check(cuCtxSynchronize());

  std::string out;
  for (const Argument& a : buffers) {
    std::vector<char> now(a.count * a.type->bytes);
    check(cuMemcpyDtoH_v2(now.data(), a.address, now.size()));
    out += (out.empty() ? "{\"argument\":" : ",{\"argument\":") + quoted(a.name) + ",\"type\":" + quoted(a.type->name) +
           ",\"count\":" + std::to_string(a.count) + "," + summary(a, now) + "}";
  }
  std::printf("{\"kernel\":%s,\"buffers\":[%s]}\n", quoted(name).c_str(), out.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "check" && argc == 3) return list(argv[2]);
  if (what == "run") return run(argc, argv);
  wrong("called by the command cuda-sim, with check FILE or run FILE ...");
}
