// A conversation that fits the model's context: what was said, the images in it, and which turns had to go.

import type { ChatMessage, ContentPart } from '@shakti/tokenizer'
import { ShaktiError } from '@shakti/tensor'
import type { Asked, Assistant, Picture } from './assistant.js'

interface Turn {
  readonly message: ChatMessage
  readonly images: readonly Picture[]
}

export interface Question extends Asked {
  /** Messages that went because the context is full. */
  readonly dropped: number
}

export class Conversation {
  #turns: Turn[] = []
  #images: Picture[] = []

  /** @param room tokens left for an answer, at least */
  constructor(
    readonly assistant: Assistant,
    readonly system: string | undefined,
    readonly room: number,
  ) {}

  /** How many images go with the next question. */
  get waiting(): number {
    return this.#images.length
  }

  /** Adds an image file to the next question. */
  async attach(file: string): Promise<Picture> {
    const image = await this.assistant.image(file)
    this.#images.push(image)
    return image
  }

  clear(): void {
    this.#turns = []
    this.#images = []
  }

  /**
   * What the model is to read for a question. The oldest turns go when there is no room.
   * @throws ShaktiError when the question alone is too long; it is forgotten then
   */
  ask(question: string): Question {
    const images = this.#images
    this.#images = []
    const parts: ContentPart[] = [
      ...images.map(() => ({ type: 'image' })),
      { type: 'text', text: question },
    ]
    const content = images.length === 0 ? question : parts
    this.#turns.push({ message: { role: 'user', content }, images })
    const { context } = this.assistant.model.config.decoder
    const kept = [...this.#turns]
    for (;;) {
      const asked = this.#prompt(kept)
      const { ids } = asked
      if (ids.length + this.room <= context) {
        const dropped = this.#turns.length - kept.length
        this.#turns = kept
        return { ...asked, dropped }
      }
      if (kept.length === 1) {
        this.#turns.pop()
        throw new ShaktiError(
          'chat',
          `the question takes ${ids.length} of the ${context} tokens of the context, which leaves no room for an answer of ${this.room}. Ask less, or show smaller images.`,
        )
      }
      // A question goes with its answer.
      kept.shift()
      while (kept.length > 1 && kept[0]!.message.role !== 'user') kept.shift()
    }
  }

  /** What the model said to the last question. */
  answered(text: string): void {
    this.#turns.push({ message: { role: 'assistant', content: text }, images: [] })
  }

  /** Forgets the last question, which got no answer. */
  forget(): void {
    this.#turns.pop()
  }

  #prompt(turns: readonly Turn[]): Asked {
    const { system, assistant } = this
    const first: ChatMessage[] = system === undefined ? [] : [{ role: 'system', content: system }]
    return assistant.prompt(
      [...first, ...turns.map((t) => t.message)],
      turns.flatMap((t) => t.images),
    )
  }
}
