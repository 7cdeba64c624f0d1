// A smaller model as the proposer of speculative decoding.
import { cat, tidy } from '@shakti/tensor'
import type { ShaktiVlm } from '../vlm.js'
import type { Continuation } from './continuation.js'
import { distribution, draw, type Distribution } from './distribution.js'
import { open, type ReadingOptions } from './open.js'
import type { PrefixCache } from './prefixCache.js'
import { checkPrompt, type Prompt } from './prompt.js'
import { readLikeliest, readRows, type Likeliest, type Reader } from './reader.js'
import type { Retokenizer } from './retokenizer.js'
import { guess, type Guess, type Proposer } from './speculative.js'

/** Encoding a text anew may change so many of its last tokens without the prompt being read again (layers with a window). */
const slack = 32

interface Drafting extends ReadingOptions {
  readonly model: ShaktiVlm
  /** As the draft model reads it. */
  readonly prompt: Prompt
  /** Where its tokens are others than those of the model that writes. */
  readonly retokenizer?: Retokenizer | undefined
  readonly prefixCache?: PrefixCache | undefined
  /** Guesses at a time. */
  readonly most: number
}

export class DraftModel implements Proposer {
  #reader: Reader | undefined
  /** What it has read behind the prompt. */
  #read: number[] = []
  #wasTraining: boolean | undefined

  constructor(readonly options: Drafting) {}

  async propose(text: Continuation, most: number): Promise<Guess> {
    const { model, prompt, retokenizer } = this.options
    const written = retokenizer ? retokenizer.toDraft(text.ids) : text.ids
    // Beyond its context nothing is guessed.
    const n = Math.min(most, model.config.decoder.context - prompt.ids.length - written.length)
    if (n < 1 || written.length === 0) return guess([])
    const reader = await this.#catchUp(written, text.limit)
    const unread = written.slice(this.#read.length)
    this.#read.push(...unread)
    if (retokenizer) {
      const found = this.#greedy(reader, unread, n, retokenizer.draftTokens)
      return guess(retokenizer.toTarget(await this.#known(found)).slice(0, most))
    }
    if (!text.greedy) return this.#sampled(reader, unread, n, text)
    const found = this.#greedy(reader, unread, n)
    return { ids: found.ids, read: () => this.#known(found) }
  }

  /** Takes back what turned out otherwise: then all that it read is right, and at least the last token is unread. */
  async #catchUp(written: readonly number[], limit: number): Promise<Reader> {
    const { prompt } = this.options
    const { length } = prompt.ids
    let same = 0
    while (same < written.length - 1 && this.#read[same] === written[same]) same++
    if (this.#reader && !this.#reader.cache.canTruncate(length + same)) {
      this.#reader.dispose()
      this.#reader = undefined
    }
    if (this.#reader) {
      this.#reader.cache.truncate(length + same)
      this.#read.length = same
    } else {
      this.#read = written.slice(0, -1)
      this.#reader = await this.#open([...Array.from(prompt.ids), ...this.#read], limit)
    }
    return this.#reader
  }

  async #open(ids: readonly number[], limit: number): Promise<Reader> {
    const { model, prompt, most, retokenizer } = this.options
    this.#wasTraining ??= model.training
    model.eval()
    const all = { ...prompt, ids }
    const source = checkPrompt('generate', model, all)
    const { reader, logits } = await open(model, all, source, {
      ...this.options,
      // How many of its own tokens a text takes is not known.
      limit: retokenizer ? model.config.decoder.context - ids.length : limit,
      rewind: most + 1 + (retokenizer ? slack : 0),
    })
    logits.dispose()
    return reader
  }

  /**
   * The likeliest tokens one behind the other, all on the device.
   * @param tokens the first so many of the vocabulary; default all
   */
  #greedy(reader: Reader, unread: readonly number[], n: number, tokens?: number): Likeliest {
    const found: Likeliest[] = []
    for (let i = 0; i < n; i++) {
      const logits = reader.stepToLast(found.at(-1)?.ids ?? Int32Array.from(unread))
      found.push(reader.likeliest(logits, tokens))
    }
    const [ids, values] = [found.map((f) => f.ids), found.map((f) => f.values)]
    const joined = tidy(() => ({ ids: cat(ids, 0), values: cat(values, 0) }))
    for (const t of [...ids, ...values]) t.dispose()
    return joined
  }

  /** Reads what it found; but for the last, it has read that itself. */
  async #known(found: Likeliest): Promise<number[]> {
    const ids = Array.from(await readLikeliest(found))
    this.#read.push(...ids.slice(0, -1))
    return ids
  }

  /** Guesses by the samplers and the constraint of the text, with what each was drawn from. */
  async #sampled(
    reader: Reader,
    unread: readonly number[],
    n: number,
    text: Continuation,
  ): Promise<Guess> {
    const ids: number[] = []
    const beliefs: Distribution[] = []
    for (let next = unread; ids.length < n; next = ids.slice(-1)) {
      const logits = (await readRows(reader.stepToLast(Int32Array.from(next))))[0]!
      const candidates = text.candidates(logits)
      if (text.drawn) beliefs.push(distribution(candidates))
      const id = text.drawn ? draw(beliefs.at(-1)!, text.random()) : candidates.likeliest()
      ids.push(id)
      text.try(id)
      if (text.endsWith(id)) break
    }
    for (const _ of ids) text.untry()
    this.#read.push(...ids.slice(0, -1))
    return guess(ids, text.drawn ? beliefs : undefined)
  }

  dispose(): void {
    this.#reader?.dispose()
    if (this.#wasTraining !== undefined) this.options.model.train(this.#wasTraining)
  }
}
