// Strings as UTF-8 bytes and back.

const encoder = new TextEncoder()

/** Half of a surrogate pair, which has no UTF-8. */
export const LONE_SURROGATE = /\p{Surrogate}/u

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

/**
 * How many bytes at the end of `bytes` begin a UTF-8 character that further bytes may still complete (0 to 3).
 * An impossible beginning (overlong, surrogate, above U+10FFFF) is not waited for.
 */
export function incompleteTail(bytes: Uint8Array): number {
  const n = bytes.length
  for (let back = 1; back <= Math.min(3, n); back++) {
    const lead = bytes[n - back]!
    if ((lead & 0xc0) === 0x80) continue
    const need = lead >= 0xf0 && lead <= 0xf4 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 1
    if (lead > 0xf4 || need <= back) return 0
    return back === 1 || secondFits(lead, bytes[n - back + 1]!) ? back : 0
  }
  return 0
}

/** Whether `second` may follow the lead byte of a 3 or 4 byte character (Unicode, table 3-7). */
function secondFits(lead: number, second: number): boolean {
  if ((second & 0xc0) !== 0x80) return false
  if (lead === 0xe0) return second >= 0xa0
  if (lead === 0xed) return second < 0xa0
  if (lead === 0xf0) return second >= 0x90
  if (lead === 0xf4) return second < 0x90
  return true
}
