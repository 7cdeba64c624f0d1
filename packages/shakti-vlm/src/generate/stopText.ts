// Texts that end generation. They may come in several pieces.

/** Holds back text that may turn out to be the beginning of a stop text. */
export class StopFilter {
  #held = ''
  constructor(readonly stops: readonly string[]) {}

  /** Text that is safe to give out, and whether a stop text came. */
  push(text: string, end: boolean): { text: string; stopped: boolean } {
    this.#held += text
    let first = -1
    for (const stop of this.stops) {
      const at = this.#held.indexOf(stop)
      if (at >= 0 && (first < 0 || at < first)) first = at
    }
    if (first >= 0) return { text: this.#held.slice(0, first), stopped: true }
    let keep = 0
    if (!end) {
      for (const stop of this.stops) {
        for (let n = Math.min(stop.length - 1, this.#held.length); n > keep; n--) {
          if (this.#held.endsWith(stop.slice(0, n))) keep = n
        }
      }
    }
    const out = this.#held.slice(0, this.#held.length - keep)
    this.#held = this.#held.slice(this.#held.length - keep)
    return { text: out, stopped: false }
  }
}
