// o200k_base. With U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and W = [\p{Ll}\p{Lm}\p{Lo}\p{M}], and 's etc. a contraction:
// [^\r\n\p{L}\p{N}]?U*W+'s?|[^\r\n\p{L}\p{N}]?U+W*'s?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+

import {
  LENGTH_SHIFT,
  LETTER,
  LOWER,
  MARK,
  NEWLINE,
  NUMBER,
  OTHER,
  SPACE,
  UPPER,
  charAt,
  runEnd,
} from '../text/classes.js'
import { blanksAndNewlines, contraction, digits } from './pieces.js'
import type { Splitter } from './splitter.js'

export class O200kSplitter implements Splitter {
  next(bytes: Uint8Array, start: number, end: number): number {
    let char = charAt(bytes, start, end)
    let i = start + (char >> LENGTH_SHIFT)
    if ((char & LETTER) !== 0)
      return this.withContraction(bytes, this.cased(bytes, start, end), end)
    if ((char & NUMBER) !== 0) return digits(bytes, i, end, 3)
    if ((char & NEWLINE) === 0 && i < end) {
      const next = charAt(bytes, i, end)
      if ((next & (LETTER | MARK)) !== 0) {
        const stop = this.cased(bytes, i, end)
        // A mark in front may also be the word: where capitals alone follow, the first alternative takes just it.
        if ((char & MARK) === 0 || !this.capitals(bytes, i, stop)) {
          return this.withContraction(bytes, stop, end)
        }
      } else if (bytes[start] === 0x20 && (next & OTHER) !== 0) {
        char = next
        i += next >> LENGTH_SHIFT
      }
    }
    if ((char & MARK) !== 0) return this.withContraction(bytes, i, end)
    if ((char & SPACE) !== 0) return blanksAndNewlines(bytes, start, end, false)
    i = runEnd(bytes, i, end, OTHER | MARK)
    while (i < end && (bytes[i] === 0x0a || bytes[i] === 0x0d || bytes[i] === 0x2f)) i++
    return i
  }

  /** `U*W+|U+W*` from a letter or mark. Greedy U* gives back until W+ has one, which capitals are not. */
  private cased(bytes: Uint8Array, start: number, end: number): number {
    let i = start
    let uncasedEnd = -1
    while (i < end) {
      const char = charAt(bytes, i, end)
      if ((char & LOWER) !== 0) return this.lower(bytes, i, end)
      if ((char & (LETTER | MARK)) === 0) break
      i += char >> LENGTH_SHIFT
      if ((char & UPPER) === 0) uncasedEnd = i
    }
    return uncasedEnd < 0 ? i : uncasedEnd
  }

  /** `W+` */
  private lower(bytes: Uint8Array, start: number, end: number): number {
    let i = start
    while (i < end) {
      const char = charAt(bytes, i, end)
      if ((char & (LETTER | MARK)) === 0 || (char & UPPER) !== 0) break
      i += char >> LENGTH_SHIFT
    }
    return i
  }

  private capitals(bytes: Uint8Array, start: number, end: number): boolean {
    return runEnd(bytes, start, end, UPPER) === end
  }

  private withContraction(bytes: Uint8Array, i: number, end: number): number {
    return i < end && bytes[i] === 0x27 ? i + contraction(bytes, i, end, 'folded') : i
  }
}
