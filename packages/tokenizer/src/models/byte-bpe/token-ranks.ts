// tiktoken's rule: any two neighbours that together are a token may merge, the lowest id first.

import { PADDING } from '../../text/utf8.js'
import { NO_RANK } from '../merge-row.js'
import type { PairRanks } from '../merge-row.js'
import type { TokenBytes } from './token-bytes.js'
import { ABSENT } from './word-table.js'
import type { WordTable } from './word-table.js'

export class TokenRanks implements PairRanks {
  /** The bytes that the row's places are in. */
  view: DataView = new DataView(new ArrayBuffer(PADDING))
  /** No merge makes more bytes than this. */
  longest: number

  constructor(
    private readonly words: WordTable,
    { lengths }: TokenBytes,
  ) {
    this.longest = lengths.reduce((most, length) => Math.max(most, length), 0)
  }

  rank(_left: number, _right: number, start: number, end: number): number {
    if (end - start > this.longest) return NO_RANK
    const id = this.words.idOf(this.view, start, end - start)
    return id === ABSENT ? NO_RANK : id
  }

  merged(rank: number): number {
    return rank
  }
}
