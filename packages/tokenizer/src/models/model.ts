// What the models of tokenizer.json have in common.

import { brief } from '../errors.js'
import { MAX_TEXT } from '../files/reader.js'
import type { JsonObject, Reader } from '../files/reader.js'
import { MergeList, VocabList } from '../files/tokenizer-document.js'
import { MAX_ID } from './byte-bpe/word-table.js'

/** What ids are appended to. */
export interface IdSink {
  push(id: number): void
}

/** Tokens as the file spells them, and their ids. */
export interface Vocabulary {
  /** Largest id + 1. */
  readonly size: number
  tokenOf(id: number): string | undefined
  idOf(token: string): number | undefined
}

/** Turns one piece of text, as the pre-tokenizer cut it, into ids. */
export interface Model {
  readonly vocab: Vocabulary
  /** Appends the ids of a piece; to `spans`, start and end of each in UTF-16 units of the piece. */
  encode(piece: string, ids: IdSink, spans: number[] | null): void
  /** The fields of the file's `model` that hold the vocabulary, as the file spelt them. */
  toJSON(): JsonObject
}

/** All tokens' text together; decoding one id must not be able to fill the memory. */
const MAX_VOCAB_TEXT = 2 ** 27

/** A vocabulary as strings, for the models that read text. */
export class Vocab implements Vocabulary {
  /** A hole where an id belongs to no token. */
  readonly tokens: (string | undefined)[] = []
  readonly ids = new Map<string, number>()
  private characters = 0

  get size(): number {
    return this.tokens.length
  }

  tokenOf(id: number): string | undefined {
    return this.tokens[id]
  }

  idOf(token: string): number | undefined {
    return this.ids.get(token)
  }

  /** Throws FileFormatError where token or id are none, or are there already. `field` names them only then. */
  add(read: Reader, token: string, id: number, field: () => string): void {
    const isText = token !== '' && token.length <= MAX_TEXT
    if (!isText || !Number.isInteger(id) || id < 0 || id >= MAX_ID) {
      read.text(token, field())
      read.id(id, field())
    }
    this.characters += token.length
    if (this.characters > MAX_VOCAB_TEXT) {
      read.fail('model.vocab', `holds more than ${MAX_VOCAB_TEXT} characters of tokens.`)
    }
    // Filled up to the id, so that the array never turns into a slow sparse one.
    while (this.tokens.length <= id) this.tokens.push(undefined)
    if (this.tokens[id] !== undefined) {
      read.fail(field(), `has id ${id}, which ${brief(this.tokens[id])} has too.`)
    }
    if (this.ids.has(token)) read.fail(field(), `${brief(token)} is there twice.`)
    this.tokens[id] = token
    this.ids.set(token, id)
  }

  /** `{ token: id }`, which BPE, WordPiece and WordLevel files hold. */
  static read(read: Reader, value: unknown): Vocab {
    const vocab = new Vocab()
    const { texts, ids, length } = vocabList(read, value)
    for (let i = 0; i < length; i++) {
      const token = texts.text(i)
      vocab.add(read, token, ids[i]!, () => `model.vocab[${brief(token)}]`)
    }
    return vocab
  }

  toJSON(): JsonObject {
    // fromEntries defines keys, so that a token spelt __proto__ stays one.
    return Object.fromEntries(
      this.tokens.flatMap((token, id) => (token === undefined ? [] : [[token, id] as const])),
    )
  }
}

/** `model.vocab` as an object of tokens and ids. */
export function vocabList(read: Reader, value: unknown): VocabList {
  if (value instanceof VocabList) return value
  return read.fail('model.vocab', `is ${brief(value)}. An object is expected.`)
}

export function mergeList(read: Reader, value: unknown): MergeList {
  if (value instanceof MergeList) return value
  return read.fail('model.merges', `is ${brief(value)}. An array is expected.`)
}

/** Pieces up to this length are remembered with their ids. */
const CACHED_LENGTH = 32
const CACHE_SIZE = 1 << 16

export interface Encoded {
  readonly ids: readonly number[]
  /** Start and end of each id in the piece. */
  readonly spans: readonly number[]
}

/** Remembers what short pieces became. */
export class PieceCache<T> {
  private readonly known = new Map<string, T>()

  get(piece: string, encode: (piece: string) => T): T {
    if (piece.length > CACHED_LENGTH) return encode(piece)
    let found = this.known.get(piece)
    if (found === undefined) {
      found = encode(piece)
      if (this.known.size >= CACHE_SIZE) this.known.clear()
      this.known.set(piece, found)
    }
    return found
  }
}

export function append(
  encoded: Encoded,
  offset: number,
  ids: IdSink,
  spans: number[] | null,
): void {
  for (const id of encoded.ids) ids.push(id)
  if (spans !== null) for (const at of encoded.spans) spans.push(at + offset)
}

/** Ids of the tokens `<0x00>` to `<0xFF>`; -1 where there is none. */
export function byteTokens(vocab: Vocab): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) => {
    const hex = byte.toString(16).toUpperCase().padStart(2, '0')
    return vocab.ids.get(`<0x${hex}>`) ?? -1
  })
}

const encoder = new TextEncoder()

/** Appends the byte tokens of a text, if there is one for each byte. */
export function pushBytes(text: string, byteIds: Int32Array, push: (id: number) => void): boolean {
  const bytes = encoder.encode(text)
  if (!bytes.every((byte) => byteIds[byte]! >= 0)) return false
  for (const byte of bytes) push(byteIds[byte]!)
  return true
}
