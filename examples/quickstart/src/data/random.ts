// A small seeded generator for data, so that a scene depends on its number alone and not on what was drawn before.

export class Random {
  // Signed 32 bits: V8 keeps those without a box.
  #state: number

  constructor(...seeds: number[]) {
    let h = 0x9e3779b9
    for (const s of seeds) {
      h = Math.imul(h ^ s, 0x85ebca6b)
      h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35) ^ (h >>> 16)
    }
    this.#state = h | 0
  }

  /** [0, 1) */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  /** An integer in [0, n). */
  int(n: number): number {
    return Math.floor(this.next() * n)
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.next()
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(items.length)]!
  }

  shuffle<T>(items: readonly T[]): T[] {
    const out = [...items]
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.int(i + 1)
      ;[out[i], out[j]] = [out[j]!, out[i]!]
    }
    return out
  }
}
