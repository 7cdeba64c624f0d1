// Random numbers: the generator's published answers, moments, ranges and the state.
import {
  dropout,
  getRngState,
  manualSeed,
  multinomial,
  normal,
  rand,
  randint,
  randn,
  randperm,
  setRngState,
  ShaktiError,
  ShapeError,
  tensor,
  truncatedNormal,
  uniform,
  type Tensor,
} from '@shakti/tensor'
import { assert, assertClose, assertThrows, test } from './assert.js'

const values = (t: Tensor): number[] => [...t.dataSync()]
const mean = (v: number[]): number => v.reduce((s, x) => s + x, 0) / v.length
const variance = (v: number[]): number => {
  const m = mean(v)
  return mean(v.map((x) => (x - m) ** 2))
}

test('the words are those of Philox 4x32-10 (known answers of Random123, key and counter 0)', () => {
  manualSeed(0)
  const words = [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]
  // The top 24 bits of a word make a number of [0, 1).
  assert.equal(
    values(rand([4])),
    words.map((w) => (w >>> 8) / 2 ** 24),
  )
})

test('the same seed gives the same numbers; the state can be taken and set', () => {
  manualSeed(42)
  const a = values(randn([100]))
  const state = getRngState()
  const b = values(rand([7]))
  assert.equal(JSON.parse(JSON.stringify(state)), state)
  manualSeed(42)
  assert.equal(values(randn([100])), a)
  assert.equal(values(rand([7])), b)
  setRngState(state)
  assert.equal(values(rand([7])), b)
  manualSeed(43)
  assert.not.equal(values(randn([100])), a)
})

test('consecutive draws do not overlap, whatever their sizes', () => {
  manualSeed(1)
  const all = values(rand([64]))
  manualSeed(1)
  const first = values(rand([3]))
  const second = values(rand([5]))
  assert.equal(first, all.slice(0, 3))
  assert.is(
    first.some((x) => second.includes(x)),
    false,
  )
})

test('uniform, normal and truncated normal have their moments and ranges', () => {
  manualSeed(7)
  const n = 200_000
  const u = values(uniform([n], -2, 4))
  assertClose([mean(u), variance(u)], [1, 3], { rtol: 0, atol: 0.03 })
  assert.ok(Math.min(...u.slice(0, 50_000)) >= -2 && Math.max(...u.slice(0, 50_000)) < 4)
  const g = values(normal([n], 3, 0.5))
  assertClose([mean(g), variance(g)], [3, 0.25], { rtol: 0, atol: 0.01 })
  const beyond = g.filter((x) => Math.abs(x - 3) > 1).length / n
  assertClose([beyond], [0.0455], { rtol: 0, atol: 0.003 })
  const t = values(truncatedNormal([n], { std: 0.02, low: -0.04, high: 0.04 }))
  assert.ok(t.every((x) => x >= -0.04 && x <= 0.04))
  // A normal cut at two deviations has variance 0.7737 of its own.
  assertClose([mean(t) / 0.02, variance(t) / 0.0004], [0, 0.7737], { rtol: 0, atol: 0.02 })
  assert.ok(g.every(Number.isFinite))
})

test('randint covers its range evenly and stays inside', () => {
  manualSeed(3)
  const counts = new Array<number>(10).fill(0)
  for (const x of values(randint(-3, 7, [100_000]))) counts[x + 3]!++
  assertClose(counts, Array<number>(10).fill(10_000), { rtol: 0.05, atol: 0 })
  assertThrows(() => randint(2, 2, [1]), ShaktiError, '[randint]')
})

test('randperm is a permutation, another one each time', () => {
  manualSeed(9)
  const a = values(randperm(1000))
  assert.equal(
    [...a].sort((x, y) => x - y),
    Array.from({ length: 1000 }, (_, i) => i),
  )
  assert.not.equal(a, values(randperm(1000)))
  assert.equal(values(randperm(0)), [])
  assert.equal(values(randperm(1)), [0])
})

test('multinomial draws in proportion, without replacement never twice, and never what has no weight', () => {
  manualSeed(11)
  const p = tensor([
    [1, 0, 3, 6],
    [0, 5, 5, 0],
  ])
  const drawn = values(multinomial(p, 20_000, { replacement: true }))
  const share = (row: number, k: number): number =>
    drawn.slice(row * 20_000, (row + 1) * 20_000).filter((x) => x === k).length / 20_000
  assertClose([share(0, 0), share(0, 1), share(0, 2), share(0, 3)], [0.1, 0, 0.3, 0.6], {
    rtol: 0,
    atol: 0.02,
  })
  assertClose([share(1, 0), share(1, 1), share(1, 2), share(1, 3)], [0, 0.5, 0.5, 0], {
    rtol: 0,
    atol: 0.02,
  })
  for (let i = 0; i < 50; i++) {
    assert.equal(values(multinomial(tensor([0.2, 0.3, 0.5]), 3)).sort(), [0, 1, 2])
  }
  assertThrows(() => multinomial(tensor([1, 1]), 3), ShapeError, '[multinomial]')
})

test('dropout keeps the mean, has the same mask backward, and is off at 0', () => {
  manualSeed(13)
  const x = tensor(new Float32Array(50_000).fill(2), { requiresGrad: true })
  const y = dropout(x, 0.25)
  const v = values(y)
  assertClose([v.filter((e) => e === 0).length / v.length, mean(v)], [0.25, 2], {
    rtol: 0,
    atol: 0.02,
  })
  y.sum().backward()
  assertClose(
    values(x.grad!),
    v.map((e) => e / 2),
    { rtol: 1e-6 },
  )
  assert.is(dropout(x, 0), x)
  assertThrows(() => dropout(x, 1), ShaktiError, '[dropout]')
})

test.run()
