// Strings as UTF-8 bytes and back.

const encoder = new TextEncoder()

/** Bytes that may be read behind the text in a `Utf8Buffer`; what they hold does not matter. */
export const PADDING = 8

const KEPT_BYTES = 1 << 20

/** The UTF-8 of one string at a time, in memory that the next string uses again. */
export class Utf8Buffer {
  bytes: Uint8Array = new Uint8Array(4096)
  length = 0

  /** Half of a surrogate pair is written as U+FFFD. */
  write(text: string): void {
    this.length = 0
    if (this.bytes.length < text.length + PADDING) this.resize(text.length + PADDING)
    for (let read = 0; ;) {
      const rest = read === 0 ? text : text.slice(read)
      const room = this.bytes.subarray(this.length, this.bytes.length - PADDING)
      const done = encoder.encodeInto(rest, room)
      this.length += done.written
      read += done.read
      if (read >= text.length) return
      // A UTF-16 unit takes three bytes at most.
      const needed = this.length + 3 * (text.length - read) + PADDING
      this.resize(Math.min(needed, 2 * this.bytes.length + PADDING))
    }
  }

  /** Gives the memory of an uncommonly long text back. */
  trim(): void {
    if (this.bytes.length > KEPT_BYTES) this.bytes = new Uint8Array(4096)
  }

  private resize(size: number): void {
    const grown = new Uint8Array(size)
    grown.set(this.bytes.subarray(0, this.length))
    this.bytes = grown
  }
}
