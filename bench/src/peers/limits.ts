// What the machine can do at all (programs/limits.cc), asked right beside a work and, for memory, at the work's own size:
// on a shared machine bandwidth differs by half from one minute to the next, and caches hold what is small.
import { compiled, host } from './places.js'
import { Program } from './program.js'
import type { Work } from './works.js'

export interface Limit {
  /** Operations, or bytes read and written, a second. */
  readonly perSecond: number
  /** What reached it: an instruction, a way to copy. */
  readonly by: string
}

export class Limits {
  readonly #program = new Program(host.command(compiled('limits', '-pthread')))
  #broken: string | undefined

  /** The limit that the work runs into; why there is none, or undefined for a work that has none. */
  async of({ limit, bytes }: Work): Promise<Limit | string | undefined> {
    if (limit === undefined) return undefined
    if (this.#broken !== undefined) return this.#broken
    try {
      const answer = await this.#program.ask(`${limit} ${bytes ?? 0}`)
      const { why, ...rate } = answer as Limit & { why?: string }
      return why ?? rate
    } catch (error) {
      return (this.#broken = (error as Error).message)
    }
  }

  stop(): void {
    this.#program.stop()
  }
}
