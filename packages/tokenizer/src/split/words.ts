// Between what cuts text and what cuts bytes: a regular expression as a scanner, a scanner as a regular expression.

import { Regex } from '../regex/regex.js'
import { LENGTH_SHIFT, charAt } from '../text/classes.js'
import { KNOWN_PATTERNS } from './patterns.js'
import type { Splitter } from './splitter.js'

const encoder = new TextEncoder()
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Cuts bytes by what cuts text, which it sees once and whole. */
export class TextSplitter implements Splitter {
  private bytes: Uint8Array | undefined
  private end = -1
  /** Ends of the words, in bytes, and which comes next. */
  private ends: number[] = []
  private word = 0

  /** `cut` gives where the pieces of a text end, in UTF-16 units, the last one at the text's end. */
  constructor(private readonly cut: (text: string) => readonly number[]) {}

  next(bytes: Uint8Array, start: number, end: number): number {
    const goesOn = bytes === this.bytes && end === this.end && start === this.ends[this.word - 1]
    if (!goesOn) this.open(bytes, start, end)
    const next = this.ends[this.word++]!
    if (next === end) this.bytes = undefined
    return next
  }

  private open(bytes: Uint8Array, start: number, end: number): void {
    const text = decoded(bytes, start, end)
    let unit = 0
    let at = start
    this.ends = this.cut(text).map((stop) => {
      for (; unit < stop; unit++) at += width(text.charCodeAt(unit), bytes, at)
      return at
    })
    this.bytes = bytes
    this.end = end
    this.word = 0
  }
}

/** Bytes of a UTF-16 unit; each half of a pair has two. A byte that is no UTF-8 was decoded to one U+FFFD. */
function width(unit: number, bytes: Uint8Array, at: number): number {
  if (unit < 0x80) return 1
  if (unit < 0x800 || (unit & 0xf800) === 0xd800) return 2
  if (unit !== 0xfffd) return 3
  return bytes[at] === 0xef && bytes[at + 1] === 0xbf && bytes[at + 2] === 0xbd ? 3 : 1
}

/** The text, with U+FFFD for each byte that is no UTF-8. */
function decoded(bytes: Uint8Array, start: number, end: number): string {
  try {
    return strict.decode(bytes.subarray(start, end))
  } catch {
    let text = ''
    let from = start
    for (let i = start; i < end;) {
      const length = charAt(bytes, i, end) >> LENGTH_SHIFT
      if (length === 1 && bytes[i]! >= 0x80) {
        text += `${strict.decode(bytes.subarray(from, i))}\ufffd`
        from = i + 1
      }
      i += length
    }
    return text + strict.decode(bytes.subarray(from, end))
  }
}

/** A pattern's own scanner, or our regular expressions behind the same interface. Throws PatternError. */
export function splitterOf(pattern: string): Splitter {
  const known = KNOWN_PATTERNS.get(pattern)
  if (known !== undefined) return known
  const regex = new Regex(pattern)
  return new TextSplitter((text) => {
    // What lies between two matches is a word too.
    const ends: number[] = []
    for (const place of regex.matches(text)) {
      if (place > (ends.at(-1) ?? 0)) ends.push(place)
    }
    if (ends.at(-1) !== text.length) ends.push(text.length)
    return ends
  })
}

/** The words of a text, flat: start, end, start, end... in UTF-16 units. */
export function wordsOf(splitter: Splitter, text: string): number[] {
  const bytes = encoder.encode(text)
  const found: number[] = []
  let unit = 0
  for (let at = 0; at < bytes.length;) {
    found.push(unit)
    for (const end = splitter.next(bytes, at, bytes.length); at < end; unit++) {
      at += width(text.charCodeAt(unit), bytes, at)
    }
    found.push(unit)
  }
  return found
}
