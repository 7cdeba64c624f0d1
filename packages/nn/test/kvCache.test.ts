import {
  manualSeed,
  memory,
  noGrad,
  randn,
  scaledDotProductAttention,
  ShaktiError,
  ShapeError,
  tensor,
  tidy,
  type Tensor,
} from '@shakti/tensor'
import {
  Attention,
  KVCache,
  RotaryEmbedding,
  type KeysValues,
  type KVCacheOptions,
} from '../src/index.js'
import { assert, assertClose, assertThrows, counts, test } from './assert.js'

/** Keys of positions from .. to - 1: each number says where it stands. [1, n, 2, 2] */
const keys = (from: number, to: number): Tensor =>
  tensor(
    Float32Array.from({ length: (to - from) * 4 }, (_, i) => from * 4 + i),
    { shape: [1, to - from, 2, 2] },
  )
/** What a cache holds as numbers, from bytes too. */
const whole = ({ k, v, scales }: KeysValues): { k: Tensor; v: Tensor } =>
  scales
    ? {
        k: k.to('f32').sub(128).mul(scales.k),
        v: v.to('f32').sub(128).mul(scales.v),
      }
    : { k, v }
const read = (cache: KVCache, to: number, window?: number): Tensor => {
  const n = to - cache.length
  const more = keys(cache.length, to)
  const { k, v } = whole(cache.append(0, more, more.mul(-1), window))
  cache.advance(n)
  assertClose(v.dataSync(), k.mul(-1).dataSync(), 1e-9)
  return k
}

// First, before there is garbage of other tests to be collected meanwhile.
test('a cache holds two tensors a layer, four in 8 bits, and gives them back', () => {
  for (const dtype of ['f32', 'i8'] as const) {
    const cache = new KVCache({ dtype })
    const before = counts().tensors
    tidy(() => {
      for (let to = 20; to < 300; to += 20) read(cache, to, 9)
    })
    assert.is(memory().tensors - before, dtype === 'i8' ? 4 : 2)
    cache.dispose()
    assert.is(cache.bytes, 0)
    assert.is(memory().tensors, before)
  }
})

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

test('a layer with a window holds what the window reaches, in bounded memory, in order', () => {
  const window = 7
  const cache = new KVCache({ capacity: 4 })
  let most = 0
  for (const n of [3, 1, 20, 1, 1, 90, 2, ...new Array<number>(300).fill(1)]) {
    const before = cache.length
    const k = read(cache, before + n, window)
    const rows = k.shape[1]!
    assert.ok(rows >= Math.min(before + n, window - 1 + n), `${rows} rows after ${before} + ${n}`)
    assertClose(k.dataSync(), keys(before + n - rows, before + n).dataSync(), 1e-9)
    most = Math.max(most, cache.bytes)
  }
  assert.is(cache.length, 418)
  // Keys and values of 6 + 90 positions, 4 numbers each.
  assert.ok(most <= 2 * 96 * 16, `${most} bytes`)
  cache.dispose()
})

test('the room of a cache doubles, up to its limit', () => {
  const cache = new KVCache({ capacity: 4, limit: 11 })
  const rooms = [1, 4, 5, 8, 9, 11, 12].map((to) => {
    read(cache, to)
    return cache.bytes / 32
  })
  assert.equal(rooms, [4, 4, 8, 8, 11, 11, 12])
})

test('what is taken back is read again as if it had not been', () => {
  for (const [window, rewind] of [
    [undefined, 0],
    [5, 4],
  ] as const) {
    const cache = new KVCache({ rewind })
    read(cache, 100, window)
    for (let to = 101; to < 400; to += 3) {
      read(cache, to + 2, window)
      cache.truncate(to - 2)
      const k = read(cache, to, window)
      assertClose(k.dataSync().slice(-20), keys(to - 5, to).dataSync(), 1e-9)
    }
  }
  const cache = new KVCache()
  for (const to of [200, 300]) read(cache, to, 5)
  assert.not.ok(cache.canTruncate(100))
  assertThrows(() => cache.truncate(100), ShapeError, '100', 'rewind')
  assertThrows(() => cache.truncate(301), ShapeError, '301')
  cache.truncate(300)
})

test('pieces of one cache make another, with a window or not', () => {
  for (const [window, dtype] of [
    [undefined, 'f32'],
    [6, 'f32'],
    [6, 'i8'],
  ] as const) {
    const cache = new KVCache({ dtype })
    const pieces = [40, 55, 130].map((to) => {
      const from = cache.length
      read(cache, to, window)
      return cache.slice(from, to)
    })
    const other = new KVCache()
    for (const p of pieces) other.extend(p)
    assert.is(other.length, 130)
    assert.is(other.dtype, dtype)
    const [a, b] = [read(cache, 131, window), read(other, 131, window)]
    assertClose(b.dataSync().slice(-24), a.dataSync().slice(-24), 1e-9)
  }
  const windowed = new KVCache()
  for (const to of [200, 300]) read(windowed, to, 5)
  assertThrows(() => windowed.slice(10, 20), ShapeError, '10', '20')
  const other = new KVCache({ dtype: 'bf16' })
  assertThrows(() => other.extend(windowed.slice(299, 300)), ShaktiError, 'bf16', 'f32')
})

