// Faults to plant in our own kernels, a small edit each: what the tests and the simulator's checks must see (run-mutants.ts). Three or
// more for each family of kernels; `at` must stand exactly once in the file, so that none outlives the code that it means.

export interface Mutant {
  /** The folder of src/ops whose module is compiled with the fault in it. */
  readonly family: string
  /** Below src: of the family, or a header of src/cuda. */
  readonly file: string
  readonly what: string
  readonly at: string
  readonly becomes: string
}

const inFile =
  (family: string, file: string) =>
  (what: string, at: string, becomes: string): Mutant => ({ family, file, what, at, becomes })
const own = (family: string): ReturnType<typeof inFile> => inFile(family, `ops/${family}/cuda.cu`)

const attention = own('attention')
const attentionTensor = inFile('attention', 'ops/attention/tensor_core.cuh')
const splitKeys = inFile('attention', 'ops/attention/split_keys.cuh')
const splitBytes = inFile('attention', 'ops/attention/split_bytes.cuh')
const visible = inFile('attention', 'ops/attention/visible.cuh')
const conv = own('conv')
const copy = own('copy')
const elementwise = own('elementwise')
const index = own('index')
const interpolate = own('interpolate')
const loss = own('loss')
const matmul = own('matmul')
const tensorProduct = inFile('matmul', 'ops/matmul/tensor_product.cuh')
const warpgroups = inFile('matmul', 'ops/matmul/warpgroup_product.cuh')
const mlp = own('mlp')
const norm = own('norm')
const normRope = own('norm_rope')
const optim = own('optim')
const quant = own('quant')
const ranges = inFile('quant', 'ops/quant/range.cuh')
const integers = inFile('quant', 'ops/quant/integer_product.cuh')
const random = own('random')
const reduce = own('reduce')
const rope = own('rope')
const softmax = own('softmax')
const sort = own('sort')

