// The merges of BPE over a row of tokens. Short rows scan for the best pair; longer ones keep their pairs in a heap, so
// that one word of a megabyte costs n log n and not n².

import { Heap } from '../text/heap.js'

/** No merge: above every rank. */
export const NO_RANK = 0x7fffffff

/** What may merge. */
export interface PairRanks {
  /** The rank of merging two neighbours that lie in [start, end) together, lowest first; or NO_RANK. */
  rank(left: number, right: number, start: number, end: number): number
  /** The token that a merge of this rank makes. */
  merged(rank: number): number
}

const SCAN_LIMIT = 48
const KEPT = 1 << 12

/** Tokens one beside the other, and where each begins. Used again for every word. */
export class MergeRow {
  length = 0
  ids = new Int32Array(64)
  starts = new Int32Array(64)
  /** At each token that of merging it with the next one. */
  private ranks = new Int32Array(64)

  /** Empties the row and makes room. */
  open(room: number): void {
    this.length = 0
    const has = this.ids.length
    // The memory of an uncommonly long word is given back.
    if (room < has && (has <= KEPT || room > KEPT)) return
    const size = Math.max(64, 2 * room)
    this.ids = new Int32Array(size)
    this.starts = new Int32Array(size)
    this.ranks = new Int32Array(size)
  }

  push(id: number, start: number): void {
    this.ids[this.length] = id
    this.starts[this.length++] = start
  }

  /**
   * Merges until nothing merges, always the best pair, leftmost first. The last token ends at `end`. `drop` says at
   * random that a merge is left out for now (BPE dropout).
   */
  merge(pairs: PairRanks, end: number, drop?: () => boolean): void {
    if (drop === undefined && this.length <= SCAN_LIMIT) this.scan(pairs, end)
    else this.heap(pairs, end, drop)
  }

  private scan(pairs: PairRanks, end: number): void {
    const { ids, starts, ranks } = this
    let n = this.length
    starts[n] = end
    for (let i = 0; i + 1 < n; i++) {
      ranks[i] = pairs.rank(ids[i]!, ids[i + 1]!, starts[i]!, starts[i + 2]!)
    }
    for (;;) {
      let best = NO_RANK
      let at = 0
      for (let i = 0; i + 1 < n; i++) {
        if (ranks[i]! < best) {
          best = ranks[i]!
          at = i
        }
      }
      if (best === NO_RANK) break
      n--
      ids[at] = pairs.merged(best)
      for (let i = at + 1; i < n; i++) {
        ids[i] = ids[i + 1]!
        ranks[i] = ranks[i + 1]!
        starts[i] = starts[i + 1]!
      }
      starts[n] = end
      if (at + 1 < n) {
        ranks[at] = pairs.rank(ids[at]!, ids[at + 1]!, starts[at]!, starts[at + 2]!)
      }
      if (at > 0) {
        ranks[at - 1] = pairs.rank(ids[at - 1]!, ids[at]!, starts[at - 1]!, starts[at + 1]!)
      }
    }
    this.length = n
  }

  private heap(pairs: PairRanks, end: number, drop: (() => boolean) | undefined): void {
    const { ids, starts, ranks } = this
    const n = this.length
    const next = new Int32Array(n)
    const previous = new Int32Array(n)
    // By rank, then leftmost.
    const heap = new Heap(n)
    starts[n] = end
    for (let i = 0; i < n; i++) {
      next[i] = i + 1
      previous[i] = i - 1
    }
    const offer = (i: number): void => {
      const j = next[i]!
      const rank = j === n ? NO_RANK : pairs.rank(ids[i]!, ids[j]!, starts[i]!, starts[next[j]!]!)
      ranks[i] = rank
      if (rank !== NO_RANK) heap.push(rank, i)
    }
    for (let i = 0; i < n; i++) offer(i)
    const dropped: [rank: number, at: number][] = []
    while (heap.pop()) {
      const { rank, at } = heap
      if (drop?.() === true) {
        dropped.push([rank, at])
        continue
      }
      for (const [otherRank, place] of dropped) heap.push(otherRank, place)
      dropped.length = 0
      // Stale where the token was merged away or has another neighbour by now.
      if (ranks[at] !== rank) continue
      const gone = next[at]!
      const after = next[gone]!
      ids[at] = pairs.merged(rank)
      ranks[gone] = NO_RANK
      next[at] = after
      if (after < n) previous[after] = at
      offer(at)
      if (previous[at]! >= 0) offer(previous[at]!)
    }
    let count = 0
    for (let i = 0; i < n; i = next[i]!) {
      ids[count] = ids[i]!
      starts[count++] = starts[i]!
    }
    this.length = count
  }
}
