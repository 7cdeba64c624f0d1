// What encoding a text, or a pair of texts, for a model gives.

import { TokenizerError } from './errors.js'

/** One text's ids before special tokens are added. */
export interface Sequence {
  readonly source: Source
  readonly ids: number[]
  /** Start and end in the source, in UTF-16 units, flat. */
  readonly spans: number[]
  /** Which piece of the pre-tokenizer each id is of. */
  readonly words: number[]
}

/** A text that was encoded, and where its units are in UTF-8. */
export class Source {
  private places: Int32Array | undefined

  constructor(readonly text: string) {}

  /** Bytes of UTF-8 before the unit at `i`. */
  byteAt(i: number): number {
    return (this.places ??= this.count())[i]!
  }

  private count(): Int32Array {
    const { text } = this
    const places = new Int32Array(text.length + 1)
    let bytes = 0
    for (let i = 0; i < text.length; i++) {
      places[i] = bytes
      const unit = text.charCodeAt(i)
      // The two units of a pair have two bytes each; half a pair becomes U+FFFD, which has three.
      const low = text.charCodeAt(i + 1)
      if ((unit & 0xfc00) === 0xd800 && (low & 0xfc00) === 0xdc00) {
        places[++i] = bytes + 2
        bytes += 4
      } else bytes += unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3
    }
    places[text.length] = bytes
    return places
  }
}

/** Start and end. */
export type Span = readonly [start: number, end: number]

/** Columns of an encoding, all of one length. */
export interface Columns {
  ids: number[]
  typeIds: number[]
  attentionMask: number[]
  specialTokensMask: number[]
  sequenceIds: (number | null)[]
  wordIds: (number | null)[]
  offsets: Span[]
}

export function emptyColumns(): Columns {
  return {
    ids: [],
    typeIds: [],
    attentionMask: [],
    specialTokensMask: [],
    sequenceIds: [],
    wordIds: [],
    offsets: [],
  }
}

const NOWHERE: Span = [0, 0]

/**
 * Ids of a text, or of a pair of texts, and what a model and its user want to know of each; all lists are equally
 * long. Of ids that come from no text (special tokens that were added, padding), offsets are [0, 0] and `wordIds` and
 * `sequenceIds` null.
 */
export class Encoding {
  readonly ids: readonly number[]
  /** 0 for the first text and 1 for the second, unless the tokenizer's template says otherwise. */
  readonly typeIds: readonly number[]
  /** 0 for padding. */
  readonly attentionMask: readonly number[]
  /** 1 for what was added: special tokens and padding. */
  readonly specialTokensMask: readonly number[]
  /** 0 or 1: the text that each id is of. */
  readonly sequenceIds: readonly (number | null)[]
  /** The word (piece of the pre-tokenizer, or added token) that each id is of, counted in each text. */
  readonly wordIds: readonly (number | null)[]
  /** Start and end in the text, in UTF-16 units: `text.slice(start, end)` is what the id stands for. */
  readonly offsets: readonly Span[]
  /** What truncation cut off, in windows that share `stride` ids; each is an encoding of its own. */
  readonly overflowing: readonly Encoding[]

  /** @internal */
  constructor(
    private readonly columns: Columns,
    private readonly sources: readonly Source[],
    private readonly tokenOf: (id: number) => string,
    overflowing: readonly Encoding[] = [],
  ) {
    this.ids = columns.ids
    this.typeIds = columns.typeIds
    this.attentionMask = columns.attentionMask
    this.specialTokensMask = columns.specialTokensMask
    this.sequenceIds = columns.sequenceIds
    this.wordIds = columns.wordIds
    this.offsets = columns.offsets
    this.overflowing = overflowing
  }

  get length(): number {
    return this.ids.length
  }

  /** The tokens as tokenizer.json spells them. */
  get tokens(): string[] {
    return this.ids.map(this.tokenOf)
  }

  /** Start and end in the UTF-8 of the text. */
  get byteOffsets(): Span[] {
    return this.offsets.map(([start, end], i) => {
      const sequence = this.sequenceIds[i]!
      if (sequence === null) return NOWHERE
      const source = this.sources[sequence]!
      return [source.byteAt(start), source.byteAt(end)]
    })
  }

