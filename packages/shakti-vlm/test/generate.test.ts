import { manualSeed, memory, noGrad, ShaktiError } from '@shakti/tensor'
import {
  generate,
  generateBatch,
  nano,
  sample,
  seededRandom,
  ShaktiVlm,
  type EncodedImage,
  type GenerateOptions,
  type Prompt,
} from '../src/index.js'
import { quantize_ } from '@shakti/nn'
import { assert, assertThrows, counts, fill, test } from './assert.js'

manualSeed(11)
const model = new ShaktiVlm({ ...nano, decoder: { ...nano.decoder, tied: false }, imageToken: 5 })
// Larger weights than the initial ones, so that the likeliest token changes from place to place.
noGrad(() => {
  for (const p of model.parameters()) if (p.ndim > 1) p.mul_(6)
})
const image: EncodedImage = {
  pixels: fill(1, 16 * 16 * 3).map((v) => 5 * v),
  height: 16,
  width: 16,
  patch: 4,
}
const withImage: Prompt = { ids: [9, 5, 5, 5, 5, 8], images: [image] }

async function ids(prompt: Prompt, options: GenerateOptions): Promise<number[]> {
  const out: number[] = []
  for await (const { id } of generate(model, prompt, options)) out.push(id)
  return out
}

/** The likeliest next tokens, each from the whole text so far. */
function slow(prompt: Prompt, n: number): number[] {
  const all = Array.from(prompt.ids)
  return Array.from({ length: n }, () => {
    const logits = noGrad(() =>
      model.logits(
        model.forward({
          ids: Int32Array.from(all),
          rows: 1,
          length: all.length,
          ...(prompt.images ? { images: prompt.images } : {}),
        }),
      ),
    ).dataSync()
    const row = Array.from(logits.slice((all.length - 1) * nano.decoder.vocab))
    row[5] = -Infinity
    all.push(row.indexOf(Math.max(...row)))
    return all.at(-1)!
  })
}

test('generation over the cache gives the tokens that reading the whole text each time gives', async () => {
  for (const prompt of [withImage, { ids: [1, 2, 3] }]) {
    const want = slow(prompt, 12)
    assert.equal(await ids(prompt, { maxTokens: 12 }), want)
    assert.ok(new Set(want).size > 2, 'the text is not one token again and again')
  }
})

test('a batch of prompts of unequal lengths gives what each gives alone', async () => {
  const prompts: Prompt[] = [
    withImage,
    { ids: [1, 2, 3] },
    { ids: [7, 7, 7, 7, 7, 7, 7, 7, 9] },
    { ids: [5, 5, 5, 5, 30], images: [image] },
  ]
  const got = await generateBatch(model, prompts, { maxTokens: 10, stopTokens: [] })
  assert.equal(
    got,
    prompts.map((p) => slow(p, 10)),
  )
})

test('a quantised model generates, with nearly the logits of the model it was', async () => {
  manualSeed(12)
  const config = { ...nano, decoder: { ...nano.decoder, tied: false }, imageToken: 5 }
  const [plain, quantised] = [new ShaktiVlm(config), new ShaktiVlm(config)]
  quantised.loadStateDict(plain.stateDict())
  quantize_(quantised, { only: ['decoder.*'] })
  const logits = (m: ShaktiVlm): ArrayLike<number> =>
    noGrad(() =>
      m.logits(
        m.forward({
          ids: Int32Array.from(withImage.ids),
          rows: 1,
          length: withImage.ids.length,
          images: [image],
        }),
      ),
    ).dataSync()
  const [want, got] = [logits(plain), logits(quantised)]
  const size = (v: ArrayLike<number>): number => Math.hypot(...Array.from(v))
  const off = size(Array.from(want, (v, i) => v - got[i]!)) / size(want)
  assert.ok(off > 0 && off < 0.03, `relative error of the logits: ${off}`)
  const text: number[] = []
  for await (const { id } of generate(quantised, withImage, { maxTokens: 5 })) text.push(id)
  assert.is(text.length, 5)
})

