// The same references on every instruction set of this machine, and under the ways in which a command can run: on the
// caller's thread or queued, with the executor slowed so that queues build up, and with freed memory overwritten.
import { createRequire } from 'node:module'
import type { NativeConfiguration, NativeModule } from '@shakti/kernels'
import {
  deviceInfo,
  getFloat32MatmulPrecision,
  manualSeed,
  randn,
  setFloat32MatmulPrecision,
  tidy,
  type Tensor,
} from '@shakti/tensor'
import { assert, assertClose, test } from './assert.js'
import { cases, collect, contiguousOnly, dtypesOf, run } from './ops-run.js'

const native = createRequire(import.meta.url)('@shakti/kernels') as NativeModule
const { isa: best, isas } = deviceInfo()
const usual: NativeConfiguration = {
  isa: best as 'portable',
  inline: 'auto',
  slowMicroseconds: 0,
  poison: false,
}

function configured(options: NativeConfiguration, work: () => void): void {
  assert.is(native.configure(options), 0)
  try {
    work()
  } finally {
    assert.is(native.configure(usual), 0)
  }
}

for (const isa of isas as NonNullable<NativeConfiguration['isa']>[]) {
  test(`all ops equal PyTorch on ${isa}`, () => {
    configured({ isa }, () => {
      collect(
        cases.flatMap((c) =>
          dtypesOf(c).flatMap((d) => [
            (): void => run(c, d, 'in order'),
            ...(contiguousOnly.has(c.op) ? [] : [(): void => run(c, d, 'as views')]),
          ]),
        ),
      )
    })
  })
}

const modes: readonly [string, NativeConfiguration][] = [
  ['always queued, with freed memory overwritten', { inline: 'never', poison: true }],
  ['always on the thread of the caller', { inline: 'always', poison: true }],
  ['queued behind a slowed executor', { inline: 'never', slowMicroseconds: 30, poison: true }],
]
for (const [what, options] of modes) {
  test(`all ops equal PyTorch when they run ${what}`, () => {
    configured(options, () => {
      const dtype = what.includes('slowed') ? ['f32'] : ['f32', 'bf16', undefined]
      collect(
        cases.flatMap((c) =>
          dtypesOf(c)
            .filter((d) => dtype.includes(d))
            .map((d) => (): void => run(c, d, 'in order')),
        ),
      )
    })
  })
}

test('larger operands, in many tiles and chunks, agree between the instruction sets', () => {
  manualSeed(17)
  const [a, b, v] = [randn([133, 517]), randn([517, 259]), randn([70_001])]
  const results = (): Record<string, Tensor> => ({
    matmul: a.matmul(b),
    'matmul of transposed views': b.mT().matmul(a.mT()),
    exp: v.exp(),
    gelu: v.gelu(),
    'sum of all': v.sum(),
    'sum over rows': a.sum(0),
    softmax: a.softmax(-1),
    'to bf16': v.to('bf16'),
    cumsum: v.mul(1e-3).cumsum(0),
    sort: v.sort(0).values,
  })
  tidy(() => {
    const want = results()
    for (const isa of isas as NonNullable<NativeConfiguration['isa']>[]) {
      configured({ isa }, () => {
        for (const [what, t] of Object.entries(results())) {
          assertClose(
            t.dataSync(),
            want[what]!.dataSync(),
            { rtol: 1e-5, atol: 2e-4 },
            `${what} on ${isa}`,
          )
        }
      })
    }
  })
})

test("'medium' products lose what bf16 factors lose and no more; 'highest' ones lose nothing", () => {
  manualSeed(18)
  const inBf16 = (t: Tensor): Tensor => t.to('bf16').to('f32')
  // An odd depth, more rows than go without packing, a transposed operand.
  const [a, b] = [randn([65, 601]), randn([77, 601]).mT()]
  tidy(() => {
    const [exact, rounded] = [a.matmul(b), inBf16(a).matmul(inBf16(b))]
    for (const isa of isas as NonNullable<NativeConfiguration['isa']>[]) {
      configured({ isa }, () => {
        try {
          setFloat32MatmulPrecision('medium')
          const [raw, fitting] = [a.matmul(b), inBf16(a).matmul(inBf16(b))]
          const close = { rtol: 1e-5, atol: 2e-4 }
          assertClose(fitting.dataSync(), rounded.dataSync(), close, `bf16 factors on ${isa}`)
          // Where the CPU has no such products the factors stay as they are.
          const off = (want: Tensor): number => Number(raw.sub(want).abs().max().dataSync()[0])
          assert.ok(Math.min(off(exact), off(rounded)) < 1e-3, `${off(exact)} and ${off(rounded)}`)
        } finally {
          setFloat32MatmulPrecision('highest')
        }
      })
    }
    assert.equal(a.matmul(b).dataSync(), exact.dataSync())
  })
  assert.throws(
    () => setFloat32MatmulPrecision('low' as 'medium'),
    /'highest', 'high' or 'medium', got 'low'/,
  )
  assert.is(getFloat32MatmulPrecision(), 'highest')
})

test.run()
