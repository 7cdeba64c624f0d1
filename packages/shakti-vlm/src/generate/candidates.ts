// The tokens that are still in the running for the next place, and their scores: what samplers work on.
import { ShaktiError } from '@shakti/tensor'

/**
 * The n elements with the largest keys, best first; of equal keys the one that stands first. One pass with a heap of n, so
 * that the best few of 128 K cost hardly more than looking at each.
 */
export function best(
  ids: Int32Array,
  count: number,
  n: number,
  key: (id: number) => number,
): Int32Array {
  const size = Math.min(n, count)
  const heap = new Int32Array(size)
  const keys = new Float64Array(size)
  // Places in `ids`, which decide between equal keys: the root is the worst of those kept.
  const places = new Int32Array(size)
  const worse = (a: number, b: number): boolean => {
    const [x, y] = [keys[a]!, keys[b]!]
    return x < y || (x === y && places[a]! > places[b]!)
  }
  const swap = (a: number, b: number): void => {
    ;[heap[a], heap[b]] = [heap[b]!, heap[a]!]
    ;[keys[a], keys[b]] = [keys[b]!, keys[a]!]
    ;[places[a], places[b]] = [places[b]!, places[a]!]
  }
  const sink = (at: number, end: number): void => {
    for (;;) {
      let worst = at
      const left = 2 * at + 1
      if (left < end && worse(left, worst)) worst = left
      if (left + 1 < end && worse(left + 1, worst)) worst = left + 1
      if (worst === at) return
      swap(at, worst)
      at = worst
    }
  }
  for (let i = 0; i < size; i++) {
    heap[i] = ids[i]!
    keys[i] = key(ids[i]!)
    places[i] = i
  }
  for (let i = (size >> 1) - 1; i >= 0; i--) sink(i, size)
  if (size > 0)
    for (let i = size; i < count; i++) {
      const k = key(ids[i]!)
      if (k <= keys[0]!) continue
      heap[0] = ids[i]!
      keys[0] = k
      places[0] = i
      sink(0, size)
    }
  for (let end = size - 1; end > 0; end--) {
    swap(0, end)
    sink(0, end)
  }
  return heap
}

/** A token and its natural logarithm of probability. */
export interface TokenLogProb {
  readonly id: number
  readonly logprob: number
}

/** Probabilities of tokens, but for a common factor. */
export interface Weights {
  readonly weights: Float64Array
  readonly total: number
}

/** One number for each token of the vocabulary. */
export type Scores = Float32Array | Float64Array

export class Candidates {
  /** Of every token of the vocabulary; those of the ones that are out mean nothing. */
  readonly scores: Scores
  /** The first `count` are in the running. */
  readonly ids: Int32Array
  count: number

  /**
   * @param scores logits of every token; samplers change them
   * @param allowed asked for each token; default: all whose score is not -infinity
   * @throws ShaktiError when a logit is NaN or infinite
   */
  constructor(scores: Scores, allowed?: (id: number) => boolean) {
    this.scores = scores
    this.ids = new Int32Array(scores.length)
    let count = 0
    for (let id = 0; id < scores.length; id++) {
      const v = scores[id]!
      if (!(v < Infinity)) refuseLogit(id, v)
      if (v > -Infinity && (!allowed || allowed(id))) this.ids[count++] = id
    }
    this.count = count
    if (count === 0) throw new ShaktiError('generate', 'no token is allowed as the next one.')
  }

  /** The token with the highest score, the first of equals. */
  likeliest(): number {
    let top = this.ids[0]!
    for (let i = 1; i < this.count; i++)
      if (this.scores[this.ids[i]!]! > this.scores[top]!) top = this.ids[i]!
    return top
  }

  /** The n tokens with the highest scores, best first. */
  best(n: number): Int32Array {
    return best(this.ids, this.count, n, (id) => this.scores[id]!)
  }

  /** Only these stay, in this order. */
  keep(ids: Int32Array): void {
    this.ids.set(ids)
    this.count = ids.length
  }

  /** Only those that pass stay; the best one always does. */
  filter(stays: (id: number) => boolean): void {
    const top = this.likeliest()
    let n = 0
    for (let i = 0; i < this.count; i++) {
      const id = this.ids[i]!
      if (id === top || stays(id)) this.ids[n++] = id
    }
    this.count = n
  }

  /** exp(score - highest score) of each of those in the running, in their order. */
  weights(): Weights & { readonly log: number } {
    const { scores, ids, count } = this
    const top = scores[this.likeliest()]!
    const weights = new Float64Array(count)
    let total = 0
    for (let i = 0; i < count; i++) total += weights[i] = Math.exp(scores[ids[i]!]! - top)
    return { weights, total, log: top + Math.log(total) }
  }

  /** log(sum(exp(score))) over those in the running. */
  logSumExp(): number {
    return this.weights().log
  }

  /** One of them, by its probability; u from [0, 1). */
  draw(u: number): number {
    const { weights, total } = this.weights()
    let x = u * total
    for (let i = 0; i < this.count; i++) if ((x -= weights[i]!) < 0) return this.ids[i]!
    return this.ids[this.count - 1]!
  }
}

export function refuseLogit(id: number, value: number): never {
  throw new ShaktiError(
    'generate',
    `the logit of token ${id} is ${value}, not a finite number: the weights are broken.`,
  )
}
