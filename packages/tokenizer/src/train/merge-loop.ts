// The merges of byte-level BPE from counted words. Every word lies in one array of positions, one a byte, with a
// separator before and behind it. A token's id stands at its first and at its last byte, so that both neighbours are
// found without links. Counts of pairs are kept up to date merge by merge, each pair knows its places, and a heap
// with stale entries gives the next best pair. The result depends on the counts alone.
//
// A pair is never met again once it was merged, and no two pairs spell the same token: what is merged inside a stretch
// of text depends on that stretch alone, as long as no merge crosses its ends. So all places of a pair are known when
// it first appears, and its count only falls.

import { tokenToBytes } from '../text/alphabet.js'
import { Heap } from '../text/heap.js'
import { PairTable } from './pair-table.js'
import type { WordColumns } from './word-counts.js'

export interface MergeOptions {
  /** Tokens to end with at most, the 256 bytes among them. */
  readonly tokens: number
  /** A pair met less often than this is not merged. */
  readonly minFrequency: number
  /** Bytes of a token at most. */
  readonly maxTokenLength: number
  /** Texts no token may spell (the special tokens). */
  readonly forbidden: readonly string[]
}

/** What has been merged so far; with the words it was merged from, enough to go on. */
export interface MergeState {
  /** Flat triples of ids (left, right, merged), best first. */
  readonly merges: Int32Array
  /** The array of positions. */
  readonly ids: Int32Array
}

const SEPARATOR = -1
const INSIDE = -2 // neither the first nor the last byte of a token
const RIGHT = 2 ** 21 // ids are below it: a pair is one number, by left and then by right

