import { linearCrossEntropy, tidy } from '@shakti/tensor'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  accumulate,
  AdamW,
  causal,
  collate,
  parameterGroups,
  random,
  trainStep,
  type Sample,
} from '../src/index.js'
import { clearGradients } from '../src/step.js'
import { assertClose, loss, TinyModel, vocabulary } from './tiny.js'

const next = random(3)
const sample = (length: number, masked = false): Sample => ({
  ids: Array.from({ length }, () => Math.floor(next() * vocabulary)),
  ...(masked ? { mask: Array.from({ length }, (_, i) => (i > length / 2 ? 1 : 0)) } : {}),
})
const samples = [sample(9), sample(4, true), sample(12), sample(2), sample(7, true), sample(5)]

test('micro-batches of unequal numbers of supervised tokens give the gradient of the one big batch', () => {
  const model = new TinyModel()
  const parameters = Object.values(model.weights)
  const gradients = (parts: Sample[][]): { loss: number; grads: number[] } => {
    const { values } = tidy(() =>
      accumulate(
        loss,
        model,
        parts.map((p) => collate(p)),
      ),
    )
    const out = {
      loss: values.dataSync()[0]!,
      grads: parameters.flatMap((p) => Array.from(p.grad!.dataSync())),
    }
    values.dispose()
    clearGradients(parameters)
    return out
  }
  const whole = gradients([samples])
  const split = gradients([samples.slice(0, 1), samples.slice(1, 4), samples.slice(4)])
  assertClose([split.loss], [whole.loss], { rtol: 1e-6 })
  assertClose(split.grads, whole.grads, { rtol: 1e-5, atol: 1e-6 })
  // Averaging the micro-batches' own means, the usual mistake, is far outside of that tolerance.
  const means = [samples.slice(0, 1), samples.slice(1, 4), samples.slice(4)].map(
    (p) => gradients([p]).loss,
  )
  assert.ok(Math.abs(means.reduce((a, b) => a + b) / 3 - whole.loss) > 1e-3)
})

test('a loss of the head by itself stands in for its logits', () => {
  const model = new TinyModel()
  const parameters = Object.values(model.weights)
  const gradients = (of: typeof loss): number[] => {
    const { values } = tidy(() => accumulate(of, model, [collate(samples)]))
    const all = parameters.flatMap((p) => Array.from(p.grad!.dataSync()))
    clearGradients(parameters)
    return [values.dataSync()[0]!, ...all]
  }
  const own = causal<TinyModel>({
    hidden: (m, batch) => m.hidden(batch),
    headLoss: (m, states, labels, options) =>
      linearCrossEntropy(states, m.weights['decoder.head.weight']!, labels, {
        ...options,
        rows: 3,
      }),
  })
  assertClose(gradients(own), gradients(loss), { rtol: 1e-5, atol: 1e-6 })
})

test('a micro-batch without a supervised token adds nothing, a whole batch without one is an error', () => {
  const model = new TinyModel()
  const nothing: Sample = { ids: [1, 2, 3], mask: [0, 0, 0] }
  const lossOf = (parts: Sample[][]): number =>
    tidy(
      () =>
        accumulate(
          loss,
          model,
          parts.map((p) => collate(p)),
        ).values,
    ).dataSync()[0]!
  assert.is(lossOf([samples, [nothing]]), lossOf([samples]))
  assert.throws(() => lossOf([[nothing]]), /no supervised token/)
})

test('the gradient is clipped by its length over all parameters', () => {
  const run = (clip: number): { moved: number[]; norm: number } => {
    const model = new TinyModel()
    const before = Object.values(model.values()).flat()
    // With betas 0 and a large eps the update is proportional to the clipped gradient.
    const optimizer = new AdamW(
      parameterGroups({ name: 's', lr: 1 }, [...model.namedParameters()]),
      { betas: [0, 0], eps: 1e6 },
    )
    const out = trainStep({
      model,
      loss,
      batches: [collate(samples)],
      parameters: Object.values(model.weights),
      optimizer,
      lrFactor: 1e6,
      clip,
    })
    const norm = out.values.dataSync()[1]!
    return {
      moved: Object.values(model.values())
        .flat()
        .map((v, i) => before[i]! - v),
      norm,
    }
  }
  const free = run(Infinity)
  assert.ok(free.norm > 0.1, `norm ${free.norm}`)
  const length = (x: number[]): number => Math.hypot(...x)
  assertClose([length(free.moved)], [free.norm], { rtol: 1e-3 })
  assertClose([length(run(free.norm / 2).moved)], [free.norm / 2], { rtol: 1e-3 })
  assertClose(run(free.norm * 2).moved, free.moved, { rtol: 1e-6, atol: 1e-7 })
})

test('norms, biases, position tables and vectors get no weight decay, and each module group its own rate', () => {
  const model = new TinyModel()
  const groups = parameterGroups(
    { name: 's', lr: { 'vision.*': 0.1, '*': 0.2 }, weightDecay: 0.3 },
    [...model.namedParameters()],
  )
  const facts = groups.flatMap((g) => g.entries.map((e) => [e.name, g.lr, g.weightDecay]))
  assert.equal(facts, [
    ['embed.weight', 0.2, 0.3],
    ['decoder.head.weight', 0.2, 0.3],
    ['vision.fc.weight', 0.1, 0.3],
    ['vision.fc.bias', 0.1, 0],
  ])
})

test('a parameter that no rate is given for is an error that names it', () => {
  const model = new TinyModel()
  assert.throws(
    () => parameterGroups({ name: 's', lr: { 'vision.*': 0.1 } }, [...model.namedParameters()]),
    /trains embed\.weight, but lr has no pattern/,
  )
})

test.run()
