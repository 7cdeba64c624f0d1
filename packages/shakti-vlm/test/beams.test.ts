// Beam search against a search of every text.
import { memory, ShaktiError } from '@shakti/tensor'
import { beamSearch, type Beam, type Prompt, type ShaktiVlm } from '../src/index.js'
import { assert, assertClose, counts, test } from './assert.js'
import { few, logSoftmax, plainLogits, slow, withImage, writer } from './writer.js'

const model = writer()

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

test('beams leave no tensor behind', async () => {
  await beamSearch(model, withImage(), { maxTokens: 4 })
  const before = counts().tensors
  for (let i = 0; i < 4; i++) await beamSearch(model, withImage(), { maxTokens: 4 })
  assert.ok(memory().tensors <= before + 2, `${before} -> ${memory().tensors}`)
})

test.run()
