// JSON read from its bytes. tokenizer.json of a large vocabulary is megabytes of tokens and merges; these two are
// scanned straight into lists, the rest goes through JSON.parse. Nothing here recurses.

import { FileFormatError, brief } from '../errors.js'
import type { StringList } from '../text/string-list.js'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const MAX_DEPTH = 256
const ROOM = 1024

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A cursor over the bytes of one file. Fields in errors are the caller's, who knows where in the file it is. */
export class JsonReader {
  at: number

  constructor(
    readonly bytes: Uint8Array,
    readonly file: string,
  ) {
    const marked = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
    this.at = marked ? 3 : 0
  }

  fail(field: string, message: string): never {
    throw new FileFormatError(this.file, field, message)
  }

  private syntax(field: string, expected: string): never {
    const found =
      this.at < this.bytes.length
        ? brief(String.fromCharCode(this.bytes[this.at]!))
        : 'the end of the file'
    const place = field === 'file' ? '' : ` in ${field}`
    this.fail('file', `is not JSON: byte ${this.at}${place} is ${found}, ${expected} is expected.`)
  }

  /** Skips blanks; returns the byte that follows, or -1 at the end. */
  peek(): number {
    const { bytes } = this
    let { at } = this
    while (at < bytes.length && bytes[at]! <= 0x20) {
      const byte = bytes[at]!
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break
      at++
    }
    this.at = at
    return at < bytes.length ? bytes[at]! : -1
  }

  /** Takes `char`, which must follow. */
  expect(char: string, field: string): void {
    if (this.peek() !== char.charCodeAt(0)) this.syntax(field, brief(char))
    this.at++
  }

  /** Inside an array or object: whether a further element follows; takes the comma, or the end. */
  more(first: boolean, close: string, field: string): boolean {
    const next = this.peek()
    if (next === close.charCodeAt(0)) {
      this.at++
      return false
    }
    if (first) return true
    if (next !== 0x2c) this.syntax(field, `"," or ${brief(close)}`)
    this.at++
    return true
  }

  /** A string is appended to `list` as UTF-8, but not finished there. */
  string(list: StringList, field: string): void {
    this.expect('"', field)
    const { bytes } = this
    const { length } = bytes
    for (;;) {
      let { at: i } = this
      // What JSON spells takes no more bytes than the spelling. Room for the whole file would be megabytes a string.
      const stop = Math.min(length, i + ROOM)
      const target = list.reserve(ROOM)
      let { at } = list
      let byte = 0
      while (i < stop) {
        byte = bytes[i]!
        if (byte === QUOTE || byte === BACKSLASH || byte < 0x20) break
        target[at++] = byte
        i++
      }
      list.at = at
      this.at = i
      if (i === stop && stop < length) continue
      if (i === length || byte < 0x20) this.syntax(field, '"\\""')
      this.at++
      if (byte === QUOTE) return
      list.appendCodePoint(this.escape(field))
    }
  }

  /** What follows a backslash. */
  private escape(field: string): number {
    const byte = this.bytes[this.at++]!
    switch (byte) {
      case QUOTE:
      case BACKSLASH:
      case 0x2f:
        return byte
      case 0x62:
        return 0x08
      case 0x66:
        return 0x0c
      case 0x6e:
        return 0x0a
      case 0x72:
        return 0x0d
      case 0x74:
        return 0x09
      case 0x75:
        return this.unicode(field)
    }
    this.at--
    this.syntax(field, 'an escape such as \\n')
  }

  private unicode(field: string): number {
    const high = this.hex4(field)
    if (high < 0xd800 || high > 0xdfff) return high
    if (high < 0xdc00 && this.bytes[this.at] === BACKSLASH && this.bytes[this.at + 1] === 0x75) {
      this.at += 2
      const low = this.hex4(field)
      if (low >= 0xdc00 && low <= 0xdfff) return 0x10000 + ((high - 0xd800) << 10) + low - 0xdc00
    }
    this.fail(field, 'holds half a surrogate pair.')
  }

  private hex4(field: string): number {
    let value = 0
    for (let k = 0; k < 4; k++, this.at++) {
      const byte = this.bytes[this.at] ?? 0
      const lower = byte | 0x20
      if (byte >= 0x30 && byte <= 0x39) value = value * 16 + byte - 0x30
      else if (lower >= 0x61 && lower <= 0x66) value = value * 16 + lower - 0x57
      else this.syntax(field, 'a hexadecimal digit')
    }
    return value
  }

  /** An integer from 0 to `max - 1`. */
  integer(field: () => string, max: number): number {
    const { bytes } = this
    const first = this.peek()
    const start = this.at
    let value = 0
    let { at } = this
    for (; at < bytes.length && bytes[at]! >= 0x30 && bytes[at]! <= 0x39; at++) {
      value = value * 10 + bytes[at]! - 0x30
      if (value >= max) break
    }
    const next = bytes[at] ?? 0
    const whole = at > start && next !== 0x2e && (next | 0x20) !== 0x65 && value < max
    if (!whole || (first === 0x30 && at > start + 1)) {
      this.at = start
      const found = brief(this.value(field()))
      this.fail(field(), `is ${found}. An integer from 0 to ${max - 1} is expected.`)
    }
    this.at = at
    return value
  }

  /** Any value, through JSON.parse. */
  value(field: string): unknown {
    this.peek()
    const start = this.at
    this.skip(field)
    let text: string
    try {
      text = decoder.decode(this.bytes.subarray(start, this.at))
    } catch {
      this.fail(field, 'is not UTF-8.')
    }
    try {
      return JSON.parse(text)
    } catch (error) {
      const place = field === 'file' ? '' : ` in ${field}`
      this.fail('file', `is not JSON${place} (${(error as Error).message.slice(0, 100)}).`)
    }
  }

  /** Moves behind the value, whose inside is not checked but for its brackets' number. */
  private skip(field: string): void {
    const { bytes } = this
    let depth = 0
    for (let i = this.at; i < bytes.length; i++) {
      const byte = bytes[i]!
      if (byte === QUOTE) {
        i++
        while (i < bytes.length && bytes[i] !== QUOTE) i += bytes[i] === BACKSLASH ? 2 : 1
      } else if (byte === 0x7b || byte === 0x5b) {
        if (++depth > MAX_DEPTH) this.fail(field, `is nested more than ${MAX_DEPTH} deep.`)
        continue
      } else if (byte === 0x7d || byte === 0x5d) {
        if (depth === 0) {
          this.at = i
          return
        }
        depth--
      } else if (depth === 0 && byte === 0x2c) {
        this.at = i
        return
      } else continue
      // A string or a closing bracket ends a value.
      if (depth === 0) {
        this.at = Math.min(i + 1, bytes.length)
        return
      }
    }
    this.at = bytes.length
  }
}
