// The merges of BPE over a row of symbols. Short rows scan for the best pair; longer ones keep their pairs in a heap,
// so that one word of a megabyte costs n log n and not n².

import type { PairMap } from '../text/pair-map.js'

const SCAN_LIMIT = 40

export class Merges {
  /** Flat triples of ids (left, right, merged), best first; (left, right) → place of the triple, also its rank. */
  constructor(
    readonly triples: Int32Array,
    private readonly pairs: PairMap,
  ) {}

  /**
   * Merges a row of ids in place, always the best pair, leftmost first; `starts` holds where each begins and shrinks
   * with it. `drop` says at random that a merge is left out for now (BPE dropout).
   */
  apply(ids: number[], starts: number[], drop?: () => boolean): void {
    if (drop === undefined && ids.length <= SCAN_LIMIT) this.scan(ids, starts)
    else this.heap(ids, starts, drop)
  }

  private scan(ids: number[], starts: number[]): void {
    // Rank of the pair that begins at each symbol.
    const rank: number[] = []
    for (let i = 0; i + 1 < ids.length; i++) rank.push(this.pairs.get(ids[i]!, ids[i + 1]!))
    for (;;) {
      let best = -1
      let at = 0
      for (let i = 0; i < rank.length; i++) {
        const m = rank[i]!
        if (m >= 0 && (best < 0 || m < best)) {
          best = m
          at = i
        }
      }
      if (best < 0) return
      ids[at] = this.triples[best + 2]!
      ids.splice(at + 1, 1)
      starts.splice(at + 1, 1)
      rank.splice(at, 1)
      if (at > 0) rank[at - 1] = this.pairs.get(ids[at - 1]!, ids[at]!)
      if (at < rank.length) rank[at] = this.pairs.get(ids[at]!, ids[at + 1]!)
    }
  }

  private heap(ids: number[], starts: number[], drop: (() => boolean) | undefined): void {
    const { triples } = this
    const n = ids.length
    const id = Int32Array.from(ids)
    const next = new Int32Array(n)
    const prev = new Int32Array(n)
    const heap = new MinHeap()
    const offer = (i: number): void => {
      const m = this.pairs.get(id[i]!, id[next[i]!]!)
      if (m >= 0) heap.push(m * 2 ** 31 + i) // by rank, then by place; below 2^53
    }
    for (let i = 0; i < n; i++) {
      next[i] = i + 1
      prev[i] = i - 1
    }
    for (let i = 0; i + 1 < n; i++) offer(i)
    const dropped: number[] = []
    while (heap.size > 0) {
      const top = heap.pop()
      if (drop?.() === true) {
        dropped.push(top)
        continue
      }
      for (const entry of dropped) heap.push(entry)
      dropped.length = 0
      const m = Math.floor(top / 2 ** 31)
      const i = top - m * 2 ** 31
      const j = next[i]!
      // An entry is stale when its place was merged away or holds another pair by now; dead places have id -1.
      if (j >= n || id[i] !== triples[m] || id[j] !== triples[m + 1]) continue
      id[i] = triples[m + 2]!
      id[j] = -1
      const after = next[j]!
      next[i] = after
      if (after < n) {
        prev[after] = i
        offer(i)
      }
      if (prev[i]! >= 0) offer(prev[i]!)
    }
    let count = 0
    for (let i = 0; i < n; i = next[i]!) {
      ids[count] = id[i]!
      starts[count++] = starts[i]!
    }
    ids.length = count
    starts.length = count
  }
}

/** Binary heap of numbers, smallest first. */
class MinHeap {
  private readonly items: number[] = []

  get size(): number {
    return this.items.length
  }

  push(value: number): void {
    const { items } = this
    let i = items.push(value) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (items[parent]! <= value) break
      items[i] = items[parent]!
      i = parent
    }
    items[i] = value
  }

  pop(): number {
    const { items } = this
    const top = items[0]!
    const value = items.pop()!
    const n = items.length
    if (n > 0) {
      let i = 0
      for (;;) {
        let child = 2 * i + 1
        if (child >= n) break
        if (child + 1 < n && items[child + 1]! < items[child]!) child++
        if (items[child]! >= value) break
        items[i] = items[child]!
        i = child
      }
      items[i] = value
    }
    return top
  }
}
