// run() with captured steps: what it leaves is what it leaves without, to the bit.
import { getRngState, manualSeed, memory, tensor, type Tensor } from '@shakti/tensor'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  accumulate,
  causal,
  collate,
  collatePreferences,
  cosine,
  dpo,
  FolderCheckpointer,
  Muon,
  placedLoss,
  random,
  run,
  withReference,
  type CausalOptions,
  type DataSource,
  type Loss,
  type Optimizer,
  type PreferenceBatch,
  type RunOptions,
  type Stage,
  type StageResult,
  type TokenBatch,
} from '../src/index.js'
import {
  gradientsOf,
  Nano,
  options as whole,
  rejects,
  someSamples,
  temporaryFolder,
  vocabulary,
  weightsOf,
} from './nano.js'
import { assertClose } from './tiny.js'

interface Inputs {
  ids: Tensor
  positions: Tensor
}

const options: CausalOptions<Nano, TokenBatch, Inputs> = {
  place: (_, { ids, positions, rows, length }) => ({
    ids: tensor(ids, { shape: [rows, length] }),
    positions: tensor(positions, { shape: [rows, length] }),
  }),
  hidden: (model, { ids, positions }) => model.read(ids, positions),
  head: (model, hidden) => model.head.forward(hidden),
  labelsMultipleOf: 32,
}
const loss = causal(options)

/** Three rows of `length`, all of it supervised. */
const rowsOf = (length: number, step: number): TokenBatch => {
  const next = random(11, step)
  const ids = (): number[] => Array.from({ length }, () => Math.floor(next() * vocabulary))
  return collate([{ ids: ids() }, { ids: ids() }, { ids: ids() }])
}

/** Batches of the given lengths in turn; micro-batches where there are several at once. */
const inTurn = (...lengths: (number | number[])[]): DataSource<TokenBatch> => ({
  batch: (step) => [lengths[step % lengths.length]!].flat().map((n, i) => rowsOf(n, 9 * step + i)),
})

const stageOf = (
  data: DataSource<TokenBatch>,
  change: Partial<Stage<Nano, TokenBatch>> = {},
): Stage<Nano, TokenBatch> => ({
  name: 's',
  lr: { 'head.*': 3e-3, '*': 1e-2 },
  schedule: cosine({ warmup: 2 }),
  weightDecay: 0.1,
  data,
  steps: 20,
  loss,
  ...change,
})

interface Outcome {
  result: StageResult
  numbers: unknown
}

async function train(
  stage: Stage<Nano, TokenBatch>,
  extra: Partial<RunOptions<Nano>>,
  model = new Nano({ dropout: 0.2 }),
): Promise<Outcome> {
  const result = await run(stage, { model, quiet: true, ...extra })
  const { history, tokens, finalLoss } = result
  const numbers = { history, tokens, finalLoss, weights: weightsOf(model), rng: getRngState() }
  return { result, numbers }
}

const cases: Record<
  string,
  { stage: Stage<Nano, TokenBatch>; replays: number; extra?: Partial<RunOptions<Nano>> }
> = {
  'one shape': { stage: stageOf(inTurn(8)), replays: 19 },
  'two shapes': { stage: stageOf(inTurn(8, 12)), replays: 18 },
  'two shapes, Muon': {
    stage: stageOf(inTurn(8, 12)),
    replays: 18,
    extra: { optimizer: (groups) => new Muon(groups) },
  },
  'gradient accumulation over unequal micro-batches': {
    stage: stageOf(inTurn([8, 5], [12, 12, 3])),
    replays: 18,
  },
  'a gradient that is always clipped': { stage: stageOf(inTurn(8), { clip: 1e-3 }), replays: 19 },
  'activation checkpointing': {
    stage: stageOf(inTurn(8), { activationCheckpointing: true }),
    replays: 19,
  },
  'a part of the model frozen': {
    stage: stageOf(inTurn(8), { train: ['layers.*'], freeze: ['embed.*', 'head.*', 'norm.*'] }),
    replays: 19,
  },
}

