// tiktoken's rank files: a line of `base64 rank` for each token, or as npm packages ship them, a line of
// `! rank base64 base64 ...` for a run of tokens with ranks in order.

import { FileFormatError, TokenizerError, brief } from '../errors.js'
import { TokenBytes } from '../models/byte-bpe/token-bytes.js'
import { MAX_ID } from '../models/byte-bpe/word-table.js'
import { LONE_SURROGATE } from '../text/utf8.js'

const MAX_TOKEN_BYTES = 2 ** 16
const NEWLINE = 0x0a
const RETURN = 0x0d
const SPACE = 0x20
const EXCLAMATION = 0x21
const EQUALS = 0x3d

const NO_DIGIT = 64
const digitOf = new Uint8Array(256).fill(NO_DIGIT)
for (const [digit, char] of [
  ...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
].entries()) {
  digitOf[char.charCodeAt(0)] = digit
}

/** The text of a rank file, or each rank's token: its text, or its bytes where these are no UTF-8 (gpt-tokenizer). */
export type Ranks = string | Uint8Array | readonly (string | readonly number[] | undefined)[]

/** The bytes of each rank. `file` is named in the errors. */
export function parseRanks(ranks: Ranks, file: string): TokenBytes {
  if (typeof ranks === 'string') return parseText(new TextEncoder().encode(ranks), file)
  if (ranks instanceof Uint8Array) return parseText(ranks, file)
  if (!Array.isArray(ranks)) {
    throw new FileFormatError(file, 'file', `is ${brief(ranks)}. Text or a list is expected.`)
  }
  return fromList(ranks as readonly unknown[], file)
}

function fromList(list: readonly unknown[], file: string): TokenBytes {
  const encoder = new TextEncoder()
  const tokens = new TokenBytes()
  if (list.length > MAX_ID) {
    throw new FileFormatError(file, 'file', `has ${list.length} ranks. At most ${MAX_ID} are read.`)
  }
  for (const [rank, token] of list.entries()) {
    if (token === undefined) continue
    let bytes: Uint8Array | undefined
    if (typeof token === 'string') bytes = encoder.encode(token)
    else if (Array.isArray(token) && token.every((b) => Number.isInteger(b) && b >= 0 && b < 256))
      bytes = Uint8Array.from(token as number[])
    if (bytes === undefined || bytes.length === 0 || bytes.length > MAX_TOKEN_BYTES) {
      const message = `is ${brief(token)}. Text or bytes are expected.`
      throw new FileFormatError(file, `[${rank}]`, message)
    }
    tokens.set(rank, bytes)
  }
  if (tokens.size === 0) throw new FileFormatError(file, 'file', 'has no tokens.')
  return tokens.trim()
}

function parseText(bytes: Uint8Array, file: string): TokenBytes {
  const tokens = new TokenBytes(1 << 16, bytes.length >> 1)
  const token = new Uint8Array(MAX_TOKEN_BYTES + 3)
  let i = 0
  let line = 1

  const fail = (message: string): never => {
    throw new FileFormatError(file, `line ${line}`, message)
  }
  const blank = (): void => {
    while (i < bytes.length && (bytes[i] === SPACE || bytes[i] === RETURN)) i++
  }
  const rank = (): number => {
    let value = 0
    const first = i
    for (; i < bytes.length && bytes[i]! >= 0x30 && bytes[i]! <= 0x39; i++) {
      value = value * 10 + bytes[i]! - 0x30
      if (value >= MAX_ID) fail(`has a rank of ${MAX_ID} or more.`)
    }
    if (i === first) fail('has no rank. `base64 rank` is expected.')
    return value
  }
  /** Decodes base64 into `token`, returns its length. */
  const base64 = (): number => {
    let length = 0
    let bits = 0
    let held = 0
    const first = i
    for (; i < bytes.length; i++) {
      const digit = digitOf[bytes[i]!]!
      if (digit === NO_DIGIT) break
      held = (held << 6) | digit
      bits += 6
      if (bits < 8) continue
      bits -= 8
      if (length === MAX_TOKEN_BYTES) fail(`has a token of more than ${MAX_TOKEN_BYTES} bytes.`)
      token[length++] = held >> bits
      held &= (1 << bits) - 1
    }
    while (bytes[i] === EQUALS) i++
    if (length === 0 || held !== 0 || (i - first) % 4 !== 0) fail('has a token that is not base64.')
    return length
  }
  const add = (id: number, length: number): void => {
    if (id >= MAX_ID) fail(`has a rank of ${MAX_ID} or more.`)
    if (tokens.has(id)) fail(`has rank ${id} a second time.`)
    tokens.set(id, token, 0, length)
  }

  for (; i < bytes.length; line++) {
    blank()
    if (bytes[i] === EXCLAMATION) {
      i++
      blank()
      let id = rank()
      blank()
      while (i < bytes.length && bytes[i] !== NEWLINE) {
        add(id++, base64())
        blank()
      }
    } else if (i < bytes.length && bytes[i] !== NEWLINE) {
      const length = base64()
      blank()
      add(rank(), length)
      blank()
    }
    if (i < bytes.length && bytes[i++] !== NEWLINE) fail('has more than a token and its rank.')
  }
  if (tokens.size === 0) throw new FileFormatError(file, 'file', 'has no tokens.')
  return tokens.trim()
}

/** The special tokens of an encoding, checked against its ranks. */
export function tiktokenSpecials(
  specialTokens: Readonly<Record<string, number>>,
  vocab: TokenBytes,
): { id: number; content: string }[] {
  const ids = new Set<number>()
  return Object.entries(specialTokens).map(([content, id]) => {
    const fail = (message: string): never => {
      const text = `specialTokens[${brief(content)}] ${message}`
      throw new TokenizerError('Tokenizer.fromTiktoken', text)
    }
    if (content.length < 2 || LONE_SURROGATE.test(content)) {
      fail('is no text of two characters or more.')
    }
    if (!Number.isInteger(id) || id < 0 || id >= MAX_ID) {
      fail(`is ${brief(id)}. An id from 0 to ${MAX_ID - 1} is expected.`)
    }
    if (vocab.has(id) || ids.has(id)) fail(`is ${id}, the id of another token.`)
    ids.add(id)
    return { id, content }
  })
}
