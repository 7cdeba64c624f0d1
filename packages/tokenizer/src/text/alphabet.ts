// Bytes and the printable stand-ins that byte-level BPE files write them with (GPT-2's `bytes_to_unicode`):
// printable Latin-1 stands for itself, the other 68 bytes are U+0100 upwards, so that no token holds a blank.

/** One above the largest stand-in. */
const STAND_INS = 0x144

const codeOfByte = new Uint16Array(256)
const byteOfCode = new Int16Array(STAND_INS).fill(-1)

for (let byte = 0, next = 0x100; byte < 256; byte++) {
  const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
  const code = printable ? byte : next++
  codeOfByte[byte] = code
  byteOfCode[code] = byte
}

/** The stand-in of one byte, e.g. 'Ġ' for the space. */
export function byteToChar(byte: number): string {
  return String.fromCharCode(codeOfByte[byte]!)
}

/** A token as files write it. */
export function bytesToToken(bytes: Uint8Array): string {
  let token = ''
  for (let i = 0; i < bytes.length; i++) token += String.fromCharCode(codeOfByte[bytes[i]!]!)
  return token
}

/** The inverse, or undefined where the token holds a character outside the alphabet. */
export function tokenToBytes(token: string): Uint8Array | undefined {
  const bytes = new Uint8Array(token.length)
  for (let i = 0; i < token.length; i++) {
    const code = token.charCodeAt(i)
    const byte = code < STAND_INS ? byteOfCode[code]! : -1
    if (byte < 0) return undefined
    bytes[i] = byte
  }
  return bytes
}

/**
 * `tokenToBytes` on UTF-8: writes the bytes that `source` from `start` to `end` stands for to `target` from `at`, and
 * returns where they end there, or -1. There are never more than in `source`.
 */
export function standInsToBytes(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): number {
  let to = at
  for (let i = start; i < end;) {
    let code = source[i++]!
    if (code >= 0x80) {
      if (code > 0xdf || i === end) return -1
      code = ((code & 0x1f) << 6) | (source[i++]! & 0x3f)
      if (code >= STAND_INS) return -1
    }
    const byte = byteOfCode[code]!
    if (byte < 0) return -1
    target[to++] = byte
  }
  return to
}
