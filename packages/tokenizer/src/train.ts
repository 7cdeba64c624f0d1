// Trains byte-level BPE: words are counted once, pair counts are kept up to date merge by merge, and a heap with
// stale entries finds the next best pair. The result depends on the counts alone, not on the order of the texts.

import { latin1ToToken } from './bytes.js'
import type { BpeModel } from './bpe.js'
import { TokenizerError, brief } from './errors.js'
import { LLAMA3_PATTERN, SPLIT_PATTERNS } from './pretokenize.js'

export interface BpeTrainOptions {
  /** Tokens to end with at most, the 256 bytes among them. */
  readonly tokens: number
  /** A pair met less often than this is not merged. */
  readonly minFrequency: number
  /** Texts no token may spell (the special tokens). */
  readonly forbidden: readonly string[]
}

/** Counts the words of the texts. Keys are the words' bytes as Latin-1. */
export function countWords(texts: Iterable<string | Uint8Array>): Map<string, number> {
  const nextWord = SPLIT_PATTERNS.get(LLAMA3_PATTERN)!
  const counts = new Map<string, number>()
  for (const text of texts) {
    if (typeof text !== 'string' && !(text instanceof Uint8Array)) {
      throw new TokenizerError(
        'Tokenizer.train',
        `a text is ${brief(text)}. Strings or UTF-8 bytes are expected.`,
      )
    }
    const bytes =
      typeof text === 'string'
        ? Buffer.from(text, 'utf8')
        : Buffer.from(text.buffer, text.byteOffset, text.byteLength)
    for (let start = 0; start < bytes.length;) {
      const end = nextWord(bytes, start, bytes.length)
      if (end - start > 1) {
        const word = bytes.toString('latin1', start, end)
        counts.set(word, (counts.get(word) ?? 0) + 1)
      }
      start = end
    }
  }
  return counts
}

/** Ids 0 to 255 are the bytes, then one id a merge in the order they were made. Ties go to the smaller pair of ids. */
export function trainBpe(counts: ReadonlyMap<string, number>, options: BpeTrainOptions): BpeModel {
  const bytesOf: string[] = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte))
  const idOf = new Map(bytesOf.map((bytes, id) => [bytes, id]))
  const forbidden = new Set(options.forbidden.map((t) => Buffer.from(t, 'utf8').toString('latin1')))
  const names = new Set(options.forbidden) // no token may be written as one in the file either
  const merges: number[] = []
  const state = new PairState(counts, options.tokens)
  while (bytesOf.length < options.tokens) {
    const best = state.pop(options.minFrequency)
    if (best === undefined) break
    const [left, right] = best
    const bytes = bytesOf[left]! + bytesOf[right]!
    if (forbidden.has(bytes) || names.has(latin1ToToken(bytes))) continue
    // Two pairs may spell the same bytes ("a"+"bc", "ab"+"c"): the second merge leads to the token that is there.
    let id = idOf.get(bytes)
    if (id === undefined) {
      id = bytesOf.push(bytes) - 1
      idOf.set(bytes, id)
    }
    merges.push(left, right, id)
    state.apply(left, right, id)
  }
  return {
    tokens: bytesOf.map(latin1ToToken),
    merges: Int32Array.from(merges),
    ignoreMerges: false,
  }
}

class PairState {
  private readonly words: Int32Array[] = []
  private readonly lengths: number[] = []
  private readonly weights: number[] = []
  private readonly seenAt: Int32Array
  private readonly counts = new Map<number, number>()
  /** Words that held the pair once; may name a word twice or one that lost it since. */
  private readonly places = new Map<number, number[]>()
  private readonly heap = new PairHeap()
  private readonly done = new Set<number>()
  private readonly changed = new Set<number>()
  private round = 0

  constructor(
    counts: ReadonlyMap<string, number>,
    private readonly base: number,
  ) {
    for (const [word, weight] of counts) {
      const w = this.words.push(Int32Array.from(Buffer.from(word, 'latin1'))) - 1
      this.lengths.push(word.length)
      this.weights.push(weight)
      for (let i = 0; i + 1 < word.length; i++) {
        this.add(this.key(word.charCodeAt(i), word.charCodeAt(i + 1)), weight, w)
      }
    }
    this.seenAt = new Int32Array(this.words.length).fill(-1)
    this.offerChanged()
  }

