// What operands that do not fit get: an error of its class that names the op and both shapes.
import {
  AutogradError,
  DeviceError,
  DisposedError,
  DTypeError,
  ShapeError,
  adamw_,
  arange,
  cat,
  clipScale,
  conv2d,
  crossEntropy,
  embedding,
  eye,
  full,
  interpolate,
  layerNorm,
  linspace,
  meshgrid,
  noGrad,
  normal,
  oneHot,
  ones,
  normRope,
  rmsNorm,
  rope,
  scaledDotProductAttention,
  ShaktiError,
  stack,
  swiglu,
  tensor,
  tidy,
  truncatedNormal,
  uniform,
  where,
  zeros,
  type AttentionOptions,
  type Tensor,
} from '@shakti/tensor'
import { assert, assertThrows, test } from './assert.js'

type Row = readonly [what: string, fn: () => unknown, words: readonly string[]]
const x = zeros([2, 3])
const y = zeros([4, 5])
const q4 = zeros([1, 2, 4, 8])
const bytes = zeros([1, 2, 3, 8], { dtype: 'u8' })
const i = (...data: number[]): Tensor => tensor(Int32Array.from(data))

const shapes: readonly Row[] = [
  ['add', () => x.add(y), ['[add]', '[2, 3]', '[4, 5]']],
  ['maximum', () => x.maximum(zeros([2])), ['[maximum]', '[2, 3]', '[2]']],
  ['lt', () => x.lt(y), ['[lt]', '[2, 3]', '[4, 5]']],
  ['where', () => where(x.gt(0), y, 0), ['[where]', '[2, 3]', '[4, 5]']],
  ['matmul', () => x.matmul(y), ['[matmul]', '[2, 3]', '[4, 5]', '3', '4']],
  [
    'matmul batch',
    () => zeros([2, 3, 4]).matmul(zeros([3, 4, 5])),
    ['[matmul]', '[2, 3, 4]', '[3, 4, 5]'],
  ],
  ['matmul scalar', () => x.matmul(tensor(1)), ['[matmul]', '[2, 3]', '[]']],
  ['linear', () => x.linear(y), ['[linear]', '[2, 3]', '[4, 5]']],
  [
    'matmul residual',
    () => x.matmul(zeros([3, 5]), { residual: zeros([5]) }),
    ['[matmul]', '[2, 5]', '[5]'],
  ],
  ['linear bias', () => x.linear(zeros([5, 3]), zeros([4])), ['[linear]', '[5]', '[4]']],
  ['sum dim', () => x.sum(2), ['[sum]', 'dim 2']],
  ['sum twice', () => x.sum([0, -2]), ['[sum]', 'twice']],
  ['mean dim', () => x.mean(-3), ['dim -3']],
  ['amax of nothing', () => zeros([0, 3]).amax(0), ['amax', '[0, 3]']],
  ['argmax of nothing', () => zeros([0]).argmax(0), ['max', '[0]']],
  ['softmax', () => x.softmax(2), ['softmax', 'dim 2']],
  ['cumsum', () => x.cumsum(5), ['cumsum', 'dim 5']],
  ['layerNorm', () => layerNorm(x, zeros([2])), ['[layerNorm]', '[2, 3]', '[2]']],
  ['rmsNorm', () => rmsNorm(x, zeros([3, 1])), ['[rmsNorm]', '[2, 3]', '[3, 1]']],
  ['crossEntropy', () => crossEntropy(x, i(0, 1, 2)), ['[crossEntropy]', '[2, 3]', '[3]']],
  ['embedding', () => embedding(i(1), zeros([4])), ['[embedding]', '[4]']],
  ['gather', () => x.gather(0, i(0)), ['[gather]', '[2, 3]', '[1]']],
  [
    'scatterAdd',
    () => x.scatterAdd(0, i(0, 1).reshape([1, 2]), zeros([1, 1])),
    ['[scatterAdd]', '[1, 2]', '[1, 1]'],
  ],
  ['indexSelect', () => x.indexSelect(0, i(0, 1).reshape([1, 2])), ['[indexSelect]', '[1, 2]']],
  ['indexAdd', () => x.indexAdd(0, i(0), zeros([2, 3])), ['[indexAdd]', '[2, 3]', '[1, 3]']],
  ['maskedFill', () => x.maskedFill(y.gt(0), 1), ['[2, 3]', '[4, 5]']],
  ['topk', () => x.topk(4), ['[topk]', '[2, 3]', '4']],
  ['reshape', () => x.reshape([4, 2]), ['[reshape]', '[2, 3]', '[4, 2]', '6', '8']],
  ['reshape -1', () => x.reshape([4, -1]), ['[reshape]', '[4, -1]']],
  ['view', () => zeros([2, 3]).mT().view([6]), ['[view]', '[3, 2]', '[6]']],
  ['permute', () => x.permute([0, 0]), ['[permute]', '[2, 3]']],
  ['permute short', () => x.permute([0]), ['[permute]', '[2, 3]']],
  ['transpose', () => x.transpose(0, 2), ['[transpose]', 'dim 2']],
  ['expand', () => x.expand([2, 4]), ['[expand]', '[2, 3]', '[2, 4]']],
  ['squeeze', () => x.squeeze(7), ['[squeeze]', 'dim 7']],
  ['unsqueeze', () => x.unsqueeze(5), ['[unsqueeze]', '5']],
  ['narrow', () => x.narrow(1, 2, 2), ['[narrow]', '[2, 3]']],
  ['select', () => x.select(0, 2), ['[select]', '[2, 3]']],
  ['slice', () => x.slice(null, null, [0]), ['[slice]', '[2, 3]']],
  ['split', () => x.split([1, 1], 1), ['[split]', '[2, 3]']],
  ['cat', () => cat([x, y]), ['[cat]', '[2, 3]', '[4, 5]']],
  ['cat of nothing', () => cat([]), ['[cat]']],
  ['stack', () => stack([x, y]), ['[stack]', '[2, 3]', '[4, 5]']],
  [
    'pad',
    () =>
      x.pad([
        [1, 1],
        [1, 1],
        [1, 1],
      ]),
    ['[pad]', '[2, 3]'],
  ],
  ['pad below zero', () => x.pad([[-2, -2]]), ['[pad]', '[2, 3]']],
  ['flip', () => x.flip(2), ['[flip]', 'dim 2']],
  ['repeat', () => x.repeat([2]), ['[repeat]', '[2, 3]']],
  ['tril', () => zeros([3]).tril(), ['tril', '[3]']],
  [
    'conv2d',
    () => conv2d(zeros([1, 3, 8, 8]), zeros([4, 2, 3, 3])),
    ['[conv2d]', '[1, 3, 8, 8]', '[4, 2, 3, 3]'],
  ],
  [
    'conv2d kernel',
    () => conv2d(zeros([1, 3, 2, 2]), zeros([4, 3, 3, 3])),
    ['[conv2d]', '3x3', '2x2'],
  ],
  ['interpolate', () => interpolate(x, { size: [2, 2] }), ['[interpolate]', '[2, 3]']],
  [
    'rope',
    () => rope(zeros([1, 4, 2, 6]), zeros([1, 4, 2]), zeros([1, 4, 2])),
    ['[rope]', '[1, 4, 2, 6]', '[1, 4, 2]'],
  ],
  [
    'normRope',
    () => normRope(zeros([1, 4, 2, 6]), undefined, zeros([1, 3, 3]), zeros([1, 3, 3])),
    ['[normRope]', '[1, 4, 2, 6]', '[1, 3, 3]'],
  ],
  [
    'normRope: weight',
    () => normRope(zeros([1, 4, 2, 6]), zeros([3]), zeros([1, 4, 3]), zeros([1, 4, 3])),
    ['[normRope]', '[1, 4, 2, 6]', '[3]'],
  ],
  ['swiglu', () => swiglu(x, y), ['[swiglu]', '[2, 3]', '[4, 5]']],
  [
    'attention over bytes with a scale for each key alone',
    () =>
      scaledDotProductAttention(q4, bytes, bytes, {
        keyScale: zeros([1, 2, 3, 1]),
        valueScale: zeros([1, 1, 3, 1]),
      }),
    ['[scaledDotProductAttention]', 'valueScale', '[1, 3, 1, 1]'],
  ],
  [
    'attention over bytes without a scale of the values',
    () => scaledDotProductAttention(q4, bytes, bytes, { keyScale: zeros([1, 2, 3, 1]) }),
    ['keyScale and valueScale'],
  ],
  [
    'attention heads',
    () => scaledDotProductAttention(zeros([1, 3, 4, 8]), zeros([1, 2, 4, 8]), zeros([1, 2, 4, 8])),
    ['[scaledDotProductAttention]', '3', '2'],
  ],
  [
    'attention head dim',
    () => scaledDotProductAttention(zeros([1, 2, 4, 8]), zeros([1, 2, 4, 6]), zeros([1, 2, 4, 6])),
    ['[scaledDotProductAttention]', '8', '6'],
  ],
  [
    'attention dims',
    () => scaledDotProductAttention(x, x, x),
    ['[scaledDotProductAttention]', '[2, 3]'],
  ],
  [
    'attention mask',
    () =>
      scaledDotProductAttention(zeros([1, 2, 4, 8]), zeros([1, 2, 4, 8]), zeros([1, 2, 4, 8]), {
        mask: zeros([3, 3]),
      }),
    ['scaledDotProductAttention', '[3, 3]'],
  ],
  ['tensor', () => tensor([1, 2, 3], { shape: [2, 2] }), ['[tensor]', '3', '[2, 2]']],
  ['tensor ragged', () => tensor([[1, 2], [3]]), ['[tensor]']],
  ['zeros negative', () => zeros([-1]), ['[-1]']],
  ['zeros fraction', () => zeros([1.5]), ['[1.5]']],
  ['zeros absurd', () => zeros([2 ** 30, 2 ** 30]), ['1073741824']],
  ['zeros deep', () => zeros(Array(9).fill(1)), ['8 dimensions']],
  ['roll', () => x.roll([1, 2], 0), ['[roll]', '2 shifts', '1 dims']],
  ['unflatten', () => x.unflatten(1, [2, -1]), ['[unflatten]', '[2, -1]', '[3]']],
  ['t', () => zeros([2, 3, 4]).t(), ['[t]', '[2, 3, 4]']],
  ['oneHot', () => oneHot(i(1), 0), ['[oneHot]', '0']],
  ['meshgrid', () => meshgrid(x), ['[meshgrid]', '[2, 3]']],
  ['eye', () => eye(2.5), ['[eye]', '2.5']],
  [
    'conv2d of an empty kernel',
    () => conv2d(zeros([1, 1, 4, 4]), zeros([1, 1, 0, 0])),
    ['[conv2d]'],
  ],
  [
    'conv2d absurd',
    () => conv2d(zeros([1, 1, 4, 4]), zeros([1, 1, 2, 2]), undefined, { padding: 1e9 }),
    ['[conv2d]', 'elements'],
  ],
  ['interpolate absurd', () => interpolate(zeros([1, 1, 2, 2]), { size: 1e9 }), ['[interpolate]']],
  [
    'attention of packed sequences with a learned mask',
    () =>
      scaledDotProductAttention(zeros([1, 1, 4, 8]), zeros([1, 1, 4, 8]), zeros([1, 1, 4, 8]), {
        mask: zeros([4, 4], { requiresGrad: true }),
        cuSeqlensQ: i(0, 4),
      }),
    ['[scaledDotProductAttention]', 'cuSeqlensQ'],
  ],
  [
    'attention with a mask in place of options',
    () =>
      scaledDotProductAttention(
        zeros([1, 1, 4, 8]),
        zeros([1, 1, 4, 8]),
        zeros([1, 1, 4, 8]),
        zeros([4, 4]) as never,
      ),
    ['[scaledDotProductAttention]', '{ mask }'],
  ],
  ...(
    [
      ['permute', () => x.permute(1 as never)],
      ['reshape', () => x.reshape(6 as never)],
      ['view', () => x.view(6 as never)],
      ['expand', () => x.expand(2 as never)],
      ['repeat', () => x.repeat(2 as never)],
      ['pad', () => x.pad(1 as never)],
      ['sum', () => x.sum('0' as never)],
      ['slice', () => x.slice(1 as never)],
      ['split', () => x.split('2' as never)],
      ['cat', () => cat(x as never)],
      ['stack', () => stack(undefined as never)],
    ] as const
  ).map(([op, fn]): Row => [`${op} without a list`, fn, [`[${op}]`, 'list']]),
  ['item', () => x.itemSync(), ['[item]', '[2, 3]']],
  ['copy_', () => zeros([2]).copy_(x), ['[copy_]', '[2, 3]', '[2]']],
  [
    'indexCopy_',
    () => zeros([2, 3]).indexCopy_(0, i(0), zeros([2, 3])),
    ['[indexCopy_]', 'f32[1, 3]', 'f32[2, 3]'],
  ],
  [
    'a source of another dtype to indexCopy_',
    () => zeros([2, 3]).indexCopy_(0, i(0), zeros([1, 3]).to('bf16')),
    ['[indexCopy_]', 'bf16'],
  ],
  ['grad', () => (x.grad = y), ['[grad]', '[2, 3]', '[4, 5]']],
]

