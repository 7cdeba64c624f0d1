// Dialogues as token ids, in the tokenizer's chat format. The pieces are encoded once and put together here, which is the
// chat template's work done a hundred times faster; a test holds both to the same ids.
import type { Tokenizer } from '@shakti/tokenizer'
import type { Sample } from '@shakti/trainer'
import type { EncodedImage } from '@shakti/vlm'
import type { WordBag } from './data/corpus.js'

export interface Turn {
  readonly user: string
  readonly assistant: string
}

/** A dialogue as tokens. */
export interface ChatSample extends Sample<EncodedImage> {
  /** Where a picture is given in words: the second and third word of each position, `none` where there is none. */
  readonly also?: readonly (readonly number[])[]
}
export const none = -1

export class ChatEncoder {
  readonly #pieces = new Map<string, number[]>()
  readonly #id: Readonly<
    Record<
      'bos' | 'user' | 'assistant' | 'end' | 'imageStart' | 'image' | 'imageEnd' | 'pad',
      number
    >
  >

  constructor(readonly tokenizer: Tokenizer) {
    const id = (token: string): number => {
      const found = tokenizer.tokenToId(token)
      if (found === undefined) throw new Error(`ChatEncoder: the tokenizer has no ${token}.`)
      return found
    }
    this.#id = {
      bos: id('<|begin_of_text|>'),
      user: id('<|user|>'),
      assistant: id('<|assistant|>'),
      end: id('<|end_of_turn|>'),
      imageStart: id('<|image_start|>'),
      image: id('<|image|>'),
      imageEnd: id('<|image_end|>'),
      pad: id('<|pad|>'),
    }
  }

  get end(): number {
    return this.#id.end
  }
  get pad(): number {
    return this.#id.pad
  }
  get image(): number {
    return this.#id.image
  }

  #text(text: string): number[] {
    let ids = this.#pieces.get(text)
    if (!ids) {
      ids = this.tokenizer.encode(text)
      // Captions hardly repeat; what does is short.
      if (text.length < 60) this.#pieces.set(text, ids)
    }
    return ids
  }

  /** The one token of a word as it stands within a sentence. */
  word(word: string): number {
    const ids = this.#text(` ${word}`)
    if (ids.length !== 1) {
      throw new Error(
        `ChatEncoder: '${word}' is ${ids.length} tokens, not one. Train the tokenizer with a larger vocabulary.`,
      )
    }
    return ids[0]!
  }

  /** The question alone, ready for an answer. */
  prompt(
    user: string,
    image?: { image: EncodedImage; tokens: number },
  ): { ids: number[]; images: EncodedImage[] } {
    const { ids } = this.#encode([{ user, assistant: '' }], undefined, image, true)
    return { ids, images: image ? [image.image] : [] }
  }

  /**
   * A dialogue; answers are marked for the loss. Before the first question stands an image, a picture in words in the
   * image's place (`grid`), or a description (`context`).
   */
  dialogue(
    turns: readonly Turn[],
    options: {
      context?: string
      grid?: readonly WordBag[]
      image?: { image: EncodedImage; tokens: number }
    } = {},
  ): ChatSample {
    const { ids, mask, span, also } = this.#encode(
      turns,
      options.context,
      options.image ?? options.grid,
      false,
    )
    return {
      ids,
      mask,
      ...(options.grid ? { also } : {}),
      ...(options.image ? { spans: [span!], images: [options.image.image] } : {}),
    }
  }

  /** Plain text, every token to be learned. */
  plain(text: string): ChatSample {
    return { ids: [this.#id.bos, ...this.tokenizer.encode(text)] }
  }

  #encode(
    turns: readonly Turn[],
    context: string | undefined,
    image: { tokens: number } | readonly WordBag[] | undefined,
    open: boolean,
  ): {
    ids: number[]
    mask: number[]
    span: { start: number; end: number } | undefined
    also: number[][]
  } {
    const id = this.#id
    const ids = [id.bos]
    const mask = [0]
    const also: [number[], number[]] = [[none], [none]]
    let span: { start: number; end: number } | undefined
    const push = (tokens: readonly number[], learn: number): void => {
      for (const t of tokens) {
        ids.push(t)
        mask.push(learn)
        for (const more of also) more.push(none)
      }
    }
    turns.forEach((turn, i) => {
      push([id.user], 0)
      if (i === 0 && image) {
        push([id.imageStart], 0)
        const start = ids.length
        if ('tokens' in image) push(new Array<number>(image.tokens).fill(id.image), 0)
        else
          for (const bag of image) {
            push([this.word(bag[0])], 0)
            also.forEach((more, k) => (more[more.length - 1] = this.word(bag[k + 1]!)))
          }
        span = { start, end: ids.length }
        push([id.imageEnd], 0)
      }
      push(this.#text(i === 0 && context ? `${context}\n${turn.user}` : turn.user), 0)
      push([id.end, id.assistant], 0)
      if (open) return
      push(this.#text(turn.assistant), 1)
      push([id.end], 1)
    })
    return { ids, mask, span, also }
  }
}
