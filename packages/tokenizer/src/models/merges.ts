// The merges of BPE over a row of symbols. Short rows scan for the best pair; longer ones keep their pairs in a heap,
// so that one word of a megabyte costs n log n and not n².

import { Heap } from '../text/heap.js'
import { NO_RANK } from './pair-table.js'
import type { PairTable } from './pair-table.js'

const SCAN_LIMIT = 40

export class Merges {
  constructor(private readonly pairs: PairTable) {}

  /** Flat triples of ids (left, right, merged), best first. */
  get triples(): Int32Array {
    return this.pairs.merges
  }

  /**
   * Merges a row of ids in place, always the best pair, leftmost first; `starts` holds where each begins and shrinks
   * with it. `drop` says at random that a merge is left out for now (BPE dropout).
   */
  apply(ids: number[], starts: number[], drop?: () => boolean): void {
    if (drop === undefined && ids.length <= SCAN_LIMIT) this.scan(ids, starts)
    else this.heap(ids, starts, drop)
  }

  private scan(ids: number[], starts: number[]): void {
    const { pairs, triples } = this
    // Rank of the pair that begins at each symbol.
    const ranks: number[] = []
    for (let i = 0; i + 1 < ids.length; i++) ranks.push(pairs.rank(ids[i]!, ids[i + 1]!))
    for (;;) {
      let best = NO_RANK
      let at = 0
      for (let i = 0; i < ranks.length; i++) {
        if (ranks[i]! < best) {
          best = ranks[i]!
          at = i
        }
      }
      if (best === NO_RANK) return
      ids[at] = triples[3 * best + 2]!
      ids.splice(at + 1, 1)
      starts.splice(at + 1, 1)
      ranks.splice(at, 1)
      if (at > 0) ranks[at - 1] = pairs.rank(ids[at - 1]!, ids[at]!)
      if (at < ranks.length) ranks[at] = pairs.rank(ids[at]!, ids[at + 1]!)
    }
  }

  private heap(ids: number[], starts: number[], drop: (() => boolean) | undefined): void {
    const { pairs, triples } = this
    const n = ids.length
    const id = Int32Array.from(ids)
    const next = new Int32Array(n)
    const prev = new Int32Array(n)
    // By rank, then leftmost.
    const heap = new Heap(n)
    const offer = (i: number): void => {
      const rank = pairs.rank(id[i]!, id[next[i]!]!)
      if (rank !== NO_RANK) heap.push(rank, i)
    }
    for (let i = 0; i < n; i++) {
      next[i] = i + 1
      prev[i] = i - 1
    }
    for (let i = 0; i + 1 < n; i++) offer(i)
    const dropped: [rank: number, at: number][] = []
    while (heap.pop()) {
      const { rank, at: i } = heap
      if (drop?.() === true) {
        dropped.push([rank, i])
        continue
      }
      for (const [otherRank, at] of dropped) heap.push(otherRank, at)
      dropped.length = 0
      const j = next[i]!
      // An entry is stale when its place was merged away or holds another pair by now; dead places have id -1.
      if (j >= n || id[i] !== triples[3 * rank] || id[j] !== triples[3 * rank + 1]) continue
      id[i] = triples[3 * rank + 2]!
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
