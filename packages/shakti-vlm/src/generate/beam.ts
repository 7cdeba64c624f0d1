// Beam search: the likeliest texts found by going on with the best few at every place.
import { noGrad, ShaktiError, tidy } from '@shakti/tensor'
import type { ShaktiVlm } from '../vlm.js'
import type { Finish } from './continuation.js'
import { checkReading, open, type Opened, type ReadingOptions } from './open.js'
import { checkCount, checkPrompt, type Prompt } from './prompt.js'
import type { PrefixCache } from './prefixCache.js'

export interface BeamSearchOptions extends ReadingOptions {
  /** Texts gone on with at every place. Default 4. */
  beams?: number
  /** Texts returned, at most `beams`. Default 1. */
  nBest?: number
  /** Default 64, and never beyond the context. */
  maxTokens?: number
  stopTokens?: readonly number[]
  /** A text's score is its log-probability over its length (a stop token counted) to this power. Default 1; 0 favours short ones. */
  lengthPenalty?: number
  /**
   * When to end: true, once there are `beams` finished texts; false (default), once no text under way can score better than
   * they do.
   */
  earlyStopping?: boolean
  prefixCache?: PrefixCache
}

export interface Beam {
  /** Without the stop token. */
  readonly ids: readonly number[]
  /** Sum of the tokens' natural log-probabilities, the stop token's among them. */
  readonly logprob: number
  /** What they are ranked by. */
  readonly score: number
  readonly finish: Finish
}

interface Running {
  readonly ids: readonly number[]
  readonly logprob: number
}

/**
 * The best continuations of a prompt, best first (arXiv 1609.08144, section 7, with the plain length power of Hugging Face).
 * @throws ShaktiError for what cannot be, before any work
 */
export async function beamSearch(
  model: ShaktiVlm,
  prompt: Prompt,
  options: BeamSearchOptions = {},
): Promise<Beam[]> {
  const what = 'beamSearch'
  const { beams = 4, nBest = 1, maxTokens = 64, stopTokens = [], signal, prefixCache } = options
  const { lengthPenalty = 1, earlyStopping = false } = options
  const { vocab, context } = model.config.decoder
  checkCount(what, 'beams', beams)
  checkCount(what, 'nBest', nBest)
  checkCount(what, 'maxTokens', maxTokens)
  checkReading(what, options)
  if (nBest > beams) throw new ShaktiError(what, `nBest is ${nBest}, of ${beams} beams.`)
  if (!Number.isFinite(lengthPenalty))
    throw new ShaktiError(what, `lengthPenalty is ${lengthPenalty}. It must be a number.`)
  const source = checkPrompt(what, model, prompt)
  const limit = Math.min(maxTokens, context - prompt.ids.length)
  const stops = new Set(stopTokens)
  const scoreOf = (logprob: number, length: number): number => logprob / length ** lengthPenalty
  const finished: Beam[] = []
  const finish = (beam: Running, length: number, how: Finish): void => {
    finished.push({ ...beam, score: scoreOf(beam.logprob, length), finish: how })
    finished.sort((a, b) => b.score - a.score)
    finished.length = Math.min(finished.length, beams)
  }
  // Each text can end in so many ways at one place; of so many candidates, enough go on.
  const wide = Math.min(beams * (1 + Math.min(stops.size, 1)) + stops.size, vocab)
  const wasTraining = model.training
  model.eval()
  let opened: Opened | undefined
  try {
    opened = await open(model, prompt, source, { ...options, prefixCache, limit })
    const { reader } = opened
    let { logits } = opened
    let running: Running[] = [{ ids: [], logprob: 0 }]
    for (let length = 1; ; length++) {
      signal?.throwIfAborted()
      const top = tidy(() =>
        noGrad(() => reader.withoutImage(logits).to('f32').logSoftmax(1).topk(wide, 1)),
      )
      logits.dispose()
      const [values, ids] = await Promise.all([top.values.data(), top.indices.data()])
      top.values.dispose()
      top.indices.dispose()
      const candidates: { from: number; id: number; logprob: number }[] = []
      running.forEach((beam, from) => {
        for (let i = from * wide; i < (from + 1) * wide; i++)
          if (values[i]! > -Infinity)
            candidates.push({ from, id: ids[i]!, logprob: beam.logprob + values[i]! })
      })
      if (candidates.length === 0)
        throw new ShaktiError(what, 'the logits are not finite: the weights are broken.')
      candidates.sort((a, b) => b.logprob - a.logprob)
      const next: typeof candidates = []
      for (const [rank, c] of candidates.entries()) {
        if (!stops.has(c.id)) {
          if (next.length < beams) next.push(c)
        } else if (rank < beams) {
          finish({ ids: running[c.from]!.ids, logprob: c.logprob }, length, 'stop')
        }
        if (next.length === beams && rank >= beams) break
      }
      const before = running
      running = next.map(({ from, id, logprob }) => ({ ids: [...before[from]!.ids, id], logprob }))
      if (length >= limit) {
        for (const beam of running) finish(beam, length, 'length')
        break
      }
      if (running.length === 0) break
      if (finished.length >= beams) {
        // Log-probabilities only fall; with a penalty above 0 the most that a text can reach is at the greatest length.
        const best = scoreOf(running[0]!.logprob, lengthPenalty > 0 ? limit : length)
        if (earlyStopping || finished.at(-1)!.score >= best) break
      }
      reader.select(
        next.map((c) => c.from),
        before.length,
      )
      logits = reader.step(
        Int32Array.from(next, (c) => c.id),
        next.length,
      )
    }
    return finished.slice(0, nBest)
  } finally {
    opened?.reader.dispose()
    model.train(wasTraining)
  }
}
