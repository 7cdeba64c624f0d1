// What memory gives at most: our own sum over a tensor that no cache holds, on as many threads as the model has.

import { noGrad, ones, tidy } from '@shakti/tensor'
import type { Tensor } from '@shakti/tensor'

const bytes = 2 ** 29

/** Measured again and again: on a shared machine it differs from one minute to the next. */
export class Bandwidth {
  readonly #tensor: Tensor = ones([bytes / 4])

  /** Bytes a second, the best of a few reads. */
  async measure(reads = 5): Promise<number> {
    let best = 0
    for (let i = 0; i < reads; i++) {
      const start = performance.now()
      const sum = tidy(() => noGrad(() => this.#tensor.sum()))
      await sum.data()
      best = Math.max(best, bytes / ((performance.now() - start) / 1000))
      sum.dispose()
    }
    return best
  }

  dispose(): void {
    this.#tensor.dispose()
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return NaN
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
