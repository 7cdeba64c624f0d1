import { getRngState, manualSeed } from '@shakti/tensor'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  collate,
  evaluate,
  flatCurve,
  generated,
  languageLoss,
  lossSpike,
  random,
  run,
  unigramEntropy,
  weakDecoder,
  type DataSource,
  type Stage,
  type StageCheck,
  type StageResult,
  type TokenBatch,
  type Warning,
} from '../src/index.js'
import { loss, Nano, someSamples, vocabulary } from './nano.js'
import { assertClose } from './tiny.js'

test('unigram entropy is that of the frequencies', () => {
  assertClose([unigramEntropy([5, 5, 5, 5])], [Math.log(4)])
  assertClose([unigramEntropy([3, 1, 0])], [-0.75 * Math.log(0.75) - 0.25 * Math.log(0.25)])
  assertClose([unigramEntropy([7, 0])], [0])
})

test('a language loss is held against 2.0 scaled to the tokenizer, when there was data enough', () => {
  const facts = { unigram: 5, bytesPerToken: 4.2, parameters: 1000, tokens: 20_000 }
  assert.is(weakDecoder({ ...facts, finalLoss: 1.99 }), undefined)
  const warning = weakDecoder({ ...facts, finalLoss: 2.01 })!
  assert.is(warning.code, 'weak-decoder')
  assert.match(warning.message, /2\.010.*2\.00 at 4\.2 bytes.*20\.0 tokens a parameter/)
  // Half the bytes a token: half the loss may remain.
  assert.ok(weakDecoder({ ...facts, bytesPerToken: 2.1, finalLoss: 1.01 }))
  assert.is(weakDecoder({ ...facts, bytesPerToken: 2.1, finalLoss: 0.99 }), undefined)
})

test('with little data a language loss is held against what frequencies alone give', () => {
  const facts = { unigram: 5, bytesPerToken: 4.2, parameters: 1000, tokens: 19_999 }
  assert.is(weakDecoder({ ...facts, finalLoss: 3.99 }), undefined)
  assert.match(weakDecoder({ ...facts, finalLoss: 4.01 })!.message, /alone give 5\.00.*4\.00/)
})

test('an alignment curve that falls is fine, a flat, noisy or rising one is not', () => {
  const next = random(3)
  const curve = (f: (t: number) => number, noise = 0): number[] =>
    Array.from({ length: 100 }, (_, i) => f(i / 99) + noise * (next() - 0.5))
  assert.is(flatCurve(curve((t) => 3 - t, 0.3)), undefined)
  assert.is(flatCurve(curve((t) => 3 * Math.exp(-4 * t))), undefined)
  for (const bad of [
    curve(() => 3),
    curve(() => 3, 0.5),
    curve((t) => 3 + t),
    curve((t) => 3 - 0.1 * t),
  ]) {
    const warning = flatCurve(bad)!
    assert.is(warning.code, 'flat-alignment')
    assert.match(warning.message, /projector/)
  }
  // A fall of 6 % drowned in noise is none.
  assert.ok(flatCurve(curve((t) => 3 - 0.2 * t, 6)))
  assert.is(flatCurve([3, 3, 3]), undefined, 'three points tell nothing')
})

test('text-only loss may rise by 5 %, not by more', () => {
  assert.is(languageLoss(2, 2.09), undefined)
  assert.is(languageLoss(2, 1), undefined)
  assert.is(languageLoss(0.0003, 0.002), undefined, 'seven times next to nothing')
  assert.is(languageLoss(0.1, 0.12)!.code, 'language-lost')
  const warning = languageLoss(2, 2.12)!
  assert.is(warning.code, 'language-lost')
  assert.match(warning.message, /2\.000 to 2\.120 \(6\.0 %, 5 % are allowed\).*text-only samples/)
})

test('a spike is three times the median of fifty steps, and more than next to nothing', () => {
  const past = Array.from({ length: 50 }, (_, i) => 1 + (i % 3) / 10)
  assert.is(lossSpike(3.2, past), undefined)
  assert.is(lossSpike(3.4, past)!.code, 'loss-spike')
  assert.is(lossSpike(100, past.slice(1)), undefined, 'too short a past')
  const learned = past.map((loss) => loss / 50)
  assert.is(lossSpike(0.1, learned), undefined, 'next to nothing')
  assert.ok(lossSpike(0.2, learned))
})

