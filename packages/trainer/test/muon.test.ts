import { manualSeed, noGrad, normal, tensor, type Tensor } from '@shakti/tensor'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  AdamW,
  collate,
  FolderCheckpointer,
  isHiddenMatrix,
  Muon,
  orthogonalise,
  run,
  type ParameterGroup,
  type Stage,
  type TokenBatch,
} from '../src/index.js'
import { loss, Nano, rejects, someSamples, temporaryFolder, weightsOf } from './nano.js'
import { assertClose, leaf, values } from './tiny.js'

const group = (entries: ParameterGroup['entries'], weightDecay = 0): ParameterGroup[] => [
  { lr: 0.1, weightDecay, entries },
]

for (const [rows, columns] of [
  [12, 12],
  [24, 8],
  [8, 24],
] as const) {
  test(`the update of ${rows} x ${columns} is nearly orthogonal: its singular values are about 1`, () => {
    manualSeed(3)
    const x = orthogonalise(normal([2, rows, columns], 0, 7), 10)
    assert.equal(x.shape, [2, rows, columns])
    const gram = rows > columns ? x.transpose(1, 2).matmul(x) : x.matmul(x.transpose(1, 2))
    const n = Math.min(rows, columns)
    const g = values(gram)
    // Squares of singular values between 0.7 and 1.2 leave so much beside the unit matrix, in the mean.
    for (let k = 0; k < 2; k++) {
      const trace = Array.from({ length: n }, (_, i) => g[k * n * n + i * n + i]!)
      const mean = trace.reduce((a, b) => a + b, 0) / n
      assert.ok(mean > 0.5 && mean < 1.4, `mean square ${mean}`)
      const beside = g.slice(k * n * n, (k + 1) * n * n).filter((_, at) => at % (n + 1) !== 0)
      assert.ok(Math.max(...beside.map(Math.abs)) < 0.35, `${Math.max(...beside.map(Math.abs))}`)
    }
  })
}

test('zeros have no direction and stay zeros', () => {
  assert.equal(values(orthogonalise(tensor(new Float32Array(12), { shape: [1, 3, 4] }))), [
    ...new Float32Array(12),
  ])
})

/** One matrix, in plain numbers: momentum with look ahead, the iteration, decay, the common size. */
function reference(start: number[][], gradients: number[][][], decay: number): number[] {
  type Matrix = number[][]
  const map2 = (x: Matrix, y: Matrix, f: (a: number, b: number) => number): Matrix =>
    x.map((row, i) => row.map((v, j) => f(v, y[i]![j]!)))
  const times = (x: Matrix, y: Matrix): Matrix =>
    x.map((row) => y[0]!.map((_, j) => row.reduce((s, v, k) => s + v * y[k]![j]!, 0)))
  const turned = (x: Matrix): Matrix => x[0]!.map((_, j) => x.map((row) => row[j]!))
  let w = start
  let m = start.map((row) => row.map(() => 0))
  for (const g of gradients) {
    m = map2(m, g, (a, b) => 0.95 * a + 0.05 * b)
    let x = map2(m, g, (a, b) => 0.95 * a + 0.05 * b)
    const size = Math.sqrt(x.flat().reduce((s, v) => s + v * v, 0))
    x = x.map((row) => row.map((v) => v / (size + 1e-7)))
    for (let i = 0; i < 5; i++) {
      const a = times(x, turned(x))
      const b = map2(a, times(a, a), (p, q) => -4.775 * p + 2.0315 * q)
      x = map2(x, times(b, x), (p, q) => 3.4445 * p + q)
    }
    const rate = 0.1 * 0.2 * Math.sqrt(Math.max(w.length, w[0]!.length))
    w = map2(w, x, (p, q) => p * (1 - 0.1 * decay) - rate * q)
  }
  return w.flat()
}

test('updates are momentum with look ahead, made orthogonal, of the size of AdamW', () => {
  const start = [
    [1, -2, 0.5],
    [3, 0.5, -1],
  ]
  const gradients = [
    [
      [0.1, -0.2, 0.3],
      [0.2, 0.4, 0.1],
    ],
    [
      [-0.3, 0.1, 0.2],
      [0.5, -0.1, 0.3],
    ],
  ]
  const w = leaf(start.flat(), [2, 3])
  const muon = new Muon(group([{ name: 'fc.weight', parameter: w }], 0.3))
  for (const g of gradients) {
    w.grad = tensor(Float32Array.from(g.flat()), { shape: [2, 3] })
    muon.step(1)
  }
  assert.is(muon.steps, 2)
  assertClose(values(w), reference(start, gradients, 0.3), { rtol: 1e-4 })
  muon.dispose()
})

