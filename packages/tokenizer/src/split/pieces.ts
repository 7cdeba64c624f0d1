// What the scanners of several patterns share. Each function names the part of the regular expression that it matches.

import { LENGTH_SHIFT, NEWLINE, NUMBER, SPACE, charAt } from '../text/classes.js'

/** How a pattern writes its contractions: 's 't 're 've 'm 'll 'd. */
export type Contractions =
  /** As they stand, in lower case (GPT-2). */
  | 'lower'
  /** In either case by listing both, as js-tiktoken does. */
  | 'ascii'
  /** `(?i:...)`, under which ſ (U+017F) is an s. */
  | 'folded'

/** Length of the contraction whose apostrophe is at `i`, or 0. */
export function contraction(bytes: Uint8Array, i: number, end: number, kind: Contractions): number {
  if (i + 1 >= end) return 0
  const fold = kind === 'lower' ? 0 : 0x20
  const a = bytes[i + 1]! | fold
  if (a === 0x73 || a === 0x74 || a === 0x6d || a === 0x64) return 2
  if (i + 2 >= end) return 0
  if (kind === 'folded' && bytes[i + 1] === 0xc5 && bytes[i + 2] === 0xbf) return 3
  const b = bytes[i + 2]! | fold
  if ((a === 0x72 || a === 0x76) && b === 0x65) return 3
  return a === 0x6c && b === 0x6c ? 3 : 0
}

/** `\p{N}{1,most}` from a number that ends at `after`. */
export function digits(bytes: Uint8Array, after: number, end: number, most: number): number {
  let i = after
  for (let count = 1; count < most && i < end; count++) {
    const char = charAt(bytes, i, end)
    if ((char & NUMBER) === 0) break
    i += char >> LENGTH_SHIFT
  }
  return i
}

/** `\s+(?!\S)|\s+`: the run without its last character, which is left to the next word, unless nothing follows. */
export function blanks(bytes: Uint8Array, start: number, end: number): number {
  let i = start
  let last = start
  while (i < end) {
    const char = charAt(bytes, i, end)
    if ((char & SPACE) === 0) return last === start ? i : last
    last = i
    i += char >> LENGTH_SHIFT
  }
  return i
}

/**
 * `\s*[\r\n]+|\s+(?!\S)|\s+`: up to the last newline of the run, else as `blanks`. With `wholeTail` it is
 * `\s++$|\s*[\r\n]|\s+(?!\S)|\s`, which takes a run that ends the text whole, newlines or not.
 */
export function blanksAndNewlines(
  bytes: Uint8Array,
  start: number,
  end: number,
  wholeTail: boolean,
): number {
  let i = start
  let last = start
  let newlineEnd = -1
  while (i < end) {
    const char = charAt(bytes, i, end)
    if ((char & SPACE) === 0) {
      if (newlineEnd >= 0) return newlineEnd
      return last === start ? i : last
    }
    last = i
    i += char >> LENGTH_SHIFT
    if ((char & NEWLINE) !== 0) newlineEnd = i
  }
  return newlineEnd >= 0 && !wholeTail ? newlineEnd : i
}
