// oneDNN by itself: its matmul in f32 and bf16, on plain layouts and on weights packed once into the layout it asks
// for.
#include <algorithm>
#include <memory>
#include <stdexcept>
#include <unordered_map>

#include <oneapi/dnnl/dnnl.hpp>

#include "serve.h"

using dnnl::matmul;
using dnnl::memory;
using Tag = memory::format_tag;

namespace {

const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& stream() {
  static dnnl::stream s(cpu());
  return s;
}

memory random_memory(const memory::dims& dims, memory::data_type type, Tag tag) {
  memory plain({dims, memory::data_type::f32, tag}, cpu());
  const std::vector<float> values = numbers(plain.get_desc().get_size() / sizeof(float));
  std::copy(values.begin(), values.end(), static_cast<float*>(plain.get_data_handle()));
  memory out({dims, type, tag}, cpu());
  dnnl::reorder(plain, out).execute(stream(), plain, out);
  stream().wait();
  return out;
}

Run product(const Product& p, bool packed) {
  const auto type = p.dtype == "bf16" ? memory::data_type::bf16 : memory::data_type::f32;
  const Tag weight_tag = p.linear ? Tag::ba : Tag::ab;
  const memory::dims sizes{p.k, p.n};
  const memory src = random_memory({p.m, p.k}, type, Tag::ab);
  memory weights = random_memory(sizes, type, weight_tag);
  memory dst({{p.m, p.n}, type, Tag::ab}, cpu());
  const memory::desc asked(sizes, type, packed ? Tag::any : weight_tag);
#if DNNL_VERSION_MAJOR >= 3
  const matmul::primitive_desc how(cpu(), src.get_desc(), asked, dst.get_desc());
#else
  const matmul::primitive_desc how(matmul::desc(src.get_desc(), asked, dst.get_desc()), cpu());
#endif
  if (how.weights_desc() != weights.get_desc()) {
    memory other(how.weights_desc(), cpu());
    dnnl::reorder(weights, other).execute(stream(), weights, other);
    stream().wait();
    weights = other;
  }
  const matmul primitive(how);
  const std::unordered_map<int, memory> operands{{DNNL_ARG_SRC, src}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DST, dst}};
  return [=] {
    primitive.execute(stream(), operands);
    stream().wait();
  };
}

double median(std::vector<double> ms) {
  std::sort(ms.begin(), ms.end());
  return ms[ms.size() / 2];
}

}  // namespace

int main() {
  const dnnl_version_t* v = dnnl_version();
  serve("oneDNN " + std::to_string(v->major) + "." + std::to_string(v->minor), [](const std::string& name) -> Run {
    const Product p = parse_product(name);
    if (p.dtype != "f32" && p.dtype != "bf16") throw std::invalid_argument("no " + p.dtype);
    if (!p.linear) return product(p, p.packed);
    // A layer's weights may lie as it likes best: the faster of the two.
    const Run plain = product(p, false), packed = product(p, true);
    return median(sample(plain, 0.05)) < median(sample(packed, 0.05)) ? plain : packed;
  });
}
