/** A binary heap of pairs of numbers without an object a pair: the lowest `rank` first, of equal ones the lowest `at`. */
export class Heap {
  /** What `pop` took. */
  rank = 0
  at = 0
  private ranks: Float64Array
  private places: Float64Array
  private size = 0

  constructor(capacity: number) {
    this.ranks = new Float64Array(capacity)
    this.places = new Float64Array(capacity)
  }

  push(rank: number, at: number): void {
    if (this.size === this.ranks.length) {
      this.ranks = grow(this.ranks)
      this.places = grow(this.places)
    }
    const { ranks, places } = this
    let i = this.size++
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(rank, at, ranks[parent]!, places[parent]!)) break
      ranks[i] = ranks[parent]!
      places[i] = places[parent]!
      i = parent
    }
    ranks[i] = rank
    places[i] = at
  }

  /** Takes the first pair into `rank` and `at`; false where none is left. */
  pop(): boolean {
    if (this.size === 0) return false
    const { ranks, places } = this
    this.rank = ranks[0]!
    this.at = places[0]!
    const n = --this.size
    const rank = ranks[n]!
    const at = places[n]!
    let i = 0
    for (let child = 1; child < n; child = 2 * i + 1) {
      if (
        child + 1 < n &&
        before(ranks[child + 1]!, places[child + 1]!, ranks[child]!, places[child]!)
      ) {
        child++
      }
      if (!before(ranks[child]!, places[child]!, rank, at)) break
      ranks[i] = ranks[child]!
      places[i] = places[child]!
      i = child
    }
    ranks[i] = rank
    places[i] = at
    return true
  }
}

function before(rank: number, at: number, otherRank: number, otherAt: number): boolean {
  return rank < otherRank || (rank === otherRank && at < otherAt)
}

function grow(array: Float64Array): Float64Array {
  const grown = new Float64Array(2 * array.length)
  grown.set(array)
  return grown
}
