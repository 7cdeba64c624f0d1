// What may change the choice of the next token. A sampler changes scores or lets tokens go; generation applies a list of
// them, one after the other, to one array of scores.
import { ShaktiError } from '@shakti/tensor'
import { Candidates, type Weights } from './candidates.js'

/** What was there before the token that is chosen. */
export interface History {
  /** How often each token was written. */
  readonly written: ReadonlyMap<number, number>
  /** Tokens of the prompt. */
  readonly prompt: ReadonlySet<number>
}

export type Sampler = (candidates: Candidates, history: History) => void

export interface SamplingOptions {
  /** 0 (default): always the likeliest token. Above: scores are divided by it and a token is drawn. */
  temperature?: number
  /** Only the k likeliest; default all. */
  topK?: number
  /** Only the likeliest that together reach this probability (arXiv 1904.09751); default 1, all. */
  topP?: number
  /** Only those at least so many times as likely as the likeliest (arXiv 2407.01082); default 0, all. */
  minP?: number
  /** Only the most typical that together reach this probability (arXiv 2202.00666); default 1, all. */
  typicalP?: number
  /** Scores of tokens in the prompt or written are divided (or, below 0, multiplied) by it (arXiv 1909.05858); default 1. */
  repetitionPenalty?: number
  /** Taken from the score of every token written; default 0. */
  presencePenalty?: number
  /** Taken from a token's score as often as it was written; default 0. */
  frequencyPenalty?: number
  /** Added to the scores of tokens, by id; -Infinity forbids one. */
  logitBias?: Readonly<Record<number, number>>
  /** Further ones, between the bias and the temperature. */
  samplers?: readonly Sampler[]
}

export const repetitionPenalty =
  (by: number): Sampler =>
  ({ scores }, { prompt, written }) => {
    const punish = (id: number): void => {
      scores[id]! *= scores[id]! > 0 ? 1 / by : by
    }
    for (const id of prompt) punish(id)
    for (const id of written.keys()) if (!prompt.has(id)) punish(id)
  }

export const presencePenalty =
  (by: number): Sampler =>
  ({ scores }, { written }) => {
    for (const id of written.keys()) scores[id]! -= by
  }

export const frequencyPenalty =
  (by: number): Sampler =>
  ({ scores }, { written }) => {
    for (const [id, n] of written) scores[id]! -= by * n
  }

export const logitBias = (by: Readonly<Record<number, number>>): Sampler => {
  const entries = Object.entries(by).map(([id, b]) => [Number(id), b] as const)
  const forbids = entries.some(([, b]) => b === -Infinity)
  return (candidates) => {
    for (const [id, b] of entries) candidates.scores[id]! += b
    if (forbids) {
      candidates.filter((id) => candidates.scores[id]! > -Infinity)
      if (candidates.scores[candidates.likeliest()] === -Infinity)
        throw new ShaktiError('generate', 'logitBias forbids every token that is allowed here.')
    }
  }
}

export const temperature =
  (by: number): Sampler =>
  ({ scores, ids, count }) => {
    for (let i = 0; i < count; i++) scores[ids[i]!]! /= by
  }

export const topK =
  (k: number): Sampler =>
  (candidates) => {
    if (k < candidates.count) candidates.keep(candidates.best(k))
  }

/**
 * Of tokens in the order of their keys, the highest first, as few as together reach share p of all weight. They are not sorted: weight is
 * counted in strips of like keys, and only the strip in which p is reached is put in order.
 * @param keys logarithms of probability or distances of such, by place among the candidates
 */
function nucleus(
  candidates: Candidates,
  p: number,
  { weights, total }: Weights,
  keys: Float64Array,
): void {
  const { ids, count } = candidates
  const strips = 1024
  let [top, least] = [-Infinity, Infinity]
  for (let i = 0; i < count; i++) {
    const k = keys[i]!
    if (k > top) top = k
    if (k < least) least = k
  }
  // What lies 40 below the top has no weight to speak of.
  const perKey = (strips - 1) / Math.max(Math.min(top - least, 40), 1e-9)
  const stripOf = new Uint16Array(count)
  const sums = new Float64Array(strips)
  for (let i = 0; i < count; i++) {
    const strip = Math.min((top - keys[i]!) * perKey, strips - 1) | 0
    stripOf[i] = strip
    sums[strip]! += weights[i]!
  }
  const wanted = p * total
  let sum = 0
  let border = 0
  while (border < strips - 1 && sum + sums[border]! < wanted) sum += sums[border++]!
  const kept = new Int32Array(count)
  let n = 0
  const strip: number[] = []
  for (let i = 0; i < count; i++) {
    const s = stripOf[i]!
    if (s < border) kept[n++] = ids[i]!
    else if (s === border) strip.push(i)
  }
  strip.sort((a, b) => keys[b]! - keys[a]! || a - b)
  for (const i of strip) {
    if (sum >= wanted && n > 0) break
    kept[n++] = ids[i]!
    sum += weights[i]!
  }
  candidates.keep(kept.subarray(0, n))
}

