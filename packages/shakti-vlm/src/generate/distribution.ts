// Probabilities of single tokens, and drawing by them.
import type { Candidates } from './candidates.js'

/** Probabilities of tokens; those that are not in it have none. */
export type Distribution = ReadonlyMap<number, number>

export function distribution(candidates: Candidates): Distribution {
  const log = candidates.logSumExp()
  const out = new Map<number, number>()
  for (let i = 0; i < candidates.count; i++) {
    const id = candidates.ids[i]!
    out.set(id, Math.exp(candidates.scores[id]! - log))
  }
  return out
}

/** A token by its weight; u from [0, 1). */
export function draw(weights: Distribution, u: number): number {
  let total = 0
  for (const w of weights.values()) total += w
  let x = u * total
  let last = 0
  for (const [id, w] of weights) {
    if (w === 0) continue
    last = id
    if ((x -= w) < 0) return id
  }
  return last
}
