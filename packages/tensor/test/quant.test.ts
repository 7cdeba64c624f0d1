// Weights in 8 and 4 bits: how far a product is off, that its bits depend on nothing but its operands, files, gradients.
import { createRequire } from 'node:module'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NativeConfiguration, NativeModule } from '@shakti/kernels'
import {
  deviceInfo,
  DisposedError,
  DTypeError,
  loadSafetensors,
  manualSeed,
  memory,
  ones,
  quantizedLinear,
  quantizedLinears,
  quantizedSwiglu,
  QuantizedWeight,
  quantizeWeight,
  randn,
  resetDevice,
  saveSafetensors,
  setNumThreads,
  ShaktiError,
  ShapeError,
  tensor,
  tidy,
  zeros,
  type QuantizeOptions,
  type Tensor,
} from '@shakti/tensor'
import { assert, assertClose, assertThrows, counts, test } from './assert.js'

const native = createRequire(import.meta.url)('@shakti/kernels') as NativeModule
const formats = ([8, 4] as const).flatMap((bits) =>
  ([32, 64, 128] as const).flatMap((group) =>
    [false, true].map((zeroPoint) => ({ bits, group, zeroPoint })),
  ),
)

/** Length of the difference over the length of what is wanted. */
function relativeError(got: Tensor, want: Tensor): number {
  const size = (t: Tensor): number => t.float().square().sum().sqrt().itemSync()
  return size(got.float().sub(want)) / size(want)
}

test('several weights in one pass give what each gives alone, to the bit', () => {
  manualSeed(11)
  for (const format of formats) {
    const weights = [64, 32, 45].map((n) => quantizeWeight(randn([n, 200]), format))
    for (const [rows, dtype] of [
      [1, 'bf16'],
      [13, 'f32'],
      [40, 'f16'],
    ] as const) {
      const x = randn([rows, 200]).to(dtype)
      for (const some of [
        weights,
        weights.slice(1),
        weights.slice(2),
        [weights[2]!, weights[0]!],
      ]) {
        const got = quantizedLinears(x, some)
        some.forEach((w, i) => {
          assert.equal(got[i]!.shape, [rows, w.shape[0]])
          assert.equal([...got[i]!.contiguous().dataSync()], [...quantizedLinear(x, w).dataSync()])
        })
      }
    }
  }
})

test('a gated product in one pass is silu(gate) * up', () => {
  manualSeed(12)
  for (const format of formats) {
    const [gate, up] = [0, 1].map(() => quantizeWeight(randn([75, 136]), format))
    for (const rows of [1, 19]) {
      const x = randn([2, rows, 136])
      const want = quantizedLinear(x, gate!).silu().mul(quantizedLinear(x, up!))
      assertClose(quantizedSwiglu(x, gate!, up!).dataSync(), want.dataSync(), {
        rtol: 1e-5,
        atol: 1e-4,
      })
      const low = quantizedSwiglu(x.to('bf16'), gate!, up!)
      assert.is(low.dtype, 'bf16')
      assert.ok(relativeError(low, want) < 0.02)
    }
  }
})

test('a residual is added before the result is rounded', () => {
  manualSeed(13)
  const weight = quantizeWeight(randn([50, 100]))
  const [x, bias, residual] = [randn([7, 100]), randn([50]), randn([50, 7]).mT()]
  assert.equal(
    [...quantizedLinear(x, weight, bias, { residual }).dataSync()],
    [...quantizedLinear(x, weight, bias).add(residual).dataSync()],
  )
})

test('several weights have the gradients of each alone', () => {
  manualSeed(14)
  const [q, k] = [32, 32].map((n) => quantizeWeight(randn([n, 64])))
  const x = randn([3, 64], { requiresGrad: true })
  const [a, b] = quantizedLinears(x, [q!, k!])
  a!.sum().add(b!.sum()).backward()
  const want = ones([3, 32])
    .matmul(q!.dequantize())
    .add(ones([3, 32]).matmul(k!.dequantize()))
  assertClose(x.grad!.dataSync(), want.dataSync(), { rtol: 1e-4, atol: 1e-4 })
})

test('each format keeps a product within its stated error of f32, in every dtype of x', () => {
  manualSeed(1)
  const stated = { 8: { 32: 0.009, 64: 0.01, 128: 0.011 }, 4: { 32: 0.09, 64: 0.1, 128: 0.11 } }
  const [w, x, bias] = [randn([100, 515]), randn([2, 9, 515]), randn([100])]
  const want = x.linear(w, bias)
  for (const format of formats) {
    const { bits, group, zeroPoint } = format
    const weight = quantizeWeight(w, format)
    const most = stated[bits][group] * (zeroPoint && bits === 4 ? 0.93 : 1)
    for (const dtype of ['f32', 'bf16', 'f16'] as const) {
      const y = quantizedLinear(x.to(dtype), weight, bias.to(dtype))
      assert.equal([y.dtype, ...y.shape], [dtype, 2, 9, 100])
      const error = relativeError(y, want)
      assert.ok(error < most && error > most / 4, `${JSON.stringify(format)}: ${error}`)
    }
    const whole = relativeError(weight.dequantize(), w)
    assert.ok(whole < most && whole > most / 4, `the weight itself: ${whole}`)
  }
})

