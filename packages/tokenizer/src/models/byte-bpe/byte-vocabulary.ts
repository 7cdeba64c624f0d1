// The tokens of a byte-level file by their text and by their ids.

import { bytesToToken, tokenToBytes } from '../../text/alphabet.js'
import { PADDING } from '../../text/utf8.js'
import type { Vocabulary } from '../model.js'
import type { TokenBytes } from './token-bytes.js'
import { ABSENT } from './word-table.js'
import type { WordTable } from './word-table.js'

/** Tokens by their bytes; no text is made of one before it is asked for. */
export class ByteVocabulary implements Vocabulary {
  private readonly outsideById: ReadonlyMap<number, string>

  constructor(
    readonly bytes: TokenBytes,
    readonly words: WordTable,
    /** Tokens with a character outside the byte alphabet, which no text becomes. */
    readonly outside: ReadonlyMap<string, number>,
  ) {
    this.outsideById = new Map(Array.from(outside, ([token, id]) => [id, token]))
  }

  get size(): number {
    return this.bytes.size
  }

  tokenOf(id: number): string | undefined {
    if (!this.bytes.has(id)) return undefined
    return this.outsideById.get(id) ?? bytesToToken(this.bytes.of(id))
  }

  idOf(token: string): number | undefined {
    const bytes = tokenToBytes(token)
    if (bytes === undefined) return this.outside.get(token)
    if (bytes.length === 0) return undefined
    const padded = new Uint8Array(bytes.length + PADDING)
    padded.set(bytes)
    const id = this.words.idOf(new DataView(padded.buffer), 0, bytes.length)
    return id === ABSENT ? undefined : id
  }
}
