// Speculative decoding with a draft model that has a tokenizer of its own: guesses cross as text, and the text is the one without.
// The simulated GPU takes its time.
// test-timeout: 400
import { memory, ShaktiError } from '@shakti/tensor'
import type { Tokenizer } from '@shakti/tokenizer'
import {
  generate,
  generateText,
  jsonConstraint,
  PrefixCache,
  type DraftModelOptions,
  type GeneratedText,
  type GenerateOptions,
  type Prompt,
  type ShaktiVlm,
} from '../src/index.js'
import { assert, counts, rejects, test } from './assert.js'
import { corpus, renumber, renumbered, specials, tokenizerOf, withNormalizer } from './tongues.js'
import { image, withImage, writer } from './writer.js'

const tokenizer = tokenizerOf(320, specials)
const end = tokenizer.tokenToId('<|end|>')!
const model = writer(11)
// The model's own weights under other ids. As it writes no tokens that its tokenizer would, it does not always agree.
const other = renumbered(tokenizer)
const twin = writer(11)
renumber(twin, other.to)
const theirs = (ids: readonly number[]): number[] => ids.map((i) => other.to[i]!)
const prompts = corpus.map((text) => tokenizer.encode(text))
const stranger = tokenizerOf(280, ['<|other|>'])

const drafts = (ids: readonly number[], tokens: number): DraftModelOptions[] => [
  {
    ...{ model: twin, tokens, tokenizer: other.tokenizer, prompt: { ids: theirs(ids) } },
    stopTokens: [other.to[end]!],
  },
  {
    ...{ model: writer(5, { vocab: 300 }), tokens, tokenizer: stranger },
    prompt: { ids: [1, 2, 3] },
  },
  {
    ...{ model: writer(11), tokens, tokenizer: withNormalizer(tokenizer) },
    prompt: { ids: [...ids] },
  },
]

/** The most positions that a model reads at once while something is done. */
async function longestRead(of: ShaktiVlm, done: () => Promise<unknown>): Promise<number> {
  const { decoder } = of
  const forward = decoder.forward.bind(decoder)
  let most = 0
  decoder.forward = (x, options) => {
    most = Math.max(most, x.shape[1]!)
    return forward(x, options)
  }
  await done()
  decoder.forward = forward
  return most
}

/** Without a draft and with each: the same but for the cost. @returns guesses and right ones of each draft */
async function same(
  prompt: Prompt,
  options: GenerateOptions,
  draft: readonly DraftModelOptions[],
): Promise<[number, number][]> {
  const all = { maxTokens: 40, tokenizer, stopTokens: [end], ...options }
  const strip = ({ ids, text, finish, logprobs }: GeneratedText) => ({
    ...{ ids, text, finish },
    logprobs: logprobs?.map(({ top }) => top.map((t) => t.id)),
  })
  const want = await generateText(model, prompt, all)
  const guesses: [number, number][] = []
  for (const d of draft) {
    const got = await generateText(model, prompt, { ...all, draft: d })
    assert.equal(strip(got), strip(want))
    guesses.push([got.usage.drafted!, got.usage.accepted!])
  }
  return guesses
}

test('greedy, with penalties, drawn by a seed or with log-probabilities: the text is the one without a draft', async () => {
  const ways: GenerateOptions[] = [
    {},
    { repetitionPenalty: 1.3, frequencyPenalty: 0.2 },
    { temperature: 1.5, seed: 7, topP: 0.9 },
    { logprobs: 2 },
  ]
  let right = 0
  for (const [i, ids] of prompts.entries())
    for (const [j, way] of ways.entries()) {
      const [own, ...more] = await same({ ids }, way, drafts(ids, [1, 3, 5, 8][(i + j) % 4]!))
      right += own![1]
      for (const [drafted, accepted] of [own!, ...more]) assert.ok(accepted <= drafted)
    }
  assert.ok(right > 40, `${right} right`)
})

test('where both spell text in one way, a draft that thinks the same is always right, about special tokens too', async () => {
  const bytes = tokenizerOf(256 + 3, specials)
  const large = writer(3, { vocab: 259 })
  const small = writer(3, { vocab: 259 })
  const { to, tokenizer: own } = renumbered(bytes)
  renumber(small, to)
  let special = 0
  for (const text of corpus) {
    const ids = bytes.encode(text).slice(0, 50)
    const options = { maxTokens: 70, tokenizer: bytes }
    const want = await generateText(large, { ids }, options)
    const prompt = { ids: ids.map((i) => to[i]!) }
    const draft = { model: small, tokenizer: own, prompt, tokens: 4 }
    const { ids: got, usage } = await generateText(large, { ids }, { ...options, draft })
    assert.equal(got, want.ids)
    assert.is(usage.accepted, usage.drafted)
    assert.ok(usage.drafted! > 50)
    special += got.filter((i) => bytes.isSpecial(i)).length
  }
  assert.ok(special > 0)
})

