// Unicode classes of characters read straight from UTF-8 bytes. A byte that begins no well-formed character counts as
// a character of its own, of no class but OTHER.

/** Bits of a class. Every character has exactly one of LETTER, MARK, NUMBER, SPACE and OTHER; the rest refine them. */
export const LETTER = 1
export const NUMBER = 2
export const SPACE = 4
export const OTHER = 8
export const MARK = 16
/** \r and \n, which are spaces too. */
export const NEWLINE = 32
/** Lu and Lt; letters. */
export const UPPER = 64
/** Ll; letters. */
export const LOWER = 128

/** What `charAt` returns: the class below, the character's length in bytes from this bit on. */
export const LENGTH_SHIFT = 8

// By code point; 0 where none was met yet. Asking for all 1.1 million at start would take a tenth of a second, and
// pages that are never touched take no memory.
const classOf = new Uint8Array(0x110000)

function classify(codePoint: number): number {
  const char = String.fromCodePoint(codePoint)
  let found = OTHER
  if (codePoint === 0x0a || codePoint === 0x0d) found = SPACE | NEWLINE
  else if (/\p{L}/u.test(char)) {
    found = LETTER
    if (/[\p{Lu}\p{Lt}]/u.test(char)) found |= UPPER
    else if (/\p{Ll}/u.test(char)) found |= LOWER
  } else if (/\p{N}/u.test(char)) found = NUMBER
  else if (/\p{M}/u.test(char)) found = MARK
  // White_Space, not JavaScript's \s, which differs from Rust's in U+0085 and U+FEFF.
  else if (/\p{White_Space}/u.test(char)) found = SPACE
  classOf[codePoint] = found
  return found
}

/** The class of every byte below 0x80; scanners read it without a call. */
export const ASCII: Uint8Array = classOf.subarray(0, 0x80)
for (let code = 0; code < 0x80; code++) classify(code)

/** Class and length of the character that begins at `i`, which must be below `end`. */
export function charAt(bytes: Uint8Array, i: number, end: number): number {
  const a = bytes[i]!
  if (a < 0x80) return classOf[a]! | (1 << LENGTH_SHIFT)
  const broken = OTHER | (1 << LENGTH_SHIFT)
  let codePoint: number
  let length: number
  if (a >= 0xe0 && a < 0xf0) {
    if (i + 2 >= end) return broken
    const b = bytes[i + 1]!
    const c = bytes[i + 2]!
    if ((b & 0xc0) !== 0x80 || (c & 0xc0) !== 0x80) return broken
    codePoint = ((a & 0x0f) << 12) | ((b & 0x3f) << 6) | (c & 0x3f)
    length = 3
    // Overlong, or half of a surrogate pair.
    if (codePoint < 0x800 || (codePoint & 0xf800) === 0xd800) return broken
  } else if (a < 0xe0) {
    if (a < 0xc2 || i + 1 >= end) return broken
    const b = bytes[i + 1]!
    if ((b & 0xc0) !== 0x80) return broken
    codePoint = ((a & 0x1f) << 6) | (b & 0x3f)
    length = 2
  } else {
    if (i + 3 >= end) return broken
    const b = bytes[i + 1]!
    const c = bytes[i + 2]!
    const d = bytes[i + 3]!
    if ((b & 0xc0) !== 0x80 || (c & 0xc0) !== 0x80 || (d & 0xc0) !== 0x80) return broken
    codePoint = ((a & 0x0f) << 18) | ((b & 0x3f) << 12) | ((c & 0x3f) << 6) | (d & 0x3f)
    length = 4
    if (a > 0xf4 || codePoint < 0x10000 || codePoint > 0x10ffff) return broken
  }
  const found = classOf[codePoint]!
  return (found === 0 ? classify(codePoint) : found) | (length << LENGTH_SHIFT)
}

/** The end of the run of characters of the classes `wanted` (any of the bits) that begins at `start`. */
export function runEnd(bytes: Uint8Array, start: number, end: number, wanted: number): number {
  let i = start
  while (i < end) {
    const byte = bytes[i]!
    if (byte < 0x80) {
      if ((classOf[byte]! & wanted) === 0) return i
      i++
    } else {
      const char = charAt(bytes, i, end)
      if ((char & wanted) === 0) return i
      i += char >> LENGTH_SHIFT
    }
  }
  return i
}
