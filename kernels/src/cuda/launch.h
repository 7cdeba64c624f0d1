// What the CUDA side of an op may use: `void run_<name>(const Args&, Launch&)` in ops/<family>/cuda.cc chooses kernels
// of ops/<family>/cuda.cu, grids and parameters. Operands' data are addresses of the GPU.
#pragma once
#include <cstddef>
#include <type_traits>

#include "../runtime/args.h"
#include "driver.h"
#include "random.h"
#include "report.h"
#include "tensor_map.h"

namespace shakti {
struct Op;
class Stream;
}  // namespace shakti

namespace shakti::cuda {

class CudaDevice;

struct Dim {
  Dim(int64_t x_ = 1, int64_t y_ = 1, int64_t z_ = 1) : x(x_), y(y_), z(z_) {}
  int64_t x, y, z;
};

class Launch {
 public:
  Launch(CudaDevice& device, Stream& stream, const Op& op) : device_(device), stream_(stream), op_(op) {}

  // Queues the kernel `name` of the module build/cuda/<family>. A kernel has one parameter, a struct, which is copied.
  // shared_bytes: dynamic. An empty grid is no launch.
  template <class P>
  void kernel(const char* family, const char* name, Dim grid, Dim block, const P& params, size_t shared_bytes = 0) {
    static_assert(std::is_trivially_copyable<P>::value, "a kernel's parameters are plain data");
    static_assert(sizeof(P) <= 4096, "a kernel takes at most 4096 bytes of parameters");
    void* p[] = {const_cast<P*>(&params)};
    start(family, name, grid, block, p, shared_bytes);
  }
  // Sets bytes to 0.
  void zero(void* to, size_t bytes);

  // For the kernels of compute capability 9.0; as a member of the parameters' struct. False: the op has failed.
  bool tensor_map(DType, const TiledMatrices&, TensorMap*);

  const DeviceProperties& gpu() const;
  // Where this op's kernels say what is wrong with content.
  Reporter reporter() const;
  // The attributes seed_lo, seed_hi, offset from `first` on.
  RandomStart random_start(const Args& args, int first) const;
  // Of the op as a whole; nothing is launched after it. printf-style.
  void fail(const char* format, ...) __attribute__((format(printf, 2, 3)));

 private:
  void start(const char* family, const char* name, Dim grid, Dim block, void** params, size_t shared_bytes);

  CudaDevice& device_;
  Stream& stream_;
  const Op& op_;
};

}  // namespace shakti::cuda
