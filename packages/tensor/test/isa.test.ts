// The same references on every instruction set of this machine, and under the ways in which a command can run: on the
// caller's thread or queued, with the executor slowed so that queues build up, and with freed memory overwritten.
import { createRequire } from 'node:module'
import type { NativeConfiguration, NativeModule } from '@shakti/kernels'
import { deviceInfo, manualSeed, randn, tidy, type Tensor } from '@shakti/tensor'
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

test.run()