for (const [what, fn, words] of shapes) {
  test(`${what}: sizes that do not fit give a ShapeError with op and shapes`, () => {
    assertThrows(() => tidy(() => void fn()), ShapeError, ...words)
  })
}

const i32 = arange(6).reshape([2, 3])
const types: readonly Row[] = [
  [
    'matmul residual dtype',
    () => x.matmul(zeros([3, 5]), { residual: zeros([2, 5], { dtype: 'bf16' }) }),
    ['[matmul]', 'f32', 'bf16[2, 5]'],
  ],
  [
    'matmul of two dtypes',
    () => x.matmul(zeros([3, 2], { dtype: 'bf16' })),
    ['[matmul]', 'f32', 'bf16'],
  ],
  ['matmul of integers', () => i32.matmul(i32.mT()), ['[matmul]', 'i32']],
  ['softmax of integers', () => i32.softmax(-1), ['softmax', 'i32']],
  ['layerNorm of integers', () => layerNorm(i32), ['[layerNorm]', 'i32']],
  ['crossEntropy with f32 targets', () => crossEntropy(x, zeros([2])), ['[crossEntropy]', 'f32']],
  ['embedding with f32 ids', () => embedding(zeros([2]), x), ['[embedding]', 'f32']],
  ['gather with f32 index', () => x.gather(0, zeros([2, 3])), ['[gather]', 'f32']],
  ['where with f32 condition', () => where(x, x, x), ['[where]', 'f32']],
  [
    'conv2d of two dtypes',
    () => conv2d(zeros([1, 1, 4, 4]), zeros([1, 1, 2, 2], { dtype: 'f64' })),
    ['[conv2d]', 'f64'],
  ],
  [
    'attention over bytes from f64',
    () =>
      scaledDotProductAttention(q4.to('f64'), bytes, bytes, {
        keyScale: zeros([1, 2, 3, 1]),
        valueScale: zeros([1, 2, 3, 1]),
      }),
    ['[scaledDotProductAttention]', 'f64', 'u8'],
  ],
  [
    'attention of two dtypes',
    () =>
      scaledDotProductAttention(
        zeros([1, 1, 2, 4]),
        zeros([1, 1, 2, 4], { dtype: 'f16' }),
        zeros([1, 1, 2, 4]),
      ),
    ['scaledDotProductAttention', 'f16'],
  ],
  ['requiresGrad of integers', () => arange(3).requiresGrad_(), ['[requiresGrad]', 'i32']],
  ['an unknown dtype', () => zeros([1], { dtype: 'f8' as never }), ["'f8'", 'bf16']],
  ['an operand that is no tensor', () => x.add('1' as never), ['[add]', 'string']],
  ['null', () => x.mul(null as never), ['[mul]', 'null']],
  ['a product with a number', () => x.matmul(3 as never), ['[matmul]', 'b', 'a number']],
  ['linear without a weight', () => x.linear(undefined as never), ['[linear]', 'weight']],
  ['a list as index', () => x.indexSelect(0, [1] as never), ['[indexSelect]', 'index', 'a list']],
  ['a number as condition', () => where(1 as never, x, x), ['[where]', 'condition', 'a number']],
  ['nothing to choose', () => where(x.gt(0), x, null as never), ['[where]', 'null']],
  ['no value', () => x.maskedFill(x.gt(0), undefined as never), ['[maskedFill]', 'undefined']],
  ['null as bias', () => conv2d(zeros([1, 1, 2, 2]), zeros([1, 1, 1, 1]), null as never), ['bias']],
  ["layerNorm in PyTorch's order", () => layerNorm(x, [3] as never), ['[layerNorm]', 'weight']],
  ['a string to fill with', () => ones([1]).fill_('a' as never), ['[fill_]', 'a string']],
  ['full without a value', () => full([2], undefined as never), ['[full]', 'undefined']],
]

