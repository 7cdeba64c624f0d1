// GPT-2, r50k_base and p50k_base:
// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

import {
  ASCII,
  LENGTH_SHIFT,
  LETTER,
  MARK,
  NUMBER,
  OTHER,
  SPACE,
  charAt,
  runEnd,
} from '../text/classes.js'
import { blanks, contraction } from './pieces.js'
import type { Splitter } from './splitter.js'

export class Gpt2Splitter implements Splitter {
  next(bytes: Uint8Array, start: number, end: number): number {
    const first = bytes[start]!
    let i = start
    if (first === 0x20) {
      if (++i === end) return i
    } else if (first === 0x27) {
      const length = contraction(bytes, start, end, 'lower')
      if (length > 0) return start + length
    }
    const byte = bytes[i]!
    const char = byte < 0x80 ? ASCII[byte]! | (1 << LENGTH_SHIFT) : charAt(bytes, i, end)
    if ((char & SPACE) !== 0) return blanks(bytes, start, end)
    i += char >> LENGTH_SHIFT
    if ((char & LETTER) !== 0) return runEnd(bytes, i, end, LETTER)
    return runEnd(bytes, i, end, (char & NUMBER) !== 0 ? NUMBER : OTHER | MARK)
  }
}
