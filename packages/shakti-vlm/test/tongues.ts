// Tokenizers that differ, and a model that says the same in other ids.
import { noGrad, tensor } from '@shakti/tensor'
import { Tokenizer } from '@shakti/tokenizer'
import type { ShaktiVlm } from '../src/index.js'

export const corpus = [
  'low lower lowest, the lowest of the low',
  'ein Käfer 🐞, zwei 👩‍🚀👩‍🚀 und   drei\n\n\tEnde.',
  'नमस्ते दुनिया, यह एक छोटा वाक्य है।',
  '{"name": "a cat", "tags": ["red", "blue"], "size": 1.5e3}',
]
export const specials = ['<|think|>', '<|image|>', '<|end|>']

export const tokenizerOf = (vocabSize: number, specialTokens: readonly string[]): Tokenizer =>
  Tokenizer.train([...corpus, ...corpus], { vocabSize, specialTokens })

/** The same but that it reads characters: bytes that are none are an error to it. */
export const withNormalizer = (tokenizer: Tokenizer): Tokenizer =>
  Tokenizer.fromJSON({ ...tokenizer.toJSON(), normalizer: { type: 'NFC' } })

/** The same tokens under other ids; those below 16 stay. @returns the new id of each too */
export function renumbered(tokenizer: Tokenizer): { tokenizer: Tokenizer; to: Int32Array } {
  const n = tokenizer.vocabSize
  const moving = n - 16
  const to = Int32Array.from({ length: n }, (_, i) => (i < 16 ? i : 16 + ((i * 7 + 5) % moving)))
  const json = tokenizer.toJSON() as {
    added_tokens: { id: number }[]
    model: { vocab: Record<string, number> }
  }
  return {
    to,
    tokenizer: Tokenizer.fromJSON({
      ...json,
      added_tokens: json.added_tokens
        .map((t) => ({ ...t, id: to[t.id]! }))
        .sort((a, b) => a.id - b.id),
      model: {
        ...json.model,
        vocab: Object.fromEntries(Object.entries(json.model.vocab).map(([t, i]) => [t, to[i]!])),
      },
    }),
  }
}

/** Gives a model's ids other numbers: what it said by id i it says by id to[i]. */
export function renumber(model: ShaktiVlm, to: Int32Array): void {
  const { vocab } = model.config.decoder
  const from = Int32Array.from({ length: vocab }, (_, i) => i)
  to.forEach((there, here) => (from[there] = here))
  noGrad(() => {
    for (const p of model.decoder.parameters())
      if (p.shape[0] === vocab) p.copy_(p.indexSelect(0, tensor(from)))
  })
}
