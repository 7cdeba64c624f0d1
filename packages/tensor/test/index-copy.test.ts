// Slices written in place at places that a tensor holds, and attention over a cache that has room.
import {
  capture,
  getDefaultDevice,
  manualSeed,
  noGrad,
  randn,
  resetDevice,
  scaledDotProductAttention,
  ShaktiError,
  tensor,
  zeros,
  type DType,
  type Tensor,
} from '@shakti/tensor'
import { assert, assertClose, assertThrows, test } from './assert.js'

const i32 = (...values: number[]): Tensor => tensor(values, { dtype: 'i32' })

test('slices go to their places, the others stay, and the last of equal places counts', () => {
  for (const dtype of ['f32', 'bf16', 'f64', 'u8', 'i64'] as const satisfies DType[]) {
    const y = zeros([2, 4, 3], { dtype })
    const source = tensor(
      Array.from({ length: 18 }, (_, i) => i + 1),
      { shape: [2, 3, 3] },
    ).to(dtype)
    y.indexCopy_(1, i32(3, 0, 3), source)
    const got = Array.from(y.dataSync(), Number)
    assert.equal(got, [
      ...[4, 5, 6, 0, 0, 0, 0, 0, 0, 7, 8, 9],
      ...[13, 14, 15, 0, 0, 0, 0, 0, 0, 16, 17, 18],
    ])
  }
})

test('views are written where they lie', () => {
  const y = zeros([5, 6])
  y.mT()
    .narrow(0, 1, 4)
    .indexCopy_(0, i32(2), tensor([[1, 2, 3, 4, 5]]))
  y.narrow(1, 4, 2).indexCopy_(-1, tensor([1], { dtype: 'i64' }), zeros([5, 1]).add(9))
  assert.equal(
    [...y.dataSync()],
    [1, 2, 3, 4, 5].flatMap((v) => [0, 0, 0, v, 0, 9]),
  )
})

test('nothing is written for no places', () => {
  assert.equal(
    [
      ...zeros([3])
        .indexCopy_(0, i32(), zeros([0]))
        .dataSync(),
    ],
    [0, 0, 0],
  )
})

test('keys behind the last border are not there', () => {
  manualSeed(5)
  for (const dtype of ['f32', 'bf16', 'f64'] as const) {
    for (const [lq, keys, room] of [
      [1, 70, 200],
      [1, 1300, 2048],
      [3, 5, 64],
      // Cut into more parts than its room would be.
      [1, 16384, 16640],
    ] as const) {
      const [heads, kv] = room > 4096 ? [1, 1] : [8, 2]
      const q = randn([1, lq, heads, 32]).to(dtype)
      const [k, v] = [0, 1].map(() => randn([1, room, kv, 32]).to(dtype)) as [Tensor, Tensor]
      // On a CPU whatever was there before.
      const rest = getDefaultDevice() === 'cpu' ? NaN : 1e4
      for (const t of [k, v]) t.narrow(1, keys, room - keys).fill_(rest)
      const options = { layout: 'blhd', isCausal: true } as const
      const got = scaledDotProductAttention(q, k, v, {
        ...options,
        cuSeqlensQ: i32(0, lq),
        cuSeqlensK: i32(0, keys),
      })
      const want = scaledDotProductAttention(q, k.narrow(1, 0, keys), v.narrow(1, 0, keys), options)
      const tolerance = dtype === 'bf16' ? 2e-2 : 1e-5
      assertClose(got.dataSync(), want.dataSync(), { rtol: tolerance, atol: tolerance })
    }
  }
})

test('a border behind the end is refused, and so is one before it where there is a gradient', () => {
  const [q, k] = [randn([1, 1, 1, 8]), randn([1, 4, 1, 8], { requiresGrad: true })]
  const of = (end: number): Tensor =>
    scaledDotProductAttention(q, k, k, {
      layout: 'blhd',
      cuSeqlensQ: i32(0, 1),
      cuSeqlensK: i32(0, end),
    })
  assertThrows(() => of(5).dataSync(), ShaktiError, 'cu_k')
  resetDevice()
  assertThrows(
    () => {
      of(3).sum().backward()
      k.grad!.dataSync()
    },
    ShaktiError,
    'cu_k',
  )
  resetDevice()
})

test('a capture writes one place further with every replay', () => {
  const [buffer, place, one] = [zeros([6, 2]), i32(0), i32(1)]
  const x = zeros([1, 2])
  const step = capture(() =>
    noGrad(() => {
      buffer.indexCopy_(0, place, x)
      place.add_(one)
    }),
  )
  for (let i = 1; i <= 4; i++) {
    x.fill_(i)
    step.replay()
  }
  assert.equal([...buffer.dataSync()], [1, 1, 2, 2, 3, 3, 4, 4, 0, 0, 0, 0])
  step.dispose()
})

test.run()
