// Weights packed once: the same numbers as linear's, whatever the threads, the instruction set and the rows beside.
import { createRequire } from 'node:module'
import type { NativeConfiguration, NativeModule } from '@shakti/kernels'
import {
  AutogradError,
  deviceInfo,
  DisposedError,
  DTypeError,
  manualSeed,
  noGrad,
  ones,
  packedLinear,
  PackedWeight,
  packWeight,
  randn,
  setNumThreads,
  ShaktiError,
  ShapeError,
  tensor,
  tidy,
  zeros,
  type LinearOptions,
} from '@shakti/tensor'
import { assert, assertClose, assertThrows, counts, test } from './assert.js'

const native = createRequire(import.meta.url)('@shakti/kernels') as NativeModule
const dtypes = ['f32', 'bf16'] as const

test('a product equals that of the weight as it was, with every option', () => {
  manualSeed(1)
  for (const dtype of dtypes) {
    const [w, x, bias] = [randn([70, 530]), randn([2, 9, 530]), randn([70])].map((t) => t.to(dtype))
    const weight = packWeight(w!)
    const residual = randn([2, 9, 70])
    for (const options of [
      {},
      { scale: 0.5 },
      { activation: 'gelu' },
      { activation: 'geluTanh', residual: residual.to(dtype) },
      { activation: 'silu', residual, scale: 2, dtype: 'f32' },
      { swiglu: residual.to(dtype), residual: residual.to(dtype) },
    ] satisfies LinearOptions[]) {
      const [y, want] = [packedLinear(x!, weight, bias, options), x!.linear(w!, bias, options)]
      assert.equal([y.dtype, ...y.shape], [want.dtype, ...want.shape])
      assert.equal(y.float().dataSync(), want.float().dataSync())
    }
  }
})

test('few rows are within rounding of linear, and each has the bits that it has among many', () => {
  manualSeed(2)
  const { isa: best, isas } = deviceInfo()
  for (const dtype of dtypes) {
    const [w, x] = [randn([131, 1100]).to(dtype), randn([40, 1100]).to(dtype)]
    const weight = packWeight(w)
    const packed = [...weight.packed.dataSync()]
    for (const isa of isas as NonNullable<NativeConfiguration['isa']>[]) {
      assert.is(native.configure({ isa }), 0)
      const want = [...x.linear(w).float().dataSync()]
      for (const threads of [1, 2, 3]) {
        setNumThreads(threads)
        assert.equal([...packWeight(w).packed.dataSync()], packed)
        assert.equal([...packedLinear(x, weight).float().dataSync()], want)
        for (const [row, rows] of [
          [0, 1],
          [3, 4],
          [17, 16],
        ] as const) {
          const few = packedLinear(x.narrow(0, row, rows), weight)
            .float()
            .dataSync()
          // A GPU multiplies few rows by another kernel.
          if (w.device === 'cpu') assert.equal([...few], want.slice(row * 131, (row + rows) * 131))
          assertClose(few, x.narrow(0, row, rows).linear(w).float().dataSync(), {
            rtol: dtype === 'f32' ? 1e-5 : 2 ** -7,
            atol: 1e-4,
          })
        }
      }
    }
    native.configure({ isa: best as 'portable' })
    setNumThreads(2)
  }
})

test('a weight comes out as it went in, transposed ones too, and takes the bytes it says', () => {
  manualSeed(3)
  for (const dtype of dtypes) {
    const w = randn([50, 33]).to(dtype)
    const weight = packWeight(w.mT())
    assert.equal([weight.shape, weight.dtype, weight.device], [[33, 50], dtype, w.device])
    assert.is(weight.bytes, 2 * 32 * 4 * (dtype === 'f32' ? 50 : 32))
    assert.equal(weight.unpack().float().dataSync(), w.mT().contiguous().float().dataSync())
    assert.is(weight.unpack().dtype, dtype)
    assert.equal(
      packedLinear(w.mT().narrow(0, 1, 3), weight)
        .float()
        .dataSync(),
      packedLinear(w.mT().narrow(0, 1, 3).contiguous(), weight)
        .float()
        .dataSync(),
    )
  }
})

