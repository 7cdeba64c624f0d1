// One text that is being written: which token comes next, what text it gives, whether it was the last.
import { ShaktiError } from '@shakti/tensor'
import type { ShaktiVlm } from '../vlm.js'
import { Candidates, type Scores, type TokenLogProb } from './candidates.js'
import { inMask, type Allowed, type TokenConstraint } from './constraint/constraint.js'
import { checkCount } from './prompt.js'
import { samplersOf, seededRandom, type Sampler, type SamplingOptions } from './samplers.js'
import { StopFilter } from './stopText.js'

/** What generation asks of a tokenizer. */
export interface TextDecoder {
  /** Text of the tokens given one by one; never half a character. */
  decodeStream(options?: { skipSpecialTokens?: boolean }): {
    step(id: number): string
    flush(): string
  }
}

export interface WritingOptions extends SamplingOptions {
  /** Default 256, and never beyond the context. */
  maxTokens?: number
  /** Tokens that end the text (not part of it). */
  stopTokens?: readonly number[]
  /** Texts that end it; needs `tokenizer`. The text before the stop is kept. */
  stop?: readonly string[]
  tokenizer?: TextDecoder
  /** Default 0. */
  seed?: number
  /** Log-probabilities of the token written and of the so many likeliest, as the model gives them, before any sampler. */
  logprobs?: number
  /** What the text may be, for example JSON of a schema (`jsonConstraint`). */
  constraint?: TokenConstraint
}

export type Finish = 'stop' | 'length'

export interface Written {
  readonly id: number
  /** New text, empty while a character is incomplete or may become a stop text; always empty without a tokenizer. */
  readonly text: string
  /** With `logprobs`: of this token. */
  readonly logprob?: number
  /** With `logprobs`: the likeliest tokens, best first. */
  readonly top?: readonly TokenLogProb[]
  /** Set on the last one: at a stop token or text or the end of a constraint, or at the limit. */
  readonly finish?: Finish
}

/** A choice, and what the model thought of it. */
export interface Chosen {
  readonly id: number
  readonly logprob?: number
  readonly top?: readonly TokenLogProb[]
}

/** Checks options before any work. @throws ShaktiError naming the option */
export function checkWriting(what: string, model: ShaktiVlm, options: WritingOptions): void {
  const {
    maxTokens = 256,
    stop = [],
    stopTokens = [],
    tokenizer,
    logprobs = 0,
    constraint,
  } = options
  const { vocab } = model.config.decoder
  samplersOf(options, vocab)
  checkCount(what, 'maxTokens', maxTokens)
  checkCount(what, 'logprobs', logprobs, 0)
  if (logprobs > vocab) throw new ShaktiError(what, `logprobs is ${logprobs}, of ${vocab} tokens.`)
  if (stop.length > 0 && !tokenizer) throw new ShaktiError(what, 'stop texts need a tokenizer.')
  if (stop.includes('')) throw new ShaktiError(what, 'an empty stop text would stop at once.')
  for (const id of stopTokens)
    if (!Number.isInteger(id) || id < 0)
      throw new ShaktiError(what, `stopTokens has ${id}, which is no token id.`)
  if (constraint && constraint.vocab > vocab)
    throw new ShaktiError(
      what,
      `the constraint is made for a vocabulary of ${constraint.vocab}, the model has ${vocab} tokens.`,
    )
}

export class Continuation {
  readonly ids: number[] = []
  /** What comes next is the likeliest token of the model, nothing else: no logits are needed here. */
  readonly greedy: boolean
  /** Tokens are drawn, not the likeliest taken. */
  readonly drawn: boolean
  /** Tokens that may be written. */
  readonly limit: number
  finish: Finish | undefined
  readonly #options: WritingOptions
  readonly #samplers: readonly Sampler[]
  readonly #imageToken: number | undefined
  readonly #random: () => number
  readonly #prompt: ReadonlySet<number>
  readonly #written = new Map<number, number>()
  readonly #filter: StopFilter
  readonly #stream: ReturnType<TextDecoder['decodeStream']> | undefined
  /** Before each token and after the last; empty without a constraint. */
  readonly #states: unknown[] = []
  #allowed: Allowed | undefined

