// Byte-level BPE: UTF-8 bytes in, ids out. A word is looked up by its bytes; one that was not met before is merged, see
// MergeRow.

import { FileFormatError, brief } from '../../errors.js'
import type { Splitter } from '../../split/splitter.js'
import { byteToChar } from '../../text/alphabet.js'
import { IdBuffer } from '../../text/id-buffer.js'
import { PADDING } from '../../text/utf8.js'
import { MergeRow } from '../merge-row.js'
import { PairTable } from '../pair-table.js'
import type { TokenBytes } from './token-bytes.js'
import { TokenRanks } from './token-ranks.js'
import { ABSENT, CACHED_LENGTH, MAX_ID, WordTable } from './word-table.js'

export interface ByteBpeModel {
  /** The bytes of each id. All 256 single bytes must be among them. */
  readonly vocab: TokenBytes
  /** Tokens that no text becomes, by their text in the file: it has characters that stand for no byte. */
  readonly outside?: ReadonlyMap<string, number>
  /**
   * Flat triples of ids (left, right, merged), best first. With null the ids are ranks as in tiktoken: any two
   * neighbours that together are a token may merge, the lowest such id first.
   */
  readonly merges: Int32Array | null
  /** Take a word that is a token as it is, without merging. Always so with ranks. */
  readonly ignoreMerges: boolean
}

export interface ByteBpeOptions extends ByteBpeModel {
  readonly split: Splitter
  /** The table of the vocabulary's words, where it was made before. */
  readonly words?: WordTable | undefined
  /** Named in the errors; default 'tokenizer'. */
  readonly file?: string
}

export class ByteBpe {
  readonly vocab: TokenBytes
  private readonly split: Splitter
  private readonly words: WordTable
  private readonly pairs: PairTable | TokenRanks
  private readonly idOfByte = new Int32Array(256)
  private readonly row = new MergeRow()
  private scratch = new Uint8Array(0)
  private view: DataView = new DataView(new ArrayBuffer(PADDING))

  constructor(options: ByteBpeOptions) {
    const { vocab, merges, ignoreMerges, split, outside, file = 'tokenizer' } = options
    this.vocab = vocab
    this.split = split
    this.words =
      options.words ??
      new WordTable(vocab, merges === null || ignoreMerges, new Set(outside?.values()), file)
    this.pairs = merges === null ? new TokenRanks(this.words, vocab) : new PairTable(merges, file)
    const byte = new DataView(new ArrayBuffer(PADDING))
    for (let value = 0; value < 256; value++) {
      byte.setUint8(0, value)
      const id = this.words.idOf(byte, 0, 1)
      if (id === ABSENT) {
        const message = `has no token for byte ${value} (${brief(byteToChar(value))}).`
        throw new FileFormatError(file, 'model.vocab', message)
      }
      this.idOfByte[value] = id
    }
  }

  /** Largest id + 1. */
  get size(): number {
    return this.vocab.size
  }

  /** The id of the token with these bytes. */
  idOf(bytes: Uint8Array): number | undefined {
    if (bytes.length === 0) return undefined
    const start = this.open(bytes, 0, bytes.length)
    const id = this.words.idOf(this.view, start, bytes.length)
    return id === ABSENT ? undefined : id
  }

  /** The bytes of a token; empty where there is none. */
  bytesOf(id: number): Uint8Array {
    return this.vocab.has(id) ? this.vocab.of(id) : new Uint8Array(0)
  }

  /** Appends the ids of the text to `out`; `split` in place of the model's own. */
  encode(
    bytes: Uint8Array,
    start: number,
    end: number,
    out: IdBuffer,
    split: Splitter = this.split,
  ): void {
    if (this.readable(bytes, end)) {
      this.encodeWords(bytes, start, end, end, out, split)
    } else {
      if (this.scratch.length < end - start + PADDING) {
        this.scratch = new Uint8Array(end - start + PADDING)
      }
      this.scratch.set(bytes.subarray(start, end))
      this.encodeWords(this.scratch, 0, end - start, end - start, out, split)
      if (this.scratch.length > 1 << 20) this.scratch = new Uint8Array(0)
    }
  }

