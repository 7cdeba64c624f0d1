// Linear layers with weights in 8 or 4 bits. x is rounded to 8 bits too, so that a group's products and their sum are
// integers and exact; what is left in f32 is two products and a sum a group, in the order of k. So a row's result is
// the same bits on every instruction set, for any number of rows beside it and any number of threads.
#include "../../runtime/cpu_features.h"
#include "../../simd/activation.h"
#include "range.h"
#include "register_tile.h"

namespace SHAKTI_ISA_NS {
namespace {

// One group of one row of x, each four bytes of it `step` behind the four before: the sum of its bytes. A group that is
// not finite makes the row NaN.
int32_t quantize_group(const float* x, int64_t n, int64_t step, int8_t* bytes, float* scale) {
  const int32_t largest = largest_bits(x, n);
  const float most = float_of(largest);
  const bool rounds = largest > 0 && largest < kNotFinite;
  vi sum = {};
  for (int64_t i = 0; i < n; i += W) {
    typedef int8_t vq __attribute__((vector_size(W)));
    vi v = {};
    if (rounds) v = __builtin_convertvector(vround_small(load(x + i) / splat(most) * splat(127)), vi);
    const vq narrow = __builtin_convertvector(v, vq);
    int32_t fours[W / 4];
    std::memcpy(fours, &narrow, sizeof fours);
    for (int j = 0; j < W / 4; ++j) std::memcpy(bytes + (i / 4 + j) * step, fours + j, 4);
    sum += v;
  }
  *scale = largest < kNotFinite ? most / 127 : float_of(0x7fc00000);
  return sum_of(sum);
}

// Fewer rows than a tile has leave the tile unit idle, and memory is the limit anyway.
Unit unit_for(int64_t m) {
#if defined(__AVX512F__)
  if (m >= amx::kRows && has_amx_int8()) return Unit::amx;
#endif
  return kHasVnni && has_avx512_vnni() ? Unit::vnni : Unit::plain;
}

Layout layout_of(int64_t k, const Args& args) { return {k, args.attr_int(0), args.attr_int(1), args.attr_bool(2)}; }

// A weight's panels, side by side with those of others.
struct Panels {
  const uint8_t* p;
  int64_t first, count;  // among all
};

}  // namespace

void run_quantize_weight(const Args& args, Context& c) {
  const Operand &w = args.in[0], &packed = args.out[0];
  const int64_t n = w.shape[0], k = w.shape[1];
  const Layout layout = layout_of(k, args);
  const int bits = layout.bits, bias = bits == 8 ? 128 : 8;
  // Without zero points 8 bits leave -128 out.
  const float most = static_cast<float>(bias - 1), limit = w.dtype == DType::f16 ? quant::kLastF16 : quant::kLastBf16;
  const float least = bits == 8 && !layout.zero_point ? -most : -most - 1;
  c.parallel_for(packed.shape[0], 1 + 2048 / (k + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t p = begin; p < end; ++p) {
      uint8_t* panel = packed.ptr<uint8_t>() + p * packed.shape[1];
      uint8_t* bytes = panel + layout.head_bytes();
      std::memset(panel, 0, static_cast<size_t>(packed.shape[1]));
      for (int64_t r = 0; r < kPanel; ++r) {
        for (int64_t g = 0; g < layout.groups; ++g) {
          const int64_t row = p * kPanel + r, from = g * layout.group;
          const int64_t count = row >= n ? 0 : k - from < layout.group ? k - from : layout.group;
          alignas(64) float v[kMostGroup] = {};
          if (count > 0) gather_f32(v, w, row * w.strides[0] + from * w.strides[1], w.strides[1], count);
          const int32_t largest = largest_bits(v, layout.group);
          if (largest >= kNotFinite) {
            c.fail("row %lld of the weight is not finite", static_cast<long long>(row));
            return;
          }
          const Range range = range_of(v, layout.group, bits, layout.zero_point, largest, limit);
          std::memcpy(panel + (g * kPanel + r) * 2, &range.scale, 2);
          if (layout.zero_point) std::memcpy(panel + layout.scale_bytes() + g * kPanel + r, &range.zero, 1);
          const float scale = scale_from(&range.scale), zero = zero_of(range.zero, bits);
          for (int64_t i = 0; i < layout.group; ++i) {
            float q = scale == 0 ? 0 : __builtin_rintf(v[i] / scale + zero);
            q = q > most ? most : q < least ? least : q;
            const int value = static_cast<int>(q) + bias, shift = bits == 4 && i % 8 >= 4 ? 4 : 0;
            bytes[layout.byte_of(r, from + i)] |= static_cast<uint8_t>(value << shift);
          }
        }
      }
    }
  });
}

void run_dequantize_weight(const Args& args, Context& c) {
  const Operand &packed = args.in[0], &w = args.out[0];
  const int64_t n = w.shape[0], k = w.shape[1];
  const Layout layout = layout_of(k, args);
  const int bits = layout.bits, bias = bits == 8 ? 128 : 8;
  c.parallel_for(n, 1 + 16384 / (k + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const uint8_t* panel = packed.ptr<uint8_t>() + row / kPanel * packed.shape[1];
      const uint8_t* bytes = panel + layout.head_bytes();
      const int64_t r = row % kPanel;
      for (int64_t g = 0; g < layout.groups; ++g) {
        const int64_t from = g * layout.group, count = k - from < layout.group ? k - from : layout.group;
        const float scale = scale_from(panel + (g * kPanel + r) * 2);
        int8_t zero_byte = 0;
        if (layout.zero_point) std::memcpy(&zero_byte, panel + layout.scale_bytes() + g * kPanel + r, 1);
        const float zero = zero_of(zero_byte, bits);
        float v[kMostGroup];
        for (int64_t i = 0; i < count; ++i) {
          const int byte = bytes[layout.byte_of(r, from + i)];
          const int value = bits == 8 ? byte : i % 8 >= 4 ? byte >> 4 : byte & 15;
          v[i] = (static_cast<float>(value - bias) - zero) * scale;
        }
        scatter_f32(w, row * k + from, v, count);
      }
    }
  });
}

