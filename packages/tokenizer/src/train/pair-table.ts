// Pairs of neighbouring tokens: how often each is met and where. Open addressing over typed arrays; a pair that is met
// no more leaves the table, so that it stays as large as what is alive.

export class PairTable {
  /** Columns by the pair's index, which stays the same while the pair is in the table. */
  left = new Int32Array(1 << 12)
  right = new Int32Array(1 << 12)
  count = new Float64Array(1 << 12)
  /** Where the pair's places begin; see MergeLoop. */
  head = new Int32Array(1 << 12)
  private size = 0
  private used = 0
  private readonly free: number[] = []
  private slots = new Int32Array(1 << 13).fill(-1)

  private hash(left: number, right: number): number {
    let h = Math.imul(left, 0x9e3779b1) ^ Math.imul(right + 1, 0x85ebca6b)
    h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d)
    return (h ^ (h >>> 13)) & (this.slots.length - 1)
  }

  /** The slot of the pair, or the free one where it would be. */
  private slotOf(left: number, right: number): number {
    let slot = this.hash(left, right)
    for (;;) {
      const pair = this.slots[slot]!
      if (pair < 0 || (this.left[pair] === left && this.right[pair] === right)) return slot
      slot = (slot + 1) & (this.slots.length - 1)
    }
  }

  /** Index of the pair, or -1. */
  find(left: number, right: number): number {
    return this.slots[this.slotOf(left, right)]!
  }

  /** Index of the pair, which is made with count 0 where it was not there. */
  make(left: number, right: number): number {
    const slot = this.slotOf(left, right)
    if (this.slots[slot]! >= 0) return this.slots[slot]!
    const pair = this.free.pop() ?? this.used++
    if (pair === this.left.length) this.widen(2 * pair)
    this.left[pair] = left
    this.right[pair] = right
    this.count[pair] = 0
    this.head[pair] = 0
    this.slots[slot] = pair
    if (2 * ++this.size > this.slots.length) this.rehash()
    return pair
  }

  remove(pair: number): void {
    const mask = this.slots.length - 1
    let hole = this.slotOf(this.left[pair]!, this.right[pair]!)
    this.free.push(pair)
    this.size--
    // What lies behind moves up where the hole would hide it.
    for (let slot = (hole + 1) & mask; ; slot = (slot + 1) & mask) {
      const other = this.slots[slot]!
      if (other < 0) break
      const home = this.hash(this.left[other]!, this.right[other]!)
      if (((slot - home) & mask) >= ((slot - hole) & mask)) {
        this.slots[hole] = other
        hole = slot
      }
    }
    this.slots[hole] = -1
  }

  private widen(length: number): void {
    const wider = (old: Int32Array): Int32Array<ArrayBuffer> => {
      const array = new Int32Array(length)
      array.set(old)
      return array
    }
    this.left = wider(this.left)
    this.right = wider(this.right)
    this.head = wider(this.head)
    const count = new Float64Array(length)
    count.set(this.count)
    this.count = count
  }

  private rehash(): void {
    const old = this.slots
    this.slots = new Int32Array(2 * old.length).fill(-1)
    for (const pair of old) {
      if (pair >= 0) this.slots[this.slotOf(this.left[pair]!, this.right[pair]!)] = pair
    }
  }
}
