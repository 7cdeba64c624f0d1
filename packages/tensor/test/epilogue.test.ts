// Products with epilogues: what is built into the kernel against the same in ops of its own.
import { createRequire } from 'node:module'
import type { NativeConfiguration, NativeModule } from '@shakti/kernels'
import {
  applyEpilogue,
  deviceInfo,
  DTypeError,
  manualSeed,
  noGrad,
  quantizedLinear,
  quantizeWeight,
  randn,
  ShapeError,
  ShaktiError,
  swiglu,
  tidy,
  zeros,
  type DType,
  type LinearOptions,
  type Tensor,
} from '@shakti/tensor'
import { assert, assertClose, assertThrows, test } from './assert.js'

const native = createRequire(import.meta.url)('@shakti/kernels') as NativeModule
const { isa: best, isas } = deviceInfo()

const options = (residual: Tensor, gate: Tensor): Record<string, LinearOptions> => ({
  residual: { residual },
  swiglu: { swiglu: gate },
  swigluAll: { swiglu: gate, activation: 'gelu', residual, scale: 0.5 },
  scale: { scale: 0.25 },
  gelu: { activation: 'gelu' },
  geluTanh: { activation: 'geluTanh', residual },
  silu: { activation: 'silu', residual, scale: 0.5 },
})

function composed(x: Tensor, w: Tensor, bias: Tensor, given: LinearOptions): Tensor {
  const y = x
    .linear(w)
    .mul(given.scale ?? 1)
    .add(bias)
  return applyEpilogue(y, given)
}

for (const isa of isas as NonNullable<NativeConfiguration['isa']>[]) {
  test(`an epilogue gives on ${isa} what ops of its own give, whatever the path of the product`, () => {
    manualSeed(3)
    assert.is(native.configure({ isa }), 0)
    try {
      // Few rows, one block of the depth, and several.
      for (const [m, n, k] of [
        [3, 70, 40],
        [50, 70, 40],
        [50, 96, 1100],
      ] as const) {
        for (const dtype of ['f32', 'bf16', 'f16', 'f64'] as const) {
          const [x, w, bias, wide] = [[m, k], [n, k], [n], [m, 2 * n]].map((s) =>
            randn(s).mul(0.3).to(dtype),
          ) as [Tensor, Tensor, Tensor, Tensor]
          const eps = { f32: 1e-5, bf16: 2 ** -7, f16: 2 ** -10, f64: 1e-12 }[dtype]
          // Views: rows that lie apart, and columns.
          const apart = options(wide.narrow(1, 3, n), randn([n, m]).to(dtype).mT())
          for (const [what, given] of Object.entries(apart)) {
            tidy(() => {
              const got = x.linear(w, bias, given)
              assert.is(got.dtype, dtype)
              const want = composed(x.to('f64'), w.to('f64'), bias.to('f64'), {
                ...given,
                residual: given.residual?.to('f64'),
                swiglu: given.swiglu?.to('f64'),
              })
              const close = { rtol: eps, atol: 4 * eps }
              assertClose(got.dataSync(), want.dataSync(), close, `${what} ${dtype} k ${k}`)
            })
          }
        }
      }
    } finally {
      assert.is(native.configure({ isa: best as 'portable' }), 0)
    }
  })
}

test('a residual of f32 makes the result of 16-bit operands f32, its sum never rounded', () => {
  manualSeed(4)
  const [x, w, residual] = [
    randn([20, 600]).to('bf16'),
    randn([33, 600]).to('bf16'),
    randn([20, 33]),
  ]
  const want = x.to('f64').linear(w.to('f64')).add(residual)
  const close = { rtol: 1e-5, atol: 1e-4 }
  assertClose(x.linear(w, undefined, { residual }).dataSync(), want.dataSync(), close)
  const y = x.linear(w, undefined, { dtype: 'f32' })
  assert.is(y.dtype, 'f32')
  assertClose(y.add(residual).dataSync(), want.dataSync(), close)
  // And the other way about: a residual of 16 bits is widened, as by add.
  const half = residual.to('bf16')
  const wide = x.to('f32').linear(w.to('f32'))
  assert.equal(
    x.to('f32').linear(w.to('f32'), undefined, { residual: half }).dataSync(),
    wide.add(half).dataSync(),
  )
})

test('gradients reach all operands, in their dtypes, and are those of the ops one by one', () => {
  manualSeed(5)
  for (const dtype of ['f32', 'bf16'] as DType[]) {
    for (const [what, given] of Object.entries(options(randn([2, 6, 5]), randn([2, 6, 5])))) {
      const gradients = (f: typeof composed): Tensor[] => {
        manualSeed(6)
        const leaves = [[2, 6, 7], [5, 7], [5]].map((s) => randn(s).to(dtype).requiresGrad_()) as [
          Tensor,
          Tensor,
          Tensor,
        ]
        const [residual, swiglu] = [given.residual, given.swiglu].map((t) =>
          t?.detach().requiresGrad_(),
        )
        const y = f(...leaves, { ...given, residual, swiglu })
        y.backward(randn([2, 6, 5]).to(y.dtype))
        return [...leaves, residual, swiglu]
          .filter((t) => t !== undefined)
          .map((t) => {
            assert.is(t.grad!.dtype, t.dtype)
            return t.grad!
          })
      }
      const want = gradients(composed)
      const eps = dtype === 'f32' ? 1e-5 : 0.04
      gradients((x, w, bias, o) => x.linear(w, bias, o)).forEach((g, i) =>
        assertClose(
          g.dataSync(),
          want[i]!.dataSync(),
          { rtol: eps, atol: 2 * eps },
          `${what} ${dtype} ${i}`,
        ),
      )
    }
  }
})