test('zero points halve the error of 4 bits where a group lies to one side of 0, and cost a byte a group', () => {
  manualSeed(15)
  const w = randn([64, 256])
    .add(2.5)
    .mul(tensor([1, -1]).reshape([1, 2, 1]).expand([64, 2, 128]).reshape([64, 256]))
  const x = randn([20, 256])
  for (const group of [32, 64, 128] as const) {
    const [even, placed] = [false, true].map((zeroPoint) =>
      quantizeWeight(w, { bits: 4, group, zeroPoint }),
    )
    assert.is(placed!.bytes - even!.bytes, (64 * 256) / group)
    const error = (weight: QuantizedWeight): number =>
      relativeError(quantizedLinear(x, weight), x.linear(w))
    assert.ok(error(placed!) < 0.6 * error(even!), `${error(placed!)} ${error(even!)}`)
    assert.ok(error(placed!) > 0.01)
  }
})

test('weights in two formats go one by one, and a layer with its zero points read away is refused', () => {
  manualSeed(16)
  const w = randn([64, 96])
  const some = [false, true].map((zeroPoint) => quantizeWeight(w, { bits: 4, zeroPoint }))
  const x = randn([3, 96])
  quantizedLinears(x, some).forEach((y, i) =>
    assert.equal([...y.contiguous().dataSync()], [...quantizedLinear(x, some[i]!).dataSync()]),
  )
  assertThrows(
    () => new QuantizedWeight(some[1]!.packed, [64, 96], { bits: 4 }),
    ShapeError,
    'groups of 32 is packed',
  )
  assertThrows(
    () => new QuantizedWeight(some[0]!.packed, [64, 96], { bits: 4, zeroPoint: true }),
    ShapeError,
    'with zero points',
  )
  assertThrows(() => quantizeWeight(w, { zeroPoint: 1 as never }), ShaktiError, 'zeroPoint', '1')
})

test('8 bits of a weight that 8 bits can hold, and of such an x, give the exact product', () => {
  const whole = (n: number, k: number): Tensor =>
    tensor(
      Float32Array.from({ length: n * k }, (_, i) => (i % k === 0 ? 127 : ((i * 37) % 255) - 127)),
      { shape: [n, k] },
    )
  // One group a row, each with a 127 in it: scales of 1.
  const [w, x] = [whole(5, 64), whole(3, 64)]
  const weight = quantizeWeight(w)
  assert.equal(weight.dequantize().dataSync(), w.dataSync())
  assert.equal(quantizedLinear(x, weight).dataSync(), x.linear(w).dataSync())
})

test('the bits of a row depend neither on instruction set nor threads nor the rows beside it', () => {
  manualSeed(2)
  const { isa: best, isas } = deviceInfo()
  const [w, x, bias] = [randn([331, 900]), randn([33, 900]), randn([331])]
  for (const format of formats) {
    const weight = quantizeWeight(w, format)
    const packed = [...weight.packed.dataSync()]
    const want = [...quantizedLinear(x, weight, bias).dataSync()]
    for (const isa of isas as NonNullable<NativeConfiguration['isa']>[]) {
      assert.is(native.configure({ isa }), 0)
      for (const threads of [1, 2, 3]) {
        setNumThreads(threads)
        assert.equal([...quantizeWeight(w, format).packed.dataSync()], packed)
        assert.equal([...quantizedLinear(x, weight, bias).dataSync()], want)
      }
      for (const row of [0, 7, 32]) {
        const alone = quantizedLinear(x.narrow(0, row, 1), weight, bias)
        assert.equal([...alone.dataSync()], want.slice(row * 331, (row + 1) * 331))
      }
    }
    native.configure({ isa: best as 'portable' })
    setNumThreads(2)
  }
})

test('views are read as they lie: a transposed weight and a transposed x', () => {
  manualSeed(3)
  const [w, x] = [randn([70, 40]), randn([70, 5])]
  const weight = quantizeWeight(w.mT())
  const want = quantizedLinear(x.mT().contiguous(), quantizeWeight(w.mT().contiguous()))
  assert.equal(quantizedLinear(x.mT(), weight).dataSync(), want.dataSync())
})

