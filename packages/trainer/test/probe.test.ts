import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { alignmentProbe, random, tsne } from '../src/index.js'
import { assertClose } from './tiny.js'

/** `each` points about `centres` that lie `far` apart, in 12 dimensions, the clusters one after the other. */
function clusters(centres: number, each: number, far: number, seed = 1): Float32Array[] {
  const next = random(seed)
  return Array.from({ length: centres * each }, (_, i) =>
    Float32Array.from(
      { length: 12 },
      (_, k) => next() - 0.5 + (k === Math.floor(i / each) ? far : 0),
    ),
  )
}
const labels = (centres: number, each: number): string[] =>
  Array.from({ length: centres * each }, (_, i) => `c${Math.floor(i / each)}`)

type Place = readonly [number, number]
const distance = (a: Place, b: Place): number => Math.hypot(a[0] - b[0], a[1] - b[1])

for (const [what, points] of [
  ['two clear clusters', clusters(2, 15, 5)],
  ['two clusters of tiny numbers', clusters(2, 15, 5).map((p) => p.map((v) => v * 1e-4))],
  ['two clusters of huge numbers', clusters(2, 15, 5).map((p) => p.map((v) => v * 1e6))],
] as const) {
  test(`t-SNE keeps ${what} apart`, () => {
    const places = tsne(points)
    let [within, between] = [0, Infinity]
    places.forEach((a, i) =>
      places.slice(0, i).forEach((b, j) => {
        if (i < 15 === j < 15) within = Math.max(within, distance(a, b))
        else between = Math.min(between, distance(a, b))
      }),
    )
    assert.ok(between > within, `farthest within ${within}, nearest between ${between}`)
  })
}

test('t-SNE is the same for the same points', () => {
  assert.equal(tsne(clusters(2, 10, 3)), tsne(clusters(2, 10, 3)))
  assert.not.equal(tsne(clusters(2, 10, 3)), tsne(clusters(2, 10, 3, 2)))
})

test('few points, equal points and points on a line have finite places', () => {
  for (const points of [
    clusters(1, 3, 0),
    Array.from({ length: 6 }, () => Float32Array.of(1, 2)),
    Array.from({ length: 9 }, (_, i) => Float32Array.of(i)),
    [...clusters(1, 8, 0), new Float32Array(12).fill(1e4)],
  ]) {
    const places = tsne(points)
    assert.is(places.length, points.length)
    assert.ok(places.flat().every(Number.isFinite), JSON.stringify(places))
  }
})

test('the probe tells by how many nearest neighbours share the label, beside chance', () => {
  const clear = alignmentProbe(clusters(3, 8, 5), labels(3, 8))
  assert.is(clear.purity, 1)
  assertClose([clear.chance], [7 / 23])
  assert.is(clear.places.length, 24)
  const none = alignmentProbe(clusters(1, 60, 0), labels(3, 20))
  assert.ok(Math.abs(none.purity - none.chance) < 0.2, `${none.purity} beside ${none.chance}`)
  // 0-1 and 1-0 agree, 2's neighbour is 1 of another label.
  const hand = alignmentProbe(
    [0, 1, 2.5].map((v) => Float32Array.of(v)),
    ['a', 'a', 'b'],
  )
  assertClose([hand.purity, hand.chance], [2 / 3, 1 / 3])
})

test('what cannot be probed is refused', () => {
  const points = clusters(1, 4, 0)
  assert.throws(() => alignmentProbe(points, ['a']), /4 vectors and 1 labels/)
  assert.throws(() => alignmentProbe(points.slice(2), ['a', 'b']), /got 2 points/)
  assert.throws(
    () => tsne([...points, Float32Array.of(1)]),
    /point 4 has 1 numbers, point 0 has 12/,
  )
  assert.throws(
    () => tsne([...points, new Float32Array(12).fill(NaN)]),
    /number 0 of point 4 is NaN/,
  )
  assert.throws(() => tsne(points, { perplexity: 4 }), /perplexity is 4/)
})

test.run()
