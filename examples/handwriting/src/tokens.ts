// Dialogues as token ids in the tokenizer's chat format. Few different turns occur, so each is encoded once.
import type { Tokenizer } from '@shakti/tokenizer'
import type { Sample } from '@shakti/trainer'
import { visualTokens, type EncodedImage } from '@shakti/vlm'
import type { Turn, WordBag } from './questions.js'

/** What stands in an image's place: its pixels, or for each visual token the words that it should amount to. */
export type Shown = EncodedImage | readonly WordBag[]
export const inWords = (shown: Shown): shown is readonly WordBag[] => Array.isArray(shown)

export const merge = 2

export class Chat {
  readonly image: number
  readonly end: number
  readonly pad: number
  readonly #turns = new Map<string, { ids: readonly number[]; mask: readonly number[] }>()
  readonly #words = new Map<string, number>()

  constructor(readonly tokenizer: Tokenizer) {
    const id = (token: string): number => {
      const found = tokenizer.tokenToId(token)
      if (found === undefined) throw new Error(`[Chat] the tokenizer has no ${token}.`)
      return found
    }
    this.image = id('<|image|>')
    this.end = id('<|end_of_turn|>')
    this.pad = id('<|pad|>')
  }

  /** The one token of a word as it stands within a sentence. */
  word(word: string): number {
    let id = this.#words.get(word)
    if (id === undefined) {
      const ids = this.tokenizer.encode(` ${word}`)
      if (ids.length !== 1)
        throw new Error(
          `[Chat] '${word}' is ${ids.length} tokens. It has to be one: train the tokenizer with a larger vocabulary.`,
        )
      this.#words.set(word, (id = ids[0]!))
    }
    return id
  }

  /** A turn; the first one of a dialogue begins with an image of so many tokens. */
  #turn({ user, assistant }: Turn, tokens: number | undefined) {
    const key = `${tokens ?? ''}\n${user}\n${assistant}`
    let turn = this.#turns.get(key)
    if (!turn) {
      const text = { type: 'text', text: user }
      const { ids, assistantMask } = this.tokenizer.applyChatTemplate(
        [
          { role: 'user', content: tokens === undefined ? [text] : [{ type: 'image' }, text] },
          { role: 'assistant', content: assistant },
        ],
        tokens === undefined ? {} : { imageTokens: [tokens] },
      )
      if (!assistantMask) throw new Error('[Chat] the chat template does not mark answers.')
      // The beginning of the text stands before the first turn alone.
      const from = tokens === undefined ? 1 : 0
      turn = { ids: ids.slice(from), mask: Array.from(assistantMask).slice(from) }
      this.#turns.set(key, turn)
    }
    return turn
  }

  /** A dialogue about a picture; answers are marked for the loss. */
  dialogue(turns: readonly Turn[], shown: Shown): Sample<Shown> {
    const tokens = inWords(shown) ? shown.length : visualTokens(shown, merge)
    const parts = turns.map((t, i) => this.#turn(t, i === 0 ? tokens : undefined))
    const ids = parts.flatMap((p) => p.ids)
    const start = ids.indexOf(this.image)
    return {
      ids,
      mask: parts.flatMap((p) => p.mask),
      spans: [{ start, end: start + tokens }],
      images: [shown],
    }
  }

  /** A question about a picture, ready for the answer. */
  prompt(question: string, image: EncodedImage): { ids: number[]; images: EncodedImage[] } {
    const { ids } = this.tokenizer.applyChatTemplate(
      [{ role: 'user', content: [{ type: 'image' }, { type: 'text', text: question }] }],
      { addGenerationPrompt: true, imageTokens: [visualTokens(image, merge)] },
    )
    return { ids, images: [image] }
  }
}
