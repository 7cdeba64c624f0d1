// sentencepiece's Unigram: the tokens whose scores (log probabilities) add up to the most, found by Viterbi.

import { brief } from '../errors.js'
import type { JsonObject, Reader } from '../files/reader.js'
import { Trie } from '../text/trie.js'
import { MAX_ID } from './byte-bpe/word-table.js'
import { PieceCache, Vocab, append, byteTokens, pushBytes } from './model.js'
import type { Encoded, IdSink, Model } from './model.js'

/** Longer tokens would make each character of a text cost their length. */
const MAX_TOKEN_LENGTH = 512
/** How much worse than the worst token an unknown character is. */
const UNKNOWN_PENALTY = 10

export class Unigram implements Model {
  private readonly cache = new PieceCache<Encoded>()
  private readonly trie: Trie
  private readonly byteIds: Int32Array
  private readonly unknownScore: number

  constructor(
    readonly vocab: Vocab,
    private readonly scores: Float64Array,
    readonly unknown: number | undefined,
    private readonly byteFallback: boolean,
    /** Ids that no text may become: the special tokens. */
    reserved: ReadonlySet<number>,
    private readonly fail: (text: string) => never,
  ) {
    this.byteIds = byteFallback ? byteTokens(vocab) : new Int32Array(0)
    this.trie = new Trie(vocab.tokens.length * 4)
    let worst = Infinity
    vocab.tokens.forEach((token, id) => {
      worst = Math.min(worst, scores[id]!)
      if (!reserved.has(id)) this.trie.add(token!, id)
    })
    this.unknownScore = worst - UNKNOWN_PENALTY
  }

  encode(piece: string, ids: IdSink, spans: number[] | null): void {
    append(this.cache.get(piece, this.best), 0, ids, spans)
  }

  private readonly best = (piece: string): Encoded => {
    const n = piece.length
    const { trie, scores, unknownScore } = this
    const score = new Float64Array(n + 1)
    const from = new Int32Array(n + 1).fill(-1) // where the best token that ends here begins
    const token = new Int32Array(n + 1) // -1: unknown
    const offer = (start: number, end: number, id: number, value: number): void => {
      if (from[end]! >= 0 && value <= score[end]!) return
      score[end] = value
      from[end] = start
      token[end] = id
    }
    for (let start = 0; start < n;) {
      const width = piece.codePointAt(start)! > 0xffff ? 2 : 1
      const soFar = score[start]!
      let single = false
      let node = 0
      for (let i = start; i < n;) {
        node = trie.step(node, piece.charCodeAt(i++))
        if (node < 0) break
        const id = trie.valueAt(node)
        if (id < 0) continue
        offer(start, i, id, scores[id]! + soFar)
        if (i === start + width) single = true
      }
      if (!single) offer(start, start + width, -1, unknownScore + soFar)
      start += width
    }
    return this.readBack(piece, from, token)
  }

  private readBack(piece: string, from: Int32Array, token: Int32Array): Encoded {
    const ends: number[] = [] // from the last to the first, unknown neighbours in one
    for (let end = piece.length; end > 0; end = from[end]!) {
      const isUnknown = (at: number): boolean => token[at] === -1 || token[at] === this.unknown
      if (ends.length > 0 && isUnknown(end) && isUnknown(ends[ends.length - 1]!)) continue
      ends.push(end)
    }
    const ids: number[] = []
    const spans: number[] = []
    let start = 0
    for (let k = ends.length - 1; k >= 0; k--) {
      const end = ends[k]!
      const push = (id: number): void => {
        ids.push(id)
        spans.push(start, end)
      }
      const id = token[end]!
      if (id >= 0 && id !== this.unknown) push(id)
      else {
        const text = piece.slice(start, end)
        if (!this.byteFallback || !pushBytes(text, this.byteIds, push)) {
          push(this.unknown ?? this.fail(text))
        }
      }
      start = end
    }
    return { ids, spans }
  }

  toJSON(): JsonObject {
    return { vocab: this.vocab.tokens.map((token, id) => [token, this.scores[id]]) }
  }
}

/** Reads a `model` of type Unigram. */
export function readUnigram(
  read: Reader,
  model: JsonObject,
  reserved: ReadonlySet<number>,
  fail: (text: string) => never,
): Unigram {
  read.only(model, 'model', ['type', 'unk_id', 'byte_fallback', 'vocab'])
  const entries = read.array(model.vocab, 'model.vocab', MAX_ID)
  if (entries.length === 0) read.fail('model.vocab', 'is empty.')
  const vocab = new Vocab()
  const scores = new Float64Array(entries.length)
  entries.forEach((entry, id) => {
    const field = `model.vocab[${id}]`
    const pair = read.array(entry, field, 2)
    const token = read.text(pair[0], `${field}[0]`)
    const score = pair[1]
    if (typeof score !== 'number' || !Number.isFinite(score)) {
      read.fail(`${field}[1]`, `is ${brief(score)}. A score is expected.`)
    }
    if (token.length > MAX_TOKEN_LENGTH) {
      read.fail(
        `${field}[0]`,
        `has ${token.length} characters. At most ${MAX_TOKEN_LENGTH} are read.`,
      )
    }
    vocab.add(read, token, id, () => field)
    scores[id] = score
  })
  const unknown =
    model.unk_id === null || model.unk_id === undefined
      ? undefined
      : read.integer(model.unk_id, 'model.unk_id', 0, entries.length - 1)
  const byteFallback = read.boolean(model.byte_fallback, 'model.byte_fallback', false)
  return new Unigram(vocab, scores, unknown, byteFallback, reserved, fail)
}
