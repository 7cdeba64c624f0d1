import { noGrad, tensor, tidy, type Tensor } from '@shakti/tensor'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  accumulate,
  collate,
  collatePreferences,
  dpo,
  dpoLosses,
  ignoreIndex,
  sequenceLogProbs,
  withReference,
  type DpoVariant,
  type Preference,
} from '../src/index.js'
import { clearGradients } from '../src/step.js'
import { Nano, options, weightsOf } from './nano.js'
import { assertClose } from './tiny.js'

const answer = (ids: number[], from: number): { ids: number[]; mask: number[] } => ({
  ids,
  mask: ids.map((_, i) => (i >= from ? 1 : 0)),
})
const pairs: Preference[] = [
  { chosen: answer([3, 4, 5, 6], 2), rejected: answer([3, 4, 9], 2) },
  { chosen: answer([7, 8, 2], 1), rejected: answer([7, 1, 1, 1, 1], 1) },
]

test('pairs become rows, chosen ones first, and only the answers are supervised', () => {
  const batch = collatePreferences(pairs, { padId: 16 })
  assert.is(batch.pairs, 2)
  assert.equal([batch.rows, batch.length], [4, 5])
  const x = ignoreIndex
  assert.equal(Array.from(batch.ids), [
    ...[3, 4, 5, 6, 16],
    ...[7, 8, 2, 16, 16],
    ...[3, 4, 9, 16, 16],
    ...[7, 1, 1, 1, 1],
  ])
  assert.equal(Array.from(batch.labels), [
    ...[x, 5, 6, x, x],
    ...[8, 2, x, x, x],
    ...[x, 9, x, x, x],
    ...[1, 1, 1, 1, x],
  ])
  assert.equal(Array.from(batch.lengths), [4, 3, 3, 5])
  assert.ok(batch.reference.every(Number.isNaN))
  const known = collatePreferences([{ ...pairs[0]!, reference: { chosen: -1, rejected: -2 } }])
  assert.equal(Array.from(known.reference), [-1, -2])
})

// Differences of log-ratios (chosen minus rejected): (-2 + 3) - (-4 + 3.5) = 1.5 and (-1 + 0.5) - (-2 + 5) = -3.5.
const policy = [-2, -1, -4, -2]
const reference = [-3, -0.5, -3.5, -5]
const difference = [1.5, -3.5]
const beta = 0.2
const softplus = (x: number): number => Math.log1p(Math.exp(x))
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

function losses(
  variant: DpoVariant,
  labelSmoothing = 0,
): { losses: number[]; gradient: number[]; rewards: number[] } {
  const p = tensor(Float32Array.from(policy), { requiresGrad: true })
  const out = dpoLosses(
    p,
    tensor(Float32Array.from(reference)),
    tensor(Float32Array.of(2, 1, 4, 2)),
    {
      variant,
      beta,
      labelSmoothing,
    },
  )
  out.losses.sum().backward()
  return {
    losses: Array.from(out.losses.dataSync()),
    gradient: Array.from(p.grad!.dataSync()),
    rewards: [...out.chosenRewards.dataSync(), ...out.rejectedRewards.dataSync()],
  }
}

test('the sigmoid loss and its gradient are those of the paper', () => {
  const got = losses('sigmoid')
  assertClose(
    got.losses,
    difference.map((d) => softplus(-beta * d)),
  )
  // Equation 7's gradient: -beta sigmoid(-beta d) on the chosen log-probability, the opposite on the rejected one.
  const g = difference.map((d) => beta * sigmoid(-beta * d))
  assertClose(got.gradient, [-g[0]!, -g[1]!, g[0]!, g[1]!])
  assertClose(got.rewards, [beta * 1, beta * -0.5, beta * -0.5, beta * 3])
})

test('the other variants have their formulas', () => {
  assertClose(
    losses('hinge').losses,
    difference.map((d) => Math.max(0, 1 - beta * d)),
  )
  // Means over tokens: 1/2 - (-0.5/4) and -0.5/1 - 3/2.
  assertClose(
    losses('ipo').losses,
    [0.625, -2].map((d) => (d - 1 / (2 * beta)) ** 2),
  )
  const e = 0.1
  const right = difference.map((d) => softplus(-beta * d))
  const wrong = difference.map((d) => softplus(beta * d))
  assertClose(
    losses('sigmoid', e).losses,
    right.map((r, i) => (1 - e) * r + e * wrong[i]!),
  )
  assertClose(
    losses('robust', e).losses,
    right.map((r, i) => ((1 - e) * r - e * wrong[i]!) / (1 - 2 * e)),
  )
})