test('a batch ends each prompt at its own stop token', async () => {
  const prompts: Prompt[] = [withImage, { ids: [1, 2, 3] }]
  const full = prompts.map((p) => slow(p, 8))
  const stopTokens = [full[1]![2]!]
  const cut = full.map((f) =>
    f.includes(stopTokens[0]!) ? f.slice(0, f.indexOf(stopTokens[0]!)) : f,
  )
  assert.equal(await generateBatch(model, prompts, { maxTokens: 8, stopTokens }), cut)
  assert.equal(await generateBatch(model, [], { stopTokens: [] }), [])
})

test('one seed gives one text, another seed another', async () => {
  const options = { maxTokens: 20, temperature: 1.2, topK: 50, topP: 0.95 }
  const a = await ids(withImage, { ...options, seed: 1 })
  assert.equal(await ids(withImage, { ...options, seed: 1 }), a)
  assert.not.equal(await ids(withImage, { ...options, seed: 2 }), a)
})

test('the model never writes an image placeholder', async () => {
  const tilted = new ShaktiVlm({ ...nano, imageToken: 5 })
  noGrad(() => {
    const table = tilted.decoder.model.embedTokens.weight
    table.copy_(table.mul(0).add(1))
    tilted.decoder.model.norm.weight.fill_(1)
    table.narrow(0, 5, 1).mul_(100)
  })
  for await (const { id } of generate(
    tilted,
    { ids: [1] },
    { maxTokens: 5, temperature: 1, seed: 3 },
  ))
    assert.not.equal(id, 5)
  for (const row of await generateBatch(tilted, [{ ids: [1] }], { maxTokens: 5, stopTokens: [] }))
    assert.not.ok(row.includes(5))
})

/** Tokens as letters: id 0 is a, 25 is z, and so on. */
const letters = {
  decodeStream: () => ({
    step: (id: number) => String.fromCharCode(97 + (id % 26)),
    flush: () => '',
  }),
}

test('text ends before a stop text, also one that several tokens make up', async () => {
  const whole = slow({ ids: [1, 2, 3] }, 12)
    .map((id) => letters.decodeStream().step(id))
    .join('')
  const stop = whole.slice(4, 7)
  let text = ''
  let finish: string | undefined
  for await (const t of generate(
    model,
    { ids: [1, 2, 3] },
    { maxTokens: 12, tokenizer: letters, stop: [stop] },
  )) {
    text += t.text
    finish = t.finish
    assert.not.ok(text.includes(stop))
  }
  assert.is(text, whole.slice(0, whole.indexOf(stop)))
  assert.is(finish, 'stop')
})

test('text held back for a stop text that does not come is given out at the end', async () => {
  const whole = slow({ ids: [1, 2, 3] }, 6)
    .map((id) => letters.decodeStream().step(id))
    .join('')
  let text = ''
  for await (const t of generate(
    model,
    { ids: [1, 2, 3] },
    { maxTokens: 6, tokenizer: letters, stop: [`${whole.slice(-1)}!`] },
  ))
    text += t.text
  assert.is(text, whole)
})

test('a stop token ends the text and is no part of it; the limit ends it with finish length', async () => {
  const want = slow({ ids: [1, 2, 3] }, 6)
  const stop = want[3]!
  const events = []
  for await (const t of generate(
    model,
    { ids: [1, 2, 3] },
    { maxTokens: 6, tokenizer: letters, stopTokens: [stop] },
  ))
    events.push(t)
  assert.is(events.at(-1)!.finish, 'stop')
  assert.is(events.map((e) => e.text).join('').length, want.indexOf(stop))
  const all = []
  for await (const t of generate(model, { ids: [1, 2, 3] }, { maxTokens: 2 })) all.push(t)
  assert.equal(
    all.map((t) => t.finish),
    [undefined, 'length'],
  )
})

test('an abort signal ends generation between two tokens', async () => {
  const controller = new AbortController()
  let n = 0
  try {
    for await (const _ of generate(
      model,
      { ids: [1, 2] },
      { maxTokens: 50, signal: controller.signal },
    ))
      if (++n === 3) controller.abort()
    assert.unreachable('it went on')
  } catch (error) {
    assert.is((error as Error).name, 'AbortError')
  }
  assert.is(n, 3)
})

