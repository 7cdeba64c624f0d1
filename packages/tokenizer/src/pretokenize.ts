// Cuts text into the words that BPE merges within. Hand-written over UTF-8 bytes instead of a RegExp: linear on
// any input, and bytes that are no UTF-8 pass through (each counts as a character that is no letter, number or space).

import { secondFits } from './bytes.js'

/** The end of the word that begins at `start`; `start < end` is required. */
export type NextWord = (bytes: Uint8Array, start: number, end: number) => number

/** Llama 3's split pattern, as tokenizer.json spells it. */
export const LLAMA3_PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" +
  '|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'

/** The patterns that have a hand-written scanner; any other pattern in a file is refused by name. */
export const SPLIT_PATTERNS: ReadonlyMap<string, NextWord> = new Map([[LLAMA3_PATTERN, llama3Word]])

const OTHER = 0
const LETTER = 1
const NUMBER = 2
const SPACE = 3
const NEWLINE = 4 // \r and \n, which are spaces too
const UNKNOWN = 7

// Filled as code points are met: testing all 1.1 million of them at start would take a tenth of a second.
const classOfCodePoint = new Uint8Array(0x110000).fill(UNKNOWN)

function classify(codePoint: number): number {
  const char = String.fromCodePoint(codePoint)
  let found = OTHER
  if (codePoint === 0x0a || codePoint === 0x0d) found = NEWLINE
  else if (/\p{L}/u.test(char)) found = LETTER
  else if (/\p{N}/u.test(char)) found = NUMBER
  // White_Space, not JavaScript's \s, which differs from Rust's in U+0085 and U+FEFF.
  else if (/\p{White_Space}/u.test(char)) found = SPACE
  classOfCodePoint[codePoint] = found
  return found
}

/** Class in the low 3 bits, length in bytes above them. */
function peek(bytes: Uint8Array, i: number, end: number): number {
  const a = bytes[i]!
  let codePoint = a
  let length = 1
  if (a >= 0x80) {
    length = a >= 0xf0 ? 4 : a >= 0xe0 ? 3 : 2
    if (a < 0xc2 || a > 0xf4 || i + length > end) return OTHER | (1 << 3)
    const b = bytes[i + 1]!
    if (!secondFits(a, b)) return OTHER | (1 << 3)
    codePoint = ((a & (0xff >> (length + 1))) << 6) | (b & 0x3f)
    for (let k = 2; k < length; k++) {
      const c = bytes[i + k]!
      if ((c & 0xc0) !== 0x80) return OTHER | (1 << 3)
      codePoint = (codePoint << 6) | (c & 0x3f)
    }
  }
  let found = classOfCodePoint[codePoint]!
  if (found === UNKNOWN) found = classify(codePoint)
  return found | (length << 3)
}

function skip(bytes: Uint8Array, start: number, end: number, wanted: number): number {
  let i = start
  while (i < end) {
    const p = peek(bytes, i, end)
    if ((p & 7) !== wanted) break
    i += p >> 3
  }
  return i
}

/** Length of 's 't 'm 'd 're 've 'll in any case at `i`, or 0. */
function contraction(bytes: Uint8Array, i: number, end: number): number {
  if (i + 1 >= end) return 0
  const a = bytes[i + 1]! | 0x20
  if (a === 0x73 || a === 0x74 || a === 0x6d || a === 0x64) return 2
  if (i + 2 >= end) return 0
  // ſ (U+017F) folds to s under (?i).
  if (bytes[i + 1] === 0xc5 && bytes[i + 2] === 0xbf) return 3
  const b = bytes[i + 2]! | 0x20
  if ((a === 0x72 || a === 0x76) && b === 0x65) return 3
  return a === 0x6c && b === 0x6c ? 3 : 0
}

function llama3Word(bytes: Uint8Array, start: number, end: number): number {
  const first = peek(bytes, start, end)
  const kind = first & 7
  const after = start + (first >> 3)
  if (bytes[start] === 0x27) {
    const length = contraction(bytes, start, end)
    if (length > 0) return start + length
  }
  if (kind === LETTER) return skip(bytes, after, end, LETTER)
  const next = after < end ? peek(bytes, after, end) & 7 : UNKNOWN
  if (next === LETTER && (kind === OTHER || kind === SPACE)) return skip(bytes, after, end, LETTER)
  if (kind === NUMBER) {
    let i = after
    for (let count = 1; count < 3 && i < end; count++) {
      const p = peek(bytes, i, end)
      if ((p & 7) !== NUMBER) break
      i += p >> 3
    }
    return i
  }
  if (kind === OTHER || (bytes[start] === 0x20 && next === OTHER)) {
    return skip(bytes, skip(bytes, after, end, OTHER), end, NEWLINE)
  }
  return spaces(bytes, start, end)
}

/** `\s*[\r\n]+|\s+(?!\S)|\s+`: up to the last newline of the run, else all but the blank that the next word takes. */
function spaces(bytes: Uint8Array, start: number, end: number): number {
  let i = start
  let last = start
  let newlineEnd = -1
  while (i < end) {
    const p = peek(bytes, i, end)
    if ((p & 7) < SPACE) break
    last = i
    i += p >> 3
    if ((p & 7) === NEWLINE) newlineEnd = i
  }
  if (newlineEnd >= 0) return newlineEnd
  return i === end || last === start ? i : last
}
