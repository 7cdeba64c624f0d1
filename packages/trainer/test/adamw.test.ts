import { tensor, type Tensor } from '@shakti/tensor'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  AdamW,
  collate,
  generated,
  parameterGroups,
  run,
  type Stage,
  type TokenBatch,
} from '../src/index.js'
import { loss, Nano, someSamples, weightsOf } from './nano.js'
import { assertClose, leaf, values } from './tiny.js'

/** Algorithm 2 of arXiv 1711.05101 in plain numbers. */
function reference(
  start: number[],
  gradients: number[][],
  {
    lr,
    decay,
    betas: [b1, b2],
    eps,
  }: { lr: number[]; decay: number; betas: [number, number]; eps: number },
): number[] {
  return start.map((w, i) => {
    let [m, v] = [0, 0]
    gradients.forEach((g, t) => {
      m = b1 * m + (1 - b1) * g[i]!
      v = b2 * v + (1 - b2) * g[i]! ** 2
      const update = m / (1 - b1 ** (t + 1)) / (Math.sqrt(v / (1 - b2 ** (t + 1))) + eps)
      w -= lr[t]! * (update + decay * w)
    })
    return w
  })
}

test('updates are those of the paper: bias correction, decoupled decay, the schedule on both', () => {
  const start = [1, -2, 3, 0.5]
  const gradients = [
    [0.1, -0.2, 0.3, 0],
    [0.2, 0.1, -0.3, 0],
    [-0.4, 0.1, 0.2, 0],
  ]
  const factors = [1, 0.5, 0.25]
  const w = leaf(start, [2, 2])
  const adam = new AdamW([{ lr: 0.1, weightDecay: 0.3, entries: [{ name: 'w', parameter: w }] }], {
    betas: [0.8, 0.9],
    eps: 1e-3,
  })
  gradients.forEach((g, t) => {
    w.grad = tensor(Float32Array.from(g), { shape: [2, 2] })
    adam.step(factors[t]!)
  })
  assert.is(adam.steps, 3)
  assertClose(
    values(w),
    reference(start, gradients, {
      lr: factors.map((f) => 0.1 * f),
      decay: 0.3,
      betas: [0.8, 0.9],
      eps: 1e-3,
    }),
  )
  // Decay that went through the moments would not shrink a weight without gradient by (1 - lr decay) exactly.
  assertClose([values(w)[3]!], [0.5 * (1 - 0.03) * (1 - 0.015) * (1 - 0.0075)])
  adam.dispose()
})

test('norms, biases and tables of positions are not decayed, matrices are', () => {
  const named: [string, Tensor][] = [
    ['decoder.layers.0.attn.qProj.weight', leaf([1, 1], [1, 2])],
    ['decoder.layers.0.attn.qProj.bias', leaf([1, 1], [2])],
    ['decoder.layers.0.norm1.weight', leaf([1, 1], [2])],
    ['decoder.layers.0.attn.qNorm.weight', leaf([1, 1], [1, 2])],
    ['vision.positionBias.table', leaf([1, 1], [1, 2])],
    ['vision.posEmbed', leaf([1, 1], [1, 2])],
    ['vision.scale', leaf([1, 1], [2])],
    ['embed.weight', leaf([1, 1], [2, 1])],
  ]
  const groups = parameterGroups({ name: 's', lr: 0.1, weightDecay: 0.5 }, named)
  const adam = new AdamW(groups)
  for (const [, p] of named) p.grad = tensor(Float32Array.of(0, 0), { shape: p.shape })
  adam.step(1)
  const moved = named.filter(([, p]) => values(p)[0] !== 1).map(([name]) => name)
  assert.equal(moved, ['decoder.layers.0.attn.qProj.weight', 'embed.weight'])
  assertClose(values(named[0]![1]), [0.95, 0.95])
  adam.dispose()
})

test('a parameter without a gradient is left alone, moments and decay too', () => {
  const [a, b] = [leaf([1], [1, 1]), leaf([1], [1, 1])]
  const adam = new AdamW([
    {
      lr: 0.1,
      weightDecay: 0.5,
      entries: [
        { name: 'a', parameter: a },
        { name: 'b', parameter: b },
      ],
    },
  ])
  a.grad = tensor(Float32Array.of(1), { shape: [1, 1] })
  adam.step(1)
  assert.is(values(b)[0], 1)
  assert.is(values(adam.state()['b.exp_avg']!)[0], 0)
  assert.is.not(values(a)[0], 1)
  adam.dispose()
})

