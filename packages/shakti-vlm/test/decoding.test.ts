// Ways to write: with a draft model, with beams, many prompts at once.
import { manualSeed, memory, noGrad, ShaktiError } from '@shakti/tensor'
import {
  beamSearch,
  generate,
  generateBatch,
  generateText,
  seededRandom,
  streamBatch,
  type Beam,
  type BatchToken,
  type GenerateOptions,
  type Prompt,
  type ShaktiVlm,
} from '../src/index.js'
import { assert, assertClose, test } from './assert.js'
import { ids, image, logSoftmax, plainLogits, slow, text, withImage, writer } from './writer.js'

const model = writer()
/** Agrees with the model often, not always: its weights are the model's with noise. */
const draft = writer()
manualSeed(3)
noGrad(() => {
  const noise = writer(77).parameters()
  draft.parameters().forEach((p, i) => p.ndim > 1 && p.add_(noise[i]!.mul(0.08)))
})

test('with a draft model the text is the one without, however many tokens are guessed', async () => {
  for (const prompt of [withImage(), { ids: text(9) }])
    for (const n of [1, 2, 5, 30]) {
      const want = await generateText(model, prompt, { maxTokens: 24 })
      const got = await generateText(model, prompt, {
        maxTokens: 24,
        draft: { model: draft, tokens: n },
      })
      assert.equal(got.ids, want.ids, `${n} guesses`)
      const { drafted, accepted } = got.usage
      assert.ok(accepted! > 0 && accepted! < drafted!, `${accepted} of ${drafted}`)
      // Constraints on scores go through the other path of the code.
      const options = { maxTokens: 24, repetitionPenalty: 1.3, frequencyPenalty: 0.4 }
      assert.equal(
        await ids(model, prompt, { ...options, draft: { model: draft, tokens: n } }),
        await ids(model, prompt, options),
      )
    }
})

test('a draft that is the model itself is always right, one that differs in all rarely; stop tokens end the text', async () => {
  const prompt = { ids: text(9) }
  const want = slow(model, prompt, 20)
  const own = await generateText(model, prompt, { maxTokens: 20, draft: { model, tokens: 3 } })
  assert.equal(own.ids, want)
  assert.is(own.usage.accepted, own.usage.drafted)
  const stranger = await generateText(model, prompt, { maxTokens: 20, draft: { model: writer(5) } })
  assert.equal(stranger.ids, want)
  assert.ok(stranger.usage.accepted! < stranger.usage.drafted! / 2)
  const stopTokens = [want[7]!]
  const cut = want.slice(0, want.indexOf(stopTokens[0]!))
  for (const options of [{}, { presencePenalty: 1e-9 }] as GenerateOptions[]) {
    const stopped = await generateText(model, prompt, {
      ...options,
      maxTokens: 20,
      stopTokens,
      draft: { model: draft },
    })
    assert.equal(stopped.ids, cut)
    assert.is(stopped.finish, 'stop')
  }
})

test('layers with a window can be drafted for: the rolling cache takes guesses back', async () => {
  const change = { layers: 3, kvHeads: 1, slidingWindow: 6, globalEvery: 3 }
  const [large, small] = [writer(8, change), writer(8, change)]
  noGrad(() => small.parameters().forEach((p) => p.ndim > 1 && p.mul_(0.97)))
  const prompt = { ids: text(20) }
  const got = await generateText(large, prompt, {
    maxTokens: 100,
    draft: { model: small, tokens: 6 },
  })
  assert.equal(got.ids, slow(large, prompt, 100))
  assert.ok(got.usage.accepted! < got.usage.drafted!)
})

/** A model of few tokens, whose probabilities can be counted. */
const few = (seed: number): ShaktiVlm => writer(seed, { vocab: 8 })