for (const [name, { stage, replays, extra }] of Object.entries(cases)) {
  test(`${name}: losses, weights and random numbers of 20 steps are those of steps that are called`, async () => {
    const want = await train(stage, { ...extra, capture: false })
    assert.equal(want.result.replayed, { steps: 0 })
    assert.is(want.result.history.length, 20)
    const got = await train(stage, extra ?? {})
    assert.equal(got.result.replayed, { steps: replays })
    assert.equal(got.numbers, want.numbers)
  })
}

test('a stage that is stopped and resumed gives the numbers of one that is not, all with captures', async () => {
  const data = inTurn(8, 12)
  const want = await train(stageOf(data), { capture: false })
  const checkpointer = new FolderCheckpointer(temporaryFolder())
  const controller = new AbortController()
  const stopping = {
    batch: (step: number) => {
      if (step === 11) controller.abort()
      return data.batch(step)
    },
  }
  const first = await train(stageOf(stopping), {
    capture: true,
    checkpointer,
    signal: controller.signal,
  })
  assert.equal([first.result.status, first.result.step], ['interrupted', 11])
  assert.equal(first.result.replayed, { steps: 9 })
  const other = new Nano({ seed: 77, dropout: 0.2 })
  manualSeed(1234)
  const { result, numbers } = await train(stageOf(data), { capture: true, checkpointer }, other)
  assert.equal([result.resumedFrom, result.replayed], [11, { steps: 7 }])
  assert.equal(numbers, want.numbers)
})

test('measuring and saving between replays changes nothing', async () => {
  const want = await train(stageOf(inTurn(8)), { capture: false })
  const got = await train(stageOf(inTurn(8)), {
    checkpointer: new FolderCheckpointer(temporaryFolder()),
    saveEvery: 3,
    evaluate: {
      every: 4,
      metrics: () => {
        manualSeed(5)
        return Promise.resolve({})
      },
    },
  })
  assert.equal(got.numbers, want.numbers)
})

test('a shape that comes once is not captured, nor are more than 16 that come in turn', async () => {
  const lengths = [8, 4, 8, 5, 8, 6]
  const once = await train(stageOf(inTurn(...lengths), { steps: 6 }), {})
  assert.is(once.result.replayed.steps, 2)
  const many = Array.from({ length: 17 }, (_, i) => 4 + i)
  const none = await train(stageOf(inTurn(...many), { steps: 40 }), {})
  assert.equal(none.result.replayed, { steps: 0 })
})

test('DPO is replayed with the numbers of steps that are called', async () => {
  const answers = someSamples(12).map(({ ids }) => ({
    ids,
    mask: Array.from(ids, (_, i) => (i < 2 ? 0 : 1)),
  }))
  const pairs = await withReference(
    Array.from({ length: 6 }, (_, i) => ({
      chosen: answers[2 * i]!,
      rejected: answers[2 * i + 1]!,
    })),
    new Nano({ seed: 3 }),
    whole,
  )
  const placed = dpo<Nano, PreferenceBatch, Inputs>({ ...options, place: options.place! })
  const stage: Stage<Nano, PreferenceBatch> = {
    name: 'preference',
    lr: 1e-2,
    steps: 8,
    loss: placed,
    data: {
      batch: (step) => [
        collatePreferences(pairs.slice(step % 3, 3 + (step % 3)), { multipleOf: 16 }),
      ],
    },
  }
  const outcome = async (capture: boolean): Promise<unknown> => {
    const model = new Nano({ dropout: 0.2 })
    const { history, replayed } = await run(stage, { model, quiet: true, capture })
    // Two shapes: labels are filled up to 32 or to 64.
    assert.is(replayed.steps, capture ? 6 : 0)
    return { history, weights: weightsOf(model) }
  }
  assert.equal(await outcome(true), await outcome(false))
})

test('positions filled up with ignored ones give the gradient of those that are there', () => {
  const model = new Nano()
  const numbers = (labelsMultipleOf: number): number[] => {
    const { values } = accumulate(causal({ ...options, labelsMultipleOf }), model, [rowsOf(7, 1)])
    const all = [...values.dataSync(), ...gradientsOf(model)]
    for (const p of model.parameters()) p.grad = undefined
    return all
  }
  assertClose(numbers(64), numbers(1), { rtol: 1e-5, atol: 1e-6 })
  assert.throws(() => causal({ ...options, labelsMultipleOf: 0 }), /labelsMultipleOf is 0/)
})