test('stop tokens and texts end it, JSON stays JSON, and each model sees its own image', async () => {
  const ids = prompts[0]!
  const { ids: plain } = await generateText(model, { ids }, { maxTokens: 40, tokenizer })
  const letters = tokenizer.decode(plain).match(/[a-zA-Z ]{2}/g)!
  await same({ ids }, { stop: [letters[1]!] }, drafts(ids, 4))
  await same({ ids }, { stopTokens: [plain[9]!] }, drafts(ids, 4))
  const constraint = jsonConstraint(
    { type: 'array', items: { type: 'string', maxLength: 8 }, minItems: 2, maxItems: 3 },
    tokenizer,
  )
  for (const more of [{}, { temperature: 1, seed: 3 }])
    await same({ ids }, { constraint, maxTokens: 60, ...more }, drafts(ids, 4))
  const small = { ...image(2), patch: 8 }
  await same(withImage(), {}, [
    { ...drafts(ids, 3)[0]!, prompt: { ids: [7, 5, 3], images: [small] } },
    { ...drafts(ids, 3)[1]!, prompt: { ids: [7, 5, 5, 5, 5, 3], images: [image(2)] } },
  ])
})

test('a draft model with a window or a smaller context follows as far as it can', async () => {
  const ids = prompts[1]!.slice(0, 20)
  const windows = writer(11, { layers: 3, kvHeads: 1, slidingWindow: 4, globalEvery: 3 })
  renumber(windows, other.to)
  const short = writer(11, { context: 48 })
  renumber(short, other.to)
  for (const draft of [windows, short]) {
    const [mine] = drafts(ids, 4)
    const [guesses] = await same({ ids }, { maxTokens: 100 }, [{ ...mine!, model: draft }])
    assert.ok(guesses![0] > 10, `${guesses![0]}`)
  }
  // Whatever is said in its place, it takes back what it read, or reads anew what its windows let go of.
  let calls = 0
  const fickle: Tokenizer = Object.assign(Object.create(other.tokenizer) as Tokenizer, {
    encodeBytes: (b: Uint8Array) =>
      calls++ % 9 === 8 ? [...b].map((v) => other.to[v]!) : other.tokenizer.encodeBytes(b),
  })
  const [mine] = drafts(ids, 4)
  const draft = { ...mine!, model: windows, tokenizer: fickle }
  const read = await longestRead(windows, () => same({ ids }, { maxTokens: 100 }, [draft]))
  assert.ok(read > ids.length, `${read} at once`)
})

test('with a prefix cache of its own a draft model reads a prompt once', async () => {
  const ids = prompts[2]!
  const prefixCache = new PrefixCache(twin)
  const [mine] = drafts(ids, 4)
  await same({ ids }, {}, [{ ...mine!, prefixCache }])
  assert.ok(prefixCache.stats.positions >= ids.length - 1)
  const read = await longestRead(twin, () => same({ ids }, {}, [{ ...mine!, prefixCache }]))
  assert.ok(read < ids.length, `${read} of ${ids.length} at once`)
  prefixCache.dispose()
})

test('what does not fit is refused before any work', async () => {
  const [mine] = drafts(prompts[0]!, 4)
  const { prompt: _, ...promptless } = mine!
  const refused: [DraftModelOptions, Partial<GenerateOptions>, string][] = [
    [promptless, {}, 'needs draft.prompt'],
    [mine!, { tokenizer: { decodeStream: () => tokenizer.decodeStream() } }, 'encodeBytes'],
    [{ ...mine!, tokenizer: {} as never }, {}, 'draft.tokenizer must be'],
    [{ ...mine!, model: writer(1, { vocab: 100 }) }, {}, 'draft.tokenizer has 320 tokens'],
    [{ ...mine!, stopTokens: [-1] }, {}, 'draft.stopTokens has -1'],
    [{ ...mine!, prompt: { ids: [400] } }, {}, '(draft)] id 400 at position 0'],
    [{ ...mine!, prompt: { ids: [5] } }, {}, '(draft)] the text has 1 image placeholders'],
  ]
  for (const [draft, options, part] of refused)
    await rejects(
      generateText(model, { ids: prompts[0]! }, { tokenizer, draft, ...options }),
      ShaktiError,
      part,
    )
})

test('no tensor is left behind, even when the reader leaves early or aborts', async () => {
  const [draft] = drafts(prompts[0]!, 4)
  const prompt = { ids: prompts[0]! }
  const once = async (): Promise<void> => {
    const controller = new AbortController()
    const options = { tokenizer, draft: draft!, signal: controller.signal }
    let n = 0
    for await (const _ of generate(model, prompt, options)) if (++n === 3) break
    await generateText(model, prompt, { ...options, maxTokens: 9, temperature: 1 })
    try {
      for await (const _ of generate(model, prompt, options)) controller.abort()
    } catch (error) {
      assert.is((error as Error).name, 'AbortError')
    }
    assert.ok(controller.signal.aborted)
  }
  await once()
  const before = counts().tensors
  for (let i = 0; i < 4; i++) await once()
  assert.ok(memory().tensors <= before + 2, `${before} -> ${memory().tensors}`)
})

test.run()