  /** @param seed added to that of the options */
  constructor(
    what: string,
    model: ShaktiVlm,
    prompt: ArrayLike<number>,
    options: WritingOptions,
    seed = 0,
  ) {
    const { maxTokens = 256, stop = [], tokenizer, constraint, logprobs, temperature = 0 } = options
    this.#options = options
    this.#samplers = samplersOf(options, model.config.decoder.vocab)
    this.#imageToken = model.config.imageToken
    this.#random = seededRandom((options.seed ?? 0) + seed)
    this.#prompt = new Set(Array.from(prompt))
    this.#filter = new StopFilter(stop)
    this.#stream = tokenizer?.decodeStream({ skipSpecialTokens: true })
    this.limit = Math.min(maxTokens, model.config.decoder.context - prompt.length)
    this.drawn = temperature > 0
    this.greedy =
      !this.drawn && this.#samplers.length === 0 && !constraint && logprobs === undefined
    if (!constraint) return
    if (constraint.shortest > this.limit)
      throw new ShaktiError(
        what,
        `the constraint needs at least ${constraint.shortest} tokens, and there is room for ${this.limit}. Raise maxTokens or shorten the prompt.`,
      )
    this.#states.push(constraint.start())
  }

  get done(): boolean {
    return this.finish !== undefined
  }

  /** What a constraint allows next. Called while the device works, it is known when it is asked for. */
  prepare(): Allowed | undefined {
    const { constraint } = this.#options
    const room = this.limit - this.ids.length
    return (this.#allowed ??= constraint?.allowed(this.#states.at(-1), room))
  }

  /** Tokens that can come next, as the samplers leave them, from logits that may be overwritten. */
  candidates(logits: Scores): Candidates {
    const { stopTokens = [] } = this.#options
    // A placeholder without an image means nothing: the model may not write one.
    if (this.#imageToken !== undefined) logits[this.#imageToken] = -Infinity
    const allowed = this.prepare()
    let may: ((id: number) => boolean) | undefined
    if (allowed) {
      const { tokens, mayEnd } = allowed
      const ends = new Set(mayEnd ? stopTokens : [])
      may = (id) => (id >> 5 < tokens.length && inMask(tokens, id)) || ends.has(id)
    }
    const candidates = new Candidates(logits, may)
    for (const s of this.#samplers) s(candidates, { prompt: this.#prompt, written: this.#written })
    return candidates
  }

  /** The token that comes next, by logits that may be overwritten. */
  choose(logits: Scores): Chosen {
    const said = this.describe(logits)
    const candidates = this.candidates(logits)
    return said(this.drawn ? candidates.draw(this.#random()) : candidates.likeliest())
  }

  /** A number in [0, 1) of this text's seed. */
  random(): number {
    return this.#random()
  }

  /** Adds to a token what `logprobs` asks for, by logits that may be overwritten afterwards. */
  describe(logits: Scores): (id: number) => Chosen {
    const { logprobs } = this.#options
    if (logprobs === undefined) return (id) => ({ id })
    const given = logits.slice()
    if (this.#imageToken !== undefined) given[this.#imageToken] = -Infinity
    const all = new Candidates(given)
    const log = all.logSumExp()
    const of = (id: number): number => given[id]! - log
    const top = Array.from(all.best(logprobs), (id) => ({ id, logprob: of(id) }))
    return (id) => ({ id, logprob: of(id), top })
  }

  /** Takes a token for a while: `candidates` speaks of what follows it. `untry` takes it back. */
  try(id: number): void {
    const { constraint, stopTokens = [] } = this.#options
    this.#allowed = undefined
    this.ids.push(id)
    this.#written.set(id, (this.#written.get(id) ?? 0) + 1)
    if (constraint) {
      const state = this.#states.at(-1)
      this.#states.push(stopTokens.includes(id) ? state : constraint.next(state, id))
    }
  }

  untry(): void {
    this.#allowed = undefined
    const id = this.ids.pop()!
    const n = this.#written.get(id)!
    if (n === 1) this.#written.delete(id)
    else this.#written.set(id, n - 1)
    this.#states.pop()
  }

  /** Whether a text that ends with a token just tried cannot go on. */
  endsWith(id: number): boolean {
    const { stopTokens = [] } = this.#options
    return stopTokens.includes(id) || this.ids.length >= this.limit || this.#complete()
  }

  /** Writes a token. */
  push(chosen: Chosen): Written {
    const { stopTokens = [] } = this.#options
    const { id } = chosen
    this.try(id)
    const stopped = stopTokens.includes(id)
    const complete = stopped || this.#complete()
    const last = complete || this.ids.length >= this.limit
    let text = stopped ? '' : (this.#stream?.step(id) ?? '')
    if (last) text += this.#stream?.flush() ?? ''
    const out = this.#filter.push(text, last)
    if (out.stopped || last) {
      this.finish = out.stopped || complete ? 'stop' : 'length'
      return { ...chosen, text: out.text, finish: this.finish }
    }
    return { ...chosen, text: out.text }
  }

  /** Whether a constraint lets nothing follow. */
  #complete(): boolean {
    const { constraint } = this.#options
    return constraint?.mayEnd(this.#states.at(-1)) === true && this.prepare()!.mustEnd
  }
}
