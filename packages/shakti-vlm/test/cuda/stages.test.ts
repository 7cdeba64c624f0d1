// test-timeout: 600
// The nano model goes through all stages and writes, on the GPU that SHAKTI_LIBCUDA names as on the CPU, as a user would have it:
// model.to('cuda') and run(), with the CPU as default device.
import { cudaDevices, manualSeed, memory, setDefaultDevice, type DeviceName } from '@shakti/tensor'
import {
  batches,
  causal,
  collate,
  collatePreferences,
  cosine,
  dpo,
  evaluate,
  Muon,
  random,
  run,
  withReference,
  type Preference,
  type PreferenceBatch,
  type RunOptions,
  type Sample,
  type Stage,
  type StageResult,
  type TokenBatch,
} from '@shakti/trainer'
import {
  generate,
  generateBatch,
  nano,
  ShaktiVlm,
  visualTokens,
  type EncodedImage,
  type PlacedInputs,
} from '../../src/index.js'
import { assert, assertClose, test } from '../assert.js'

const imageToken = 5
const { merge } = nano.projector as { merge: number }
type Batch = TokenBatch<EncodedImage>
type Pairs = PreferenceBatch<EncodedImage>

const next = random(17)
const below = (n: number): number => Math.floor(next() * n)
const text = (n: number): number[] => Array.from({ length: n }, () => 8 + below(300))
/** Of 4 x 4 patches, or of 2 x 2 larger ones. */
const picture = (patch: number, side: number): EncodedImage => ({
  pixels: Float32Array.from({ length: side * side * 3 }, () => 2 * next() - 1),
  height: side,
  width: side,
  patch,
})
/** The picture, and something said of it, which is what is learned. */
function shown(image: EncodedImage, answer: number): Sample<EncodedImage> {
  const before = new Array<number>(visualTokens(image, merge)).fill(imageToken)
  const ids = [1, ...before, ...text(6), ...text(answer)]
  const spans = [{ start: 1, end: 1 + before.length }]
  return { ids, mask: ids.map((_, i) => (i < ids.length - answer ? 0 : 1)), images: [image], spans }
}
const written = (n: number): Sample<EncodedImage> => ({ ids: text(n) })

const documents = Array.from({ length: 8 }, () => written(24))
const longDocuments = Array.from({ length: 4 }, () => written(120))
const captions = Array.from({ length: 8 }, (_, i) =>
  shown(i % 3 === 0 ? picture(4, 16) : picture(8, 16), 7),
)
const dialogues = [...captions.slice(0, 4), ...Array.from({ length: 4 }, () => written(20))]
const choices: Preference<EncodedImage>[] = captions.slice(0, 6).map((chosen) => {
  const ids = Array.from(chosen.ids)
  const rejected = { ...chosen, ids: [...ids.slice(0, -7), ...text(7)] }
  return { chosen, rejected }
})

const heads = {
  place: (model: ShaktiVlm, batch: Batch): PlacedInputs => model.place(batch),
  hidden: (model: ShaktiVlm, inputs: PlacedInputs) => model.forward(inputs),
  head: (model: ShaktiVlm, hidden: Parameters<ShaktiVlm['logits']>[0]) => model.logits(hidden),
}
const language = causal<ShaktiVlm, Batch, PlacedInputs>({
  ...heads,
  headLoss: (model, hidden, target, options) => model.loss(hidden, target, options),
})
const of = (samples: readonly Sample<EncodedImage>[], batchSize = 4) =>
  batches<Sample<EncodedImage>, Batch>(samples, {
    batchSize,
    collate: (s) => collate(s, { multipleOf: 8 }),
  })
// With AdamW's usual 1e-8 a gradient that is rounding alone makes a whole step, in a direction that differs between devices.
const eps = 1e-4

const stage = (change: Partial<Stage<ShaktiVlm, Batch>> & { name: string }) =>
  ({
    lr: 3e-3,
    eps,
    schedule: cosine({ warmup: 0.2 }),
    steps: 4,
    weightDecay: 0.1,
    loss: language,
    data: of(documents),
    ...change,
  }) satisfies Stage<ShaktiVlm, Batch>