test('a product of any ranks with a factor and a residual is what the ops one by one give, gradients too', () => {
  for (const [a, b] of [
    [[4], [4]],
    [[4], [3, 4, 5]],
    [[2, 3, 4], [4]],
    [
      [6, 4],
      [4, 5],
    ],
    [
      [2, 6, 4],
      [4, 5],
    ],
    [
      [2, 1, 6, 4],
      [3, 4, 5],
    ],
  ] as [number[], number[]][]) {
    const run = (f: (x: Tensor, y: Tensor, r: Tensor) => Tensor): ArrayLike<number>[] => {
      manualSeed(8)
      const [x, y] = [randn(a).requiresGrad_(), randn(b).requiresGrad_()]
      const residual = noGrad(() => randn(x.matmul(y).shape)).requiresGrad_()
      const out = f(x, y, residual)
      out.square().sum().backward()
      return [out, ...[x, y, residual].map((t) => t.grad!)].map((t) => t.dataSync())
    }
    const want = run((x, y, r) => x.matmul(y).mul(-0.5).add(r))
    run((x, y, residual) => x.matmul(y, { scale: -0.5, residual })).forEach((got, i) =>
      assertClose(got, want[i]!, { rtol: 1e-5, atol: 1e-5 }, `[${a}] [${b}] ${i}`),
    )
  }
})

test('an activation and a gate are the same with and without a gradient to come', () => {
  manualSeed(7)
  const [x, w] = [randn([40, 64]), randn([48, 64]).mul(0.1).requiresGrad_()]
  const gate = randn([40, 48])
  for (const given of [{ activation: 'gelu' }, { swiglu: gate }] as const) {
    const f = (): Tensor => x.linear(w, undefined, given)
    assert.equal(noGrad(f).dataSync(), f().dataSync())
  }
  // A gate alone may want one.
  const of = gate.requiresGrad_()
  x.linear(w.detach(), undefined, { swiglu: of }).sum().backward()
  assertClose(
    of.grad!.dataSync(),
    noGrad(() => {
      const s = gate.sigmoid()
      return x.linear(w).mul(s.mul(gate.mul(s.neg().add(1)).add(1)))
    }).dataSync(),
    { rtol: 1e-4, atol: 1e-5 },
  )
})

test('a gate of f32 makes the result of 16-bit operands f32, as the product with it', () => {
  manualSeed(9)
  const [x, w, gate] = [randn([20, 60]).to('bf16'), randn([33, 60]).to('bf16'), randn([20, 33])]
  const got = x.linear(w, undefined, { swiglu: gate })
  assert.is(got.dtype, 'f32')
  const want = gate.silu().mul(x.to('f32').linear(w.to('f32')))
  assertClose(got.dataSync(), want.dataSync(), { rtol: 1e-5, atol: 1e-5 })
  // A 16-bit gate and a residual of f32.
  const half = gate.to('bf16')
  const both = x.linear(w, undefined, { swiglu: half, residual: gate })
  assertClose(
    both.dataSync(),
    half
      .to('f32')
      .silu()
      .mul(x.to('f32').linear(w.to('f32')))
      .add(gate)
      .dataSync(),
    { rtol: 1e-5, atol: 1e-5 },
  )
})

test('quantised products take the same epilogue', () => {
  manualSeed(8)
  const [x, residual, gate] = [randn([2, 3, 64]), randn([2, 3, 40]), randn([2, 3, 40])]
  const weight = quantizeWeight(randn([40, 64]))
  const got = quantizedLinear(x, weight, undefined, { activation: 'silu', residual })
  assert.equal(got.dataSync(), quantizedLinear(x, weight).silu().add(residual).dataSync())
  assert.equal(
    quantizedLinear(x, weight, undefined, { swiglu: gate }).dataSync(),
    swiglu(gate, quantizedLinear(x, weight)).dataSync(),
  )
  assertThrows(
    () => quantizedLinear(x, weight, undefined, { residual: x }),
    ShapeError,
    '[quantizedLinear]',
    '[2, 3, 64]',
    '[2, 3, 40]',
  )
})

test('what is no epilogue is refused by name', () => {
  const [x, w] = [zeros([2, 3]), zeros([4, 3])]
  type Kind = Parameters<typeof assertThrows>[1]
  const refuse = (given: unknown, kind: Kind, ...words: string[]): void => {
    assertThrows(() => x.linear(w, undefined, given as LinearOptions), kind, '[linear]', ...words)
  }
  refuse({ activation: 'relu' }, ShaktiError, 'gelu', 'silu', 'relu')
  refuse({ activation: 'toString' }, ShaktiError, 'toString')
  refuse({ residual: zeros([4]) }, ShapeError, '[2, 4]', '[4]')
  refuse({ residual: 1 }, DTypeError, 'residual', 'a number')
  refuse({ swiglu: zeros([2, 1]) }, ShapeError, 'swiglu', '[2, 4]', '[2, 1]')
  refuse({ swiglu: 'gate' }, DTypeError, 'swiglu', 'a string')
  refuse({ scale: '2' }, DTypeError, 'scale', 'a string')
  refuse({ dtype: 'bf16' }, DTypeError, 'f32[2, 3]', 'bf16')
  refuse({ residual: zeros([2, 4], { dtype: 'f64' }) }, DTypeError, 'f64')
})

test.run()