test('a weight is packed in the bytes it says and comes back from a file', async () => {
  manualSeed(4)
  const folder = mkdtempSync(join(tmpdir(), 'shakti-quant-'))
  try {
    for (const [format, bytes] of [
      [{ bits: 8 }, 64 * 2 * 66],
      [{ bits: 8, group: 128 }, 64 * 130],
      [{ bits: 4 }, 64 * 4 * 18],
      [{ bits: 4, zeroPoint: true }, 64 * 4 * 19],
      [{ bits: 4, group: 128, zeroPoint: true }, 64 * (66 + 2)],
    ] as [QuantizeOptions, number][]) {
      const weight = quantizeWeight(randn([40, 100]), format)
      assert.is(weight.bytes, bytes)
      const path = join(folder, 'w.safetensors')
      await saveSafetensors(path, { weight: weight.packed })
      const { tensors } = loadSafetensors(path)
      const again = new QuantizedWeight(tensors['weight']!, [40, 100], format)
      assert.equal(again.dequantize().dataSync(), weight.dequantize().dataSync())
      assertThrows(
        () => new QuantizedWeight(tensors['weight']!, [40, 200], format),
        ShapeError,
        '[40, 200]',
        'u8[2,',
      )
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('x and bias have the gradients of the product with the weight made whole; the weight has none', () => {
  manualSeed(5)
  const w = randn([7, 50], { requiresGrad: true })
  const weight = quantizeWeight(w, { bits: 4 })
  assert.not(weight.packed.requiresGrad)
  const x = randn([3, 2, 50], { requiresGrad: true })
  const bias = randn([7], { requiresGrad: true })
  const g = randn([3, 2, 7])
  quantizedLinear(x, weight, bias).backward(g)
  assertClose(x.grad!.dataSync(), g.matmul(weight.dequantize()).dataSync())
  assertClose(bias.grad!.dataSync(), g.sum([0, 1]).dataSync())
  assert.is(w.grad, undefined)
})

test('nothing in, nothing out: no rows, no columns, no depth', () => {
  const weight = quantizeWeight(zeros([3, 40]))
  assert.equal(quantizedLinear(zeros([0, 40]), weight).shape, [0, 3])
  assert.equal(quantizedLinear(zeros([2, 40]), quantizeWeight(zeros([0, 40]))).shape, [2, 0])
  const bias = tensor([1, 2, 3])
  const y = quantizedLinear(zeros([2, 0]), quantizeWeight(zeros([3, 0])), bias)
  assert.equal(y.toArraySync(), [
    [1, 2, 3],
    [1, 2, 3],
  ])
})

test('a scope does not free a quantised weight; dispose does, at once', () => {
  const x = ones([1, 64])
  const weight = tidy(() => quantizeWeight(ones([64, 64]).mul(2)))
  assertClose(quantizedLinear(x, weight).dataSync(), new Float32Array(64).fill(128), { rtol: 0.01 })
  const before = counts().tensors
  weight.dispose()
  assert.is(memory().tensors, before - 1)
  assertThrows(() => quantizedLinear(x, weight), DisposedError)
})

test('a weight that is not finite is refused when the result is read; a row of x that is not gives NaN', async () => {
  for (const bad of [NaN, Infinity, -Infinity]) {
    const w = tensor([
      [1, 2],
      [bad, 3],
    ])
    const weight = quantizeWeight(w)
    const message = await weight.packed.data().then(
      () => '',
      (e: Error) => e.message,
    )
    assert.match(message, /quantize_weight.*row 1 of the weight is not finite/)
    resetDevice()
    const y = quantizedLinear(w, quantizeWeight(ones([1, 2])))
    assertClose(y.dataSync(), [3, NaN], { rtol: 0.01 })
  }
})

test('what does not fit is refused, naming both', () => {
  const x = zeros([2, 64])
  const weight = quantizeWeight(zeros([3, 64]))
  assertThrows(() => quantizeWeight(zeros([3])), ShapeError, '[out, in]', 'f32[3]')
  assertThrows(() => quantizeWeight(zeros([3, 4], { dtype: 'f64' })), DTypeError, 'f64')
  assertThrows(() => quantizeWeight(zeros([3, 4], { dtype: 'i32' })), DTypeError, 'i32')
  assertThrows(() => quantizeWeight(zeros([3, 4]), { bits: 5 as 4 }), ShaktiError, '8 or 4', '5')
  assertThrows(() => quantizeWeight(zeros([3, 4]), { group: 48 as 64 }), ShaktiError, '48')
  assertThrows(() => quantizeWeight([1] as never), DTypeError, 'a list')
  assertThrows(() => quantizedLinear(zeros([2, 63]), weight), ShapeError, '64', '[2, 63]')
  assertThrows(() => quantizedLinear(tensor(1), weight), ShapeError, '64', 'f32[]')
  assertThrows(() => quantizedLinear(x.to('f64'), weight), DTypeError, 'f64')
  assertThrows(() => quantizedLinear(x, weight, zeros([4])), ShapeError, 'f32[3]', 'f32[4]')
  assertThrows(() => quantizedLinear(x, weight, zeros([3]).to('bf16')), ShapeError, 'bf16[3]')
  assertThrows(() => quantizedLinear(x, x as never), DTypeError, 'quantizeWeight')
  assertThrows(() => weight.dequantize('i32'), DTypeError, 'i32')
  assertThrows(
    () => new QuantizedWeight(zeros([1, 64]), [3, 64]),
    ShapeError,
    'u8[1,',
    'f32[1, 64]',
  )
})

test.run()
