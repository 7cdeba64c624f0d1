// How far a command is: a bar on a terminal, a line now and then elsewhere; nothing within the first two seconds.

import cliProgress from 'cli-progress'
import type { Output } from './command.js'
import { duration } from './table.js'

const SILENT_MS = 2000
const LINE_MS = 10_000

export interface ProgressState {
  /** What is being done. */
  readonly task: string
  readonly done: number
  readonly total: number | null
  /** Done a second, as text: '12 MB/s'. */
  readonly rate: string
  readonly secondsLeft: number | null
}

export class Progress {
  private readonly began = performance.now()
  private shown = 0
  private task: string | undefined
  private bar: cliProgress.SingleBar | undefined
  private waiting: NodeJS.Timeout | undefined
  private latest: ProgressState | undefined

  constructor(
    private readonly out: Output,
    private readonly quiet = false,
  ) {}

  update(state: ProgressState): void {
    if (this.quiet) return
    const now = performance.now()
    const silence = this.began + SILENT_MS - now
    if (silence > 0) {
      // Shown when it ends, also where nothing more is told until then.
      this.latest = state
      this.waiting ??= setTimeout(() => this.update(this.latest!), silence + 1).unref()
      return
    }
    const { task, done, total, rate, secondsLeft } = state
    if (this.out.isTTY !== true) {
      if (now - this.shown < LINE_MS) return
      this.shown = now
      const part = total === null ? '' : ` ${((100 * done) / Math.max(total, 1)).toFixed(0)} %`
      const left = secondsLeft === null ? '' : `, ${duration(secondsLeft)} left`
      this.out.write(`${task}${part}, ${rate}${left}\n`)
      return
    }
    if (this.task !== task) {
      this.stop()
      this.task = task
      this.bar = new cliProgress.SingleBar(
        {
          format: '{task} {bar} {percentage} % · {rate} · {left} left',
          hideCursor: true,
          stream: this.out as unknown as NodeJS.WritableStream,
        },
        cliProgress.Presets.shades_classic,
      )
      this.bar.start(total ?? done, done, { task: task.padEnd(8), rate, left: '?' })
    }
    if (total === null) this.bar!.setTotal(done)
    this.bar!.update(done, { rate, left: secondsLeft === null ? '?' : duration(secondsLeft) })
  }

  stop(): void {
    clearTimeout(this.waiting)
    this.waiting = undefined
    this.bar?.stop()
    this.bar = undefined
    this.task = undefined
  }
}

/** Rate and time left of work that counts itself. */
export class Rate {
  private readonly began = performance.now()

  /** @param first what was done before */
  constructor(
    private readonly task: string,
    private readonly total: number,
    private readonly unit: (perSecond: number) => string,
    private readonly first = 0,
  ) {}

  at(done: number): ProgressState {
    const perSecond = (done - this.first) / Math.max(0.001, (performance.now() - this.began) / 1000)
    const secondsLeft = perSecond > 0 ? (this.total - done) / perSecond : null
    const rate = perSecond > 0 ? this.unit(perSecond) : '...'
    return { task: this.task, done, total: this.total, rate, secondsLeft }
  }
}