for (const [what, fn, words] of types) {
  test(`${what} gives a DTypeError`, () => {
    assertThrows(() => tidy(() => void fn()), DTypeError, ...words)
  })
}

const hits = i(0, 1)
const values: readonly Row[] = [
  ['a label smoothing of 2', () => crossEntropy(x, hits, { labelSmoothing: 2 }), ['2', '[0, 1]']],
  ['an unknown reduction', () => crossEntropy(x, hits, { reduction: 'avg' as never }), ["'avg'"]],
  [
    'half an ignoreIndex',
    () => crossEntropy(x, hits, { ignoreIndex: 0.5 }),
    ['ignoreIndex', '0.5'],
  ],
  ['a negative eps', () => rmsNorm(x, undefined, -1), ['[rmsNorm]', 'eps', '-1']],
  ['an eps of NaN', () => layerNorm(x, undefined, undefined, NaN), ['[layerNorm]', 'NaN']],
  ['a diagonal of 0.5', () => x.tril(0.5), ['[tril]', '0.5']],
  ['a shift of NaN', () => x.roll(NaN, 0), ['[roll]', 'NaN']],
  ['a scale of NaN', () => attend({ scale: NaN }), ['[scaledDotProductAttention]', 'scale', 'NaN']],
  ['an unknown layout', () => attend({ layout: 'lbhd' as never }), ["'lbhd'", "'bhld'"]],
  ['uniform upside down', () => uniform([2], 2, 1), ['[uniform]', '2', '1']],
  ['normal with a negative std', () => normal([2], 0, -1), ['[normal]', '-1']],
  ['a normal tail', () => truncatedNormal([2], { low: 50, high: 51 }), ['[truncatedNormal]', '50']],
  ['linspace of half a step', () => linspace(0, 1, 2.5), ['[linspace]', '2.5']],
  ['a clip at NaN', () => clipScale(ones([]), NaN), ['[clipScale]', 'NaN']],
  [
    'AdamW with a beta of 1',
    () => adamw_([x], [x], [x], [x], { lr: 1, beta1: 1, step: 1 }),
    ['[adamw]', 'beta1'],
  ],
]

