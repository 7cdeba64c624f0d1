// Bytes and the printable stand-ins that byte-level BPE files write them with (GPT-2's `bytes_to_unicode`):
// printable Latin-1 stands for itself, the other 68 bytes are U+0100 upwards, so that no token holds a blank.

const charOfByte: string[] = []
const byteOfChar = new Map<string, number>()

for (let byte = 0, next = 0x100; byte < 256; byte++) {
  const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
  const char = String.fromCharCode(printable ? byte : next++)
  charOfByte.push(char)
  byteOfChar.set(char, byte)
}

/** The stand-in of one byte, e.g. 'Ġ' for the space. */
export function byteToChar(byte: number): string {
  return charOfByte[byte]!
}

/** A token as files write it, from its bytes as a Latin-1 string. */
export function latin1ToToken(bytes: string): string {
  let token = ''
  for (let i = 0; i < bytes.length; i++) token += charOfByte[bytes.charCodeAt(i)]!
  return token
}

/** The inverse, or undefined where the token holds a character outside the alphabet. */
export function alphabetToLatin1(token: string): string | undefined {
  let bytes = ''
  for (const char of token) {
    const byte = byteOfChar.get(char)
    if (byte === undefined) return undefined
    bytes += String.fromCharCode(byte)
  }
  return bytes
}

/**
 * The bytes that a token decodes to. One with a character outside the alphabet stands for its own UTF-8, as in
 * Hugging Face's ByteLevel decoder.
 */
export function tokenToBytes(token: string): Buffer {
  const latin1 = alphabetToLatin1(token)
  return latin1 === undefined ? Buffer.from(token, 'utf8') : Buffer.from(latin1, 'latin1')
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
export function secondFits(lead: number, second: number): boolean {
  if ((second & 0xc0) !== 0x80) return false
  if (lead === 0xe0) return second >= 0xa0
  if (lead === 0xed) return second < 0xa0
  if (lead === 0xf0) return second >= 0x90
  if (lead === 0xf4) return second < 0x90
  return true
}