  /**
   * As `encode`, but only up to the first word that ends at `until` or later; returns where. PADDING bytes more must be
   * there behind `end`.
   */
  encodeWords(
    bytes: Uint8Array,
    start: number,
    end: number,
    until: number,
    out: IdBuffer,
    split: Splitter = this.split,
  ): number {
    if (this.view.buffer !== bytes.buffer || this.view.byteOffset !== bytes.byteOffset) {
      this.view = new DataView(bytes.buffer, bytes.byteOffset)
    }
    const { view, words } = this
    const { cached } = words
    let ids = out.ids
    let n = out.length
    let i = start
    while (i < until) {
      const next = split.next(bytes, i, end)
      const slot = words.find(view, i, next - i)
      if (slot !== ABSENT) {
        const value = words.value(slot)
        if (value >= 0) {
          if (n === ids.length) {
            out.length = n
            ids = out.reserve(1)
          }
          ids[n++] = value
          i = next
          continue
        }
        if (value < -MAX_ID) {
          let from = words.cachedAt(value)
          const count = cached[from]!
          if (n + count > ids.length) {
            out.length = n
            ids = out.reserve(count)
          }
          for (let k = 0; k < count; k++) ids[n++] = cached[++from]!
          i = next
          continue
        }
      }
      out.length = n
      this.encodeNew(bytes, i, next, slot, out)
      ids = out.ids
      n = out.length
      i = next
    }
    out.length = n
    return i
  }

  /** As `encode`; also appends where each token ends, in bytes from `start`. */
  encodeWithOffsets(
    bytes: Uint8Array,
    start: number,
    end: number,
    out: IdBuffer,
    ends: IdBuffer,
    split: Splitter = this.split,
  ): void {
    const first = out.length
    this.encode(bytes, start, end, out, split)
    const { lengths } = this.vocab
    const room = ends.reserve(out.length - first)
    let at = 0
    for (let i = first; i < out.length; i++) {
      at += lengths[out.ids[i]!]!
      room[ends.length++] = at
    }
  }

  /**
   * The merges that a file lists where this has ranks: flat triples of ids (left, right, merged), best first. Two
   * neighbours only ever make a token where they are what its own bytes come down to: until one crosses the token's
   * ends, the merges within are the same in any word. So each token has one merge, or none, and then only a whole word
   * can be it.
   */
  get merges(): Int32Array {
    const { vocab, pairs, row } = this
    if (pairs instanceof PairTable) return pairs.merges
    const { bytes, starts, lengths } = vocab
    const triples = new IdBuffer()
    this.open(bytes, 0, bytes.length - PADDING)
    const { longest } = pairs
    for (let id = 0; id < vocab.size; id++) {
      const length = lengths[id]!
      if (length < 2) continue
      pairs.longest = length - 1
      this.merge(bytes, starts[id]!, starts[id]! + length)
      if (row.length !== 2) continue
      triples.push(row.ids[0]!)
      triples.push(row.ids[1]!)
      triples.push(id)
    }
    pairs.longest = longest
    return triples.ids.slice(0, triples.length)
  }

  /** Whether PADDING bytes can be read behind `end`. */
  private readable(bytes: Uint8Array, end: number): boolean {
    return bytes.byteOffset + end + PADDING <= bytes.buffer.byteLength
  }

  /** Points `view` at the bytes, or at a copy of them; returns where they begin in it. */
  private open(bytes: Uint8Array, start: number, end: number): number {
    if (!this.readable(bytes, end)) {
      const copy = new Uint8Array(end - start + PADDING)
      copy.set(bytes.subarray(start, end))
      this.view = new DataView(copy.buffer)
      return 0
    }
    this.view = new DataView(bytes.buffer, bytes.byteOffset)
    return start
  }

  /** A word that is not among the words; `slot` has it as a token that merging may not reach. */
  private encodeNew(
    bytes: Uint8Array,
    start: number,
    end: number,
    slot: number,
    out: IdBuffer,
  ): void {
    const { row, words } = this
    this.merge(bytes, start, end)
    const { ids, length } = row
    // A word that merges to one token is that token.
    if (slot !== ABSENT && length === 1) words.setValue(slot, ids[0]!)
    else if (end - start <= CACHED_LENGTH) {
      words.keep(this.view, start, end - start, slot, ids, length)
    }
    const room = out.reserve(length)
    for (let i = 0; i < length; i++) room[out.length++] = ids[i]!
  }

  /** Leaves in `row` what the bytes come down to. */
  private merge(bytes: Uint8Array, start: number, end: number): void {
    const { row, pairs, idOfByte } = this
    row.open(end - start)
    for (let i = start; i < end; i++) row.push(idOfByte[bytes[i]!]!, i)
    if (pairs instanceof TokenRanks) pairs.view = this.view
    row.merge(pairs, end)
  }
}
