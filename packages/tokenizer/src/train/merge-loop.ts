// The merges of byte-level BPE from counted words. Every word lies in one array of positions, one a byte, with a
// separator before and behind it. A token's id stands at its first and at its last byte, so that both neighbours are
// found without links. Counts of pairs are kept up to date merge by merge, each pair knows its places, and a heap
// with stale entries gives the next best pair. The result depends on the counts alone.

import { PairHeap } from './pair-heap.js'
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

export class MergeLoop {
  /** Bytes of each token as Latin-1. */
  readonly tokens: string[] = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte))
  /** Flat triples of ids (left, right, merged). */
  readonly merges: number[] = []
  private readonly idOf = new Map(this.tokens.map((bytes, id) => [bytes, id]))
  private readonly forbidden: ReadonlySet<string>
  private readonly lengths: Int32Array
  private readonly ids: Int32Array
  private readonly wordOf: Int32Array
  private readonly pairs = new PairTable()
  private readonly heap = new PairHeap()
  /** Pairs that were merged or refused; none of them is asked for again. */
  private readonly done = new Set<number>()
  /** Lists of places: where the next list of the same pair is, how many places follow, the places upwards. */
  private places = new Int32Array(1 << 12)
  private placesUsed = 1
  private readonly before: Neighbours
  private readonly behind: Neighbours

  constructor(
    private readonly words: WordColumns,
    private readonly options: MergeOptions,
    state?: MergeState,
  ) {
    this.forbidden = new Set(options.forbidden.map(utf8AsLatin1))
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
    for (let m = 0; m < merges.length; m += 3) {
      const [left, right, id] = [merges[m]!, merges[m + 1]!, merges[m + 2]!]
      this.done.add(keyOf(left, right))
      this.merges.push(left, right, this.token(this.tokens[left]! + this.tokens[right]!))
      if (this.merges[m + 2] !== id) throw new Error(`merge ${m / 3} leads to ${id}`)
    }
  }

  /** All pairs of the array of positions, with their places. */
  private countPairs(): void {
    const { ids, lengths, pairs, wordOf } = this
    const found = new Int32Array(ids.length).fill(-1)
    let number = new Int32Array(1 << 12)
    for (let at = 1; at < ids.length; ) {
      const left = ids[at]!
      const next = left < 0 ? at + 1 : at + lengths[left]!
      if (left >= 0 && ids[next]! >= 0) {
        const pair = pairs.make(left, ids[next]!)
        pairs.count[pair]! += this.words.counts[wordOf[at]!]!
        if (pair >= number.length) {
          const wider = new Int32Array(2 * number.length)
          wider.set(number)
          number = wider
        }
        number[pair]!++
        found[at] = pair
      }
      at = next
    }
    for (let at = 1; at < ids.length; at++) {
      const pair = found[at]!
      if (pair < 0) continue
      if (pairs.head[pair] === 0) {
        pairs.head[pair] = this.newList(number[pair]!, 0)
        this.offer(pair)
        number[pair] = pairs.head[pair]! + 2
      }
      this.places[number[pair]!++] = at
    }
  }

  private newList(length: number, next: number): number {
    const list = this.placesUsed
    this.placesUsed += length + 2
    if (this.placesUsed > this.places.length) {
      const wider = new Int32Array(Math.max(this.placesUsed, Math.ceil(1.5 * this.places.length)))
      wider.set(this.places.subarray(0, list))
      this.places = wider
    }
    this.places[list] = next
    this.places[list + 1] = length
    return list
  }

  private offer(pair: number): void {
    const count = this.pairs.count[pair]!
    if (count >= this.options.minFrequency) {
      this.heap.push(count, this.pairs.left[pair]!, this.pairs.right[pair]!)
    }
  }

  /** Makes the next merge; false where there is none to make any more. */
  step(): boolean {
    while (this.tokens.length < this.options.tokens) {
      const pair = this.best()
      if (pair < 0) return false
      const left = this.pairs.left[pair]!
      const right = this.pairs.right[pair]!
      this.done.add(keyOf(left, right))
      if (this.lengths[left]! + this.lengths[right]! > this.options.maxTokenLength) continue
      const bytes = this.tokens[left]! + this.tokens[right]!
      if (this.forbidden.has(bytes)) continue
      const id = this.token(bytes)
      this.merges.push(left, right, id)
      this.merge(pair, id)
      return true
    }
    return false
  }

  /** Two pairs may spell the same bytes ("a"+"bc", "ab"+"c"): the second leads to the token that is there. */
  private token(bytes: string): number {
    let id = this.idOf.get(bytes)
    if (id === undefined) {
      id = this.tokens.push(bytes) - 1
      this.idOf.set(bytes, id)
      this.lengths[id] = bytes.length
    }
    return id
  }

  /** The most frequent pair that was not asked for before, or -1. */
  private best(): number {
    const { heap, pairs, done } = this
    while (heap.pop()) {
      const { count, left, right } = heap
      if (done.has(keyOf(left, right))) continue
      const pair = pairs.find(left, right)
      if (pair < 0) continue
      const now = pairs.count[pair]!
      if (now === count) return pair
      // Counts fall without notice; one that rose has a fresher entry in the heap already.
      if (now < count) this.offer(pair)
    }
    return -1
  }

  private merge(pair: number, id: number): void {
    const { ids, lengths, wordOf, before, behind } = this
    const { counts } = this.words
    const left = this.pairs.left[pair]!
    const right = this.pairs.right[pair]!
    const places = this.placesOf(pair)
    for (let i = 0; i < places.length; i++) {
      const at = places[i]!
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
    for (const x of before.tokens) this.offerNew(this.pairs.find(x, id))
    for (const y of behind.tokens) this.offerNew(this.pairs.find(id, y))
    before.clear()
    behind.clear()
  }

  /** The pair's places upwards, so that runs ("aaa") merge from the left. */
  private placesOf(pair: number): Int32Array {
    const { places } = this
    let list = this.pairs.head[pair]!
    if (places[list] === 0) return places.subarray(list + 2, list + 2 + places[list + 1]!)
    const all: number[] = []
    for (; list !== 0; list = places[list]!) {
      for (let i = 0; i < places[list + 1]!; i++) all.push(places[list + 2 + i]!)
    }
    return Int32Array.from(all).sort()
  }

  private gain(side: Neighbours, pairOf: (token: number) => number): void {
    const { pairs } = this
    for (const token of side.tokens) {
      const pair = pairOf(token)
      pairs.count[pair]! += side.weight[token]!
      pairs.head[pair] = this.newList(side.number[token]!, pairs.head[pair]!)
      side.number[token] = pairs.head[pair]! + 2
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

  private offerNew(pair: number): void {
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

const keyOf = (left: number, right: number): number => left * 2 ** 21 + right

function utf8AsLatin1(text: string): string {
  let bytes = ''
  for (const byte of new TextEncoder().encode(text)) bytes += String.fromCharCode(byte)
  return bytes
}