const learnable = generated((step) => collate(someSamples(6, step % 2)))
const noise = generated((_, next) =>
  collate([{ ids: Array.from({ length: 20 }, () => Math.floor(next() * vocabulary)) }]),
)

async function train(
  check: StageCheck,
  change: Partial<Stage<Nano, TokenBatch>>,
  model = new Nano(),
): Promise<{ result: StageResult; told: Warning[] }> {
  const told: Warning[] = []
  const stage = { name: 's', lr: 1e-2, data: learnable, steps: 80, loss, check, ...change }
  const result = await run(stage, { model, quiet: true, onWarning: (w) => void told.push(w) })
  return { result, told }
}

test('a stage that learned ends without a warning, one that did not says why', async () => {
  for (const kind of ['language', 'alignment'] as const) {
    const check =
      kind === 'language' ? { kind, unigram: Math.log(vocabulary), bytesPerToken: 4 } : { kind }
    const good = await train(check, {})
    assert.equal(good.told, [], kind)
    assert.equal(good.result.warnings, [])
    const bad = await train(check, { data: noise, lr: 1e-4, steps: 40 })
    assert.is(bad.told.length, 1, kind)
    assert.equal(bad.result.warnings, bad.told)
    assert.is(bad.told[0]!.code, kind === 'language' ? 'weak-decoder' : 'flat-alignment')
  }
})

test('a jump is one among steps on data of the same kind', async () => {
  // Random words are far harder than a sample known by heart; the last step brings them.
  const known = generated(() => collate(someSamples(1, 1)))
  const hard = (step: number): boolean => step === 69
  const source = (kind?: (step: number) => string): DataSource<TokenBatch> => ({
    batch: (step) => (hard(step) ? noise : known).batch(step),
    ...(kind ? { kind } : {}),
  })
  const jumped = async (data: DataSource<TokenBatch>): Promise<boolean> => {
    const { told } = await train({ kind: 'alignment' }, { data, steps: 70 })
    return told.some((w) => w.code === 'loss-spike')
  }
  assert.is(await jumped(source()), true)
  assert.is(await jumped(source((step) => (hard(step) ? 'hard' : 'known'))), false)
})

test('a stage that forgets the text says so, one that keeps it does not', async () => {
  const text = generated((step) => collate(someSamples(6, step % 2)))
  const model = new Nano()
  await train({ kind: 'alignment' }, { data: text }, model)
  const textLoss = async (): Promise<number> =>
    (await evaluate(model, { loss, data: text, steps: 2 })).loss
  const before = await textLoss()
  const check = { kind: 'keepsLanguage', textLoss } as const
  const kept = await train(check, { data: text, steps: 3, lr: 1e-4 }, model)
  assert.equal(kept.told, [])
  assertClose([kept.result.textLoss!.before], [before])
  const lost = await train(check, { data: noise, steps: 30 }, model)
  assert.equal(
    lost.told.map((w) => w.code),
    ['language-lost'],
  )
  const { before: had, after } = lost.result.textLoss!
  assert.ok(after! > 1.05 * had, `${had} to ${after}`)
})

test('evaluation is the mean over items, not over batches, and leaves no trace', async () => {
  const model = new Nano({ dropout: 0.4 })
  const [a, b] = [someSamples(1, 1), someSamples(7, 2)]
  const data = generated((step) => {
    manualSeed(5)
    return collate(step === 0 ? a : b)
  })
  const rng = getRngState()
  const got = await evaluate(model, { loss, data, steps: 2 })
  assert.is(model.training, true)
  assert.equal(getRngState(), rng)
  const whole = await evaluate(model, { loss, data: generated(() => collate([...a, ...b])) })
  assert.is(got.items, whole.items)
  assertClose([got.loss], [whole.loss])
  model.eval()
  assert.equal(await evaluate(model, { loss, data, steps: 2 }), got)
  assert.is(model.training, false)
})

test.run()
