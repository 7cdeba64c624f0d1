import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  batches,
  generated,
  mixed,
  packed,
  random,
  shuffle,
  type DataSource,
} from '../src/index.js'
import { someSamples } from './nano.js'

const numbers = (n: number): number[] => Array.from({ length: n }, (_, i) => i)
const sorted = (x: readonly number[]): number[] => [...x].sort((a, b) => a - b)

async function take<B>(source: DataSource<B>, from: number, to: number): Promise<B[]> {
  const out: B[] = []
  for (let step = from; step < to; step++) out.push(...(await source.batch(step)))
  return out
}

test('an epoch shows every sample once, in an order of its own', async () => {
  const source = batches(numbers(20), { batchSize: 4, collate: (x) => x })
  assert.is(source.stepsPerEpoch, 5)
  const epochs = [await take(source, 0, 5), await take(source, 5, 10)].map((e) => e.flat())
  for (const epoch of epochs) assert.equal(sorted(epoch), numbers(20))
  assert.not.equal(epochs[0], epochs[1])
  assert.not.equal(epochs[0], numbers(20))
})

test('a batch is a function of seed and step: asked for in any order, by any source', async () => {
  const make = (seed: number): DataSource<number[]> =>
    batches(numbers(20), { batchSize: 4, collate: (x) => x, seed })
  const inOrder = await take(make(1), 0, 20)
  const source = make(1)
  for (const step of [17, 3, 9, 3, 0]) assert.equal(await source.batch(step), [inOrder[step]])
  assert.not.equal(await take(make(2), 0, 5), inOrder.slice(0, 5))
})

test('micro-batches are the batch in pieces, the last one what is left', async () => {
  const whole = batches(numbers(10), { batchSize: 5, collate: (x) => x })
  const pieces = batches(numbers(10), { batchSize: 5, microBatchSize: 2, collate: (x) => x })
  const got = await pieces.batch(1)
  assert.equal(
    got.map((b) => b.length),
    [2, 2, 1],
  )
  assert.equal(got.flat(), (await whole.batch(1))[0])
})

test('by length, a batch holds neighbours in length, and batches still come in any order', async () => {
  const lengths = shuffle(numbers(40), random(4))
  const source = batches(lengths, { batchSize: 4, collate: (x) => x, length: (x) => x })
  const epoch = await take(source, 0, 10)
  for (const batch of epoch) assert.is(Math.max(...batch) - Math.min(...batch), 3)
  assert.equal(sorted(epoch.flat()), numbers(40))
  const firsts = epoch.map((b) => Math.min(...b))
  assert.not.equal(firsts, sorted(firsts))
})

test('by length, those that do not fill a batch are others every epoch, not always the longest', async () => {
  const source = batches(numbers(10), { batchSize: 4, collate: (x) => x, length: (x) => x })
  const seen = new Set((await take(source, 0, 2 * 20)).flat())
  assert.equal(sorted([...seen]), numbers(10))
})

test('packed rows stay within their length, and hold every sample once an epoch', async () => {
  const samples = someSamples(30)
  const source = packed(samples, { length: 24 })
  const rows = await take(source, 0, source.stepsPerEpoch!)
  for (const row of rows) assert.ok(row.ids.length <= 24, `${row.ids.length}`)
  const lengthsOf = sorted(rows.flatMap((r) => Array.from(r.lengths)))
  assert.equal(lengthsOf, sorted(samples.map((s) => s.ids.length)))
  const filled = lengthsOf.reduce((a, b) => a + b) / (24 * rows.length)
  assert.ok(filled > 0.85, `rows are ${filled} full`)
  const next = await source.batch(source.stepsPerEpoch!)
  assert.not.equal(Array.from(next[0]!.ids), Array.from(rows[0]!.ids))
})

test('what is made on the spot gets numbers that depend on the step alone', async () => {
  const source = generated((step, next) => [step, next(), next()], { seed: 3 })
  const [a, b] = [await source.batch(5), await source.batch(6)]
  assert.equal(await source.batch(5), a)
  assert.not.equal(a.slice(1), b.slice(1))
  const other = generated((step, next) => [step, next(), next()], { seed: 4 })
  assert.not.equal(await other.batch(5), a)
})

test('a mixture goes through each of its sources in order, in proportion to the weights', async () => {
  const count = (name: string): DataSource<string> => ({ batch: (step) => [`${name}${step}`] })
  const make = (): DataSource<string> =>
    mixed(
      [
        { source: count('a'), weight: 3 },
        { source: count('b'), weight: 1 },
        { source: count('c'), weight: 0 },
      ],
      { seed: 2 },
    )
  const all = await take(make(), 0, 400)
  for (const name of ['a', 'b']) {
    const own = all.filter((x) => x.startsWith(name))
    assert.equal(
      own,
      own.map((_, i) => `${name}${i}`),
    )
  }
  const share = all.filter((x) => x.startsWith('a')).length / 400
  assert.ok(Math.abs(share - 0.75) < 0.07, `share ${share}`)
  assert.not.ok(all.some((x) => x.startsWith('c')))
  assert.equal(await make().batch(321), [all[321]])
  const kinds = all.map((_, step) => make().kind!(step))
  assert.equal(
    kinds,
    all.map((x) => (x.startsWith('a') ? '0/' : '1/')),
  )
})

test('settings that make no batch are refused', () => {
  const collate = (x: number[]): number[] => x
  assert.throws(() => batches(numbers(3), { batchSize: 4, collate }), /3 samples do not fill/)
  assert.throws(() => batches(numbers(3), { batchSize: 0, collate }), /batchSize is 0/)
  assert.throws(
    () => batches(numbers(3), { batchSize: 2, microBatchSize: 1.5, collate }),
    /microBatchSize is 1\.5/,
  )
  assert.throws(() => packed(someSamples(3), { length: -1 }), /length is -1/)
  assert.throws(() => packed([{ ids: [1], mask: [0] }], { length: 8 }), /none of 1 samples/)
  assert.throws(() => mixed([]), /weights are \[\]/)
  assert.throws(() => mixed([{ source: { batch: () => [] }, weight: NaN }]), /weights are \[NaN\]/)
})

test.run()