test('a scale that is not a number changes nothing', () => {
  const w = leaf([1, 2], [1, 2])
  const adam = new AdamW([{ lr: 0.1, weightDecay: 0.5, entries: [{ name: 'w', parameter: w }] }])
  w.grad = tensor(Float32Array.of(1, 1), { shape: [1, 2] })
  adam.step(1, tensor(Float32Array.of(NaN)))
  assert.equal(values(w), [1, 2])
  assert.equal(values(adam.state()['w.exp_avg']!), [0, 0])
  adam.dispose()
})

const stage = (change: Partial<Stage<Nano, TokenBatch>>): Stage<Nano, TokenBatch> => ({
  name: 's',
  lr: 1e-2,
  data: generated(() => collate(someSamples(4))),
  steps: 1,
  loss,
  ...change,
})

async function movedBy(change: Partial<Stage<Nano, TokenBatch>>): Promise<Record<string, number>> {
  const model = new Nano()
  const before = weightsOf(model)
  await run(stage(change), { model, quiet: true })
  return Object.fromEntries(
    Object.entries(weightsOf(model)).map(([name, after]) => [
      name,
      Math.max(...after.map((v, i) => Math.abs(v - before[name]![i]!))),
    ]),
  )
}

test('each module group moves at its own rate, the first pattern that fits counts', async () => {
  // The first step of Adam moves what has a clear gradient by the learning rate itself.
  const moved = await movedBy({
    lr: { 'layers.0.*': 1e-2, 'head.weight': 0, 'layers.*': 1e-3, '*': 1e-4 },
  })
  assertClose([moved['layers.0.block.mlp.fc1.weight']!], [1e-2], { rtol: 1e-3 })
  assertClose([moved['layers.1.block.mlp.fc1.weight']!], [1e-3], { rtol: 1e-3 })
  assertClose([moved['embed.weight']!], [1e-4], { rtol: 1e-2 })
  assert.is(moved['head.weight'], 0)
})

test('clipping scales the whole gradient to the length, and the length before it is what is logged', async () => {
  // With a large eps the update is lr g / eps: its length tells the gradient's.
  const length = async (clip: number): Promise<{ moved: number; norm: number }> => {
    const model = new Nano()
    const before = Object.values(weightsOf(model)).flat()
    const result = await run(stage({ clip, lr: 1e4, eps: 1e4, betas: [0, 0] }), {
      model,
      quiet: true,
    })
    const after = Object.values(weightsOf(model)).flat()
    return {
      moved: Math.hypot(...after.map((v, i) => v - before[i]!)),
      norm: result.history[0]!.gradNorm,
    }
  }
  const free = await length(Infinity)
  assertClose([free.moved], [free.norm], { rtol: 1e-2 })
  const half = await length(free.norm / 2)
  assertClose([half.moved], [free.norm / 2], { rtol: 1e-2 })
  assertClose([half.norm], [free.norm])
  assertClose([(await length(free.norm * 2)).moved], [free.moved], { rtol: 1e-3 })
})

test('rates that are missing or senseless are refused by name', () => {
  const named: [string, Tensor][] = [['embed.weight', leaf([1], [1])]]
  assert.throws(() => parameterGroups({ name: 's', lr: NaN }, named), /lr of '\*' is NaN/)
  assert.throws(
    () => parameterGroups({ name: 's', lr: { 'embed.*': -1 } }, named),
    /lr of 'embed\.\*' is -1/,
  )
  assert.throws(
    () => parameterGroups({ name: 's', lr: { 'x.*': 1 } }, named),
    /trains embed\.weight, but lr has no pattern/,
  )
  assert.throws(
    () => parameterGroups({ name: 's', lr: 1, weightDecay: -1 }, named),
    /weightDecay is -1/,
  )
  assert.throws(() => new AdamW([], { betas: [0.9, 1] }), /betas are \[0\.9, 1\]/)
  assert.throws(() => new AdamW([], { eps: 0 }), /eps is 0/)
})

test.run()
