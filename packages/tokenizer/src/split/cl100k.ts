// cl100k_base, Llama 3 and Qwen 2, which differ in how many digits make a word:
// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+

import {
  ASCII,
  LENGTH_SHIFT,
  LETTER,
  MARK,
  NEWLINE,
  NUMBER,
  OTHER,
  SPACE,
  charAt,
  runEnd,
} from '../text/classes.js'
import { blanksAndNewlines, contraction, digits } from './pieces.js'
import type { Contractions } from './pieces.js'
import type { Splitter } from './splitter.js'

export class Cl100kSplitter implements Splitter {
  /** `wholeTail`: blanks that end the text are one word (tiktoken's own spelling since 0.8). */
  constructor(
    private readonly maxDigits: number,
    private readonly contractions: Contractions,
    private readonly wholeTail: boolean,
  ) {}

  next(bytes: Uint8Array, start: number, end: number): number {
    const first = bytes[start]!
    if (first === 0x27) {
      const length = contraction(bytes, start, end, this.contractions)
      if (length > 0) return start + length
    }
    let char = first < 0x80 ? ASCII[first]! | (1 << LENGTH_SHIFT) : charAt(bytes, start, end)
    let i = start + (char >> LENGTH_SHIFT)
    if ((char & LETTER) !== 0) return runEnd(bytes, i, end, LETTER)
    if ((char & NUMBER) !== 0) return digits(bytes, i, end, this.maxDigits)
    if ((char & NEWLINE) === 0 && i < end) {
      const byte = bytes[i]!
      const next = byte < 0x80 ? ASCII[byte]! | (1 << LENGTH_SHIFT) : charAt(bytes, i, end)
      if ((next & LETTER) !== 0) return runEnd(bytes, i + (next >> LENGTH_SHIFT), end, LETTER)
      if (first === 0x20 && (next & (OTHER | MARK)) !== 0) {
        char = next
        i += next >> LENGTH_SHIFT
      }
    }
    if ((char & SPACE) !== 0) return blanksAndNewlines(bytes, start, end, this.wholeTail)
    return runEnd(bytes, runEnd(bytes, i, end, OTHER | MARK), end, NEWLINE)
  }
}
