// Ids to bytes and text: all at once, or as a stream whose text comes out as soon as its characters are whole.

import { TokenizerError, brief } from './errors.js'
import type { TokenBytes } from './models/byte-bpe/token-bytes.js'
import { incompleteTail } from './text/utf8.js'

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

const KEPT_BYTES = 1 << 20

/** Joins the bytes of tokens in memory that the next call uses again. */
export class TokenJoiner {
  private bytes = new Uint8Array(4096)
  private view = new DataView(this.bytes.buffer)

  constructor(private readonly tokens: TokenBytes) {}

  text(ids: Iterable<number>, skip?: ReadonlySet<number>): string {
    const text = decoder.decode(this.join(ids, skip))
    if (this.bytes.length > KEPT_BYTES) this.resize(4096, 0)
    return text
  }

  /** The bytes are valid until the next call. */
  join(ids: Iterable<number>, skip?: ReadonlySet<number>): Uint8Array {
    const list = Array.isArray(ids) || ids instanceof Int32Array ? ids : Array.from(ids)
    const { tokens } = this
    const { starts, lengths, view: source } = tokens
    let { view: target } = this
    let limit = this.bytes.length - 8
    let at = 0
    for (let k = 0; k < list.length; k++) {
      const id = list[k] as number
      if (!tokens.has(id)) {
        const last = tokens.size - 1
        const message = `id ${brief(id)} is no token. Ids are integers from 0 to ${last}.`
        throw new TokenizerError('decode', message)
      }
      if (skip !== undefined && skip.has(id)) continue
      const length = lengths[id]!
      const start = starts[id]!
      if (at + length > limit) {
        this.resize(2 * (at + length + 8), at)
        target = this.view
        limit = this.bytes.length - 8
      }
      // Four bytes at a time; those too many are written over by the next token.
      target.setInt32(at, source.getInt32(start))
      for (let i = 4; i < length; i += 4) target.setInt32(at + i, source.getInt32(start + i))
      at += length
    }
    return this.bytes.subarray(0, at)
  }

  private resize(size: number, kept: number): void {
    const { bytes } = this
    this.bytes = new Uint8Array(size)
    this.bytes.set(bytes.subarray(0, kept))
    this.view = new DataView(this.bytes.buffer)
  }
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
  private held = new Uint8Array(0)

  /** @internal */
  constructor(private readonly bytesOf: (id: number) => Uint8Array) {}

  /** The text that `id` completes; '' while a character is still missing bytes. */
  step(id: number): string {
    let bytes = this.bytesOf(id)
    if (this.held.length > 0) {
      const all = new Uint8Array(this.held.length + bytes.length)
      all.set(this.held)
      all.set(bytes, this.held.length)
      bytes = all
    }
    const whole = bytes.length - incompleteTail(bytes)
    this.held = bytes.slice(whole)
    return decoder.decode(bytes.subarray(0, whole))
  }

  /** What is left: U+FFFD where the last character was never completed. The stream can be used again after it. */
  flush(): string {
    const text = decoder.decode(this.held)
    this.held = new Uint8Array(0)
    return text
  }
}
