// A hash table of pairs of integers: merges, trie edges, junctions of characters.

const EMPTY = -1

/** (a, b) → value, all integers >= 0. Its multipliers are random, so that no file can choose its collisions. */
export class PairMap {
  private slots: Int32Array // (a, b, value) each
  private mask: number
  private size = 0
  private readonly p = Math.floor(Math.random() * 2 ** 30) * 2 + 1
  private readonly q = Math.floor(Math.random() * 2 ** 30) * 2 + 1

  constructor(expected = 8) {
    let capacity = 16
    while (capacity < expected * 2) capacity *= 2
    this.mask = capacity - 1
    this.slots = new Int32Array(capacity * 3).fill(EMPTY)
  }

  private slot(a: number, b: number): number {
    const { slots, mask } = this
    let h = Math.imul(a, this.p) ^ Math.imul(b + 1, this.q)
    h = Math.imul(h ^ (h >>> 15), this.q)
    let i = (h ^ (h >>> 13)) & mask
    for (;;) {
      const at = i * 3
      const first = slots[at]!
      if (first === EMPTY || (first === a && slots[at + 1] === b)) return at
      i = (i + 1) & mask
    }
  }

  /** The value of the pair, or -1. */
  get(a: number, b: number): number {
    return this.slots[this.slot(a, b) + 2]!
  }

  set(a: number, b: number, value: number): void {
    const at = this.slot(a, b)
    const fresh = this.slots[at] === EMPTY
    this.slots[at] = a
    this.slots[at + 1] = b
    this.slots[at + 2] = value
    if (fresh && ++this.size * 2 > this.mask) this.grow()
  }

  private grow(): void {
    const old = this.slots
    this.mask = this.mask * 2 + 1
    this.slots = new Int32Array(old.length * 2).fill(EMPTY)
    for (let at = 0; at < old.length; at += 3) {
      if (old[at] === EMPTY) continue
      this.slots.set(old.subarray(at, at + 3), this.slot(old[at]!, old[at + 1]!))
    }
  }
}
