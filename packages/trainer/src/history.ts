// The curve of a stage, in bounded memory.
import type { Point } from './types.js'

const most = 2000

export interface HistoryState {
  /** Every how many steps a point is kept. */
  every: number
  points: Point[]
  /** The losses of the last steps, for the final loss. */
  recent: number[]
  /** The same for each kind of data that had a step. */
  byKind: Record<string, number[]>
}

/** Adds to the last 50. */
function remember(losses: number[], loss: number): void {
  losses.push(loss)
  if (losses.length > 50) losses.shift()
}

export class History {
  #every: number
  #points: Point[]
  #recent: number[]
  #byKind: Map<string, number[]>

  constructor(state?: HistoryState) {
    this.#every = state?.every ?? 1
    this.#points = [...(state?.points ?? [])]
    this.#recent = [...(state?.recent ?? [])]
    this.#byKind = new Map(Object.entries(state?.byKind ?? {}).map(([k, v]) => [k, [...v]]))
  }

  /** @param kind of data that the step trained on; see DataSource */
  add(point: Point, kind = ''): void {
    remember(this.#recent, point.loss)
    const same = this.#byKind.get(kind) ?? []
    remember(same, point.loss)
    this.#byKind.set(kind, same)
    if (point.step % this.#every !== 0) return
    this.#points.push(point)
    if (this.#points.length <= most) return
    this.#every *= 2
    this.#points = this.#points.filter((p) => p.step % this.#every === 0)
  }

  get points(): Point[] {
    return this.#points
  }

  /** The last losses, at most 50, on data of one kind. */
  recentOf(kind = ''): readonly number[] {
    return this.#byKind.get(kind) ?? []
  }

  /** Mean over the last 5 % of `steps`, at least 1 and at most 50. */
  finalLoss(steps: number): number {
    const last = this.#recent.slice(-Math.min(50, Math.max(1, Math.round(steps / 20))))
    return last.reduce((a, b) => a + b, 0) / last.length
  }

  state(): HistoryState {
    return {
      every: this.#every,
      points: this.#points,
      recent: this.#recent,
      byKind: Object.fromEntries(this.#byKind),
    }
  }
}
