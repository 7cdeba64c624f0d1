import { getRngState, manualSeed, setRngState } from '@shakti/tensor'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  batches,
  collate,
  cosine,
  FolderCheckpointer,
  generated,
  mixed,
  packed,
  run,
  type DataSource,
  type RunOptions,
  type Stage,
  type StageResult,
  type TokenBatch,
} from '../src/index.js'
import { loss, Nano, rejects, someSamples, temporaryFolder, vocabulary, weightsOf } from './nano.js'

type Data = DataSource<TokenBatch>
type NanoStage = Stage<Nano, TokenBatch>

const steps = 9
const samples = someSamples(12)

const sources: Record<string, () => Data> = {
  'batches()': () => batches(samples, { batchSize: 5, collate: (s) => collate(s), seed: 3 }),
  'batches() in micro-batches, by length': () =>
    batches(samples, {
      batchSize: 6,
      microBatchSize: 2,
      collate: (s) => collate(s),
      length: (s) => s.ids.length,
    }),
  'generated()': () =>
    generated(
      (_, next) =>
        collate([{ ids: Array.from({ length: 8 }, () => Math.floor(next() * vocabulary)) }]),
      { seed: 8 },
    ),
  'packed()': () => packed(samples, { length: 20, microBatches: 2 }),
  'mixed()': () =>
    mixed([
      { source: packed(samples, { length: 20 }), weight: 1 },
      {
        source: batches(someSamples(6, 9), { batchSize: 3, collate: (s) => collate(s) }),
        weight: 2,
      },
    ]),
}

const stageOf = (data: Data, name = 'first'): NanoStage => ({
  name,
  lr: { 'head.*': 3e-3, '*': 1e-2 },
  schedule: cosine({ warmup: 2 }),
  weightDecay: 0.1,
  data,
  steps,
  loss,
})

/** Aborts between the steps `at - 1` and `at`: the batch of `at` is asked for once `at - 1` is issued. */
function stopping(stage: NanoStage, at: number): { stage: NanoStage; signal: AbortSignal } {
  const controller = new AbortController()
  const batch: Data['batch'] = (step) => {
    if (step === at) controller.abort()
    return stage.data.batch(step)
  }
  return { stage: { ...stage, data: { ...stage.data, batch } }, signal: controller.signal }
}

const facts = (result: StageResult): unknown => ({
  history: result.history,
  finalLoss: result.finalLoss,
  tokens: result.tokens,
  evaluations: result.evaluations,
})

/** A model that differs in everything a checkpoint has to bring back. */
function stranger(): Nano {
  const model = new Nano({ seed: 77, dropout: 0.2 })
  manualSeed(1234)
  return model
}

async function whole(
  stages: NanoStage[],
  extra: Partial<RunOptions<Nano>> = {},
): Promise<{ results: unknown[]; weights: Record<string, number[]>; rng: unknown }> {
  const model = new Nano({ dropout: 0.2 })
  const results = []
  for (const stage of stages)
    results.push(facts(await run(stage, { model, quiet: true, ...extra })))
  return { results, weights: weightsOf(model), rng: getRngState() }
}

for (const [name, source] of Object.entries(sources)) {
  test(`a run over ${name} that is stopped twice goes on bit for bit`, async () => {
    const want = await whole([stageOf(source())])
    assert.is((want.results[0] as { history: unknown[] }).history.length, steps)

    const checkpointer = new FolderCheckpointer(temporaryFolder())
    let model = new Nano({ dropout: 0.2 })
    for (const at of [4, 7]) {
      const { stage, signal } = stopping(stageOf(source()), at)
      const result = await run(stage, { model, checkpointer, signal, quiet: true })
      assert.is(result.status, 'interrupted')
      assert.is(result.step, at)
      model = stranger()
    }
    const result = await run(stageOf(source()), { model, checkpointer, quiet: true })
    assert.is(result.status, 'done')
    assert.is(result.resumedFrom, 7)
    assert.equal(facts(result), want.results[0])
    assert.equal(weightsOf(model), want.weights)
    assert.equal(getRngState(), want.rng)
  })
}

test('without its random numbers a resumed run would differ, so the tests above see them', async () => {
  const checkpointer = new FolderCheckpointer(temporaryFolder())
  const { stage, signal } = stopping(stageOf(sources['batches()']!()), 4)
  await run(stage, { model: new Nano({ dropout: 0.2 }), checkpointer, signal, quiet: true })
  const forgetful = {
    save: () => Promise.resolve(),
    load: async (name: string) => {
      const found = (await checkpointer.load(name))!
      return { ...found, state: { ...found.state, rng: { seed: 5, offset: 5 } } }
    },
  }
  const model = stranger()
  await run(stageOf(sources['batches()']!()), { model, checkpointer: forgetful, quiet: true })
  assert.not.equal(weightsOf(model), (await whole([stageOf(sources['batches()']!())])).weights)
})