void run_quantized_linear(const Args& args, Context& c) {
  const Operand &x = args.in[0], &bias = args.in[4], &residual = args.in[5], &y = args.out[0];
  const int64_t m = x.shape[0], k = x.shape[1], n = y.shape[1];
  if (m * n == 0) return;
  const bool gated = args.attr_bool(3);
  const int64_t panel_bytes = args.in[1].shape[1];
  Panels weights[3];
  int64_t panels = 0;
  int count = 0;
  for (int i = 1; i <= 3 && args.in[i].present(); ++i) {
    const Operand& w = args.in[i];
    weights[count++] = {w.ptr<uint8_t>(), gated ? 0 : panels, w.shape[0]};
    if (!gated || count == 1) panels += w.shape[0];
  }
  const Layout layout = layout_of(k, args);
  const Unit unit = unit_for(m);
  const quant::Rows rows(m, rows_together(unit));
  auto* bytes = static_cast<int8_t*>(args.workspace);
  auto* scales = reinterpret_cast<float*>(bytes + quant::bytes_of_rows(m, layout));
  auto* starts = reinterpret_cast<int32_t*>(scales + m * layout.groups);
  auto* sums = layout.zero_point ? reinterpret_cast<float*>(starts + m * layout.groups) : nullptr;
  const auto rows_of = [&](int64_t block) {
    return m - block * rows.each < rows.each ? m - block * rows.each : rows.each;
  };

  c.parallel_for(m, 1 + 16384 / (k + 1), [&](int64_t begin, int64_t end, int) {
    alignas(64) float buffer[kMostGroup];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t block = i / rows.each, r = i % rows.each, of = rows_of(block);
      const int64_t first = block * rows.each;
      for (int64_t g = 0; g < layout.groups; ++g) {
        const int64_t from = g * layout.group, count = k - from < layout.group ? k - from : layout.group;
        gather_f32(buffer, x, i * x.strides[0] + from * x.strides[1], x.strides[1], count);
        for (int64_t j = count; j < layout.group; ++j) buffer[j] = 0;
        const int64_t at = first * layout.groups + g * of + r;
        int8_t* to = bytes + first * layout.depth() + from * of;
        // A row's group lies in one piece, or between the same fours of the block's other rows.
        to += unit == Unit::amx ? r * layout.group : r * 4;
        const int32_t sum = quantize_group(buffer, layout.group, unit == Unit::amx ? 4 : of * 4, to, scales + at);
        starts[at] = -bias_of(layout.bits, unit) * sum;
        if (sums) sums[at] = static_cast<float>(-sum) * zero_step(layout.bits);
      }
    }
  });

  // Blocks of rows go together as long as they stay in L2 beside a panel, and a panel passes all of them.
  const int64_t fit = (384 << 10) / (rows.each * layout.depth() + 1), together = fit > 1 ? fit : 1;
  const int64_t chunks = quant::blocks_of(rows.blocks(), together);
  const int64_t work = panel_bytes * (rows.blocks() < together ? rows.blocks() : together) * (gated ? 2 : 1);
  const TileFn whole = tile_of(layout, unit, rows.each);
  const TileFn last = tile_of(layout, unit, rows_of(rows.blocks() - 1));
  c.parallel_for(chunks * panels, 1 + (256 << 10) / (work + 1), [&](int64_t begin, int64_t end, int) {
    alignas(64) float out[kMostRows * kPanel], gate[kMostRows * kPanel], add[kPanel];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t p = i % panels, first = i / panels * together;
      int of_weight = 0;
      while (!gated && p >= weights[of_weight].first + weights[of_weight].count) ++of_weight;
      const Panels& w = weights[of_weight];
      // All weights but the last are whole panels, so that a panel among all is one of y.
      const int64_t at = p - w.first, c0 = p * kPanel, columns = n - c0 < kPanel ? n - c0 : kPanel;
      if (bias.present()) gather_f32(add, bias, c0 * bias.strides[0], bias.strides[0], columns);
      for (int64_t b = first; b < first + together && b < rows.blocks(); ++b) {
        const int64_t r0 = b * rows.each, of = rows_of(b);
        const int64_t groups = r0 * layout.groups;
        const Block block = {of, bytes + r0 * layout.depth(), scales + groups, starts + groups,
                             sums ? sums + groups : nullptr};
        const TileFn tile = of == rows.each ? whole : last;
        tile(w.p + at * panel_bytes, layout, block, gated ? gate : out);
        if (gated) {
          tile(weights[1].p + at * panel_bytes, layout, block, out);
          for (int64_t j = 0; j < of * kPanel; j += W) store(out + j, load(out + j) * Silu::run(load(gate + j)));
        }
        for (int64_t r = 0; r < of; ++r) {
          float* row = out + r * kPanel;
          if (bias.present()) {
            for (int64_t j = 0; j < columns; ++j) row[j] += add[j];
          }
          if (residual.present()) {
            alignas(64) float beside[kPanel];
            gather_f32(beside, residual, (r0 + r) * residual.strides[0] + c0 * residual.strides[1], residual.strides[1],
                       columns);
            for (int64_t j = 0; j < columns; ++j) row[j] += beside[j];
          }
          scatter_f32(y, (r0 + r) * n + c0, row, columns);
        }
      }
    }
  });
}

}  // namespace SHAKTI_ISA_NS
