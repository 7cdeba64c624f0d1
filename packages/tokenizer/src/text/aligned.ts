// A text on its way through normalizers, with the place in the original that each of its characters came from.

/**
 * Text and, for each UTF-16 unit of it, the range of the original that it stands for. Both units of a surrogate pair
 * have the same range. Where nobody asks for offsets, `tracked` is false and no ranges are kept.
 */
export class Aligned {
  private constructor(
    readonly text: string,
    readonly tracked: boolean,
    /** Place of the first unit in the original; used where there are no ranges. */
    private readonly base: number,
    /** Start and end by unit; null where the text is the original's from `base` on. */
    private readonly ranges: Int32Array | null,
  ) {}

  /** `base` is where the text begins in a longer one. */
  static of(text: string, tracked: boolean, base = 0): Aligned {
    return new Aligned(text, tracked, base, null)
  }

  get length(): number {
    return this.text.length
  }

  slice(start: number, end: number): Aligned {
    if (start === 0 && end === this.text.length) return this
    return new Aligned(
      this.text.slice(start, end),
      this.tracked,
      this.base + start,
      this.ranges === null ? null : this.ranges.subarray(2 * start, 2 * end),
    )
  }

  /** With another character in the place of each, of as many units. */
  withText(text: string): Aligned {
    return text === this.text ? this : new Aligned(text, this.tracked, this.base, this.ranges)
  }

  /** Where in the original the unit at `i` begins. */
  startOf(i: number): number {
    return this.ranges === null ? this.base + i : this.ranges[2 * i]!
  }

  /** Where in the original the unit before `i` ends. */
  endOf(i: number): number {
    return this.ranges === null ? this.base + i : this.ranges[2 * i - 1]!
  }

  /** Whether the first character is the original's first. */
  get atStart(): boolean {
    return this.text.length > 0 && this.startOf(0) === 0
  }

  edit(): Edit {
    return new Edit(this)
  }

  /** @internal Called by Edit. */
  static made(text: string, from: Aligned, ranges: Int32Array | null): Aligned {
    return new Aligned(text, from.tracked, from.base, ranges)
  }

  /** @internal Appends the ranges of [start, end) to `to`, as whole characters. */
  copyRanges(start: number, end: number, to: number[]): void {
    const { ranges, text, base } = this
    if (ranges !== null) {
      for (let i = 2 * start; i < 2 * end; i++) to.push(ranges[i]!)
      return
    }
    for (let i = start; i < end; i++) {
      const pair = i + 1 < end && (text.charCodeAt(i) & 0xfc00) === 0xd800
      to.push(base + i, base + i + (pair ? 2 : 1))
      if (pair) {
        to.push(base + i, base + i + 2)
        i++
      }
    }
  }
}

/** Replaces parts of a text from left to right; what a part becomes stands for the whole part. */
export class Edit {
  private readonly parts: string[] = []
  private readonly ranges: number[] = []
  private done = 0

  constructor(private readonly from: Aligned) {}

  /** [start, end) becomes `text`. What is inserted (start = end) stands for the character after it, or before it. */
  replace(start: number, end: number, text: string): void {
    this.keep(start)
    this.done = end
    this.parts.push(text)
    const { from, ranges } = this
    if (!from.tracked || text.length === 0) return
    let [first, last] = [start, end]
    if (first === last && last < from.length) last += from.text.codePointAt(last)! > 0xffff ? 2 : 1
    else if (first === last && first > 0) first--
    const begin = first < last ? from.startOf(first) : from.startOf(0)
    const stop = first < last ? from.endOf(last) : begin
    for (let i = 0; i < text.length; i++) ranges.push(begin, stop)
  }

  private keep(end: number): void {
    if (end === this.done) return
    this.parts.push(this.from.text.slice(this.done, end))
    if (this.from.tracked) this.from.copyRanges(this.done, end, this.ranges)
    this.done = end
  }

  result(): Aligned {
    if (this.parts.length === 0 && this.done === 0) return this.from
    this.keep(this.from.length)
    return Aligned.made(
      this.parts.join(''),
      this.from,
      this.from.tracked ? Int32Array.from(this.ranges) : null,
    )
  }
}

const NOT_ASCII = /[^\0-\x7f]/

export function isAscii(text: Aligned): boolean {
  return !NOT_ASCII.test(text.text)
}

/** Replaces what a global expression matches. It must be one that needs no backtracking: classes and runs of them. */
export function replaceAll(
  text: Aligned,
  expression: RegExp,
  by: (match: string) => string,
): Aligned {
  if (!text.tracked) {
    const replaced = text.text.replace(expression, by)
    return replaced === text.text ? text : Aligned.made(replaced, text, null)
  }
  if (text.text.search(expression) < 0) return text
  const edit = text.edit()
  for (const match of text.text.matchAll(expression)) {
    const becomes = by(match[0])
    if (becomes !== match[0]) edit.replace(match.index, match.index + match[0].length, becomes)
  }
  return edit.result()
}