test('stages that are stopped in the middle, and found finished, give what one run through gives', async () => {
  const data = sources['batches()']!
  const stages = (): NanoStage[] => [
    stageOf(data(), 'text'),
    {
      ...stageOf(data(), 'align'),
      train: ['embed.*', 'layers.0.*'],
      freeze: ['layers.0.*.attn.*'],
    },
    { ...stageOf(sources['packed()']!(), 'tune'), lr: 1e-3 },
  ]
  const want = await whole(stages())
  const checkpointer = new FolderCheckpointer(temporaryFolder())
  const results = new Map<string, unknown>()
  // Each round is a program started anew, which is stopped in one of the stages; the last runs to its end.
  for (const [stopIn, at] of [
    ['text', 3],
    ['align', 1],
    ['align', 8],
    ['tune', 5],
    ['', 0],
  ] as const) {
    const model = stopIn === 'text' ? new Nano({ dropout: 0.2 }) : stranger()
    for (const stage of stages()) {
      const stopped = stage.name === stopIn ? stopping(stage, at) : { stage }
      const result = await run(stopped.stage, {
        model,
        checkpointer,
        quiet: true,
        ...('signal' in stopped ? { signal: stopped.signal } : {}),
      })
      if (result.status === 'interrupted') break
      results.set(stage.name, facts(result))
    }
    if (stopIn === '') {
      assert.equal(weightsOf(model), want.weights)
      assert.equal(getRngState(), want.rng)
    }
  }
  assert.equal([...results.values()], want.results)
})

test('a run that dies goes on from its last save, and the steps done again are the same', async () => {
  const source = sources['generated()']!
  const want = await whole([stageOf(source())])
  const checkpointer = new FolderCheckpointer(temporaryFolder())
  const dying: Data = {
    batch: (step) => (step === 8 ? Promise.reject(new Error('power cut')) : source().batch(step)),
  }
  const first = run(stageOf(dying), {
    model: new Nano({ dropout: 0.2 }),
    checkpointer,
    saveEvery: 3,
    quiet: true,
  })
  await rejects(first, /power cut/)
  const model = stranger()
  const result = await run(stageOf(source()), { model, checkpointer, saveEvery: 3, quiet: true })
  assert.is(result.resumedFrom, 6)
  assert.equal(facts(result), want.results[0])
  assert.equal(weightsOf(model), want.weights)
})

test('measuring and saving on the way changes nothing of the training', async () => {
  const source = sources['batches()']!
  const want = await whole([stageOf(source())])
  let measured = 0
  const got = await whole([stageOf(source())], {
    checkpointer: new FolderCheckpointer(temporaryFolder()),
    saveEvery: 2,
    evaluate: {
      every: 4,
      metrics: () => {
        setRngState({ seed: 1, offset: 99 })
        return Promise.resolve({ measured: measured++ })
      },
    },
  })
  assert.is(measured, 2)
  assert.equal(got.weights, want.weights)
  assert.equal(got.rng, want.rng)
})

test('a checkpoint of other settings is refused with both values', async () => {
  const source = sources['batches()']!
  const checkpointer = new FolderCheckpointer(temporaryFolder())
  const { stage, signal } = stopping(stageOf(source()), 4)
  await run(stage, { model: new Nano({ dropout: 0.2 }), checkpointer, signal, quiet: true })
  const changes: [Partial<NanoStage>, RegExp][] = [
    [{ steps: 10 }, /steps was 9, is 10/],
    [{ weightDecay: 0.2 }, /weightDecay was 0\.1, is 0\.2/],
    [{ lr: 1 }, /lr was .*, is 1/],
    [{ schedule: cosine() }, /schedule was/],
    [{ freeze: ['head.*'] }, /freeze was \[\], is \["head\.\*"\]/],
    [
      { data: batches(samples, { batchSize: 3, collate: (s) => collate(s) }) },
      /stepsPerEpoch was 2, is 4/,
    ],
  ]
  for (const [change, message] of changes) {
    const changed = { ...stageOf(source()), ...change }
    await rejects(run(changed, { model: stranger(), checkpointer, quiet: true }), message)
  }
})

test('steps between saves and measurements must be counts', async () => {
  const model = new Nano()
  const stage = stageOf(sources['batches()']!())
  for (const [extra, message] of [
    [{ saveEvery: 0 }, /saveEvery is 0/],
    [{ evaluate: { every: 1.5, metrics: () => Promise.resolve({}) } }, /evaluate\.every is 1\.5/],
  ] as [Partial<RunOptions<Nano>>, RegExp][]) {
    await rejects(run(stage, { model, quiet: true, ...extra }), message)
  }
})

test.run()
