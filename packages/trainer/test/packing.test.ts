// What must not matter: who else is in the row, how much padding there is, how the batch is cut into micro-batches.
import { tidy } from '@shakti/tensor'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  accumulate,
  collate,
  ignoreIndex,
  pack,
  supervised,
  supervisedPositions,
  truncate,
  type Sample,
  type TokenBatch,
} from '../src/index.js'
import { clearGradients } from '../src/step.js'
import { gradientsOf, loss, Nano, options, someSamples, vocabulary } from './nano.js'
import { assertClose } from './tiny.js'

const samples = someSamples(6)

function lossAndGradients(model: Nano, batches: TokenBatch[]): { loss: number; grads: number[] } {
  const { values } = tidy(() => accumulate(loss, model, batches))
  const out = { loss: values.dataSync()[0]!, grads: gradientsOf(model) }
  clearGradients(model.parameters())
  return out
}

const logits = (model: Nano, batch: TokenBatch): number[] =>
  Array.from(tidy(() => options.head!(model, model.hidden(batch)).detach()).dataSync())

test('packed samples give the logits that each gives alone', () => {
  const model = new Nano()
  const together = logits(model, pack(samples))
  const alone = samples.flatMap((s) => logits(model, collate([s])))
  assertClose(together, alone, { rtol: 1e-4, atol: 1e-5 })
})

test('a packed sample does not notice when its neighbours change', () => {
  const model = new Nano()
  const other = someSamples(6, 99)
  const [a, b] = [pack([samples[0]!, samples[2]!]), pack([samples[0]!, other[1]!])]
  const n = samples[0]!.ids.length * vocabulary
  assert.equal(logits(model, a).slice(0, n), logits(model, b).slice(0, n))
  // Without the borders it would: the test sees what it is about.
  const last = pack([other[1]!, samples[0]!])
  const { cuSeqlens: _, ...borderless } = last
  assert.not.equal(logits(model, last).slice(-n), logits(model, borderless).slice(-n))
})

test('packed, padded and one at a time: one loss, one gradient', () => {
  const model = new Nano()
  const want = lossAndGradients(
    model,
    samples.map((s) => collate([s])),
  )
  for (const batches of [
    [pack(samples)],
    [collate(samples)],
    [collate(samples, { padId: 3, multipleOf: 32 })],
    [pack(samples.slice(0, 2)), collate(samples.slice(2))],
  ]) {
    const got = lossAndGradients(model, batches)
    assertClose([got.loss], [want.loss], { rtol: 1e-5 })
    assertClose(got.grads, want.grads, { rtol: 1e-4, atol: 2e-6 })
  }
})

test('four micro-batches of unequal numbers of supervised tokens are one big batch', () => {
  const model = new Nano()
  const parts = [samples.slice(0, 1), samples.slice(1, 4), samples.slice(4, 5), samples.slice(5)]
  const counts = parts.map((p) => p.reduce((n, s) => n + supervised(s), 0))
  assert.ok(new Set(counts).size > 1, counts.join())
  const want = lossAndGradients(model, [collate(samples)])
  const got = lossAndGradients(
    model,
    parts.map((p) => collate(p)),
  )
  assertClose([got.loss], [want.loss], { rtol: 1e-5 })
  assertClose(got.grads, want.grads, { rtol: 1e-4, atol: 2e-6 })
})

test('the loss is the mean of -log p over the supervised tokens, by hand', () => {
  const model = new Nano()
  let sum = 0
  let n = 0
  for (const sample of samples) {
    const out = logits(model, collate([sample]))
    for (let i = 1; i < sample.ids.length; i++) {
      if (sample.mask && !sample.mask[i]) continue
      const row = out.slice((i - 1) * vocabulary, i * vocabulary)
      sum += Math.log(row.reduce((s, v) => s + Math.exp(v), 0)) - row[sample.ids[i]!]!
      n++
    }
  }
  assertClose([lossAndGradients(model, [pack(samples)]).loss], [sum / n], { rtol: 1e-5 })
})

test('labels stand one place before their token, in the mask alone, and never across a border', () => {
  const two: Sample[] = [{ ids: [5, 6, 7] }, { ids: [8, 9, 10], mask: [1, 0, 1] }]
  const x = ignoreIndex
  const packed = pack(two)
  assert.equal(Array.from(packed.labels), [6, 7, x, x, 10, x])
  assert.equal(Array.from(packed.positions), [0, 1, 2, 0, 1, 2])
  assert.equal(Array.from(packed.cuSeqlens!), [0, 3, 6])
  assert.equal(two.map(supervised), [2, 1])
  const { index, labels, sequence } = supervisedPositions(packed)
  assert.equal(
    [index, labels, sequence].map((a) => Array.from(a)),
    [
      [0, 1, 4],
      [6, 7, 10],
      [0, 0, 1],
    ],
  )
  const padded = collate([two[0]!, { ids: [8, 9] }], { padId: 4, multipleOf: 4 })
  assert.equal(Array.from(padded.ids), [5, 6, 7, 4, 8, 9, 4, 4])
  assert.equal(Array.from(padded.labels), [6, 7, x, x, 9, x, x, x])
  assert.equal(Array.from(supervisedPositions(padded).sequence), [0, 0, 1])
})

test('an image is never cut, and its pixels go with its tokens', () => {
  const sample: Sample<string> = {
    ids: [1, 2, 2, 3, 4, 2, 2, 5],
    mask: [0, 0, 0, 1, 1, 0, 0, 1],
    spans: [
      { start: 1, end: 3 },
      { start: 5, end: 7 },
    ],
    images: ['first', 'second'],
  }
  assert.is(truncate(sample, 8), sample)
  const short = truncate(sample, 5)!
  assert.equal([short.ids, short.mask, short.images], [[1, 2, 2, 3, 4], [0, 0, 0, 1, 1], ['first']])
  assert.is(truncate(sample, 6), undefined)
  assert.throws(() => truncate(sample, 6, { onCut: 'throw' }), /would cut the image at \[5, 7\)/)
  // Nothing to learn is left.
  assert.is(truncate(sample, 3), undefined)
  assert.equal(pack([short, sample]).images, ['first', 'first', 'second'])
})

test('samples that contradict themselves are refused', () => {
  const bad: [Sample, RegExp][] = [
    [{ ids: [] }, /no tokens/],
    [{ ids: [1, 2], mask: [1] }, /mask has 1 entries, ids 2/],
    [{ ids: [1, 2], images: ['x'] }, /1 images but 0 spans/],
    [{ ids: [1, 2], spans: [{ start: 1, end: 3 }] }, /span \[1, 3\)/],
    [
      {
        ids: [1, 2, 3],
        spans: [
          { start: 0, end: 2 },
          { start: 1, end: 3 },
        ],
      },
      /span \[1, 3\)/,
    ],
  ]
  for (const [sample, message] of bad) {
    assert.throws(() => collate([sample]), message)
    assert.throws(() => pack([sample]), message)
  }
  assert.throws(() => collate([]), /no samples/)
  assert.throws(() => pack([]), /no samples/)
  assert.throws(() => collate(samples, { multipleOf: 0 }), /multipleOf is 0/)
})

test.run()