interface Outcome {
  /** Of every step of every stage, by stage. */
  readonly losses: Readonly<Record<string, readonly number[]>>
  readonly results: readonly StageResult[]
  readonly written: readonly number[]
  readonly answers: readonly number[][]
  readonly heldOut: number
}

async function allStages(device: DeviceName, compute: 'f32' | 'bf16'): Promise<Outcome> {
  manualSeed(7)
  const model = new ShaktiVlm({ ...nano, imageToken }).to({ device, compute })
  const results: StageResult[] = []
  const go = async <B>(s: Stage<ShaktiVlm, B>, more: Partial<RunOptions<ShaktiVlm>> = {}) => {
    results.push(await run(s, { model, quiet: true, ...more }))
  }
  const decoder = { train: ['decoder.*'] }
  await go(stage({ name: 'language', ...decoder }), {
    optimizer: (groups) => new Muon(groups),
  })
  // The context of stage 1 is extended: another base, longer documents.
  model.decoder.setRope(2_000_000)
  await go(
    stage({
      name: 'extension',
      ...decoder,
      data: of(longDocuments, 2),
      activationCheckpointing: true,
    }),
  )
  await go(
    stage({
      name: 'alignment',
      train: ['vision.*', 'projector.*'],
      freeze: ['decoder.*'],
      data: of(captions),
    }),
  )
  await go(stage({ name: 'instruction', data: of(dialogues) }))
  const pairs = await withReference<ShaktiVlm, EncodedImage, PlacedInputs>(choices, model, {
    ...heads,
    collate: (p) => collatePreferences(p, { multipleOf: 8 }),
  })
  await go<Pairs>({
    name: 'preference',
    lr: 3e-4,
    eps,
    steps: 4,
    loss: dpo<ShaktiVlm, Pairs, PlacedInputs>({ ...heads, beta: 0.1 }),
    data: batches<Preference<EncodedImage>, Pairs>(pairs, {
      batchSize: 3,
      collate: (p) => collatePreferences(p, { multipleOf: 8 }),
    }),
  })
  const { loss: heldOut } = await evaluate(model, { loss: language, data: of(dialogues), steps: 2 })
  const prompts = captions.slice(0, 3).map(({ ids, images }) => ({
    ids: Array.from(ids).slice(0, -7),
    images: images!,
  }))
  const out: number[] = []
  for await (const { id } of generate(model, prompts[0]!, { maxTokens: 12, temperature: 0 }))
    out.push(id)
  const answers = await generateBatch(model, prompts, { maxTokens: 6, stopTokens: [2] })
  for (const p of model.parameters()) p.dispose()
  return {
    losses: Object.fromEntries(results.map((r) => [r.stage, r.history.map((p) => p.loss)])),
    results,
    written: out,
    answers,
    heldOut,
  }
}

const gpu = cudaDevices()[0]
if (!gpu) {
  test.skip('no GPU: SHAKTI_LIBCUDA names none, and this machine has none', () => undefined)
} else {
  setDefaultDevice('cpu')
  for (const [compute, rtol] of [
    ['f32', 1e-5],
    ['bf16', 1e-2],
  ] as const) {
    test(`language, extension, alignment, instruction, preference, then text: the losses of the CPU, in ${compute}`, async () => {
      const want = await allStages('cpu', compute)
      const host = memory({ device: 'cpu' }).liveBytes
      const got = await allStages('cuda', compute)
      assert.equal(Object.keys(got.losses), Object.keys(want.losses))
      for (const [name, losses] of Object.entries(want.losses)) {
        assert.is(losses.length, 4)
        assertClose(got.losses[name]!, losses, rtol, name)
      }
      assertClose([got.heldOut], [want.heldOut], rtol, 'held out')
      const aligned = got.results.find((r) => r.stage === 'alignment')!
      assert.ok(aligned.frozen!.parameters > 0)
      // Steps were replayed as CUDA graphs.
      assert.ok(got.results.every((r) => r.replayed.refused === undefined))
      assert.ok(got.results.some((r) => r.replayed.steps > 0))
      assert.is(got.written.length, 12)
      if (compute === 'f32') {
        assert.equal(got.written, want.written)
        assert.equal(got.answers, want.answers)
      }
      assert.ok(
        memory({ device: 'cpu' }).liveBytes <= host,
        'what ran on the GPU left nothing on the CPU',
      )
    })
  }
}

test.run()