export const mutants: readonly Mutant[] = [
  attentionTensor(
    'keys are overwritten before all warps have read them',
    '    __syncthreads();  // the keys have been read\n',
    '',
  ),
  attentionTensor(
    'the values are not waited for',
    '    wait_copies<1>();\n    __syncthreads();  // the values are there',
    '    wait_copies<2>();\n    __syncthreads();  // the values are there',
  ),
  attentionTensor(
    'a row is reduced over the wrong lanes',
    '  return f(v, __shfl_xor_sync(kFullWarp, v, 2));',
    '  return f(v, __shfl_xor_sync(kFullWarp, v, 4));',
  ),
  attentionTensor(
    'fragments of the values are not turned',
    'load_matrices_turned(b, Tile::at(right, first + k + l.lane % 16, n + l.lane / 16 * 8))',
    'load_matrices(b, Tile::at(right, first + k + l.lane % 16, n + l.lane / 16 * 8))',
  ),
  attentionTensor(
    'the tile after the last is read as one of the head',
    'int64_t there = i < rows ? d - column : 0;',
    'int64_t there = i < rows + kTile ? d - column : 0;',
  ),
  attentionTensor(
    'the sum of weights is not shrunk when the maximum grows',
    'sum = sum * shrink + quad_reduce(more, Sum());',
    'sum = sum + quad_reduce(more, Sum());',
  ),
  attention(
    'weights are read before all are written',
    '    top = most;\n    __syncthreads();\n',
    '    top = most;\n',
  ),
  attention(
    'one row too many',
    'if (i >= p.lq) return;\n  const T *g = row_of',
    'if (i > p.lq) return;\n  const T *g = row_of',
  ),
  attention(
    'the gradient of keys forgets the other heads of the group',
    'for (int64_t h = hk * group; h < (hk + 1) * group; ++h) {',
    'for (int64_t h = hk * group; h < hk * group + 1; ++h) {',
  ),
  visible(
    'a query does not see the last of its keys',
    'last + 1 < k1 ? last + 1 : k1}',
    'last < k1 ? last : k1}',
  ),

  splitKeys(
    'keys are overwritten before all warps have read them (few queries)',
    '    __syncthreads();  // the keys have been read\n    if (j0 + kTile < place.end)',
    '    if (j0 + kTile < place.end)',
  ),
  splitKeys(
    'the values are not waited for (few queries)',
    'wait_copies<1>();\n    __syncthreads();  // the values are there\n    multiply_weights',
    'wait_copies<2>();\n    __syncthreads();  // the values are there\n    multiply_weights',
  ),
  splitKeys(
    'sums of warps go where values are still read',
    '  wait_copies<0>();\n  __syncthreads();\n  auto* sums',
    '  wait_copies<0>();\n  auto* sums',
  ),
  splitKeys(
    'values are used before all have come (f32)',
    '    __syncthreads();  // the values are there\n    if (!place.has(warp * R)) continue;',
    '    if (!place.has(warp * R)) continue;',
  ),
  splitKeys(
    'a part takes the first key of the next',
    'end = begin + each < to ? begin + each : to;',
    'end = begin + each < to ? begin + each + 1 : to;',
  ),
  splitKeys(
    'the sum of a part is not shrunk to the largest score of all',
    'all.sum += parts[n].sum * by;',
    'all.sum += parts[n].sum;',
  ),
  splitBytes(
    'keys are multiplied before all are there (bytes)',
    '    __syncthreads();  // these keys are there, and the values of the tile before have been read\n',
    '',
  ),
  splitBytes(
    'values are used before all are there (bytes)',
    '    __syncthreads();  // the values are there, and these keys have been read\n',
    '',
  ),
  splitBytes(
    'the scale of the key before',
    'of[n] = float2{scale(i), scale(i + 1)};',
    'of[n] = float2{scale(i), scale(i)};',
  ),
  splitBytes(
    'weights do not take the scales of their values',
    '    value_scales.multiply(scores);\n',
    '',
  ),
  splitBytes(
    'sixteen bytes behind the head',
    'if (c < chunks && i < rows && column < d)',
    'if (c < chunks && i < rows)',
  ),
  attention(
    'values in bytes take the scales of keys',
    't.fetch_bytes(kv, p.v, p.v_scale,',
    't.fetch_bytes(kv, p.v, p.k_scale,',
  ),

  conv(
    'a row below the picture',
    'return v >= 0 && *from < size &&',
    'return v >= 0 && *from <= size &&',
  ),
  conv(
    'patches are multiplied before all are there',
    '    __syncthreads();  // the step is there\n',
    '',
  ),
  conv(
    'patches are overwritten before all have been multiplied',
    '    __syncthreads();  // the step has been read\n',
    '',
  ),
  conv('a gradient between two strides', ' && (!Turned || v % stride == 0);', ';'),
  conv(
    'the channel of another group',
    'load(at<T>(read, image, group * channels + tap.channel, y, x))',
    'load(at<T>(read, image, group * rows + tap.channel, y, x))',
  ),
  inFile('conv', 'cuda/device/reduce.cuh')(
    'sums of warps are read before they are written',
    '  if (lane == 0) shared[warp] = v;\n  __syncthreads();\n',
    '  if (lane == 0) shared[warp] = v;\n',
  ),

  copy(
    'the square is read before it is written',
    '  __syncthreads();\n  for (int k = threadIdx.y; k < 32; k += 8) {\n    const int64_t row = row0 + k',
    '  for (int k = threadIdx.y; k < 32; k += 8) {\n    const int64_t row = row0 + k',
  ),
  copy(
    'one column too many is read',
    'if (row < p.rows && col < p.cols) square[k][threadIdx.x]',
    'if (row < p.rows && col <= p.cols) square[k][threadIdx.x]',
  ),
  copy(
    'the end of a conversion is dropped',
    'if (rest < p.walk.numel) static_cast<T*>(p.y)[rest]',
    'if (rest + 1 < p.walk.numel) static_cast<T*>(p.y)[rest]',
  ),
  copy(
    'the wrong diagonal',
    'p.lower ? col <= row + p.diagonal',
    'p.lower ? col < row + p.diagonal',
  ),
  inFile('copy', 'cuda/device/numbers.cuh')(
    'numbers are cut where they are to be rounded',
    'bf16 store<bf16>(float v) {\n  return __float2bfloat16_rn(v);',
    'bf16 store<bf16>(float v) {\n  return __float2bfloat16_rz(v);',
  ),
  inFile('copy', 'cuda/view.h')(
    'a stride of the next dimension',
    'offsets[n] += here * strides[n][d];',
    'offsets[n] += here * strides[n][d > 0 ? d - 1 : d];',
  ),

  elementwise(
    'sixteen bytes beyond the end',
    '  if (p.from == From::dense) {\n    done = p.n / N * N;',
    '  if (p.from == From::dense) {\n    done = (p.n + N - 1) / N * N;',
  ),
  elementwise(
    'the end of an addition is dropped',
    'for (int64_t i = done + thread_of_grid(); i < p.n; i += threads_of_grid()) {\n    int64_t at[2];',
    'for (int64_t i = done + thread_of_grid(); i < p.n - 1; i += threads_of_grid()) {\n    int64_t at[2];',
  ),
  elementwise(
    'the stride of the other side',
    'side == 0 ? at[1] : at[2];',
    'side == 0 ? at[2] : at[1];',
  ),
  elementwise(
    'a scalar is rounded to the dtype first',
    '  return from_double<compute_t<T>>(v);',
    '  return load(from_double<T>(v));',
  ),

  index(
    'counts are added without an atomic',
    'atomicAdd(reinterpret_cast<unsigned long long*>(p.start + id), 1ull);',
    'p.start[id] += 1;',
  ),
  index(
    'sums in the order in which threads came',
    'rank += p.unsorted[j] < place;',
    'rank += j < k;',
  ),
  index(
    'a warp overtakes the sums of the tile before',
    '    before += all;\n    __syncthreads();\n',
    '    before += all;\n',
  ),
  index('the place itself is counted', '= before + v - mine;', '= before + v;'),
  index(
    'a place of the row before',
    'static_cast<const T*>(p.x)[at[1] + v * p.step]',
    'static_cast<const T*>(p.x)[at[1] + v * p.step - 1]',
  ),

  interpolate(
    'the right neighbour is the left one',
    't.at[1] = clamp(low + 1);',
    't.at[1] = clamp(low);',
  ),
  interpolate('a row beyond the last', 'v >= from ? from - 1 : v; };', 'v >= from ? from : v; };'),
  interpolate('the last reader is dropped', '  *last = to - 1;', '  *last = to - 2;'),

  loss(
    'the sum is not shrunk when the maximum grows',
    '      sum *= exponential(top - here);\n',
    '',
  ),
  loss('what lies behind the end of a row counts', '      if (at + k >= classes) continue;\n', ''),
  loss(
    'a barrier that not all threads reach',
    '  if (p.smoothing > 0) all = block_reduce(all, Sum(), shared[2]);',
    '  if (p.smoothing > 0 && threadIdx.x * N < classes) all = block_reduce(all, Sum(), shared[2]);',
  ),
  loss(
    'one class too far',
    'if (counts && at + k == target) v[k] -= scale * hit;',
    'if (counts && at + k == target + 1) v[k] -= scale * hit;',
  ),

  tensorProduct(
    'a tile is overwritten before all warps have read it',
    '    __syncthreads();  // the tile is there for all, and the one that `fetch` overwrites has been read by all\n',
    '',
  ),
  tensorProduct(
    'a stage is read before it has come',
    'wait_copies<kStages - 2>();',
    'wait_copies<kStages - 1>();',
  ),
  tensorProduct(
    'fragments of a are not turned',
    'load_matrices_turned(fa[t],',
    'load_matrices(fa[t],',
  ),
  tensorProduct(
    'whole chunks where the matrix ends within one',
    'there = there < 0 ? 0 : there > each ? each : there;',
    'there = there <= 0 ? 0 : each;',
  ),
  tensorProduct(
    'the wrong half of a fragment of b',
    'fb[j / 2][j % 2 * 2 + 1]);',
    'fb[j / 2][j % 2 * 2]);',
  ),
  tensorProduct(
    'rows of sums one apart',
    'to[8 * pitch] = sums[i][j][2];',
    'to[7 * pitch] = sums[i][j][2];',
  ),
  warpgroups(
    'a stage is filled before it has been read',
    '        wait(empty(stage), round ^ 1);\n',
    '',
  ),
  warpgroups('a stage is multiplied before it has come', '      wait(full(stage), round);\n', ''),
  warpgroups(
    'a stage is given back while it is read',
    'products_wait<1>();',
    'products_wait<2>();',
  ),
  warpgroups(
    'sums are written before the last products are done',
    '    products_wait<0>();\n    pin(sums);\n',
    '    pin(sums);\n',
  ),
  warpgroups(
    'half of a tile is expected',
    'arrive_expecting(full(stage), kStage);',
    'arrive_expecting(full(stage), kStage / 2);',
  ),
  warpgroups(
    'the tile of another group of tiles',
    'const int rows = down - first < kGroup ? down - first : kGroup',
    'const int rows = kGroup',
  ),
  matmul(
    'a tile is multiplied before it is there',
    '    __syncthreads();\n#pragma unroll\n    for (int d = 0; d < BK; ++d) {',
    '#pragma unroll\n    for (int d = 0; d < BK; ++d) {',
  ),
  matmul('a column beyond the depth', '&& k + ka < k1 ?', '&& k + ka <= k1 ?'),
  matmul(
    'the sum of another row',
    'if (lane == i) mine = all;',
    'if (lane == (i ^ 1)) mine = all;',
  ),
  matmul(
    'the last piece of the depth is dropped',
    'for (int64_t piece = 0; piece < p.pieces; ++piece)',
    'for (int64_t piece = 0; piece + 1 < p.pieces; ++piece)',
  ),
  matmul(
    'products are rounded before they are added',
    'sums[i] += load(x.v[e]) * load(w.v[e]);\n    }\n  }\n  // Lane',
    'sums[i] += load(store<T>(load(x.v[e]) * load(w.v[e])));\n    }\n  }\n  // Lane',
  ),

  mlp(
    'sixteen bytes beyond the end',
    'i < done / N; i += threads_of_grid()) {\n    const auto gate',
    'i <= done / N; i += threads_of_grid()) {\n    const auto gate',
  ),
  mlp(
    'the end is dropped',
    'static_cast<Pack<T>*>(p.y)[i] = y;\n  }\n  for (int64_t i = done + thread_of_grid(); i < p.n;',
    'static_cast<Pack<T>*>(p.y)[i] = y;\n  }\n  for (int64_t i = done + thread_of_grid(); i < p.n - 1;',
  ),
  mlp('the slope of another function', '(C(1) + x * (C(1) - s))', '(C(1) - x * (C(1) - s))'),

  norm(
    'sums that nobody wrote are added to',
    'const bool begin = r == first;',
    'const bool begin = r < first;',
  ),
  norm(
    'what lies behind the end of a row counts',
    'if (k < x.count(i)) sum += (v[k] - m) * (v[k] - m);',
    'sum += (v[k] - m) * (v[k] - m);',
  ),
  norm(
    'the last part of the rows is dropped',
    'for (int64_t part = 0; part < p.parts; ++part)',
    'for (int64_t part = 0; part + 1 < p.parts; ++part)',
  ),
  inFile('norm', 'cuda/device/reduce.cuh')(
    'sums of warps are overwritten before all have read them',
    '  __syncthreads();  // of an earlier use of `shared`\n',
    '',
  ),

  normRope(
    'the turn the other way',
    'y[j] = store<T>(u * cs - v * sn);',
    'y[j] = store<T>(u * cs + v * sn);',
  ),
  normRope(
    'sums that nobody wrote are added to',
    'C du = sums && i > first ? sums[j] : C(0),',
    'C du = sums && i >= first ? sums[j] : C(0),',
  ),
  normRope(
    'a pair beyond the head',
    'if (k * 32 + lane < half) add(',
    'if (k * 32 + lane <= half) add(',
  ),
  normRope(
    'the first half for the second',
    'sums[k * 32 + lane + half] = kept.v[k];',
    'sums[k * 32 + lane + half] = kept.u[k];',
  ),

  optim(
    'corrections are read before they are there',
    '  }\n  __syncthreads();\n  const float c1',
    '  }\n  const float c1',
  ),
  optim('the tensor after', 'if (p.tensors[mid].first <= c)', 'if (p.tensors[mid].first < c)'),
  optim('not the square', 'g * g * (1 - b2)', 'g * (1 - b2)'),
  optim(
    'copies are cut where they are to be rounded',
    'static_cast<bf16*>(t.copy)[i] = store<bf16>(w);',
    'static_cast<bf16*>(t.copy)[i] = __float2bfloat16_rz(w);',
  ),
  optim(
    'one sum of a chunk too many',
    'i < p.chunks; i += blockDim.x) sum',
    'i <= p.chunks; i += blockDim.x) sum',
  ),

  quant(
    'what fills zero points up is not written',
    'if (g == layout.groups - 1 && layout.groups % 2 == 1) zeros[layout.groups * quant::kPanel] = 0;',
    '',
  ),
  ranges(
    'a sum of steps that is off',
    'const float of_q = total(q);',
    'const float of_q = total(q) + 0.0625f;',
  ),
  ranges(
    'a zero point that is not rounded to what is stored',
    'rintf(zero / zero_step(bits))',
    'zero / zero_step(bits)',
  ),
  ranges(
    'the first best range becomes the last',
    'if (error < least) {\n      least = error;\n      best = s;',
    'if (error <= 2 * least) {\n      least = error;\n      best = s;',
  ),
  quant('an offset by one', 'static_cast<int>(q) + 128', 'static_cast<int>(q) + 127'),
  quant(
    'the neighbour of another lane',
    '__shfl_xor_sync(kFullWarp, value, 4)',
    '__shfl_xor_sync(kFullWarp, value, 8)',
  ),
  ranges(
    'a scale is cut where it is to be rounded',
    '(scale + 0x7fff + (scale >> 16 & 1)) >> 16',
    'scale >> 16',
  ),
  quant('elements behind the row count', 'p.form, k, p.k, v)', 'p.form, k, p.depth, v)'),
  quant(
    'a shuffle that names lanes which do not take part',
    'if (lane % 8 < 4) bytes[layout.byte_of(r, k)] = static_cast<uint8_t>(value | other << 4);',
    'if (lane % 8 < 4) bytes[layout.byte_of(r, k)] = static_cast<uint8_t>(value | __shfl_sync(kFullWarp, other, lane) << 4);',
  ),
  integers(
    'terms are added up before all are there',
    '    __syncthreads();\n    const int left',
    '    const int left',
  ),
  integers(
    'terms are overwritten before they are added up',
    '    __syncthreads();\n  }\n#pragma unroll\n  for (int i = 0; i < kElements; ++i) {\n    const int e',
    '  }\n#pragma unroll\n  for (int i = 0; i < kElements; ++i) {\n    const int e',
  ),
  integers(
    'the zero point of another column',
    'static_cast<int8_t>(all >> column % 4 * 8)',
    'static_cast<int8_t>(all >> (3 - column % 4) * 8)',
  ),
  integers(
    'zero points are read where weights stand',
    'panel + layout.scale_bytes() + first)',
    'panel + layout.head_bytes() + first)',
  ),
  integers('the first four for the second', '(half == 0 ? word : word >> 4)', '(word)'),
  integers(
    'a group goes on with the sums of the one before',
    'if (s * kDepth % group == 0) clear(dots);',
    'if (s == 0) clear(dots);',
  ),
  integers(
    'a stage is read before it has come',
    'wait_copies<kByteStages - 2>();',
    'wait_copies<kByteStages - 1>();',
  ),
  integers(
    'a stage is overwritten before all warps have read it',
    '    __syncthreads();  // the stage is there for all, and the one that `fetch` overwrites has been read by all\n',
    '',
  ),
  integers(
    'a panel behind the last',
    'const bool there = panel < panels && at < p.panel_bytes;',
    'const bool there = at < p.panel_bytes;',
  ),

  inFile('random', 'cuda/device/philox.cuh')(
    'a round too few',
    'for (int i = 0; i < 10; ++i) {',
    'for (int i = 0; i < 9; ++i) {',
  ),
  random(
    'numbers beyond the end',
    'store_four(static_cast<T*>(p.y), 4 * i, p.n, drawn)',
    'store_four(static_cast<T*>(p.y), 4 * i, p.n + 3, drawn)',
  ),
  random('a winner runs again', '        value[place] = -1;\n', ''),
  random(
    'sums of warps are read before they are written',
    '    if (lane == 31) warps[warp] = v;\n    __syncthreads();\n',
    '    if (lane == 31) warps[warp] = v;\n',
  ),
  random(
    'a partner from the places before alone',
    'static_cast<uint64_t>(i + 1) >> 32',
    'static_cast<uint64_t>(i) >> 32',
  ),

  reduce(
    'four at a time beyond the end',
    'for (; i + 3 * step < end; i += 4 * step)',
    'for (; i + 2 * step < end; i += 4 * step)',
  ),
  reduce(
    'the second piece is dropped',
    'for (int64_t k = 1; k < p.pieces; ++k) acc',
    'for (int64_t k = 2; k < p.pieces; ++k) acc',
  ),
  reduce('the last of equals', '(a == b && j < i);\n  };', '(a == b && j > i);\n  };'),
  reduce(
    'sums of warps are overwritten before all have read them',
    '    before += all;\n    __syncthreads();\n',
    '    before += all;\n',
  ),
  reduce(
    'a lane forgets its left neighbour',
    'if (lane >= step) v += left;',
    'if (lane > step) v += left;',
  ),
  reduce('running sums in f32', 'CUMSUM(f32, float, double)', 'CUMSUM(f32, float, float)'),
  inFile('reduce', 'cuda/device/reduce.cuh')(
    'a shuffle whose mask leaves lanes out',
    'constexpr unsigned kFullWarp = 0xffffffff;',
    'constexpr unsigned kFullWarp = 0x0fffffff;',
  ),

  rope('the end of a head is dropped', 'j < half; j += 32)', 'j + 1 < half; j += 32)'),
  rope(
    'heads are left out',
    'i < p.sizes.count; i += threads_of_grid() / 32)',
    'i < p.sizes.count; i += threads_of_grid())',
  ),
  rope('the turn the other way', 'store<T>(v * cs + u * sn)', 'store<T>(v * cs - u * sn)'),
  inFile('rope', 'cuda/heads.h')(
    'the angles of another batch element',
    'return p.b * a.batch + p.l * (s.d / 2);',
    'return p.l * (s.d / 2);',
  ),

  softmax(
    'zeros behind the end of a row are a maximum',
    'if (k < x.count(i)) m = Max()(m, v[k]);',
    'm = Max()(m, v[k]);',
  ),
  softmax(
    'what lies behind the end of a row counts',
    'if (k < x.count(i)) s += exponential(v[k] - shift);',
    's += exponential(v[k] - shift);',
  ),
  softmax(
    'each thread keeps to its own part of the sum',
    '  s = block_reduce(s, Sum(), shared);\n',
    '',
  ),
  inFile('softmax', 'cuda/device/row.cuh')(
    'a run of a long row is left out',
    'for (int c = kKeptRuns; start(c) < n; ++c) {',
    'for (int c = kKeptRuns + 1; start(c) < n; ++c) {',
  ),

  sort('equals change places', 'a.place > b.place);', 'a.place < b.place);'),
  sort(
    'a step begins before the one before has ended',
    'exchange(tile, first, i, s, run);\n        __syncthreads();\n',
    'exchange(tile, first, i, s, run);\n',
  ),
  sort(
    'a tile is sorted before it is there',
    '~uint64_t{0}, place};\n    }\n    __syncthreads();\n',
    '~uint64_t{0}, place};\n    }\n',
  ),
  sort(
    'a thread takes items of others',
    'for (int64_t i = threadIdx.x; i < p.padded / 2; i += blockDim.x) exchange(items, 0, i, step, run);',
    'for (int64_t i = threadIdx.x; i < p.padded / 2; i += blockDim.x) exchange(items, 0, p.padded / 2 - 1 - i, step, run);',
  ),
  sort('NaN is the smallest', 'if (v != v) return ~uint64_t{0};', 'if (v != v) return 0;'),
  sort(
    'one place too many',
    'for (int64_t i = threadIdx.x; i < p.k; i += blockDim.x) {',
    'for (int64_t i = threadIdx.x; i <= p.k; i += blockDim.x) {',
  ),
]

/** A few that are compiled and run in seconds: part of `npm run test:cuda`. */
export const quick = ['conv', 'mlp', 'optim', 'rope', 'sort'].map((family) =>
  mutants.find((m) => m.family === family)!,
)