test('embeddings, output matrices, norms, biases and kernels are left to AdamW', () => {
  const at = (shape: number[]): Tensor => noGrad(() => normal(shape, 0, 1))
  for (const [name, shape, want] of [
    ['decoder.model.layers.0.attn.qProj.weight', [4, 4], true],
    ['projector.fc1.weight', [4, 8], true],
    ['decoder.model.embedTokens.weight', [9, 4], false],
    ['decoder.lmHead.weight', [9, 4], false],
    ['vision.embeddings.positionBias.posRow', [6, 4], false],
    ['vision.embeddings.patchEmbedding.weight', [4, 3, 2, 2], false],
    ['decoder.model.norm.weight', [4], false],
    ['projector.fc1.bias', [4], false],
  ] as const)
    assert.is(isHiddenMatrix(name, at([...shape])), want, name)

  const embed = (): Tensor => leaf([1, 2, 3, 4], [2, 2])
  const [ours, theirs] = [embed(), embed()]
  const muon = new Muon(group([{ name: 'embed.weight', parameter: ours }]))
  const adamw = new AdamW(group([{ name: 'embed.weight', parameter: theirs }]))
  for (const p of [ours, theirs])
    p.grad = tensor(Float32Array.from([1, -1, 2, 0]), { shape: [2, 2] })
  muon.step(1)
  adamw.step(1)
  assert.equal(values(ours), values(theirs))
})

test('a scale that is not finite leaves weights and momenta as they were; a parameter without gradient too', () => {
  const [a, b] = [leaf([1, 2, 3, 4], [2, 2]), leaf([5, 6, 7, 8], [2, 2])]
  const muon = new Muon(
    group([
      { name: 'a.weight', parameter: a },
      { name: 'b.weight', parameter: b },
    ]),
  )
  a.grad = tensor(Float32Array.from([1, 0, 0, 2]), { shape: [2, 2] })
  muon.step(1, tensor([1]))
  assert.equal(values(b), [5, 6, 7, 8])
  assert.not.equal(values(a), [1, 2, 3, 4])
  const before = [values(a), values(muon.state()['a.weight.momentum']!)]
  muon.step(1, tensor([NaN]))
  assert.equal([values(a), values(muon.state()['a.weight.momentum']!)], before)
})

test('a stopped run goes on bit for bit, and AdamW refuses its checkpoint', async () => {
  const stage: Stage<Nano, TokenBatch> = {
    name: 'text',
    lr: 1e-2,
    weightDecay: 0.1,
    steps: 6,
    loss,
    data: { batch: (step) => [collate(someSamples(4, step))] },
  }
  const optimizer = (groups: readonly ParameterGroup[]): Muon => new Muon(groups)
  const whole = new Nano({ dropout: 0.2 })
  await run(stage, { model: whole, optimizer, quiet: true })

  const checkpointer = new FolderCheckpointer(temporaryFolder())
  const controller = new AbortController()
  const stopping: typeof stage = {
    ...stage,
    data: {
      batch: (step) => {
        if (step === 3) controller.abort()
        return stage.data.batch(step)
      },
    },
  }
  const { signal } = controller
  await run(stopping, {
    model: new Nano({ dropout: 0.2 }),
    optimizer,
    checkpointer,
    signal,
    quiet: true,
  })
  await rejects(
    run(stage, { model: new Nano({ seed: 5 }), checkpointer, quiet: true }),
    /optimizer.*does not fit.*Missing.*exp_avg/s,
  )
  const model = new Nano({ seed: 9, dropout: 0.2 })
  const result = await run(stage, { model, optimizer, checkpointer, quiet: true })
  assert.is(result.resumedFrom, 3)
  assert.equal(weightsOf(model), weightsOf(whole))
})

test('what cannot be is refused: settings, and a choice that is no matrix', () => {
  const bias = leaf([1, 2], [2])
  assert.throws(() => new Muon([], { momentum: 1 }), /Momentum must be in \[0, 1\)/)
  assert.throws(() => new Muon([], { iterations: 0 }), /iterations an integer from 1/)
  assert.throws(
    () => new Muon(group([{ name: 'bias', parameter: bias }]), { matrices: () => true }),
    /bias is f32\[2\], not a matrix/,
  )
})

test.run()
