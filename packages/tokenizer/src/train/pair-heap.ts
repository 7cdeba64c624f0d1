/** Pairs by count: the largest first, of equal ones that with the smaller left and then the smaller right token. */
export class PairHeap {
  size = 0
  private counts = new Float64Array(1 << 12)
  private keys = new Float64Array(1 << 12)
  /** What `pop` took last. */
  count = 0
  left = 0
  right = 0

  private before(i: number, count: number, key: number): boolean {
    return this.counts[i]! > count || (this.counts[i] === count && this.keys[i]! < key)
  }

  push(count: number, left: number, right: number): void {
    if (this.size === this.counts.length) this.widen()
    const { counts, keys } = this
    const key = left * 2 ** 21 + right
    let i = this.size++
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (this.before(parent, count, key)) break
      counts[i] = counts[parent]!
      keys[i] = keys[parent]!
      i = parent
    }
    counts[i] = count
    keys[i] = key
  }

  /** Takes the first entry out into `count`, `left` and `right`; false where there is none. */
  pop(): boolean {
    if (this.size === 0) return false
    const { counts, keys } = this
    this.count = counts[0]!
    this.left = Math.floor(keys[0]! / 2 ** 21)
    this.right = keys[0]! - this.left * 2 ** 21
    const n = --this.size
    const count = counts[n]!
    const key = keys[n]!
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= n) break
      if (child + 1 < n && this.before(child + 1, counts[child]!, keys[child]!)) child++
      if (!this.before(child, count, key)) break
      counts[i] = counts[child]!
      keys[i] = keys[child]!
      i = child
    }
    counts[i] = count
    keys[i] = key
    return true
  }

  private widen(): void {
    const counts = new Float64Array(2 * this.counts.length)
    const keys = new Float64Array(2 * this.keys.length)
    counts.set(this.counts)
    keys.set(this.keys)
    this.counts = counts
    this.keys = keys
  }
}