export class MergeLoop {
  /** Bytes of each token as Latin-1. */
  readonly tokens: string[] = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte))
  /** Flat triples of ids (left, right, merged). */
  readonly merges: number[] = []
  private readonly forbidden: Set<string>
  private readonly lengths: Int32Array
  private readonly ids: Int32Array
  private readonly wordOf: Int32Array
  private readonly pairs = new PairTable()
  /** Pairs by count, the largest first; of equal ones that with the smaller left and then the smaller right token. */
  private readonly heap = new Heap(1 << 12)
  /** By pair, from its head on: how many places follow, the places upwards. */
  private places = new Int32Array(1 << 12)
  private placesUsed = 0
  private readonly before: Neighbours
  private readonly behind: Neighbours

  constructor(
    private readonly words: WordColumns,
    private readonly options: MergeOptions,
    state?: MergeState,
  ) {
    this.forbidden = new Set(options.forbidden.map(utf8AsLatin1))
    // Nor may the file spell a token as it spells one of them.
    for (const token of options.forbidden) {
      const bytes = tokenToBytes(token)
      if (bytes !== undefined) this.forbidden.add(asLatin1(bytes))
    }
    this.lengths = new Int32Array(options.tokens).fill(1, 0, 256)
    this.before = new Neighbours(options.tokens)
    this.behind = new Neighbours(options.tokens)
    this.wordOf = new Int32Array(words.bytes.length + words.lengths.length + 1)
    this.ids = state?.ids ?? new Int32Array(this.wordOf.length)
    this.layOut(state === undefined)
    if (state !== undefined) this.recall(state.merges)
    this.countPairs()
  }

  private layOut(fresh: boolean): void {
    const { bytes, lengths } = this.words
    if (fresh) this.ids[0] = SEPARATOR
    for (let word = 0, from = 0, at = 1; word < lengths.length; word++) {
      const length = lengths[word]!
      this.wordOf.fill(word, at, at + length)
      if (fresh) {
        for (let i = 0; i < length; i++) this.ids[at + i] = bytes[from + i]!
        this.ids[at + length] = SEPARATOR
      }
      from += length
      at += length + 1
    }
  }

  private recall(merges: Int32Array): void {
    for (let m = 0; m < merges.length; m += 3) this.addToken(merges[m]!, merges[m + 1]!)
  }

  /** All pairs of the array of positions, with their places. */
  private countPairs(): void {
    const { ids, lengths, pairs, wordOf } = this
    const pairAt = new Int32Array(ids.length).fill(-1)
    const numbers: number[] = []
    for (let at = 1; at < ids.length;) {
      const left = ids[at]!
      const next = left < 0 ? at + 1 : at + lengths[left]!
      if (left >= 0 && ids[next]! >= 0) {
        const pair = pairs.make(left, ids[next]!)
        pairs.count[pair]! += this.words.counts[wordOf[at]!]!
        if (pair === numbers.length) numbers.push(0)
        numbers[pair]!++
        pairAt[at] = pair
      }
      at = next
    }
    const cursors = Int32Array.from(numbers, (number, pair) => {
      pairs.head[pair] = this.newList(number)
      this.offer(pair)
      return pairs.head[pair]! + 1
    })
    for (let at = 1; at < ids.length; at++) {
      const pair = pairAt[at]!
      if (pair >= 0) this.places[cursors[pair]!++] = at
    }
  }

  /** Room for places; returns its head. */
  private newList(length: number): number {
    const head = this.placesUsed
    this.placesUsed += length + 1
    if (this.placesUsed > this.places.length) {
      const wider = new Int32Array(Math.max(this.placesUsed, Math.ceil(1.5 * this.places.length)))
      wider.set(this.places.subarray(0, head))
      this.places = wider
    }
    this.places[head] = length
    return head
  }

  private offer(pair: number): void {
    const count = this.pairs.count[pair]!
    if (count >= this.options.minFrequency) {
      this.heap.push(-count, this.pairs.left[pair]! * RIGHT + this.pairs.right[pair]!)
    }
  }

  /** Makes the next merge; false where there is none to make any more. */
  step(): boolean {
    while (this.tokens.length < this.options.tokens) {
      const pair = this.best()
      if (pair < 0) return false
      const left = this.pairs.left[pair]!
      const right = this.pairs.right[pair]!
      if (this.lengths[left]! + this.lengths[right]! > this.options.maxTokenLength) continue
      if (this.forbidden.has(this.tokens[left]! + this.tokens[right]!)) continue
      this.merge(pair, this.addToken(left, right))
      return true
    }
    return false
  }

  private addToken(left: number, right: number): number {
    const bytes = this.tokens[left]! + this.tokens[right]!
    const id = this.tokens.push(bytes) - 1
    this.lengths[id] = bytes.length
    this.merges.push(left, right, id)
    return id
  }

  /** The most frequent pair that was not asked for before, or -1. */
  private best(): number {
    const { heap, pairs } = this
    while (heap.pop()) {
      const left = Math.floor(heap.at / RIGHT)
      const pair = pairs.find(left, heap.at - left * RIGHT)
      if (pair < 0) continue
      if (pairs.count[pair] === -heap.rank) return pair
      this.offer(pair) // its count fell since it was put there
    }
    return -1
  }

  private merge(pair: number, id: number): void {
    const { ids, lengths, wordOf, before, behind } = this
    const { counts } = this.words
    const left = this.pairs.left[pair]!
    const right = this.pairs.right[pair]!
    const { places } = this
    const head = this.pairs.head[pair]!
    for (let i = head + 1; i <= head + places[head]!; i++) {
      const at = places[i]! // upwards, so that runs ("aaa") merge from the left
      const middle = at + lengths[left]!
      // Stale where a token was merged away: tokens only grow, so an id that is still there is the same token.
      if (ids[at] !== left || ids[middle] !== right) continue
      const end = middle + lengths[right]!
      const count = counts[wordOf[at]!]!
      const x = ids[at - 1]!
      if (x >= 0) before.add(x, at - lengths[x]!, count)
      const y = ids[end]!
      if (y >= 0) behind.add(y, at, count)
      ids[middle - 1] = INSIDE
      ids[middle] = INSIDE
      ids[at] = id
      ids[end - 1] = id
    }
    this.gain(before, (x) => this.pairs.make(x, id))
    this.gain(behind, (y) => this.pairs.make(id, y))
    this.lose(before, (x) => this.pairs.find(x, left))
    this.lose(behind, (y) => this.pairs.find(right, y))
    const rest = this.pairs.find(left, right)
    if (rest >= 0) this.pairs.remove(rest)
    for (const x of before.tokens) this.offerNew(x, id)
    for (const y of behind.tokens) this.offerNew(id, y)
    before.clear()
    behind.clear()
  }

  private gain(side: Neighbours, pairOf: (token: number) => number): void {
    const { pairs } = this
    for (const token of side.tokens) {
      const pair = pairOf(token)
      pairs.count[pair] = side.weight[token]!
      pairs.head[pair] = this.newList(side.number[token]!)
      side.number[token] = pairs.head[pair]! + 1
    }
    for (let i = 0; i < side.length; i++) {
      this.places[side.number[side.token[i]!]!++] = side.place[i]!
    }
  }

  private lose(side: Neighbours, pairOf: (token: number) => number): void {
    const { count } = this.pairs
    for (const token of side.tokens) {
      const pair = pairOf(token)
      count[pair]! -= side.weight[token]!
      if (count[pair] === 0) this.pairs.remove(pair)
    }
  }

  private offerNew(left: number, right: number): void {
    const pair = this.pairs.find(left, right)
    if (pair >= 0) this.offer(pair)
  }

  state(): MergeState {
    return { merges: Int32Array.from(this.merges), ids: this.ids }
  }
}

/** The tokens met beside a merged pair, on one side: where, and how often all together. */
class Neighbours {
  /** Those met, each once. */
  readonly tokens: number[] = []
  readonly weight: Float64Array
  readonly number: Int32Array
  /** Every meeting, in order. */
  length = 0
  token = new Int32Array(1 << 10)
  place = new Int32Array(1 << 10)

  constructor(size: number) {
    this.weight = new Float64Array(size)
    this.number = new Int32Array(size)
  }

  add(token: number, place: number, count: number): void {
    if (this.length === this.token.length) {
      const [tokens, places] = [new Int32Array(2 * this.length), new Int32Array(2 * this.length)]
      tokens.set(this.token)
      places.set(this.place)
      this.token = tokens
      this.place = places
    }
    this.token[this.length] = token
    this.place[this.length++] = place
    if (this.number[token] === 0) this.tokens.push(token)
    this.number[token]!++
    this.weight[token]! += count
  }

  clear(): void {
    for (const token of this.tokens) {
      this.weight[token] = 0
      this.number[token] = 0
    }
    this.tokens.length = 0
    this.length = 0
  }
}

function utf8AsLatin1(text: string): string {
  return asLatin1(new TextEncoder().encode(text))
}

function asLatin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')
}
