// Ids to bytes and text: all at once, or as a stream whose text comes out as soon as its characters are whole.

import { TokenizerError, brief } from './errors.js'
import type { TokenBytes } from './models/byte-bpe/token-bytes.js'
import { incompleteTail } from './text/utf8.js'

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
// Node 20's decoder takes text of three bytes a character twice as fast where it streams, and ASCII half as fast.
const wideDecoder = new TextDecoder('utf-8', { ignoreBOM: true })
const STREAM = { stream: true }
const encoder = new TextEncoder()

/** Bytes that a row holds of a token itself. */
const INLINE = 15
/** The length of a row whose token lies elsewhere. */
const LONG = 0xff
/** Text is made in pieces of so many bytes, which stay in the processor's cache. */
const PIECE = 1 << 15
/** Room behind a piece: copying a token writes up to 16 bytes too many, and up to 3 are left from the piece before. */
const SLACK = 32

/** Joins the bytes of tokens. */
export class TokenJoiner {
  /** Largest id + 1. */
  readonly size: number
  /**
   * Four integers an id: up to 15 bytes of the token, which are copied without asking how many they are, and its
   * length, 0 where there is none. Of a LONG one, where it lies in `long`.
   */
  private readonly rows: Int32Array
  /** Length in four bytes, then the token. */
  private readonly long: DataView
  private longEnd = 0
  private readonly piece: Uint8Array
  private readonly view: DataView

  /** `added` tokens stand for their text, whatever `vocab` has at their ids. */
  constructor(vocab: TokenBytes, added: readonly { id: number; content: string }[]) {
    const texts = added.map(({ id, content }) => ({ id, bytes: encoder.encode(content) }))
    let longest = 0
    let long = 0
    const count = (length: number): void => {
      longest = Math.max(longest, length)
      if (length > INLINE) long += length + 4
    }
    for (let id = 0; id < vocab.size; id++) count(vocab.lengths[id]!)
    for (const { bytes } of texts) count(bytes.length)
    this.size = texts.reduce((size, { id }) => Math.max(size, id + 1), vocab.size)
    this.rows = new Int32Array(4 * this.size)
    this.long = new DataView(new ArrayBuffer(long + SLACK))
    this.piece = new Uint8Array(Math.max(PIECE, longest) + SLACK)
    this.view = new DataView(this.piece.buffer)
    for (let id = 0; id < vocab.size; id++) {
      this.put(id, vocab.bytes, vocab.starts[id]!, vocab.lengths[id]!)
    }
    for (const { id, bytes } of texts) this.put(id, bytes, 0, bytes.length)
  }

  private put(id: number, bytes: Uint8Array, start: number, length: number): void {
    const { rows, long } = this
    const row = 4 * id
    rows[row] = rows[row + 1] = rows[row + 2] = 0
    if (length > INLINE) {
      rows[row] = this.longEnd
      rows[row + 3] = LONG << 24
      long.setInt32(this.longEnd, length, true)
      for (let i = 0; i < length; i++) long.setUint8(this.longEnd + 4 + i, bytes[start + i]!)
      this.longEnd += length + 4
      return
    }
    rows[row + 3] = length << 24
    for (let i = 0; i < length; i++) rows[row + (i >> 2)]! |= bytes[start + i]! << (8 * (i & 3))
  }

  text(ids: Iterable<number>, skip?: ReadonlySet<number>): string {
    let text = ''
    let wide = false
    this.join(ids, skip, (bytes, last) => {
      const whole = last ? bytes.length : bytes.length - incompleteTail(bytes)
      const piece = (wide ? wideDecoder : decoder).decode(
        bytes.subarray(0, whole),
        wide ? STREAM : undefined,
      )
      text += piece
      wide = 2 * piece.length < whole
      return whole
    })
    return text
  }

  bytes(ids: Iterable<number>, skip?: ReadonlySet<number>): Uint8Array {
    const pieces: Uint8Array[] = []
    this.join(ids, skip, (bytes) => {
      pieces.push(bytes.slice())
      return bytes.length
    })
    const all = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0))
    let at = 0
    for (const piece of pieces) {
      all.set(piece, at)
      at += piece.length
    }
    return all
  }

  /** Gives the bytes to `take` piece by piece. What that does not take, up to 3 bytes, begins the next piece. */
  private join(
    ids: Iterable<number>,
    skip: ReadonlySet<number> | undefined,
    take: (bytes: Uint8Array, last: boolean) => number,
  ): void {
    const list = Array.isArray(ids) || ids instanceof Int32Array ? ids : Array.from(ids)
    const { rows, long, piece, view } = this
    const limit = piece.length - SLACK
    let at = 0
    for (let k = 0; k < list.length; k++) {
      const id = list[k] as number
      // An id outside the rows gives undefined, whose shift is 0.
      const row = 4 * id
      const tail = rows[row + 3]!
      let length = tail >>> 24
      if (length === 0 || id !== (id | 0)) this.refuse(id)
      if (skip !== undefined && skip.has(id)) continue
      const start = rows[row]!
      if (length === LONG) length = long.getInt32(start, true)
      if (at + length > limit) {
        const taken = take(piece.subarray(0, at), false)
        piece.copyWithin(0, taken, at)
        at -= taken
      }
      if (length <= INLINE) {
        view.setInt32(at, start, true)
        view.setInt32(at + 4, rows[row + 1]!, true)
        view.setInt32(at + 8, rows[row + 2]!, true)
        view.setInt32(at + 12, tail, true)
      } else {
        for (let i = 0; i < length; i += 4) {
          view.setInt32(at + i, long.getInt32(start + 4 + i, true), true)
        }
      }
      at += length
    }
    take(piece.subarray(0, at), true)
  }

  private refuse(id: number): never {
    const message = `id ${brief(id)} is no token. Ids are integers from 0 to ${this.size - 1}.`
    throw new TokenizerError('decode', message)
  }
}

/** Takes ids and gives text to what it was opened with. */
export interface IdRun {
  id(id: number): void
  end(): void
}

/**
 * Turns ids into text one at a time, as `generate` yields them. The pieces joined, `flush()` among them, are
 * exactly `decode` of all ids.
 *
 * ```ts
 * const stream = tokenizer.decodeStream()
 * for await (const id of ids) process.stdout.write(stream.step(id))
 * process.stdout.write(stream.flush())
 * ```
 */
export class DecodeStream {
  private text = ''
  private run: IdRun | undefined

  /** @internal */
  constructor(private readonly open: (emit: (text: string) => void) => IdRun) {}

  /** The text that `id` completes; '' while a character is still missing bytes. */
  step(id: number): string {
    this.run ??= this.open((text) => (this.text += text))
    this.run.id(id)
    return this.taken()
  }

  /** What is left: U+FFFD where the last character was never completed. The stream can be used again after it. */
  flush(): string {
    this.run?.end()
    this.run = undefined
    return this.taken()
  }

  private taken(): string {
    const { text } = this
    this.text = ''
    return text
  }
}
