import { rope, tensor } from '@shakti/tensor'
import {
  angles2d,
  frequencies,
  interpolationMatrix,
  PositionBias2d,
  RotaryEmbedding,
  rotaryTable2d,
  scaledFrequencies,
} from '../src/index.js'
import { assert, assertClose, assertThrows, test } from './assert.js'

test('the angles of a grid are those worked out by hand: rows first, then columns', () => {
  // Head dim 8: 8 / 4 = 2 frequencies, 10000^0 = 1 and 10000^(-2 / 4) = 0.01. Patch (1, 2) of a grid with 3 columns is
  // number 5: [1 * 1, 1 * 0.01, 2 * 1, 2 * 0.01].
  const { angles, half } = angles2d(2, 3, 8, 10_000)
  assert.is(half, 4)
  assertClose(angles.slice(0, 4), [0, 0, 0, 0], 1e-15)
  assertClose(angles.slice(4, 8), [0, 0, 1, 0.01], 1e-15)
  assertClose(angles.slice(12, 16), [1, 0.01, 0, 0], 1e-15)
  assertClose(angles.slice(20, 24), [1, 0.01, 2, 0.02], 1e-15)
  assertThrows(() => angles2d(2, 2, 6, 10_000), Error, 'multiple of 4', '6')
})

test('after 2-D rotation scores depend on the difference of places alone', () => {
  const [rows, columns, dim] = [4, 5, 8]
  const { cos, sin } = rotaryTable2d(rows, columns, dim, 100)
  const n = rows * columns
  const same = (f: (i: number) => number) =>
    tensor(
      Float32Array.from({ length: n * dim }, (_, i) => f(i % dim)),
      { shape: [1, n, 1, dim] },
    )
  const q = rope(
    same((i) => Math.sin(i + 1)),
    cos,
    sin,
  ).dataSync()
  const k = rope(
    same((i) => Math.cos(3 * i)),
    cos,
    sin,
  ).dataSync()
  const score = (r1: number, c1: number, r2: number, c2: number): number => {
    let s = 0
    for (let i = 0; i < dim; i++)
      s += q[(r1 * columns + c1) * dim + i]! * k[(r2 * columns + c2) * dim + i]!
    return s
  }
  assertClose([score(2, 3, 1, 1)], [score(3, 4, 2, 2)], 1e-5)
  assert.ok(Math.abs(score(2, 3, 1, 1) - score(2, 3, 1, 2)) > 1e-3)
  assert.ok(Math.abs(score(2, 3, 1, 1) - score(2, 3, 2, 1)) > 1e-3)
})

test('tables grow without changing what they said', () => {
  const r = new RotaryEmbedding(4, 500_000)
  const first = r.range(3, 2).sin.dataSync()
  r.range(0, 1000)
  assertClose(r.range(3, 2).sin.dataSync(), first, 1e-9)
  assertClose(
    first,
    [Math.sin(3), Math.sin(3 / Math.sqrt(500_000)), Math.sin(4), Math.sin(4 / Math.sqrt(500_000))],
    1e-6,
  )
  const picked = r.gather(tensor(Int32Array.of(4, 3), { shape: [2, 1] }), 10)
  assert.equal(picked.sin.shape, [2, 1, 2])
  assertClose(picked.sin.dataSync(), [...first.slice(2), ...first.slice(0, 2)], 1e-9)
})

test('linear scaling stretches positions by the factor', () => {
  const plain = new RotaryEmbedding(8, 10_000).range(3, 1).cos.dataSync()
  assertClose(
    new RotaryEmbedding(8, 10_000, { type: 'linear', factor: 4 }).range(12, 1).cos.dataSync(),
    plain,
    1e-6,
  )
})

test('by-parts scaling keeps waves that turn often over the original context and stretches those that hardly do', () => {
  // theta 10^4, head dim 8: waves of 1, 0.1, 0.01, 0.001 radians a position, so 159, 15.9, 1.59 and 0.159 turns in 1,000.
  const { frequencies: f, gain } = scaledFrequencies(8, 10_000, {
    type: 'by-parts',
    factor: 8,
    original: 1000,
  })
  const kept = (10 / (2 * Math.PI) - 1) / 3
  assertClose(f, [1, 0.1, 0.01 * kept + (0.01 / 8) * (1 - kept), 0.001 / 8], 1e-12)
  assert.is(gain, 1)
  assertThrows(
    () =>
      new RotaryEmbedding(8, 1e4, { type: 'by-parts', factor: 8, original: 1000, lowFrequency: 4 }),
    Error,
    'lowFrequency below highFrequency',
  )
})

test('NTK scaling leaves the fastest wave and stretches the slowest by the factor', () => {
  const dim = 16
  const sine = new RotaryEmbedding(dim, 10_000, { type: 'ntk', factor: 4 })
    .range(1, 1)
    .sin.dataSync()
  const f = frequencies(dim, 10_000)
  assertClose([sine[0]!, sine.at(-1)!], [Math.sin(1), Math.sin(f.at(-1)! / 4)], 1e-6)
})

test('YaRN keeps fast waves, stretches slow ones and raises the scores by 0.1 ln s + 1', () => {
  const [dim, theta, original, factor] = [64, 10_000, 2048, 8]
  const { cos, sin } = new RotaryEmbedding(dim, theta, { type: 'yarn', factor, original }).range(
    1,
    1,
  )
  const [c, s] = [cos.dataSync(), sin.dataSync()]
  const gain = 0.1 * Math.log(factor) + 1
  const f = frequencies(dim, theta)
  f.forEach((v, i) => {
    const got = Math.atan2(s[i]!, c[i]!)
    assertClose([Math.hypot(s[i]!, c[i]!)], [gain], 1e-5)
    const turns = (original * v) / (2 * Math.PI)
    if (turns > 40) assertClose([got], [v], 1e-5, `fast wave ${i}`)
    else if (turns < 0.8) assertClose([got], [v / factor], 1e-5, `slow wave ${i}`)
    else assert.ok(got <= v * (1 + 1e-5) && got >= (v / factor) * (1 - 1e-5), `wave ${i}`)
  })
})

test('impossible rotary settings are refused', () => {
  assertThrows(() => new RotaryEmbedding(5, 10_000), Error, 'even', '5')
  assertThrows(() => new RotaryEmbedding(4, 0), Error, 'theta', '0')
  assertThrows(
    () => new RotaryEmbedding(4, 10_000, { type: 'linear', factor: 0.5 }),
    Error,
    'at least 1',
    '0.5',
  )
})

test('the position bias reads its tables at normalised places, clamped at the borders', () => {
  // u = (i + 0.5) / n * grid - 0.5. n = 2, grid = 4: 0.5 and 2.5; n = 8: -0.25 (clamped to 0), 0.25, ...
  assertClose(interpolationMatrix(2, 4), [0.5, 0.5, 0, 0, 0, 0, 0.5, 0.5], 1e-7)
  assertClose(interpolationMatrix(4, 4), [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], 1e-7)
  assertClose(interpolationMatrix(8, 4).slice(0, 8), [1, 0, 0, 0, 0.75, 0.25, 0, 0], 1e-7)
  const bias = new PositionBias2d(4, 3)
  const [row, column] = [bias.posRow.dataSync(), bias.posCol.dataSync()]
  const out = bias.forward(4, 4)
  assert.equal(out.shape, [16, 3])
  // Patch (2, 1) is number 9.
  assertClose(
    out.dataSync().slice(27, 30),
    [0, 1, 2].map((d) => row[6 + d]! + column[3 + d]!),
    1e-6,
  )
})

test.run()
