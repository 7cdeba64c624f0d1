// Byte-level BPE over fixed merges. Short words scan for the best pair; longer ones keep their pairs in a heap,
// so that one word of a megabyte costs n log n and not n².

import { randomInt } from 'node:crypto'
import { alphabetToLatin1 } from './bytes.js'
import type { NextWord } from './pretokenize.js'

export interface BpeModel {
  /** Token text by id in the file's byte alphabet; a hole where an id belongs to no token of the model. */
  readonly tokens: readonly (string | undefined)[]
  /** Flat triples of ids (left, right, merged), best first. */
  readonly merges: Int32Array
  /** Take a word that is a token as it is, without merging (Llama 3's files). */
  readonly ignoreMerges: boolean
}

const SCAN_LIMIT = 40 // bytes up to which the plain scan beats the heap
const CACHED_LENGTH = 32
const CACHE_SIZE = 1 << 16

/** (left, right) → index of the merge. Random odd multipliers, so that no file can choose its collisions. */
class PairTable {
  private readonly slots: Int32Array
  private readonly mask: number
  private readonly a = randomInt(1 << 30) * 2 + 1
  private readonly b = randomInt(1 << 30) * 2 + 1

  constructor(private readonly merges: Int32Array) {
    let size = 16
    while (size < merges.length) size *= 2 // load at most a third
    this.mask = size - 1
    this.slots = new Int32Array(size).fill(-1)
    for (let m = 0; m < merges.length; m += 3) {
      let slot = this.hash(merges[m]!, merges[m + 1]!)
      while (this.slots[slot]! >= 0) slot = (slot + 1) & this.mask
      this.slots[slot] = m
    }
  }

  private hash(left: number, right: number): number {
    let h = Math.imul(left, this.a) ^ Math.imul(right + 1, this.b)
    h = Math.imul(h ^ (h >>> 15), this.b)
    return (h ^ (h >>> 13)) & this.mask
  }

  /** Offset of the triple in `merges`, which is also its rank, or -1. */
  get(left: number, right: number): number {
    const { merges, slots, mask } = this
    let slot = this.hash(left, right)
    for (;;) {
      const m = slots[slot]!
      if (m < 0 || (merges[m] === left && merges[m + 1] === right)) return m
      slot = (slot + 1) & mask
    }
  }
}

export class Bpe {
  private readonly pairs: PairTable
  private readonly idOfByte = new Int32Array(256)
  private readonly whole: Map<string, number> | undefined
  private readonly cache = new Map<string, readonly number[]>()

  /** `reserved` are ids that no text may become (the special tokens); all 256 bytes must be tokens. */
  constructor(
    private readonly model: BpeModel,
    private readonly nextWord: NextWord,
    reserved: ReadonlySet<number>,
  ) {
    this.pairs = new PairTable(model.merges)
    const whole = new Map<string, number>()
    model.tokens.forEach((token, id) => {
      if (token === undefined || reserved.has(id)) return
      const bytes = alphabetToLatin1(token)
      if (bytes === undefined) return
      if (bytes.length === 1) this.idOfByte[bytes.charCodeAt(0)] = id
      if (model.ignoreMerges) whole.set(bytes, id)
    })
    this.whole = model.ignoreMerges ? whole : undefined
  }

  /** Appends the ids of `bytes` to `out`. */
  encode(bytes: Buffer, out: number[]): void {
    let start = 0
    while (start < bytes.length) {
      const end = this.nextWord(bytes, start, bytes.length)
      this.encodeWord(bytes, start, end, out)
      start = end
    }
  }

  private encodeWord(bytes: Buffer, start: number, end: number, out: number[]): void {
    if (end - start === 1) {
      out.push(this.idOfByte[bytes[start]!]!)
      return
    }
    if (end - start > CACHED_LENGTH) {
      const id = this.whole?.get(bytes.toString('latin1', start, end))
      if (id !== undefined) out.push(id)
      else for (const part of this.merge(bytes, start, end)) out.push(part)
      return
    }
    const key = bytes.toString('latin1', start, end)
    let ids = this.cache.get(key)
    if (ids === undefined) {
      const id = this.whole?.get(key)
      ids = id === undefined ? this.merge(bytes, start, end) : [id]
      if (this.cache.size >= CACHE_SIZE) this.cache.clear()
      this.cache.set(key, ids)
    }
    for (let i = 0; i < ids.length; i++) out.push(ids[i]!)
  }

  private merge(bytes: Uint8Array, start: number, end: number): number[] {
    const ids: number[] = []
    for (let i = start; i < end; i++) ids.push(this.idOfByte[bytes[i]!]!)
    return ids.length <= SCAN_LIMIT ? this.mergeByScan(ids) : this.mergeByHeap(ids)
  }

  private mergeByScan(ids: number[]): number[] {
    const { merges } = this.model
    for (;;) {
      let best = -1
      let at = 0
      for (let i = 0; i + 1 < ids.length; i++) {
        const m = this.pairs.get(ids[i]!, ids[i + 1]!)
        if (m >= 0 && (best < 0 || m < best)) {
          best = m
          at = i
        }
      }
      if (best < 0) return ids
      ids[at] = merges[best + 2]!
      ids.splice(at + 1, 1)
    }
  }

  private mergeByHeap(ids: number[]): number[] {
    const { merges } = this.model
    const n = ids.length
    const id = Int32Array.from(ids)
    const next = new Int32Array(n)
    const prev = new Int32Array(n)
    const heap = new MinHeap()
    const offer = (i: number): void => {
      const m = this.pairs.get(id[i]!, id[next[i]!]!)
      if (m >= 0) heap.push(m * 2 ** 31 + i) // by rank, then by place; below 2^53
    }
    for (let i = 0; i < n; i++) {
      next[i] = i + 1
      prev[i] = i - 1
    }
    for (let i = 0; i + 1 < n; i++) offer(i)
    while (heap.size > 0) {
      const top = heap.pop()
      const m = Math.floor(top / 2 ** 31)
      const i = top - m * 2 ** 31
      const j = next[i]!
      // An entry is stale when its place was merged away or holds another pair by now; dead places have id -1.
      if (j >= n || id[i] !== merges[m] || id[j] !== merges[m + 1]) continue
      id[i] = merges[m + 2]!
      id[j] = -1
      const after = next[j]!
      next[i] = after
      if (after < n) {
        prev[after] = i
        offer(i)
      }
      if (prev[i]! >= 0) offer(prev[i]!)
    }
    const out: number[] = []
    for (let i = 0; i < n; i = next[i]!) out.push(id[i]!)
    return out
  }
}

/** Binary heap of numbers, smallest first. */
class MinHeap {
  private readonly items: number[] = []

  get size(): number {
    return this.items.length
  }

  push(value: number): void {
    const { items } = this
    let i = items.push(value) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (items[parent]! <= value) break
      items[i] = items[parent]!
      i = parent
    }
    items[i] = value
  }

  pop(): number {
    const { items } = this
    const top = items[0]!
    const value = items.pop()!
    const n = items.length
    if (n > 0) {
      let i = 0
      for (;;) {
        let child = 2 * i + 1
        if (child >= n) break
        if (child + 1 < n && items[child + 1]! < items[child]!) child++
        if (items[child]! >= value) break
        items[i] = items[child]!
        i = child
      }
      items[i] = value
    }
    return top
  }
}