test('generation keeps the mode of the model and leaves no tensor behind, even when the reader leaves early', async () => {
  model.train()
  await ids({ ids: [1, 2, 3] }, { maxTokens: 3 })
  const before = counts().tensors
  for (let i = 0; i < 5; i++) {
    for await (const _ of generate(model, { ids: [1, 2, 3] }, { maxTokens: 9 })) break
    await generateBatch(model, [{ ids: [1, 2, 3] }], { maxTokens: 3, stopTokens: [] })
  }
  assert.is(model.training, true)
  assert.is(model.decoder.training, true)
  assert.ok(memory().tensors <= before + 2, `${before} -> ${memory().tensors}`)
})

test('impossible requests are refused by name and value', async () => {
  const refused = async (
    prompt: Prompt,
    options: GenerateOptions,
    ...parts: string[]
  ): Promise<void> => {
    let error: unknown
    try {
      await ids(prompt, options)
    } catch (e) {
      error = e
    }
    assert.ok(error instanceof ShaktiError, `${String(error)}`)
    for (const part of parts) assert.ok(error.message.includes(part), error.message)
  }
  await refused({ ids: [] }, {}, 'empty')
  await refused({ ids: [1] }, { temperature: -1 }, 'temperature', '-1')
  await refused({ ids: [1] }, { temperature: NaN }, 'temperature')
  await refused({ ids: [1] }, { topK: 0 }, 'topK', '0')
  await refused({ ids: [1] }, { topP: 1.5 }, 'topP', '1.5')
  await refused({ ids: [1] }, { repetitionPenalty: 0 }, 'repetitionPenalty', '0')
  await refused({ ids: [1] }, { maxTokens: 0 }, 'maxTokens', '0')
  await refused({ ids: [1] }, { stop: ['x'] }, 'tokenizer')
  await refused({ ids: [1] }, { stop: [''], tokenizer: letters }, 'empty')
  await refused({ ids: new Array<number>(128).fill(1) }, {}, '128')
  await refused({ ids: [5] }, {}, 'placeholders')
  await refused({ ids: [4000] }, {}, '4000')
})

test('sampling draws in proportion, within top-k and top-p', () => {
  const logits = [Math.log(0.5), Math.log(0.3), Math.log(0.15), Math.log(0.05)]
  const draw = (options: object): number[] => {
    const random = seededRandom(4)
    const counts = [0, 0, 0, 0]
    for (let i = 0; i < 20_000; i++)
      counts[sample(logits, [], random, { temperature: 1, ...options })]!++
    return counts.map((c) => c / 20_000)
  }
  const near = (got: number[], want: number[]): void =>
    got.forEach((g, i) =>
      assert.ok(Math.abs(g - want[i]!) < 0.015, `${got.join(' ')} for ${want.join(' ')}`),
    )
  near(draw({}), [0.5, 0.3, 0.15, 0.05])
  near(draw({ topK: 2 }), [0.625, 0.375, 0, 0])
  near(draw({ topP: 0.6 }), [0.625, 0.375, 0, 0])
  near(draw({ topP: 0.5 }), [1, 0, 0, 0])
  near(
    draw({ temperature: 0.5 }),
    [0.25, 0.09, 0.0225, 0.0025].map((v) => v / 0.365),
  )
})

test('the repetition penalty lowers what was there, whatever the sign of its logit', () => {
  assert.is(sample([2, 1.5], [0], Math.random, { repetitionPenalty: 2 }), 1)
  assert.is(sample([-1, -1.5], [0], Math.random, { repetitionPenalty: 2 }), 1)
  assert.is(sample([2, 1.5], [], Math.random, { repetitionPenalty: 2 }), 0)
  assertThrows(() => sample([NaN, 1], [], Math.random, { temperature: 1 }), ShaktiError, 'finite')
})

test.run()