  /** @internal The encoding and what overflows it, each padded to `length`. */
  padded(length: number, pad: Padding): Encoding {
    const missing = length - this.length
    const overflowing = this.overflowing.map((other) => other.padded(length, pad))
    if (missing <= 0) return new Encoding(this.columns, this.sources, this.tokenOf, overflowing)
    const join = <T>(list: readonly T[], value: T): T[] => {
      const more = new Array<T>(missing).fill(value)
      return pad.side === 'left' ? [...more, ...list] : [...list, ...more]
    }
    return new Encoding(
      {
        ids: join(this.ids, pad.id),
        typeIds: join(this.typeIds, pad.typeId),
        attentionMask: join(this.attentionMask, 0),
        specialTokensMask: join(this.specialTokensMask, 1),
        sequenceIds: join(this.sequenceIds, null),
        wordIds: join(this.wordIds, null),
        offsets: join(this.offsets, NOWHERE),
      },
      this.sources,
      this.tokenOf,
      overflowing,
    )
  }
}

export interface Truncation {
  /** Ids at most, the special tokens that are added among them. */
  readonly maxLength: number
  /** Which end is cut off; default 'right'. */
  readonly side?: 'left' | 'right'
  /** Which text of a pair is cut; default 'longest-first'. */
  readonly strategy?: 'longest-first' | 'only-first' | 'only-second'
  /** How many ids each overflowing window shares with the one before; default 0. */
  readonly stride?: number
}

export interface Padding {
  readonly side: 'left' | 'right'
  readonly id: number
  readonly typeId: number
  /** Ids to pad to, or the longest of a batch. */
  readonly length: number | 'longest'
  /** Round the length up to a multiple of this; 1 for no rounding. */
  readonly multipleOf: number
}

/** A range of a sequence's ids. */
export interface Window {
  readonly start: number
  readonly end: number
}

/** More combinations of windows than anyone wants; a pair with a small `maxLength` has their product. */
const MAX_WINDOWS = 2 ** 16

/** How many ids each of one or two texts keeps; `most` is what both together may have. */
export function keptLengths(
  lengths: readonly number[],
  most: number,
  truncation: Truncation,
): number[] {
  const total = lengths.reduce((a, b) => a + b, 0)
  const excess = total - most
  if (excess <= 0) return [...lengths]
  const { strategy = 'longest-first' } = truncation
  if (most <= 0) return lengths.map(() => 0)
  if (strategy === 'longest-first') {
    if (lengths.length === 1) return [most]
    const [a, b] = lengths as [number, number]
    const short = Math.min(a, b)
    // The longer one gives first; then both have half, the longer one the odd id.
    const halves: [number, number] = [Math.floor(most / 2), most - Math.floor(most / 2)]
    const [s, l] = short * 2 <= most ? [short, most - short] : halves
    return a <= b ? [s, l] : [l, s]
  }
  const which = strategy === 'only-first' ? 0 : 1
  const length = lengths[which]
  if (length === undefined) {
    throw new TokenizerError(
      'encoding',
      'truncation.strategy is "only-second", but there is no second text.',
    )
  }
  if (length <= excess) {
    throw new TokenizerError(
      'encoding',
      `truncation "${strategy}" cannot remove ${excess} ids: that text has ${length}. Another strategy or a larger` +
        ' maxLength is needed.',
    )
  }
  return lengths.map((n, i) => (i === which ? n - excess : n))
}

/** The windows that truncation to `most` ids cuts a sequence into; the first is what is kept. */
export function windows(length: number, most: number, truncation: Truncation): Window[] {
  if (most >= length) return [{ start: 0, end: length }]
  if (most === 0) {
    return [
      { start: 0, end: 0 },
      { start: 0, end: length },
    ]
  }
  const { side = 'right', stride = 0 } = truncation
  if (stride >= most) {
    throw new TokenizerError(
      'encoding',
      `truncation.stride is ${stride}, but a window has ${most} ids without the special tokens. Less is expected.`,
    )
  }
  const found: Window[] = []
  for (let at = 0; ; at += most - stride) {
    const window =
      side === 'right'
        ? { start: at, end: Math.min(at + most, length) }
        : { start: Math.max(0, length - at - most), end: length - at }
    found.push(window)
    if (side === 'right' ? window.end === length : window.start === 0) return found
  }
}

/** All that is kept and overflows, as one window of each text; the first is what is kept. */
export function combinations(windowsOf: readonly Window[][]): Window[][] {
  const [first, second] = windowsOf as [Window[], Window[]?]
  if (second === undefined) return first.map((a) => [a])
  if (first.length * second.length > MAX_WINDOWS) {
    throw new TokenizerError(
      'encoding',
      `both texts overflow, into ${first.length} and ${second.length} windows: more than ${MAX_WINDOWS} combinations.`,
    )
  }
  // What Hugging Face gives: each overflow of the first with all of the second, then the first with the second's.
  const pairs = [[first[0]!, second[0]!]]
  for (const a of first.slice(1)) for (const b of second) pairs.push([a, b])
  for (const b of second.slice(1)) pairs.push([first[0]!, b])
  return pairs
}