test('with temperature a draft changes no probability', async () => {
  const [large, small] = [few(21), few(22)]
  const prompt = { ids: [1, 2, 3] }
  const options = { maxTokens: 3, temperature: 1.5, topK: 5, logprobs: 0 }
  const pairs = async (more: GenerateOptions): Promise<Map<string, number>> => {
    const counts = new Map<string, number>()
    for (let seed = 0; seed < 700; seed++) {
      const key = (await ids(large, prompt, { ...options, ...more, seed })).slice(1).join()
      counts.set(key, (counts.get(key) ?? 0) + 1 / 700)
    }
    return counts
  }
  const [want, got] = [await pairs({}), await pairs({ draft: { model: small, tokens: 2 } })]
  const keys = new Set([...want.keys(), ...got.keys()])
  assert.ok(keys.size > 5)
  for (const key of keys)
    assertClose([got.get(key) ?? 0], [want.get(key) ?? 0], 0.05, `pair ${key}`)
})

test('a draft model that reads other tokens is refused', async () => {
  for (const [other, part] of [
    [few(1), 'vocabulary of 8'],
    [writer(1, { context: 64 }), 'context of 64'],
  ] as const) {
    let message = ''
    try {
      await ids(model, { ids: [1] }, { draft: { model: other } })
    } catch (error) {
      message = (error as Error).message
    }
    assert.ok(message.includes(part), message)
  }
})

/** Every text of up to `n` tokens, with its log-probability; one that holds the stop token ends there. */
function everyText(m: ShaktiVlm, prompt: Prompt, n: number, stop: number): Beam[] {
  const out: Beam[] = []
  const go = (written: number[], logprob: number): void => {
    const row = logSoftmax(plainLogits(m, { ids: [...Array.from(prompt.ids), ...written] }).at(-1)!)
    row.forEach((l, id) => {
      if (l === -Infinity) return
      const next = [...written, id]
      if (id === stop) out.push({ ids: written, logprob: logprob + l, score: 0, finish: 'stop' })
      else if (next.length === n)
        out.push({ ids: next, logprob: logprob + l, score: 0, finish: 'length' })
      else go(next, logprob + l)
    })
  }
  go([], 0)
  return out
}

test('beams wide enough find the best texts that there are, whatever the length penalty', async () => {
  const m = few(31)
  const prompt = { ids: [1, 2, 3] }
  const all = everyText(m, prompt, 3, 4)
  for (const lengthPenalty of [0, 1, 2]) {
    const ranked = all
      .map((b) => ({
        ...b,
        score: b.logprob / (b.ids.length + (b.finish === 'stop' ? 1 : 0)) ** lengthPenalty,
      }))
      .sort((a, b) => b.score - a.score)
    const options = { beams: 60, nBest: 5, maxTokens: 3, stopTokens: [4], lengthPenalty }
    const got = await beamSearch(m, prompt, options)
    assert.equal(
      got.map((b) => b.ids),
      ranked.slice(0, 5).map((b) => b.ids),
    )
    assertClose(
      got.map((b) => b.score),
      ranked.slice(0, 5).map((b) => b.score),
      1e-4,
    )
    assert.equal(
      got.map((b) => b.finish),
      ranked.slice(0, 5).map((b) => b.finish),
    )
  }
})

test('one beam is greedy; more find likelier texts; a prompt with an image is read once', async () => {
  const [greedy] = await beamSearch(model, withImage(), { beams: 1, maxTokens: 8 })
  assert.equal(greedy!.ids, slow(model, withImage(), 8))
  const best = await beamSearch(model, withImage(), { beams: 4, nBest: 4, maxTokens: 8 })
  assert.ok(best[0]!.logprob >= greedy!.logprob)
  assert.is(new Set(best.map((b) => b.ids.join())).size, 4)
  for (let i = 1; i < 4; i++) assert.ok(best[i - 1]!.score >= best[i]!.score)
  // The log-probability said is that of the plain model.
  let want = 0
  const at = Array.from(withImage().ids)
  for (const id of best[0]!.ids) {
    want += logSoftmax(plainLogits(model, { ...withImage(), ids: at }).at(-1)!)[id]!
    at.push(id)
  }
  assertClose([best[0]!.logprob], [want], 1e-4)
  const stops = { beams: 3, nBest: 3, maxTokens: 60, stopTokens: [4] }
  const early = await beamSearch(few(31), { ids: [1, 2, 3] }, { ...stops, earlyStopping: true })
  assert.equal(
    early.map((b) => b.finish),
    ['stop', 'stop', 'stop'],
  )
})

