// Speculative decoding: a draft model changes the speed, not the text.
import { manualSeed, memory, noGrad, ShaktiError } from '@shakti/tensor'
import {
  generate,
  generateText,
  type Candidates,
  type DraftOptions,
  type GenerateOptions,
  type History,
  type ShaktiVlm,
} from '../src/index.js'
import { assert, counts, rejects, test } from './assert.js'
import {
  few,
  ids,
  image,
  logSoftmax,
  plainLogits,
  slow,
  text,
  withImage,
  writer,
} from './writer.js'

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

test('with temperature a draft changes no probability', async () => {
  const [large, small] = [few(21), few(22)]
  const prompt = [1, 2, 3]
  const [temperature, seeds] = [6, 1500]
  /** Exact, with the temperature. */
  const after = (m: ShaktiVlm, ids: number[]): number[] =>
    logSoftmax(
      plainLogits(m, { ids })
        .at(-1)!
        .map((v) => v / temperature),
    ).map(Math.exp)
  const want = new Map<string, number>()
  let apart = 0
  after(large, prompt).forEach((p, a) => {
    if (p === 0) return
    const q = after(small, [...prompt, a])
    after(large, [...prompt, a]).forEach((r, b) => {
      if (p * r > 0) want.set(`${a} ${b}`, p * r)
      apart += (p * Math.abs(r - q[b]!)) / 2
    })
  })
  assert.ok(apart > 0.3, `the models differ: ${apart}`)
  // Of three tokens the first and the last are the large model's own, the second is guessed.
  const counts = new Map([...want.keys()].map((k) => [k, 0]))
  for (let seed = 0; seed < seeds; seed++) {
    const options = { maxTokens: 3, temperature, seed, draft: { model: small, tokens: 2 } }
    const [a, b] = await ids(large, { ids: prompt }, options)
    counts.set(`${a} ${b}`, counts.get(`${a} ${b}`)! + 1)
  }
  // The distance of as many draws from the right distribution is about 0.4 sum(sqrt(p / n)), 0.07 here.
  let distance = 0
  for (const [pair, p] of want) distance += Math.abs(counts.get(pair)! / seeds - p) / 2
  const expected = [...want.values()].reduce((n, p) => n + 0.4 * Math.sqrt(p / seeds), 0)
  assert.ok(distance < 1.4 * expected, `${distance}, expected ${expected}`)
})

test('a draft model may read another prompt', async () => {
  const want = await generateText(model, withImage(), { maxTokens: 20 })
  const other = { model: draft, prompt: { ids: [9, 5, 8], images: [{ ...image(), patch: 8 }] } }
  const got = await generateText(model, withImage(), { maxTokens: 20, draft: other })
  assert.equal(got.ids, want.ids)
  assert.ok(got.usage.drafted! > 0)
})

test('a draft model with a smaller context guesses as far as it goes', async () => {
  const short = writer(11, { context: 24 })
  const prompt = { ids: text(9) }
  const draft = { model: short, tokens: 3 }
  const got = await generateText(model, prompt, { maxTokens: 40, draft })
  assert.equal(got.ids, slow(model, prompt, 40))
  // The same weights: right until the 24 positions are full.
  assert.is(got.usage.accepted, got.usage.drafted)
  assert.ok(got.usage.drafted! > 8 && got.usage.drafted! <= 15, `${got.usage.drafted}`)
})

test('a draft that does not fit is refused before any work, by what is wrong with it', async () => {
  const refused: [DraftOptions, string][] = [
    [{ model: few(1) }, 'vocabulary of 8'],
    [{ model: draft, prompt: { ids: [320] } }, '(draft)] id 320'],
    [{ model: draft, stopTokens: [1] }, 'draft.stopTokens'],
    [{ model: draft, tokens: 0 }, 'draft.tokens is 0'],
    [{ model: draft, prefixCache: {} as never }, 'draft.prefixCache'],
    [{ model: writer(1, { context: 8 }) }, 'context of 8'],
    [{ lookup: 0 }, 'draft.lookup is 0'],
  ]
  for (const [draft, part] of refused)
    await rejects(ids(model, { ids: text(9) }, { draft }), ShaktiError, part)
})

test('looked up in what was written, guesses change no text, drawn or not, and are right where it repeats', async () => {
  const options: GenerateOptions[] = [
    {},
    { repetitionPenalty: 1.3 },
    { temperature: 2, seed: 4 },
    { logprobs: 2 },
  ]
  for (const more of options)
    for (const prompt of [withImage(), { ids: [...text(9), ...text(9), ...text(4)] }])
      for (const [lookup, tokens] of [
        [1, 6],
        [3, 4],
      ] as const) {
        const want = await generateText(model, prompt, { maxTokens: 60, ...more })
        const draft = { lookup, tokens }
        const got = await generateText(model, prompt, { maxTokens: 60, ...more, draft })
        assert.equal(got.ids, want.ids)
        assert.ok(got.usage.accepted! <= got.usage.drafted!)
      }
  // A model that says the next of a cycle of 7, whatever came before.
  const found = await generateText(model, { ids: text(9) }, { maxTokens: 7 })
  const cycle = found.ids
  const chosen = {
    samplers: [
      ({ scores }: Candidates, { written }: History) => {
        let n = 0
        for (const times of written.values()) n += times
        scores[cycle[n % 7]!] = 1e6
      },
    ],
  }
  const draft = { lookup: 2, tokens: 5 }
  const got = await generateText(model, { ids: text(9) }, { maxTokens: 50, ...chosen, draft })
  assert.equal(
    got.ids,
    Array.from({ length: 50 }, (_, i) => cycle[i % 7]),
  )
  assert.ok(got.usage.accepted! >= 30, JSON.stringify(got.usage))
})

test('a draft leaves no tensor behind, even when the reader leaves early', async () => {
  const once = async (): Promise<void> => {
    for await (const _ of generate(model, withImage(), { draft: { model: draft } })) break
    await ids(model, withImage(), { maxTokens: 7, draft: { model: draft }, temperature: 1 })
  }
  await once()
  const before = counts().tensors
  for (let i = 0; i < 4; i++) await once()
  assert.ok(memory().tensors <= before + 2, `${before} -> ${memory().tensors}`)
})

test.run()
