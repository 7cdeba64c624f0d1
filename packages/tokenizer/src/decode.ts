// Streaming decode: text comes out as soon as its characters are whole, never half of one.

import { incompleteTail } from './bytes.js'

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
  private held: Buffer = Buffer.alloc(0)

  /** @internal */
  constructor(private readonly bytesOf: (id: number) => Buffer) {}

  /** The text that `id` completes; '' while a character is still missing bytes. */
  step(id: number): string {
    const bytes = this.bytesOf(id)
    const all = this.held.length === 0 ? bytes : Buffer.concat([this.held, bytes])
    const whole = all.length - incompleteTail(all)
    this.held = all.subarray(whole)
    return all.toString('utf8', 0, whole)
  }

  /** What is left: U+FFFD where the last character was never completed. The stream can be used again after it. */
  flush(): string {
    const text = this.held.toString('utf8')
    this.held = Buffer.alloc(0)
    return text
  }
}
