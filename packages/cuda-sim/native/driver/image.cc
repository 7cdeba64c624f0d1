#include "image.h"

#include <cctype>
#include <cstring>
#include <vector>

namespace sim {
namespace {

constexpr uint32_t kFatbin = 0xBA55ED50, kWrapper = 0x466243B1;
constexpr uint16_t kPtx = 1, kCubin = 2;
constexpr uint64_t kLz4 = 0x2000, kZstd = 0x8000;
constexpr uint64_t kLongest = uint64_t{1} << 32;

// A fat binary is a header and entries, each with a header of its own, in the machine's byte order.
struct FatbinHeader {
  uint32_t magic;
  uint16_t version, header_bytes;
  uint64_t bytes;  // of what follows
};
struct EntryHeader {
  uint16_t kind, version;
  uint32_t header_bytes;
  uint64_t bytes;  // of what follows, padding with it
  uint32_t compressed_bytes, options;
  uint16_t minor, major;
  uint32_t arch, name_offset, name_bytes;
  uint64_t flags, reserved, decompressed_bytes;
};
static_assert(sizeof(FatbinHeader) == 16 && sizeof(EntryHeader) == 64, "as nvcc writes them");

// What compilers put around a fat binary in a program.
struct Wrapper {
  uint32_t magic, version;
  const void* data;
  const void* file;
};

bool starts_with_text(const char* text, const char* word) { return std::strncmp(text, word, std::strlen(word)) == 0; }

// Past white space and comments.
const char* skip(const char* p) {
  for (;;) {
    while (std::isspace(static_cast<unsigned char>(*p))) ++p;
    if (p[0] == '/' && p[1] == '/') {
      while (*p && *p != '\n') ++p;
    } else if (p[0] == '/' && p[1] == '*') {
      const char* end = std::strstr(p + 2, "*/");
      if (!end) return p;
      p = end + 2;
    } else {
      return p;
    }
  }
}

bool runs_on(const PtxTarget& target, int arch) {
  if (target.suffix == 'a') return target.arch == arch;
  if (target.suffix == 'f') return target.arch / 10 == arch / 10 && target.arch <= arch;
  return target.arch <= arch;
}

CUresult from_fatbin(const char* image, int arch, std::string* ptx, std::string* why) {
  FatbinHeader header;
  std::memcpy(&header, image, sizeof header);
  if (header.header_bytes < sizeof header || header.bytes > kLongest) {
    *why = "the fat binary is damaged: its header says that it has " + std::to_string(header.bytes) + " bytes";
    return CUDA_ERROR_INVALID_IMAGE;
  }
  std::string cubins, others, compressed;
  PtxTarget best;
  uint64_t at = header.header_bytes;
  const uint64_t end = at + header.bytes;
  while (at + sizeof(EntryHeader) <= end) {
    EntryHeader entry;
    std::memcpy(&entry, image + at, sizeof entry);
    if (entry.header_bytes < sizeof entry || entry.bytes > end - at || entry.header_bytes > end - at - entry.bytes) {
      *why = "the fat binary is damaged: an entry of it reaches past its end";
      return CUDA_ERROR_INVALID_IMAGE;
    }
    const char* data = image + at + entry.header_bytes;
    at += entry.header_bytes + entry.bytes;
    const std::string name = "sm_" + std::to_string(entry.arch);
    if (entry.kind == kCubin) cubins += (cubins.empty() ? "" : ", ") + name;
    if (entry.kind != kPtx) continue;
    std::string text;
    if ((entry.flags & kZstd) != 0) {
      compressed += (compressed.empty() ? "" : ", ") + name;
      continue;
    }
    if ((entry.flags & kLz4) != 0) {
      if (entry.compressed_bytes > entry.bytes || entry.decompressed_bytes > kLongest ||
          !decompress_lz4(reinterpret_cast<const unsigned char*>(data), entry.compressed_bytes,
                          entry.decompressed_bytes, &text)) {
        *why = "the fat binary's PTX for " + name + " is damaged: it does not decompress";
        return CUDA_ERROR_INVALID_IMAGE;
      }
    } else {
      text.assign(data, entry.bytes);
    }
    text = text.substr(0, text.find('\0'));
    PtxTarget target;
    if (!ptx_target(text, &target)) continue;
    if (!runs_on(target, arch)) {
      others += (others.empty() ? "" : ", ") + std::string("sm_") + std::to_string(target.arch) +
                (target.suffix ? std::string(1, target.suffix) : "");
      continue;
    }
    // As the driver: what was compiled for exactly this chip, else for the nearest below.
    const auto rank = [](const PtxTarget& t) { return t.arch * 4 + (t.suffix == 'a' ? 2 : t.suffix == 'f' ? 1 : 0); };
    if (rank(target) > rank(best)) {
      best = target;
      *ptx = std::move(text);
    }
  }
  if (best.arch > 0) return CUDA_SUCCESS;
  *why = "no PTX in this fat binary runs on sm_" + std::to_string(arch) + ".";
  if (!others.empty()) *why += " It has PTX for " + others + ".";
  if (!compressed.empty()) {
    *why += " Its PTX for " + compressed +
            " is compressed with Zstandard, which is not read here: build with nvcc --no-compress, or with"
            " -compress-mode=speed (LZ4).";
  }
  if (!cubins.empty()) {
    *why += " It has machine code for " + cubins +
            ", which an interpreter of PTX cannot run: add"
            " -gencode arch=compute_80,code=compute_80.";
  }
  return CUDA_ERROR_NO_BINARY_FOR_GPU;
}

}  // namespace

bool decompress_lz4(const unsigned char* from, size_t bytes, size_t decompressed, std::string* to) {
  const unsigned char* const end = from + bytes;
  to->clear();
  to->reserve(decompressed);
  // A length of 15 goes on in bytes, up to one that is not 255.
  const auto length = [&](size_t n, size_t* out) {
    if (n == 15) {
      unsigned char more = 255;
      while (more == 255) {
        if (from == end) return false;
        more = *from++;
        n += more;
      }
    }
    *out = n;
    return true;
  };
  while (from < end) {
    const unsigned token = *from++;
    size_t literals = 0, match = 0;
    if (!length(token >> 4, &literals) || literals > static_cast<size_t>(end - from) ||
        literals > decompressed - to->size()) {
      return false;
    }
    to->append(reinterpret_cast<const char*>(from), literals);
    from += literals;
    if (from == end) break;  // the last sequence has literals only
    if (end - from < 2) return false;
    const size_t distance = from[0] | (static_cast<size_t>(from[1]) << 8);
    from += 2;
    if (!length(token & 15, &match)) return false;
    match += 4;
    if (distance == 0 || distance > to->size() || match > decompressed - to->size()) return false;
    for (size_t i = 0; i < match; ++i) to->push_back((*to)[to->size() - distance]);
  }
  return to->size() == decompressed;
}

bool ptx_target(const std::string& ptx, PtxTarget* out) {
  const char* p = skip(ptx.c_str());
  if (!starts_with_text(p, ".version")) return false;
  int major = 0, minor = 0, used = 0;
  if (std::sscanf(p + 8, " %d.%d%n", &major, &minor, &used) != 2) return false;
  p = skip(p + 8 + used);
  if (!starts_with_text(p, ".target")) return false;
  p = skip(p + 7);
  int arch = 0;
  if (std::sscanf(p, "sm_%d%n", &arch, &used) != 1) return false;
  out->arch = arch;
  out->suffix = p[used] == 'a' || p[used] == 'f' ? p[used] : '\0';
  out->version = major * 10 + minor;
  return true;
}

CUresult ptx_of_image(const void* image, int arch, std::string* ptx, std::string* why) {
  const char* bytes = static_cast<const char*>(image);
  uint32_t magic = 0;
  // Text may be shorter than a magic number.
  for (size_t i = 0; i < 4; ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    magic |= static_cast<uint32_t>(byte) << (8 * i);
    if (byte == 0) break;
  }
  if (magic == kWrapper) {
    Wrapper wrapper;
    std::memcpy(&wrapper, image, sizeof wrapper);
    if (wrapper.data) return ptx_of_image(wrapper.data, arch, ptx, why);
  }
  if (magic == kFatbin) return from_fatbin(bytes, arch, ptx, why);
  if (std::memcmp(&magic,
                  "\x7f"
                  "ELF",
                  4) == 0) {
    *why =
        "this is a cubin, machine code of a GPU, which an interpreter of PTX cannot run: load PTX, or a fat binary"
        " that holds some.";
    return CUDA_ERROR_NO_BINARY_FOR_GPU;
  }
  const char* start = skip(bytes);
  PtxTarget target;
  if (!starts_with_text(start, ".version")) {
    *why = "this is neither PTX text nor a fat binary nor a cubin.";
    return CUDA_ERROR_INVALID_IMAGE;
  }
  *ptx = bytes;
  if (!ptx_target(*ptx, &target)) {
    *why = "the PTX has no .target of the form sm_80 after its .version.";
    return CUDA_ERROR_INVALID_PTX;
  }
  if (!runs_on(target, arch)) {
    *why = "the PTX is for sm_" + std::to_string(target.arch) + (target.suffix ? std::string(1, target.suffix) : "") +
           ", which this device, sm_" + std::to_string(arch) + ", does not run.";
    return CUDA_ERROR_INVALID_PTX;
  }
  return CUDA_SUCCESS;
}

}  // namespace sim