test('rows of the batch are taken in any order; a clone goes its own way', () => {
  const cache = new KVCache(8)
  const k = tensor(
    Float32Array.from({ length: 12 }, (_, i) => i),
    { shape: [3, 1, 2, 2] },
  )
  cache.append(0, k, k.mul(2))
  cache.advance(1)
  const copy = cache.clone()
  cache.select(tensor(Int32Array.of(2, 0, 2, 1)))
  const more = tensor(new Float32Array(16).fill(9), { shape: [4, 1, 2, 2] })
  const got = cache.append(0, more, more)
  const rows = got.v.narrow(1, 0, 1).reshape([4, 4]).toArraySync()
  assert.equal(rows, [
    [16, 18, 20, 22],
    [0, 2, 4, 6],
    [16, 18, 20, 22],
    [8, 10, 12, 14],
  ])
  assert.is(copy.length, 1)
  const own = tensor(new Float32Array(12).fill(7), { shape: [3, 1, 2, 2] })
  assertClose(
    copy.append(0, own, own).k.narrow(1, 0, 1).contiguous().dataSync(),
    k.dataSync(),
    1e-9,
  )
})

for (const [dtype, tolerance] of [
  ['f32', 1e-6],
  ['bf16', 2 ** -8],
  ['f16', 2 ** -11],
  ['i8', 1 / 254],
] as const)
  test(`numbers come back from ${dtype} within its rounding, zeros as zeros, floats in the dtype they came in`, () => {
    manualSeed(5)
    const cache = new KVCache({ dtype })
    const k = randn([2, 9, 3, 16])
    k.narrow(1, 4, 1).fill_(0)
    const { k: got, v } = whole(cache.append(0, k, k.mul(100)))
    const [want, back, values] = [k.dataSync(), got.dataSync(), v.dataSync()]
    for (let head = 0; head < want.length; head += 16) {
      const top = Math.max(...Array.from(want.slice(head, head + 16), Math.abs))
      for (let i = head; i < head + 16; i++) {
        assert.ok(
          Math.abs(back[i]! - want[i]!) <= tolerance * top * 1.001,
          `${back[i]} for ${want[i]}`,
        )
        assert.ok(Math.abs(values[i]! - 100 * want[i]!) <= 100 * tolerance * top * 1.001)
      }
    }
    const half = new KVCache({ dtype })
    const bytes = dtype === 'i8'
    assert.is(half.append(0, k.to('bf16'), k.to('bf16')).k.dtype, bytes ? 'u8' : 'bf16')
  })

test('attention over a cache in bytes is attention over the numbers that they stand for', () => {
  manualSeed(6)
  for (const [b, headDim, window, dtype] of [
    [1, 128, undefined, 'f32'],
    [2, 80, undefined, 'f32'],
    [1, 96, 40, 'f32'],
    [2, 7, 40, 'f32'],
    [1, 128, undefined, 'bf16'],
  ] as const) {
    const cache = new KVCache({ dtype: 'i8', capacity: 8 })
    const options = { layout: 'blhd', isCausal: true, ...(window ? { window } : {}) } as const
    const numbers = (n: number, heads: number): Tensor => randn([b, n, heads, headDim]).to(dtype)
    // A prompt in chunks, tokens one by one, several at once.
    for (const n of [150, 70, 1, 1, 3, 1]) {
      const [q, k, v] = [numbers(n, 6), numbers(n, 2), numbers(n, 2)] as const
      const held = cache.append(0, k, v, window)
      cache.advance(n)
      const got = scaledDotProductAttention(q, held.k, held.v, {
        ...options,
        keyScale: held.scales!.k,
        valueScale: held.scales!.v,
      })
      const plain = whole(held)
      const want = scaledDotProductAttention(q.to('f32'), plain.k, plain.v, options)
      assertClose(got.to('f32').dataSync(), want.dataSync(), dtype === 'f32' ? 1e-5 : 0.01)
    }
  }
})

test('a mask over all positions is cut for a layer that let some go', () => {
  manualSeed(4)
  const a = new Attention({ width: 16, heads: 4, kvHeads: 2, causal: true, window: 5 })
  const x = randn([2, 150, 16])
  // The first row begins at 60, the second at 0.
  const visible = tensor(
    Float32Array.from({ length: 300 }, (_, i) => (i >= 60 ? 1 : 0)),
    { shape: [2, 1, 1, 150] },
  ).to('bool')
  noGrad(() => {
    const whole = a.forward(x, { mask: visible })
    const cache = new KVCache()
    for (let at = 0; at < 150; at += 10) {
      const part = a.forward(x.narrow(1, at, 10), { mask: visible.narrow(3, 0, at + 10), cache })
      cache.advance(10)
      assertClose(part.dataSync(), whole.narrow(1, at, 10).contiguous().dataSync(), 1e-5)
    }
    assert.ok(cache.bytes < 2 * 150 * 2 * 8 * 4)
  })
})

test('options that cannot be are refused by name', () => {
  for (const [options, part] of [
    [{ dtype: 'u8' }, "'u8'"],
    [{ capacity: 0 }, 'capacity'],
    [{ limit: 1.5 }, 'limit'],
    [{ rewind: -1 }, 'rewind'],
  ] as const)
    assertThrows(() => new KVCache(options as KVCacheOptions), ShaktiError, part)
})

test.run()