test('a difference far out gives a finite loss', () => {
  const out = (p: number[]): number[] =>
    Array.from(
      dpoLosses(
        tensor(Float32Array.from(p)),
        tensor(Float32Array.of(0, 0)),
        tensor(Float32Array.of(1, 1)),
        {
          beta: 1,
        },
      ).losses.dataSync(),
    )
  assertClose(out([-1000, 0]), [1000])
  assertClose(out([0, -1000]), [0])
})

test('log-probabilities are summed over the answer alone, as one sequence at a time gives them', () => {
  const model = new Nano()
  const batch = collatePreferences(pairs)
  const together = tidy(() => sequenceLogProbs(options, model, batch)).dataSync()
  const alone = [pairs[0]!.chosen, pairs[1]!.chosen, pairs[0]!.rejected, pairs[1]!.rejected].map(
    (sample) =>
      tidy(() => {
        // By hand: log-softmax of every position, picked at the next token where the mask says so.
        const logits = options.head!(model, model.hidden(collate([sample])).select(0, 0))
        const logProbs = logits.logSoftmax(-1).dataSync()
        const ids = Array.from(sample.ids)
        return ids.reduce(
          (sum, id, i) => (i > 0 && sample.mask![i] ? sum + logProbs[(i - 1) * 17 + id]! : sum),
          0,
        )
      }),
  )
  assertClose(together, alone)
})

test('a model that equals its reference has a loss of log 2, and a step down its gradient prefers the chosen', async () => {
  const model = new Nano({ dropout: 0.3 })
  const known = await withReference(pairs, model, { ...options, batchSize: 1 })
  assert.is(model.training, true)
  model.eval()
  const batch = collatePreferences(known)
  const loss = dpo({ ...options, beta: 0.5 })
  assert.is(loss.count(batch), 2)
  const measure = (): number[] =>
    tidy(() => accumulate(loss, model, [batch]).values).dataSync() as unknown as number[]
  const before = measure()
  assertClose([before[0]!, before[1]!, before[2]!], [Math.log(2), 0, 0], { atol: 1e-5 })
  noGrad(() => {
    for (const p of model.parameters())
      if (p.grad) p.copy_(tidy(() => p.detach().sub(p.grad!.mul(0.3))))
  })
  clearGradients(model.parameters())
  const [value, chosen, rejected, margin, accuracy] = measure()
  assert.ok(value! < before[0]! - 0.05, `loss ${before[0]} to ${value}`)
  assert.ok(chosen! > 0 && rejected! < 0, `rewards ${chosen} and ${rejected}`)
  assertClose([margin!], [chosen! - rejected!])
  assert.is(accuracy, 1)
})

test('reference log-probabilities leave the model as it was, in evaluation if it was there', async () => {
  const model = new Nano({ dropout: 0.5 })
  const before = weightsOf(model)
  model.eval()
  const once = await withReference(pairs, model, options)
  assert.is(model.training, false)
  const twice = await withReference(pairs, model, options)
  assert.equal(once, twice)
  assert.equal(weightsOf(model), before)
  assert.ok(once.every((p) => p.reference!.chosen < 0 && p.reference!.rejected < 0))
})

test('pairs without reference log-probabilities, and senseless settings, are refused', () => {
  const model = new Nano()
  const loss = dpo(options)
  assert.throws(() => loss.terms(model, collatePreferences(pairs)), /withReference/)
  assert.throws(() => dpo({ ...options, beta: 0 }), /beta is 0/)
  assert.throws(() => dpo({ ...options, labelSmoothing: 0.5 }), /labelSmoothing is 0\.5/)
  assert.throws(() => dpo({ ...options, variant: 'ipo', labelSmoothing: 0.1 }), /'ipo' has none/)
  const unknown = { chosen: pairs[0]!.chosen, rejected: { ids: [3, 4], mask: [1, 0] } }
  assert.throws(
    () => collatePreferences([pairs[0]!, unknown]),
    /pair 1.*rejected.*no token to learn/,
  )
})

test('no gradient flows through the logged rewards', () => {
  const p = tensor(Float32Array.from(policy), { requiresGrad: true })
  const out = dpoLosses(
    p,
    tensor(Float32Array.from(reference)),
    tensor(Float32Array.of(1, 1, 1, 1)),
    { beta },
  )
  const flags: Tensor[] = [out.chosenRewards, out.rejectedRewards]
  assert.equal(
    flags.map((t) => t.requiresGrad),
    [false, false],
  )
})

test.run()
