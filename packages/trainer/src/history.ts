// The curve of a stage, in bounded memory.
import type { Point } from './types.js'

const most = 2000

export interface HistoryState {
  /** Every how many steps a point is kept. */
  every: number
  points: Point[]
  /** The losses of the last steps, for the final loss. */
  recent: number[]
}

export class History {
  #every: number
  #points: Point[]
  #recent: number[]

  constructor(state?: HistoryState) {
    this.#every = state?.every ?? 1
    this.#points = [...(state?.points ?? [])]
    this.#recent = [...(state?.recent ?? [])]
  }

  add(point: Point): void {
    this.#recent.push(point.loss)
    if (this.#recent.length > 50) this.#recent.shift()
    if (point.step % this.#every !== 0) return
    this.#points.push(point)
    if (this.#points.length <= most) return
    this.#every *= 2
    this.#points = this.#points.filter((p) => p.step % this.#every === 0)
  }

  get points(): Point[] {
    return this.#points
  }

  get recent(): readonly number[] {
    return this.#recent
  }

  /** Mean over the last 5 % of `steps`, at least 1 and at most 50. */
  finalLoss(steps: number): number {
    const last = this.#recent.slice(-Math.min(50, Math.max(1, Math.round(steps / 20))))
    return last.reduce((a, b) => a + b, 0) / last.length
  }

  state(): HistoryState {
    return { every: this.#every, points: this.#points, recent: this.#recent }
  }
}
