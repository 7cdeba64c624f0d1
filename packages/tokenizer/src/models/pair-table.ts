// (left, right) → merge, for models whose file lists their merges.

import { FileFormatError } from '../errors.js'
import { NO_RANK } from './merge-row.js'
import type { PairRanks } from './merge-row.js'

// Far above what chance gives at this load.
const MAX_CHAIN = 1024

export class PairTable implements PairRanks {
  /** Index of the merge + 1; 0 where free. */
  private readonly slots: Int32Array
  private readonly mask: number
  private readonly seeds = crypto.getRandomValues(new Int32Array(3)).map((seed) => seed | 1)

  /** `merges` are flat triples of ids (left, right, merged), best first. `file` is named in the errors. */
  constructor(
    readonly merges: Int32Array,
    file: string,
  ) {
    const count = merges.length / 3
    let size = 16
    while (size < 1.7 * count) size *= 2
    this.slots = new Int32Array(size)
    this.mask = size - 1
    for (let rank = 0; rank < count; rank++) {
      const left = merges[3 * rank]!
      const right = merges[3 * rank + 1]!
      let slot = this.hash(left, right)
      for (let tries = 0; ; tries++) {
        const other = this.slots[slot]! - 1
        if (other < 0) break
        if (merges[3 * other] === left && merges[3 * other + 1] === right) {
          const message = `merges the same tokens as model.merges[${other}].`
          throw new FileFormatError(file, `model.merges[${rank}]`, message)
        }
        if (tries === MAX_CHAIN) {
          throw new FileFormatError(file, 'model.merges', 'were made to collide in hash tables.')
        }
        slot = (slot + 1) & this.mask
      }
      this.slots[slot] = rank + 1
    }
  }

  private hash(left: number, right: number): number {
    const { seeds } = this
    const x = Math.imul(left, seeds[0]!)
    const y = Math.imul(right, seeds[1]!)
    const h = Math.imul((x ^ (x >>> 15)) + (y ^ (y >>> 13)), seeds[2]!)
    return (h ^ (h >>> 16)) & this.mask
  }

  /** The rank of the merge, or NO_RANK. */
  rank(left: number, right: number): number {
    const { merges, slots, mask } = this
    let slot = this.hash(left, right)
    for (;;) {
      const rank = slots[slot]! - 1
      if (rank < 0) return NO_RANK
      if (merges[3 * rank] === left && merges[3 * rank + 1] === right) return rank
      slot = (slot + 1) & mask
    }
  }

  /** The token that a merge of this rank makes. */
  merged(rank: number): number {
    return this.merges[3 * rank + 2]!
  }
}
