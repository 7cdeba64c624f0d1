// How far a stage is: a bar on a terminal, a line now and then elsewhere, nothing when quiet.
import cliProgress from 'cli-progress'

export interface ProgressState {
  stage: string
  step: number
  steps: number
  loss: number
  lr: number
  tokensPerSecond: number
  /** Seconds to go. */
  eta: number
}

export interface Progress {
  update(state: ProgressState): void
  /** A message that must not be painted over. */
  note(message: string): void
  stop(): void
}

export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?'
  const s = Math.round(seconds)
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
}

const rate = (n: number): string => (n >= 10_000 ? `${(n / 1000).toFixed(1)}k` : n.toFixed(0))

function figures(s: ProgressState): string {
  return `loss ${s.loss.toFixed(3)} · lr ${s.lr.toExponential(1)} · ${rate(s.tokensPerSecond)} tokens/s`
}

class Bar implements Progress {
  #bar: cliProgress.SingleBar | undefined
  #painted = 0

  update(s: ProgressState): void {
    if (!this.#bar) {
      this.#bar = new cliProgress.SingleBar(
        {
          format: '{stage} {bar} {value}/{total} · {figures} · {left} left',
          hideCursor: true,
          clearOnComplete: false,
        },
        cliProgress.Presets.shades_classic,
      )
      this.#bar.start(s.steps, s.step, { stage: s.stage.padEnd(10), figures: '', left: '?' })
    }
    // Painting takes longer than a small step's bookkeeping.
    const now = Date.now()
    if (now - this.#painted < 100 && s.step < s.steps) return
    this.#painted = now
    this.#bar.update(s.step, { figures: figures(s), left: duration(s.eta) })
  }

  note(message: string): void {
    process.stderr.write(`\r\x1b[K${message}\n`)
  }

  stop(): void {
    this.#bar?.stop()
    this.#bar = undefined
  }
}

const secondsBetweenLines = 10

class Lines implements Progress {
  #last = 0
  readonly #write: (line: string) => void

  constructor(write: (line: string) => void) {
    this.#write = write
  }

  update(s: ProgressState): void {
    const now = Date.now()
    if (now - this.#last < secondsBetweenLines * 1000 && s.step < s.steps) return
    this.#last = now
    this.#write(`${s.stage} ${s.step}/${s.steps} · ${figures(s)} · ${duration(s.eta)} left`)
  }

  note(message: string): void {
    this.#write(message)
  }

  stop(): void {}
}

class Quiet implements Progress {
  update(): void {}
  note(): void {}
  stop(): void {}
}

/** The kind that fits standard error; cli-progress paints there. */
export function createProgress(options: { quiet?: boolean } = {}): Progress {
  if (options.quiet) return new Quiet()
  return process.stderr.isTTY ? new Bar() : new Lines((line) => process.stderr.write(`${line}\n`))
}
