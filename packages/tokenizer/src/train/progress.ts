/** How far training is. */
export interface TrainProgress {
  readonly phase: 'count' | 'merge'
  /** Bytes counted, or merges made. */
  readonly done: number
  /** Of how many; null where nobody knows, as in a stream. */
  readonly total: number | null
  /** Bytes or merges a second since the phase began. */
  readonly perSecond: number
  /** Seconds left in this phase at that rate, null where the total is not known. */
  readonly secondsLeft: number | null
}

/** Turns counts into progress reports, at most ten a second. */
export class ProgressMeter {
  private phase: TrainProgress['phase'] | undefined
  private began = 0
  private first = 0
  private reported = 0

  constructor(private readonly report: ((progress: TrainProgress) => void) | undefined) {}

  update(phase: TrainProgress['phase'], done: number, total: number | null): void {
    if (this.report === undefined) return
    const now = performance.now()
    if (this.phase !== phase) {
      this.phase = phase
      this.began = now
      this.first = done
    } else if (now - this.reported < 100 && done !== total) return
    this.reported = now
    const seconds = Math.max(now - this.began, 1) / 1000
    const perSecond = (done - this.first) / seconds
    this.report({
      phase,
      done,
      total,
      perSecond,
      secondsLeft: total === null ? null : perSecond > 0 ? (total - done) / perSecond : null,
    })
  }
}
