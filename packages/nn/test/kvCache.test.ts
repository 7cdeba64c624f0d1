import { manualSeed, noGrad, randn, ShapeError, tensor, type Tensor } from '@shakti/tensor'
import { Attention, KVCache, RotaryEmbedding } from '../src/index.js'
import { assert, assertClose, assertThrows, test } from './assert.js'

test('keys and values come back in order however often the buffer has grown', () => {
  const cache = new KVCache(2)
  const made: number[] = []
  for (let n = 0; n < 4; n++) {
    const values = Float32Array.from({ length: (n + 1) * 4 }, (_, i) => n * 100 + i)
    made.push(...values)
    const k = tensor(values, { shape: [1, n + 1, 2, 2] })
    const all = cache.append(0, k, k.mul(-1))
    cache.advance(n + 1)
    assertClose(all.k.dataSync(), made, 1e-9)
    assertClose(
      all.v.dataSync(),
      made.map((v) => -v),
      1e-9,
    )
  }
  assert.is(cache.length, 10)
  cache.dispose()
  assert.is(cache.length, 0)
})

test('a cache refuses keys of another batch or number of heads', () => {
  const cache = new KVCache()
  cache.append(0, randn([2, 1, 2, 4]), randn([2, 1, 2, 4]))
  cache.advance(1)
  assertThrows(
    () => cache.append(0, randn([1, 1, 2, 4]), randn([1, 1, 2, 4])),
    ShapeError,
    'f32[1, 1, 2, 4]',
  )
})

for (const qkNorm of ['none', 'head', 'full'] as const)
  test(`reading piece by piece over a cache gives what reading at once gives (QK-norm ${qkNorm})`, () => {
    manualSeed(2)
    const a = new Attention({ width: 16, heads: 4, kvHeads: 2, causal: true, qkNorm })
    const rope = new RotaryEmbedding(4, 10_000)
    const x = randn([2, 7, 16])
    noGrad(() => {
      const whole = a.forward(x, { rotary: rope.range(0, 7) })
      const cache = new KVCache(2)
      const parts: Tensor[] = []
      let at = 0
      for (const n of [3, 1, 2, 1]) {
        parts.push(a.forward(x.narrow(1, at, n), { rotary: rope.range(at, n), cache }))
        cache.advance(n)
        at += n
      }
      at = 0
      for (const p of parts) {
        assertClose(p.dataSync(), whole.narrow(1, at, p.shape[1]!).contiguous().dataSync(), 1e-5)
        at += p.shape[1]!
      }
    })
  })

test.run()