function attend(options: AttentionOptions): Tensor {
  const q = zeros([1, 1, 2, 4])
  return scaledDotProductAttention(q, q, q, options)
}

for (const [what, fn, words] of values) {
  test(`${what} is refused`, () => {
    assertThrows(() => tidy(() => void fn()), ShaktiError, ...words)
  })
}

test('an index out of range is reported with its value, when the result is read, and the stream goes on after resetDevice', async () => {
  const { resetDevice } = await import('@shakti/tensor')
  for (const bad of [9, -1]) {
    assertThrows(() => tidy(() => x.indexSelect(0, i(0, bad)).dataSync()), ShaktiError, String(bad))
    resetDevice()
    assertThrows(() => tidy(() => embedding(i(bad), x).dataSync()), ShaktiError, String(bad))
    resetDevice()
    const y = zeros([2, 3])
    assertThrows(() => y.indexCopy_(0, i(bad), zeros([1, 3])).dataSync(), ShaktiError, String(bad))
    resetDevice()
    assertThrows(() => tidy(() => crossEntropy(x, i(0, bad)).dataSync()), ShaktiError, String(bad))
    resetDevice()
  }
  assert.equal([...ones([2]).dataSync()], [1, 1])
})

test('a disposed tensor, or one that its tidy freed, says so', () => {
  const t = ones([2])
  t.dispose()
  t.dispose()
  assertThrows(() => t.add(1), DisposedError)
  assertThrows(() => t.dataSync(), DisposedError)
  let inner: Tensor | undefined
  tidy(() => {
    inner = ones([2])
  })
  assertThrows(() => inner!.mul(2), DisposedError)
})

