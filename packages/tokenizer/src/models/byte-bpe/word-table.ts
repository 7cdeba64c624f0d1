// One open-addressing table of words by their bytes: the vocabulary, and behind it a bounded cache of words met before.
// A slot has four integers. Up to 8 bytes lie in the slot itself, so that most words are compared by two integers.

import { FileFormatError, brief } from '../../errors.js'
import { bytesToToken } from '../../text/alphabet.js'
import type { TokenBytes } from './token-bytes.js'

/** Ids are below this. */
export const MAX_ID = 2 ** 22
/** Words above this length are not kept. */
export const CACHED_LENGTH = 128
/** What a slot holds that was not found. */
export const ABSENT = -1
const TAKEN = -2

const CACHED_WORDS = 1 << 16
const CACHED_IDS = 1 << 19
const CACHED_BYTES = 1 << 20
const INLINE = 8
// No chain gets longer, whatever words a file or a text chose to collide.
const TOKEN_CHAIN = 1024
const CACHED_CHAIN = 32

/** The bits of the first and of the second four bytes that belong to a word of so many bytes. */
const FIRST = Int32Array.of(0, 0xff, 0xffff, 0xffffff, -1, -1, -1, -1, -1)
const SECOND = Int32Array.of(0, 0, 0, 0, 0, 0xff, 0xffff, 0xffffff, -1)

/**
 * Values say what a word is. Not negative: that token. Down to -MAX_ID: `~value` is a token of the same bytes, but
 * whether merging ends there is not known. Below: `cachedAt(value)` is where its ids lie in `cached`.
 */
export class WordTable {
  /** Per slot: bytes 0-3 or the hash, bytes 4-7 or where the bytes lie, length (0: free), value. */
  private readonly slots: Int32Array
  private readonly mask: number
  private readonly seeds: Int32Array
  /** The bytes of the words that do not fit their slot; of the vocabulary first. */
  private readonly long: Uint8Array
  private readonly longView: DataView
  private longEnd = 0
  /** For each cached word: the token of the same bytes or -1, the number of its ids, its ids. */
  readonly cached = new Int32Array(CACHED_IDS)
  private cachedEnd = 0
  private cachedWords = 0
  private tokensLongEnd = 0

  /**
   * The words that are tokens, but for the ids in `outside`. With `whole` such a word is that token in any case;
   * without, merging must have reached it once. `file` is named in the errors.
   */
  constructor(tokens: TokenBytes, whole: boolean, outside: ReadonlySet<number>, file: string) {
    const { starts, lengths, view } = tokens
    let count = 0
    let longBytes = 0
    for (let id = 0; id < tokens.size; id++) {
      if (lengths[id]! > 0) count++
      if (lengths[id]! > INLINE) longBytes += lengths[id]!
    }
    let size = 1024
    while (size < 1.5 * (count + CACHED_WORDS)) size *= 2
    this.slots = new Int32Array(4 * size)
    this.mask = size - 1
    this.seeds = crypto.getRandomValues(new Int32Array(4)).map((seed) => seed | 1)
    this.long = new Uint8Array(longBytes + CACHED_BYTES)
    this.longView = new DataView(this.long.buffer)
    for (let id = 0; id < tokens.size; id++) {
      const length = lengths[id]!
      if (length === 0 || outside.has(id)) continue
      const slot = this.insert(view, starts[id]!, length, TOKEN_CHAIN)
      if (slot === TAKEN) {
        const text = brief(bytesToToken(tokens.of(id)))
        throw new FileFormatError(file, `model.vocab[${text}]`, 'is there twice.')
      }
      if (slot === ABSENT) {
        throw new FileFormatError(file, 'model.vocab', 'was made to collide in hash tables.')
      }
      // A single byte is that token without merging.
      this.slots[slot + 3] = whole || length === 1 ? id : ~id
    }
    this.tokensLongEnd = this.longEnd
  }

  /** The slot of the word, or ABSENT. `view` must have 8 bytes that can be read from `start`. */
  find(view: DataView, start: number, length: number): number {
    const { slots, mask } = this
    if (length > INLINE) return this.findLong(view, start, length)
    const a = view.getInt32(start, true) & FIRST[length]!
    const b = view.getInt32(start + 4, true) & SECOND[length]!
    let slot = this.hashShort(a, b, length) & mask
    for (;;) {
      const at = 4 * slot
      const found = slots[at + 2]!
      if (found === length && slots[at] === a && slots[at + 1] === b) return at
      if (found === 0) return ABSENT
      slot = (slot + 1) & mask
    }
  }

  private findLong(view: DataView, start: number, length: number): number {
    const { slots, mask } = this
    const hash = this.hashLong(view, start, length)
    let slot = hash & mask
    for (;;) {
      const at = 4 * slot
      const found = slots[at + 2]!
      if (found === length && slots[at] === hash && this.same(view, start, slots[at + 1]!, length))
        return at
      if (found === 0) return ABSENT
      slot = (slot + 1) & mask
    }
  }

