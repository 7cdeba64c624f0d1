// Choosing the next token from logits, on the host: one row of the vocabulary at a time.
import { ShaktiError } from '@shakti/tensor'

export interface SamplingOptions {
  /** 0 (default): always the likeliest token. Above: logits are divided by it and a token is drawn. */
  temperature?: number
  /** Only the k likeliest; default all. */
  topK?: number
  /** Only the likeliest that together reach this probability; default 1, all. */
  topP?: number
  /** Logits of tokens already there are divided (or, below 0, multiplied) by it; default 1. */
  repetitionPenalty?: number
}

export function checkSampling({
  temperature = 0,
  topK,
  topP = 1,
  repetitionPenalty = 1,
}: SamplingOptions): void {
  const refuse = (field: string, value: number, range: string): never => {
    throw new ShaktiError('generate', `${field} is ${value}. It must be ${range}.`)
  }
  if (!(temperature >= 0 && temperature < Infinity))
    refuse('temperature', temperature, 'a number from 0')
  if (topK !== undefined && (!Number.isInteger(topK) || topK < 1))
    refuse('topK', topK, 'an integer from 1')
  if (!(topP > 0 && topP <= 1)) refuse('topP', topP, 'above 0 and at most 1')
  if (!(repetitionPenalty > 0 && repetitionPenalty < Infinity))
    refuse('repetitionPenalty', repetitionPenalty, 'above 0')
}

/** A generator of numbers in [0, 1) from a seed (splitmix32's mixing). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let t = state ^ (state >>> 16)
    t = Math.imul(t, 0x21f0aaad)
    t ^= t >>> 15
    t = Math.imul(t, 0x735a2d97)
    return ((t ^ (t >>> 15)) >>> 0) / 4294967296
  }
}

function likeliest(logits: ArrayLike<number>): number {
  let best = 0
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i
  return best
}

/**
 * The next token.
 * @param logits of every token of the vocabulary
 * @param previous tokens that the repetition penalty applies to
 * @param random numbers in [0, 1)
 */
export function sample(
  logits: ArrayLike<number>,
  previous: Iterable<number>,
  random: () => number,
  options: SamplingOptions,
): number {
  const { temperature = 0, topK = Infinity, topP = 1, repetitionPenalty = 1 } = options
  let scores: ArrayLike<number> = logits
  if (repetitionPenalty !== 1) {
    const changed = Float64Array.from(logits)
    for (const id of new Set(previous))
      changed[id]! *= changed[id]! > 0 ? 1 / repetitionPenalty : repetitionPenalty
    scores = changed
  }
  const bad = Array.prototype.findIndex.call(
    scores,
    (v: number) => Number.isNaN(v) || v === Infinity,
  )
  if (bad >= 0)
    throw new ShaktiError(
      'generate',
      `the logit of token ${bad} is ${scores[bad]}, not a finite number: the weights are broken.`,
    )
  if (temperature === 0) return likeliest(scores)
  const order = Array.from({ length: scores.length }, (_, i) => i).sort(
    (a, b) => scores[b]! - scores[a]! || a - b,
  )
  const top = scores[order[0]!]!
  const kept = order.slice(0, Math.min(topK, order.length))
  const weights = kept.map((id) => Math.exp((scores[id]! - top) / temperature))
  const total = weights.reduce((a, b) => a + b, 0)
  // The nucleus: as many as it takes to reach topP.
  let mass = 0
  let n = 0
  while (n < kept.length && (n === 0 || mass < topP * total)) mass += weights[n++]!
  let x = random() * mass
  for (let i = 0; i < n; i++) if ((x -= weights[i]!) < 0) return kept[i]!
  return kept[n - 1]!
}
