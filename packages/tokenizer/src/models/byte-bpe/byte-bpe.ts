// Byte-level BPE: UTF-8 bytes in, ids out. A word is looked up by its bytes; one that was not met before is merged,
// by scanning for the best pair where it is short and by a heap where it is long (n log n).

import { FileFormatError, brief } from '../../errors.js'
import type { Splitter } from '../../split/splitter.js'
import { byteToChar } from '../../text/alphabet.js'
import type { IdBuffer } from '../../text/id-buffer.js'
import { PADDING } from '../../text/utf8.js'
import { Heap } from '../../text/heap.js'
import { NO_RANK, PairTable } from '../pair-table.js'
import type { TokenBytes } from './token-bytes.js'
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

/** Words of more bytes are merged by the heap. */
const SCAN_LIMIT = 48

export class ByteBpe {
  readonly vocab: TokenBytes
  private readonly split: Splitter
  private readonly words: WordTable
  private readonly pairs: PairTable | null
  private readonly idOfByte = new Int32Array(256)
  private readonly longestToken: number
  // The word that is being merged: its parts' ids, where they begin, and the rank of each with the next.
  private readonly ids = new Int32Array(SCAN_LIMIT + 1)
  private readonly starts = new Int32Array(SCAN_LIMIT + 2)
  private readonly ranks = new Int32Array(SCAN_LIMIT + 1)
  private scratch = new Uint8Array(0)
  private view: DataView = new DataView(new ArrayBuffer(PADDING))

  constructor(options: ByteBpeOptions) {
    const { vocab, merges, ignoreMerges, split, outside, file = 'tokenizer' } = options
    this.vocab = vocab
    this.split = split
    this.words =
      options.words ??
      new WordTable(vocab, merges === null || ignoreMerges, new Set(outside?.values()), file)
    this.pairs = merges === null ? null : new PairTable(merges, file)
    this.longestToken = vocab.lengths.reduce((longest, length) => Math.max(longest, length), 0)
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
      this.encodeReadable(bytes, start, end, out, split)
    } else {
      if (this.scratch.length < end - start + PADDING) {
        this.scratch = new Uint8Array(end - start + PADDING)
      }
      this.scratch.set(bytes.subarray(start, end))
      this.encodeReadable(this.scratch, 0, end - start, out, split)
      if (this.scratch.length > 1 << 20) this.scratch = new Uint8Array(0)
    }
  }

  private encodeReadable(
    bytes: Uint8Array,
    start: number,
    end: number,
    out: IdBuffer,
    split: Splitter,
  ): void {
    if (this.view.buffer !== bytes.buffer || this.view.byteOffset !== bytes.byteOffset) {
      this.view = new DataView(bytes.buffer, bytes.byteOffset)
    }
    const { view, words } = this
    const { cached } = words
    let ids = out.ids
    let n = out.length
    let i = start
    while (i < end) {
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
    const length = end - start
    if (length > SCAN_LIMIT) {
      const first = out.length
      this.mergeByHeap(bytes, start, end, out)
      if (length > CACHED_LENGTH) return
      this.remember(start, length, slot, out.ids.subarray(first, out.length), out.length - first)
      return
    }
    const count = this.mergeByScan(bytes, start, end)
    this.remember(start, length, slot, this.ids, count)
    const room = out.reserve(count)
    for (let i = 0; i < count; i++) room[out.length++] = this.ids[i]!
  }

  private remember(
    start: number,
    length: number,
    slot: number,
    ids: Int32Array,
    count: number,
  ): void {
    const { view, words } = this
    // A word that merges to one token is that token.
    if (slot !== ABSENT && count === 1) words.setValue(slot, ids[0]!)
    else words.keep(view, start, length, slot, ids, count)
  }

  /** The rank of merging two neighbours, the left one from `start`, the right one up to `end`. */
  private rank(left: number, right: number, start: number, end: number): number {
    if (this.pairs !== null) return this.pairs.rank(left, right)
    if (end - start > this.longestToken) return NO_RANK
    const id = this.words.idOf(this.view, start, end - start)
    return id === ABSENT ? NO_RANK : id
  }

  /** The token that a merge of this rank makes. */
  private merged(rank: number): number {
    return this.pairs === null ? rank : this.pairs.merges[3 * rank + 2]!
  }

  /** Leaves the word's ids in `ids` and returns their number. */
  private mergeByScan(bytes: Uint8Array, start: number, end: number): number {
    const { ids, starts, ranks, idOfByte } = this
    let n = end - start
    for (let i = 0; i < n; i++) {
      ids[i] = idOfByte[bytes[start + i]!]!
      starts[i] = start + i
    }
    starts[n] = end
    for (let i = 0; i + 1 < n; i++) {
      ranks[i] = this.rank(ids[i]!, ids[i + 1]!, start + i, start + i + 2)
    }
    for (;;) {
      let best = NO_RANK
      let at = 0
      for (let i = 0; i + 1 < n; i++) {
        if (ranks[i]! < best) {
          best = ranks[i]!
          at = i
        }
      }
      if (best === NO_RANK) return n
      n--
      ids[at] = this.merged(best)
      for (let i = at + 1; i < n; i++) {
        ids[i] = ids[i + 1]!
        ranks[i] = ranks[i + 1]!
        starts[i] = starts[i + 1]!
      }
      starts[n] = end
      if (at + 1 < n) ranks[at] = this.rank(ids[at]!, ids[at + 1]!, starts[at]!, starts[at + 2]!)
      if (at > 0) {
        ranks[at - 1] = this.rank(ids[at - 1]!, ids[at]!, starts[at - 1]!, starts[at + 1]!)
      }
    }
  }

  private mergeByHeap(bytes: Uint8Array, start: number, end: number, out: IdBuffer): void {
    const n = end - start
    const ids = new Int32Array(n)
    const next = new Int32Array(n)
    const previous = new Int32Array(n)
    const ranks = new Int32Array(n)
    // By rank, then leftmost.
    const heap = new Heap(n)
    for (let i = 0; i < n; i++) {
      ids[i] = this.idOfByte[bytes[start + i]!]!
      next[i] = i + 1
      previous[i] = i - 1
    }
    // The rank at a part is that of merging it with the next one; parts are named by their first byte.
    const offer = (i: number): void => {
      const j = next[i]!
      const rank = j === n ? NO_RANK : this.rank(ids[i]!, ids[j]!, start + i, start + next[j]!)
      ranks[i] = rank
      if (rank !== NO_RANK) heap.push(rank, i)
    }
    for (let i = 0; i < n; i++) offer(i)
    while (heap.pop()) {
      const { rank, at } = heap
      // Stale where the part was merged away or has another neighbour by now.
      if (ranks[at] !== rank) continue
      const gone = next[at]!
      const after = next[gone]!
      ids[at] = this.merged(rank)
      ranks[gone] = NO_RANK
      next[at] = after
      if (after < n) previous[after] = at
      offer(at)
      if (previous[at]! >= 0) offer(previous[at]!)
    }
    for (let i = 0; i < n; i = next[i]!) out.push(ids[i]!)
  }
}
