// Cuts what is to be counted into chunks for the workers. Where a chunk ends depends on the texts alone, not on how
// they arrive or on who counts them.

/** Texts to count, or parts of one: what lies between two `ends` is split into words on its own. */
export interface Chunk {
  readonly bytes: Uint8Array
  readonly ends: readonly number[]
  /** Bytes of all chunks up to the end of this one. */
  readonly through: number
}

/** Bytes of a chunk. */
export const CHUNK_BYTES = 1 << 22
/** Bytes behind a place that must be seen to know whether it is one to cut at. */
const LOOK_AHEAD = 3
/** A text without a single place to cut is cut between two characters here. */
export const LONGEST_CHUNK = 1 << 26

export class Chunker {
  private buffer = new Uint8Array(CHUNK_BYTES + 3)
  private length = 0
  private ends: number[] = []
  private through = 0
  private readonly ready: Chunk[] = []
  /** Where the last search for a place to cut found none, the length at which the next one is worth it. */
  private searchAt = 0

  /** `anywhere`: whether texts may be cut at blanks; if not, only between texts. */
  constructor(private readonly anywhere: boolean) {}

  /** A part of the current text. */
  push(bytes: Uint8Array): void {
    const length = this.length + bytes.length
    if (length > this.buffer.length) {
      const grown = new Uint8Array(Math.max(length, 2 * this.buffer.length))
      grown.set(this.buffer.subarray(0, this.length))
      this.buffer = grown
    }
    this.buffer.set(bytes, this.length)
    this.length = length
    if (length >= Math.max(CHUNK_BYTES + LOOK_AHEAD, this.searchAt)) this.cut()
  }

  endText(): void {
    if (this.length === 0 || this.ends.at(-1) === this.length) return
    this.ends.push(this.length)
    if (this.length >= CHUNK_BYTES) this.cut()
  }

  /** What is left over becomes the last chunk. */
  finish(): void {
    this.endText()
    this.cut()
    if (this.length > 0) this.emit(this.length)
  }

  /** The next whole chunk, if there is one. */
  take(): Chunk | undefined {
    return this.ready.shift()
  }

  private cut(): void {
    for (;;) {
      const bytes = this.buffer.subarray(0, this.length)
      const at = placeToCut(bytes, this.ends, this.anywhere)
      if (at < 0) break
      this.emit(at)
    }
    this.searchAt = this.length < CHUNK_BYTES ? 0 : 2 * this.length
  }

  private emit(end: number): void {
    this.through += end
    const ends = this.ends.filter((place) => place < end)
    ends.push(end)
    this.ready.push({ bytes: this.buffer.slice(0, end), ends, through: this.through })
    this.ends = this.ends.filter((place) => place > end).map((place) => place - end)
    this.buffer.copyWithin(0, end, this.length)
    this.length -= end
  }
}

/** The last place to cut within CHUNK_BYTES, else the first behind; -1 where more bytes must be seen. */
function placeToCut(bytes: Uint8Array, ends: readonly number[], anywhere: boolean): number {
  if (bytes.length < CHUNK_BYTES) return -1
  let lastEnd = -1
  let nextEnd = -1
  for (const end of ends) {
    if (end <= CHUNK_BYTES) lastEnd = end
    else {
      nextEnd = end
      break
    }
  }
  if (anywhere) {
    for (
      let at = Math.min(CHUNK_BYTES, bytes.length - LOOK_AHEAD);
      at > Math.max(lastEnd, 1);
      at--
    ) {
      if (betweenWords(bytes, at)) return at
    }
  }
  if (lastEnd > 0) return lastEnd
  const stop = Math.min(nextEnd < 0 ? bytes.length - LOOK_AHEAD : nextEnd, LONGEST_CHUNK)
  if (anywhere) {
    for (let at = CHUNK_BYTES + 1; at < stop; at++) if (betweenWords(bytes, at)) return at
  }
  if (nextEnd > 0 && nextEnd <= LONGEST_CHUNK) return nextEnd
  if (bytes.length < LONGEST_CHUNK) return -1
  let at = LONGEST_CHUNK
  while (at > LONGEST_CHUNK - 4 && (bytes[at]! & 0xc0) === 0x80) at--
  return at
}

/**
 * Whether the patterns that have a name cut here, whatever else the text holds: before a space behind a character
 * that is no blank, and behind a newline that stands alone between two such characters. (With a second blank,
 * GPT-2's pattern cuts differently at the end of a text; o200k's lets a slash follow a newline in the same word.)
 */
export function betweenWords(bytes: Uint8Array, at: number): boolean {
  const here = bytes[at]!
  if (here === 0x20) return !blankBefore(bytes, at)
  return (
    bytes[at - 1] === 0x0a && here !== 0x2f && !blankAt(bytes, at) && !blankBefore(bytes, at - 1)
  )
}

const asciiBlank = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)

/** White_Space of two and three bytes: U+0085, U+00A0, U+1680, U+2000 to U+200A, U+2028, U+2029, U+202F, U+205F, U+3000. */
function longBlank(bytes: Uint8Array, at: number): number {
  const [a, b, c] = [bytes[at], bytes[at + 1], bytes[at + 2]]
  if (a === 0xc2) return b === 0x85 || b === 0xa0 ? 2 : 0
  if (a === 0xe1) return b === 0x9a && c === 0x80 ? 3 : 0
  if (a === 0xe3) return b === 0x80 && c === 0x80 ? 3 : 0
  if (a !== 0xe2 || c === undefined) return 0
  if (b === 0x80) return c <= 0x8a || c === 0xa8 || c === 0xa9 || c === 0xaf ? 3 : 0
  return b === 0x81 && c === 0x9f ? 3 : 0
}

function blankAt(bytes: Uint8Array, at: number): boolean {
  return asciiBlank(bytes[at]!) || longBlank(bytes, at) > 0
}

/** Whether a blank ends at `at`; so does the beginning of the bytes. */
function blankBefore(bytes: Uint8Array, at: number): boolean {
  if (at < 1 || asciiBlank(bytes[at - 1]!)) return true
  return (at >= 2 && longBlank(bytes, at - 2) === 2) || (at >= 3 && longBlank(bytes, at - 3) === 3)
}