test('impossible beams are refused by name', async () => {
  for (const [options, part] of [
    [{ beams: 0 }, 'beams'],
    [{ nBest: 5 }, 'nBest'],
    [{ lengthPenalty: NaN }, 'lengthPenalty'],
    [{ maxTokens: 0.5 }, 'maxTokens'],
  ] as const) {
    let error: unknown
    try {
      await beamSearch(model, { ids: [1] }, options)
    } catch (e) {
      error = e
    }
    assert.ok(error instanceof ShaktiError && error.message.includes(part), String(error))
  }
})

const prompts: Prompt[] = [
  withImage(),
  { ids: text(3) },
  { ids: text(31, 4) },
  { ids: [5, 5, 5, 5, 30], images: [image(2)] },
]

test('rows of a batch write what each would alone, with samplers and in chunks', async () => {
  for (const options of [
    { maxTokens: 12 },
    { maxTokens: 12, prefillChunk: 7, repetitionPenalty: 1.4 },
    { maxTokens: 12, kvDtype: 'i8' as const },
  ]) {
    const alone = await Promise.all(prompts.map((p) => ids(model, p, options)))
    assert.equal(await generateBatch(model, prompts, options), alone)
  }
  const drawn = { maxTokens: 12, temperature: 1.1, topK: 40, minP: 0.01 }
  const alone = await Promise.all(prompts.map((p, seed) => ids(model, p, { ...drawn, seed })))
  assert.equal(await generateBatch(model, prompts, drawn), alone)
  assert.not.equal(await generateBatch(model, prompts, { ...drawn, seed: 50 }), alone)
})

const letters = {
  decodeStream: () => ({
    step: (id: number) => String.fromCharCode(97 + (id % 26)),
    flush: () => '',
  }),
}

test('a batch streams each row and ends it by itself; ended rows leave', async () => {
  const whole = prompts.map((p) => slow(model, p, 20))
  const stopTokens = [0, 2].map((r) => whole[r]!.find((id) => !whole[1]!.includes(id))!)
  const rows = prompts.map((): BatchToken[] => [])
  for await (const token of streamBatch(model, prompts, {
    maxTokens: 20,
    stopTokens,
    tokenizer: letters,
  }))
    rows[token.row]!.push(token)
  for (const [r, tokens] of rows.entries()) {
    const end = whole[r]!.findIndex((id) => stopTokens.includes(id))
    const want = end < 0 ? whole[r]! : whole[r]!.slice(0, end)
    assert.is(
      tokens.map((t) => t.text).join(''),
      want.map((id) => letters.decodeStream().step(id)).join(''),
    )
    assert.is(tokens.at(-1)!.finish, end < 0 ? 'length' : 'stop')
    assert.is(tokens.at(-1)!.usage!.prompt, prompts[r]!.ids.length)
    assert.is(tokens.at(-1)!.usage!.generated, tokens.length)
    assert.is(tokens.filter((t) => t.finish).length, 1)
  }
  assert.ok(
    rows.some((r) => r.at(-1)!.finish === 'length') &&
      rows.some((r) => r.at(-1)!.finish === 'stop'),
  )
})

test('no way to write leaves a tensor, even when the reader leaves early', async () => {
  const once = async (): Promise<void> => {
    for await (const _ of generate(model, withImage(), { draft: { model: draft } })) break
    for await (const _ of streamBatch(model, prompts, { maxTokens: 9 })) break
    await ids(model, withImage(), { maxTokens: 7, draft: { model: draft }, temperature: 1 })
    await beamSearch(model, withImage(), { maxTokens: 4 })
    await generateBatch(model, prompts, { maxTokens: 3 })
  }
  await once()
  const before = memory().tensors
  for (let i = 0; i < 4; i++) await once()
  assert.ok(memory().tensors <= before + 2, `${before} -> ${memory().tensors}`)
})

test.run()