  private key(left: number, right: number): number {
    return left * this.base + right
  }

  private add(key: number, weight: number, word: number): void {
    this.counts.set(key, (this.counts.get(key) ?? 0) + weight)
    const places = this.places.get(key)
    if (places === undefined) this.places.set(key, [word])
    else if (places[places.length - 1] !== word) places.push(word)
    this.changed.add(key)
  }

  private offerChanged(): void {
    for (const key of this.changed) this.heap.push(this.counts.get(key)!, key)
    this.changed.clear()
  }

  /** The most frequent pair not asked for before, if it is met at least `least` times. */
  pop(least: number): [number, number] | undefined {
    for (;;) {
      const top = this.heap.pop()
      if (top === undefined || top.count < least) return undefined
      const count = this.counts.get(top.key) ?? 0
      if (this.done.has(top.key)) continue
      if (count === top.count) {
        this.done.add(top.key)
        return [Math.floor(top.key / this.base), top.key % this.base]
      }
      // Counts fall without notice; one that rose has a fresher entry in the heap already.
      if (count > 0 && count < top.count) this.heap.push(count, top.key)
    }
  }

  apply(left: number, right: number, id: number): void {
    const pair = this.key(left, right)
    const places = this.places.get(pair) ?? []
    this.places.delete(pair)
    this.round++
    for (const w of places) {
      if (this.seenAt[w] === this.round) continue
      this.seenAt[w] = this.round
      this.rewrite(w, left, right, id)
    }
    this.counts.delete(pair)
    this.changed.delete(pair)
    this.offerChanged()
  }

  private rewrite(w: number, left: number, right: number, id: number): void {
    const word = this.words[w]!
    const n = this.lengths[w]!
    const weight = this.weights[w]!
    let write = 0
    for (let read = 0; read < n; write++) {
      const hit = read + 1 < n && word[read] === left && word[read + 1] === right
      if (hit) {
        if (write > 0) {
          this.drop(this.key(word[write - 1]!, left), weight)
          this.add(this.key(word[write - 1]!, id), weight, w)
        }
        if (read + 2 < n) {
          this.drop(this.key(right, word[read + 2]!), weight)
          this.add(this.key(id, word[read + 2]!), weight, w)
        }
        word[write] = id
        read += 2
      } else {
        word[write] = word[read]!
        read++
      }
    }
    this.lengths[w] = write
  }

  private drop(key: number, weight: number): void {
    const count = (this.counts.get(key) ?? 0) - weight
    if (count > 0) this.counts.set(key, count)
    else {
      this.counts.delete(key)
      this.changed.delete(key)
    }
  }
}

/** Largest count first, then smallest key. */
class PairHeap {
  private readonly counts: number[] = []
  private readonly keys: number[] = []

  private before(i: number, count: number, key: number): boolean {
    return this.counts[i]! > count || (this.counts[i] === count && this.keys[i]! < key)
  }

  private move(from: number, to: number): void {
    this.counts[to] = this.counts[from]!
    this.keys[to] = this.keys[from]!
  }

  push(count: number, key: number): void {
    let i = this.counts.push(count) - 1
    this.keys.push(key)
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (this.before(parent, count, key)) break
      this.move(parent, i)
      i = parent
    }
    this.counts[i] = count
    this.keys[i] = key
  }

  pop(): { count: number; key: number } | undefined {
    if (this.counts.length === 0) return undefined
    const top = { count: this.counts[0]!, key: this.keys[0]! }
    const count = this.counts.pop()!
    const key = this.keys.pop()!
    const n = this.counts.length
    if (n === 0) return top
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= n) break
      if (child + 1 < n && this.before(child + 1, this.counts[child]!, this.keys[child]!)) child++
      if (!this.before(child, count, key)) break
      this.move(child, i)
      i = child
    }
    this.counts[i] = count
    this.keys[i] = key
    return top
  }
}