test('what is not finite stays so', () => {
  const w = tensor([
    [1, NaN],
    [Infinity, 2],
  ])
  assert.equal([...packWeight(w).unpack().dataSync()], [1, NaN, Infinity, 2])
  assertClose(packedLinear(ones([1, 2]), packWeight(w)).dataSync(), [NaN, Infinity])
  const x = tensor([
    [1, NaN],
    [1, 2],
  ])
  assertClose(packedLinear(x, packWeight(ones([1, 2]))).dataSync(), [NaN, 3])
})

test('nothing in, nothing out: no rows, no columns, no depth', () => {
  const weight = packWeight(zeros([3, 40]))
  assert.equal(packedLinear(zeros([0, 40]), weight).shape, [0, 3])
  assert.equal(packedLinear(zeros([2, 40]), packWeight(zeros([0, 40]))).shape, [2, 0])
  const y = packedLinear(zeros([2, 0]), packWeight(zeros([3, 0])), tensor([1, 2, 3]))
  assert.equal([...y.dataSync()], [1, 2, 3, 1, 2, 3])
})

test('a scope does not free a packed weight, memory() counts it, dispose gives it back', () => {
  const x = ones([1, 64])
  const before = counts()
  const weight = tidy(() => packWeight(ones([64, 64]).mul(2)))
  assert.is(counts().tensors, before.tensors + 1)
  // Built with sanitizers, every block has a margin.
  const held = counts().liveBytes - before.liveBytes
  assert.ok(held >= weight.bytes && held <= weight.bytes + 1024, `${held} bytes are held`)
  const y = tidy(() => packedLinear(x, weight).dataSync())
  assert.equal([...y], new Array(64).fill(128))
  weight.dispose()
  assert.is(counts().liveBytes, before.liveBytes)
  assertThrows(() => packedLinear(x, weight), DisposedError)
})

test('the weight has no gradient, and backward through a product says why', () => {
  const w = ones([2, 3], { requiresGrad: true })
  const weight = packWeight(w)
  const x = ones([1, 3], { requiresGrad: true })
  const y = packedLinear(x, weight)
  assert.not(weight.packed.requiresGrad)
  assertThrows(() => y.sum().backward(), AutogradError, 'packedLinear', 'inference')
  assert.not(noGrad(() => packedLinear(x, weight)).requiresGrad)
})

test('what does not fit is refused, naming both', () => {
  const x = zeros([2, 64])
  const weight = packWeight(zeros([3, 64]))
  assertThrows(() => packWeight(zeros([3])), ShapeError, '[out, in]', 'f32[3]')
  assertThrows(() => packWeight(zeros([3, 4], { dtype: 'f16' })), DTypeError, 'f32 or bf16', 'f16')
  assertThrows(() => packWeight([1] as never), DTypeError, 'a list')
  assertThrows(() => packedLinear(zeros([2, 63]), weight), ShapeError, '64', '[2, 63]')
  assertThrows(() => packedLinear(tensor(1), weight), ShapeError, '64', 'f32[]')
  assertThrows(() => packedLinear(x.to('bf16'), weight), DTypeError, 'f32', 'bf16[2, 64]')
  assertThrows(() => packedLinear(x, weight, zeros([4])), ShapeError, 'f32[3]', 'f32[4]')
  assertThrows(() => packedLinear(x, x as never), DTypeError, 'packWeight')
  assertThrows(() => packedLinear(x, weight, undefined, { residual: x }), ShapeError, '[2, 3]')
  assertThrows(() => packedLinear(x, weight, undefined, { dtype: 'bf16' }), DTypeError, 'bf16')
  assertThrows(
    () => packedLinear(x, weight, undefined, { activation: 'relu' as 'gelu' }),
    ShaktiError,
    'relu',
  )
  assertThrows(
    () => new PackedWeight(weight.packed, [3, 65], 'f32'),
    ShapeError,
    '[3, 65]',
    'u8[1, 8192]',
  )
})

test.run()