  private hashShort(a: number, b: number, length: number): number {
    const { seeds } = this
    const x = Math.imul(a ^ seeds[0]!, seeds[1]!)
    const y = Math.imul(b + length, seeds[2]!)
    const h = Math.imul((x ^ (x >>> 15)) + (y ^ (y >>> 13)), seeds[3]!)
    return h ^ (h >>> 16)
  }

  private hashLong(view: DataView, start: number, length: number): number {
    const { seeds } = this
    const last = start + length - 4
    let h = length ^ seeds[0]!
    for (let i = start; i < last; i += 4) {
      h = Math.imul(h ^ view.getInt32(i, true), seeds[1]!)
      h = Math.imul((h << 15) | (h >>> 17), seeds[2]!)
    }
    h = Math.imul(h ^ view.getInt32(last, true), seeds[3]!)
    h = Math.imul(h ^ (h >>> 15), seeds[2]!)
    return h ^ (h >>> 16)
  }

  private same(view: DataView, start: number, at: number, length: number): boolean {
    const { longView } = this
    const last = length - 4
    for (let i = 0; i < last; i += 4) {
      if (view.getInt32(start + i, true) !== longView.getInt32(at + i, true)) return false
    }
    return view.getInt32(start + last, true) === longView.getInt32(at + last, true)
  }

  /** The token with these bytes, or ABSENT. */
  idOf(view: DataView, start: number, length: number): number {
    const slot = this.find(view, start, length)
    return slot === ABSENT ? ABSENT : this.token(slot)
  }

  /** From now on the token's word is merged like one that is no token. */
  neverWhole(tokens: TokenBytes, id: number): void {
    const slot = this.find(tokens.view, tokens.starts[id]!, tokens.lengths[id]!)
    if (slot !== ABSENT && this.token(slot) === id) this.slots[slot + 3] = ~id
  }

  value(slot: number): number {
    return this.slots[slot + 3]!
  }

  setValue(slot: number, value: number): void {
    this.slots[slot + 3] = value
  }

  /** Where the ids of a cached word lie in `cached`, after their number. */
  cachedAt(value: number): number {
    return -MAX_ID - value
  }

  /** The token of a slot's bytes, or ABSENT. */
  token(slot: number): number {
    const value = this.slots[slot + 3]!
    if (value >= 0) return value
    return value >= -MAX_ID ? ~value : this.cached[this.cachedAt(value) - 1]!
  }

  /** Remembers the ids of a word that `find` did not find in `slot`, or found there as a token that has other ids. */
  keep(
    view: DataView,
    start: number,
    length: number,
    slot: number,
    ids: Int32Array,
    count: number,
  ): void {
    if (
      this.cachedWords === CACHED_WORDS ||
      this.cachedEnd + count + 2 > CACHED_IDS ||
      this.longEnd + length > this.long.length
    ) {
      this.forget()
    }
    const token = slot === ABSENT ? ABSENT : this.token(slot)
    const at = slot === ABSENT ? this.insert(view, start, length, CACHED_CHAIN) : slot
    if (at < 0) return
    const { cached } = this
    cached[this.cachedEnd] = token
    cached[this.cachedEnd + 1] = count
    for (let i = 0; i < count; i++) cached[this.cachedEnd + 2 + i] = ids[i]!
    this.slots[at + 3] = -MAX_ID - (this.cachedEnd + 1)
    this.cachedEnd += count + 2
    this.cachedWords++
  }

  /** Takes the next free slot of the word's chain: ABSENT where that is too far, TAKEN where the word is there. */
  private insert(view: DataView, start: number, length: number, chain: number): number {
    const { slots, mask } = this
    let a: number
    let b: number
    let hash: number
    if (length <= INLINE) {
      a = view.getInt32(start, true) & FIRST[length]!
      b = view.getInt32(start + 4, true) & SECOND[length]!
      hash = this.hashShort(a, b, length)
    } else {
      a = hash = this.hashLong(view, start, length)
      b = this.longEnd
    }
    let slot = hash & mask
    for (let tries = 0; ; tries++) {
      const at = 4 * slot
      const found = slots[at + 2]!
      if (found === 0) break
      if (found === length && slots[at] === a) {
        const offset = slots[at + 1]!
        if (length <= INLINE ? offset === b : this.same(view, start, offset, length)) return TAKEN
      }
      if (tries === chain) return ABSENT
      slot = (slot + 1) & mask
    }
    if (length > INLINE) {
      for (let i = 0; i < length; i++) this.long[b + i] = view.getUint8(start + i)
      this.longEnd += length
    }
    slots[4 * slot] = a
    slots[4 * slot + 1] = b
    slots[4 * slot + 2] = length
    return 4 * slot
  }

  /** Empties the cache. Tokens were there first, so that no chain of theirs leads through a slot that gets free. */
  private forget(): void {
    const { slots, cached } = this
    for (let at = 0; at < slots.length; at += 4) {
      const value = slots[at + 3]!
      if (value >= -MAX_ID) continue
      const token = cached[this.cachedAt(value) - 1]!
      if (token === ABSENT) slots.fill(0, at, at + 4)
      else slots[at + 3] = ~token
    }
    this.cachedEnd = 0
    this.cachedWords = 0
    this.longEnd = this.tokensLongEnd
  }
}