export const topP =
  (p: number): Sampler =>
  (candidates) => {
    const { scores, ids, count } = candidates
    const keys = new Float64Array(count)
    for (let i = 0; i < count; i++) keys[i] = scores[ids[i]!]!
    nucleus(candidates, p, candidates.weights(), keys)
  }

export const minP =
  (p: number): Sampler =>
  (candidates) => {
    const least = candidates.scores[candidates.likeliest()]! + Math.log(p)
    candidates.filter((id) => candidates.scores[id]! >= least)
  }

export const typicalP =
  (p: number): Sampler =>
  (candidates) => {
    const { scores, ids, count } = candidates
    const { weights, total, log } = candidates.weights()
    const surprise = new Float64Array(count)
    let entropy = 0
    for (let i = 0; i < count; i++) {
      surprise[i] = log - scores[ids[i]!]!
      if (weights[i]! > 0) entropy += (weights[i]! / total) * surprise[i]!
    }
    for (let i = 0; i < count; i++) surprise[i] = -Math.abs(surprise[i]! - entropy)
    nucleus(candidates, p, { weights, total }, surprise)
  }

function refuse(field: string, value: unknown, range: string): never {
  throw new ShaktiError('generate', `${field} is ${String(value)}. It must be ${range}.`)
}

/**
 * The samplers that options ask for, in the order in which they are applied: repetition, presence and frequency penalty,
 * logit bias, the caller's own, temperature, top-k, top-p, min-p, typical. With temperature 0 the list ends before it.
 * @param vocab to check the ids of `logitBias`; default: not checked
 * @throws ShaktiError naming an option out of range
 */
export function samplersOf(options: SamplingOptions, vocab = Infinity): Sampler[] {
  const { temperature: t = 0, topK: k, topP: p = 1, minP: m = 0, typicalP: typical = 1 } = options
  const { repetitionPenalty: repetition = 1, presencePenalty: presence = 0 } = options
  const { frequencyPenalty: frequency = 0, logitBias: bias = {}, samplers = [] } = options
  const { isFinite } = Number
  if (!isFinite(t) || t < 0) refuse('temperature', t, 'a number from 0')
  if (k !== undefined && (!Number.isInteger(k) || k < 1)) refuse('topK', k, 'an integer from 1')
  if (!(p > 0 && p <= 1)) refuse('topP', p, 'above 0 and at most 1')
  if (!(m >= 0 && m < 1)) refuse('minP', m, 'from 0 and below 1')
  if (!(typical > 0 && typical <= 1)) refuse('typicalP', typical, 'above 0 and at most 1')
  if (!isFinite(repetition) || repetition <= 0) refuse('repetitionPenalty', repetition, 'above 0')
  if (!isFinite(presence)) refuse('presencePenalty', presence, 'a number')
  if (!isFinite(frequency)) refuse('frequencyPenalty', frequency, 'a number')
  for (const [id, b] of Object.entries(bias)) {
    const n = Number(id)
    if (!Number.isInteger(n) || n < 0 || n >= vocab)
      refuse(`logitBias['${id}']`, b, `for a token, an id from 0 to ${vocab - 1}`)
    if (typeof b !== 'number' || !(b < Infinity))
      refuse(`logitBias[${id}]`, b, 'a number or -Infinity')
  }
  const list: Sampler[] = []
  if (repetition !== 1) list.push(repetitionPenalty(repetition))
  if (presence !== 0) list.push(presencePenalty(presence))
  if (frequency !== 0) list.push(frequencyPenalty(frequency))
  if (Object.keys(bias).length > 0) list.push(logitBias(bias))
  list.push(...samplers)
  if (t === 0) return list
  if (t !== 1) list.push(temperature(t))
  if (k !== undefined) list.push(topK(k))
  if (p < 1) list.push(topP(p))
  if (m > 0) list.push(minP(m))
  if (typical < 1) list.push(typicalP(typical))
  return list
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

/**
 * The next token.
 * @param logits of every token of the vocabulary; not changed
 * @param previous tokens written, which the penalties apply to
 * @param random numbers in [0, 1)
 */
export function sample(
  logits: ArrayLike<number>,
  previous: Iterable<number>,
  random: () => number,
  options: SamplingOptions,
): number {
  const written = new Map<number, number>()
  for (const id of previous) written.set(id, (written.get(id) ?? 0) + 1)
  const candidates = new Candidates(Float64Array.from(logits))
  for (const s of samplersOf(options, logits.length)) s(candidates, { written, prompt: new Set() })
  return (options.temperature ?? 0) === 0 ? candidates.likeliest() : candidates.draw(random())
}
