// The bytes that ids stand for, one token after the other in one array.

import { tokenToBytes } from '../../text/alphabet.js'
import { PADDING } from '../../text/utf8.js'
import type { Vocabulary } from '../model.js'

export class TokenBytes {
  /** Largest id + 1. */
  size = 0
  /** Where the token of each id begins in `bytes`, and its length: 0 where the id is no token. */
  starts: Int32Array
  lengths: Int32Array
  /** All tokens; at least PADDING bytes more can be read behind them. */
  bytes: Uint8Array
  view: DataView
  private end = 0

  /** What is expected; both grow. */
  constructor(ids = 1024, bytes = 8192) {
    this.starts = new Int32Array(ids)
    this.lengths = new Int32Array(ids)
    this.bytes = new Uint8Array(bytes + PADDING)
    this.view = new DataView(this.bytes.buffer)
  }

  /** Whether any value is the id of a token. */
  has(id: number): boolean {
    return this.lengths[id]! > 0 // an element that is not there is undefined, so false as well
  }

  set(id: number, source: Uint8Array, start = 0, end = source.length): void {
    const length = end - start
    if (this.end + length + PADDING > this.bytes.length) {
      const grown = new Uint8Array(2 * (this.end + length + PADDING))
      grown.set(this.bytes)
      this.bytes = grown
      this.view = new DataView(grown.buffer)
    }
    if (id >= this.starts.length) {
      this.starts = grow(this.starts, 2 * id + 1)
      this.lengths = grow(this.lengths, 2 * id + 1)
    }
    const { bytes } = this
    for (let i = 0; i < length; i++) bytes[this.end + i] = source[start + i]!
    this.starts[id] = this.end
    this.lengths[id] = length
    this.end += length
    if (id >= this.size) this.size = id + 1
  }

  /** Whether the token has just the first `length` bytes of `view`, which has PADDING more. */
  is(id: number, view: DataView, length: number): boolean {
    if (this.lengths[id] !== length) return false
    const start = this.starts[id]!
    const last = length - 4
    for (let i = 0; i < last; i += 4) {
      if (this.view.getInt32(start + i, true) !== view.getInt32(i, true)) return false
    }
    for (let i = Math.max(last, 0); i < length; i++) {
      if (this.bytes[start + i] !== view.getUint8(i)) return false
    }
    return true
  }

  /** A view of the token's bytes. */
  of(id: number): Uint8Array {
    const start = this.starts[id]!
    return this.bytes.subarray(start, start + this.lengths[id]!)
  }

  /** Gives back what was kept for growing. */
  trim(): this {
    this.starts = this.starts.slice(0, this.size)
    this.lengths = this.lengths.slice(0, this.size)
    this.bytes = this.bytes.slice(0, this.end + PADDING)
    this.view = new DataView(this.bytes.buffer)
    return this
  }
}

function grow(array: Int32Array, length: number): Int32Array {
  const grown = new Int32Array(length)
  grown.set(array)
  return grown
}

const encoder = new TextEncoder()

/** The bytes that tokens in the byte alphabet stand for; one with other characters stands for itself. */
export function tokenBytesOf(vocab: Vocabulary): TokenBytes {
  const bytes = new TokenBytes(vocab.size)
  for (let id = 0; id < vocab.size; id++) {
    const token = vocab.tokenOf(id)
    if (token !== undefined) bytes.set(id, tokenToBytes(token) ?? encoder.encode(token))
  }
  return bytes.trim()
}
