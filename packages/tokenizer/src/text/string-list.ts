// A list of strings as UTF-8 in one array: a vocabulary of 128,000 tokens takes one megabyte and no object a token.

import { PADDING } from './utf8.js'

// A token may begin with U+FEFF.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const encoder = new TextEncoder()

export class StringList {
  length = 0
  /** All strings, one after the other; at least PADDING bytes more can be read behind them. */
  bytes: Uint8Array = new Uint8Array(1024)
  /** Where each string ends; it begins where the one before ends. */
  ends: Int32Array = new Int32Array(64)
  /** Where the string that is being written ends so far. */
  at = 0

  /** Makes room for `more` bytes from `at`. */
  reserve(more: number): Uint8Array {
    const needed = this.at + more + PADDING
    if (needed > this.bytes.length) {
      const grown = new Uint8Array(Math.max(needed, 2 * this.bytes.length))
      grown.set(this.bytes.subarray(0, this.at))
      this.bytes = grown
    }
    return this.bytes
  }

  appendCodePoint(codePoint: number): void {
    const bytes = this.reserve(4)
    let { at } = this
    if (codePoint < 0x80) bytes[at++] = codePoint
    else {
      if (codePoint < 0x800) bytes[at++] = 0xc0 | (codePoint >> 6)
      else {
        if (codePoint < 0x10000) bytes[at++] = 0xe0 | (codePoint >> 12)
        else {
          bytes[at++] = 0xf0 | (codePoint >> 18)
          bytes[at++] = 0x80 | ((codePoint >> 12) & 0x3f)
        }
        bytes[at++] = 0x80 | ((codePoint >> 6) & 0x3f)
      }
      bytes[at++] = 0x80 | (codePoint & 0x3f)
    }
    this.at = at
  }

  /** Ends the string that is being written, without its last `dropped` bytes. */
  finish(dropped = 0): void {
    this.at -= dropped
    this.cut(this.at)
  }

  /** Ends a string at an earlier place, so that what follows it belongs to the next one. */
  cut(end: number): void {
    if (this.length === this.ends.length) {
      const grown = new Int32Array(2 * this.length)
      grown.set(this.ends)
      this.ends = grown
    }
    this.ends[this.length++] = end
  }

  push(text: string): void {
    const bytes = encoder.encode(text)
    this.reserve(bytes.length).set(bytes, this.at)
    this.at += bytes.length
    this.finish()
  }

  start(index: number): number {
    return index === 0 ? 0 : this.ends[index - 1]!
  }

  end(index: number): number {
    return this.ends[index]!
  }

  text(index: number): string {
    return decoder.decode(this.bytes.subarray(this.start(index), this.end(index)))
  }
}
