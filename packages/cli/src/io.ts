// What a command of `shakti` sees of the outside: streams, Ctrl-C, the folder it was called in.

import { Progress, Rate, size } from '@shakti/tokenizer/command-line'
import type { Command as AnyCommand, Surroundings } from '@shakti/tokenizer/command-line'
import type { ReadingProgress } from '@shakti/vlm'

/** Ctrl-C ends the work at hand, not the process: what was begun cleans up behind itself. */
export class Interrupts {
  #work: AbortController | undefined

  /** A signal for work that begins now, in place of that for earlier work. */
  begin(): AbortSignal {
    this.#work = new AbortController()
    return this.#work.signal
  }

  /** The work is done. */
  end(): void {
    this.#work = undefined
  }

  /** @returns whether there was work that had not been told yet */
  interrupt(): boolean {
    if (!this.#work || this.#work.signal.aborted) return false
    this.#work.abort()
    return true
  }
}

export interface Io extends Surroundings {
  readonly interrupts: Interrupts
  /** The folder that the command was called in. */
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
}

export type Command = AnyCommand<Io>

/** Runs work that counts bytes, with a bar behind two seconds. */
export async function withProgress<T>(
  { stderr }: Io,
  task: string,
  work: (onProgress: (done: number, total: number) => void) => Promise<T>,
): Promise<T> {
  const progress = new Progress(stderr)
  let rate: Rate | undefined
  try {
    return await work((done, total) => {
      rate ??= new Rate(task, total, (n) => `${size(n)}/s`)
      progress.update(rate.at(done))
    })
  } finally {
    progress.stop()
  }
}

const readingTasks = { images: 'encoding', prompt: 'reading' } as const

/** A bar for what `generate` reads. Whoever shows the answer stops it first. */
export function readingBar({ stderr }: Io): { onProgress: ReadingProgress; stop: () => void } {
  const progress = new Progress(stderr)
  let rate: { what: keyof typeof readingTasks; of: Rate } | undefined
  return {
    onProgress: (done, total, what) => {
      if (rate?.what !== what) {
        const unit = what === 'images' ? 'images' : 'tokens'
        const perSecond = (n: number): string => `${n.toPrecision(3)} ${unit}/s`
        rate = { what, of: new Rate(readingTasks[what], total, perSecond, done) }
      }
      progress.update(rate.of.at(done))
    },
    stop: () => progress.stop(),
  }
}
