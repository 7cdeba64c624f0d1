// Many prompts at once.
import { memory } from '@shakti/tensor'
import { generateBatch, streamBatch, type BatchToken, type Prompt } from '../src/index.js'
import { assert, counts, test } from './assert.js'
import { ids, image, slow, text, withImage, writer } from './writer.js'

const model = writer()
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

test('a batch leaves no tensor behind, even when the reader leaves early', async () => {
  const once = async (): Promise<void> => {
    for await (const _ of streamBatch(model, prompts, { maxTokens: 9 })) break
    await generateBatch(model, prompts, { maxTokens: 3, temperature: 1 })
  }
  await once()
  const before = counts().tensors
  for (let i = 0; i < 4; i++) await once()
  assert.ok(memory().tensors <= before + 2, `${before} -> ${memory().tensors}`)
})

test.run()