test('meta tensors run the shape rules of every op and cannot be read', () => {
  const m = zeros([2, 3], { device: 'meta' })
  assert.equal(m.matmul(zeros([3, 7], { device: 'meta' })).shape, [2, 7])
  assert.equal(m.sum(0).add(1).softmax(-1).shape, [3])
  assertThrows(() => m.matmul(m), ShapeError, '[matmul]')
  assertThrows(() => m.dataSync(), DeviceError, 'meta')
  assertThrows(() => m.add(x), DeviceError, 'meta', x.device)
  assertThrows(() => zeros([1], { device: 'cuda:99' }), DeviceError, 'cuda:99')
  assert.equal(zeros([1 << 20, 1 << 20], { device: 'meta' }).numel, 2 ** 40)
})

test('gradients that do not exist are refused, not zero', () => {
  assertThrows(() => ones([2]).backward(), AutogradError)
  assertThrows(
    () => ones([2], { requiresGrad: true }).mul(2).backward(),
    ShapeError,
    '[backward]',
    '[2]',
  )
  const w = ones([2], { requiresGrad: true })
  const loss = w.square().sum()
  loss.backward()
  assertThrows(() => loss.backward(), AutogradError)
  assertThrows(() => w.add_(1), AutogradError, 'noGrad')
  const scale = zeros([1, 2, 3, 1])
  const overBytes = (): unknown =>
    scaledDotProductAttention(q4.clone().requiresGrad_(), bytes, bytes, {
      keyScale: scale,
      valueScale: scale,
    })
  assertThrows(overBytes, AutogradError, 'keyScale', 'noGrad')
  noGrad(overBytes)
  const z = w.square()
  noGrad(() => w.fill_(3))
  assertThrows(() => z.sum().backward(), AutogradError)
})

test('full and fill_ take infinities and NaN', () => {
  assert.equal([...full([2], -Infinity).dataSync()], [-Infinity, -Infinity])
  assert.ok(Number.isNaN(ones([1]).fill_(NaN).itemSync()))
})

test.run()