test('a stage leaves no captured memory behind', async () => {
  const before = memory().capturedBytes
  let during = 0
  const data = inTurn(8, 12)
  const watched = {
    batch: (step: number) => {
      during = Math.max(during, memory().capturedBytes)
      return data.batch(step)
    },
  }
  await train(stageOf(watched), {})
  assert.ok(during > before)
  assert.is(memory().capturedBytes, before)
})

test('a step that is not finite stops a run of replays where it happens, and changes no weight', async () => {
  const scale = tensor(1)
  const spoiled = placedLoss<Nano, TokenBatch, { inner: unknown }>({
    name: 'spoiled',
    count: loss.count,
    place: (model, batch) => ({ inner: loss.placed!.place(model, batch) }),
    terms: (model, { inner }) => ({ sum: loss.placed!.terms(model, inner).sum.mul(scale) }),
  })
  const data = inTurn(8)
  let model = new Nano()
  const failing = (steps: number): Promise<Outcome> => {
    model = new Nano()
    scale.fill_(1)
    const source = {
      batch: (step: number) => {
        // Asked for while the step before is on its way.
        if (step === 7) scale.fill_(NaN)
        return data.batch(step)
      },
    }
    return train(
      stageOf(source, { loss: spoiled, steps, schedule: () => 1 }),
      { capture: true },
      model,
    )
  }
  await failing(7)
  const healthy = weightsOf(model)
  const error = await rejects(failing(20), /loss NaN/)
  assert.is((error as Error & { step: number }).step, 7)
  assert.equal(weightsOf(model), healthy)
})

const refusals: Record<string, [Loss<Nano, TokenBatch>, RegExp, Partial<RunOptions<Nano>>?]> = {
  'a loss that is in one piece': [causal(whole), /loss 'causal' does not say what it reads/],
  'a loss that reads a number': [
    placedLoss<Nano, TokenBatch, unknown>({
      name: 'curious',
      count: loss.count,
      place: (m, b) => loss.placed!.place(m, b),
      terms: (m, placed) => {
        const terms = loss.placed!.terms(m, placed)
        terms.sum.itemSync()
        return terms
      },
    }),
    /\[itemSync\] cannot be part of a capture/,
  ],
  'inputs that are more than tensors and numbers': [
    placedLoss<Nano, TokenBatch, { inner: unknown; when: Date }>({
      name: 'dated',
      count: loss.count,
      place: (m, b) => ({ inner: loss.placed!.place(m, b), when: new Date(0) }),
      terms: (m, { inner }) => loss.placed!.terms(m, inner),
    }),
    /place\(\) gives a Date/,
  ],
  'an optimiser that may count by itself': [
    loss,
    /optimiser does not say that its step can be repeated/,
    {
      optimizer: (groups) => {
        const inner = new Muon(groups)
        return {
          step: (factor, scale) => inner.step(factor, scale),
          get steps() {
            return inner.steps
          },
          state: () => inner.state(),
          load: (tensors, steps) => inner.load(tensors, steps),
          dispose: () => inner.dispose(),
        } satisfies Optimizer
      },
    },
  ],
}

for (const [name, [refused, why, extra]] of Object.entries(refusals)) {
  test(`${name}: 'auto' says so once and runs on, true is an error`, async () => {
    const stage = stageOf(inTurn(8), { loss: refused, steps: 6 })
    const notes: string[] = []
    const progress = {
      update: () => undefined,
      note: (line: string) => void notes.push(line),
      stop: () => undefined,
    }
    const got = await train(stage, { ...extra, progress })
    assert.is(got.result.replayed.steps, 0)
    assert.match(got.result.replayed.refused!, why)
    assert.is(notes.length, 1)
    assert.match(notes[0]!, why)
    const want = await train(stage, { ...extra, capture: false })
    assert.equal(got.numbers, want.numbers)
    await rejects(train(stage, { ...extra, capture: true }), why)
  })
}

test.run()
