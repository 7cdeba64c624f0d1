// BPE over characters, with all that tokenizer.json lets it do: unknown characters, byte fallback, marks of words'
// insides and ends, dropout. Byte-level files run on it too, over the byte alphabet, where the byte-level model does not fit.

import { brief } from '../errors.js'
import type { JsonObject, Reader } from '../files/reader.js'
import type { MergeList } from '../files/tokenizer-document.js'
import { PairMap } from '../text/pair-map.js'
import { randomFrom } from '../text/random.js'
import { MergeRow } from './merge-row.js'
import { PieceCache, Vocab, append, byteTokens, mergeList, pushBytes } from './model.js'
import type { Encoded, IdSink, Model, Vocabulary } from './model.js'
import { PairTable } from './pair-table.js'

export interface BpeOptions {
  readonly unknown: number | undefined
  readonly fuseUnknown: boolean
  readonly byteFallback: boolean
  /** Take a piece that is a token as it is, without merging (Llama 3's files). */
  readonly ignoreMerges: boolean
  /** Before each character of a piece but the first, and after the last. */
  readonly prefix: string
  readonly suffix: string
  /** The chance that a merge is left out. */
  readonly dropout: number
}

export class Bpe implements Model {
  readonly unknown: number | undefined
  private readonly cache = new PieceCache<Encoded>()
  private readonly byteIds: Int32Array
  /** Whether a piece is worth cutting where no merge can join its characters. */
  private readonly cuts: boolean
  /** Last and first characters that some merge joins. Made when it is first asked for. */
  private joints: PairMap | undefined
  private random = randomFrom(0)
  private readonly row = new MergeRow()

  constructor(
    readonly vocab: Vocab,
    readonly pairs: PairTable,
    readonly options: BpeOptions,
    /** Ids that no text may become: the special tokens. */
    private readonly reserved: ReadonlySet<number>,
    private readonly spelling: 'joined' | 'pairs',
  ) {
    this.unknown = options.unknown
    this.byteIds = options.byteFallback ? byteTokens(vocab) : new Int32Array(0)
    this.cuts = options.prefix === '' && options.suffix === ''
  }

  /** Begins the sequence of dropped merges anew. */
  seed(seed: number): void {
    this.random = randomFrom(seed)
  }

  private get junctions(): PairMap {
    if (this.joints !== undefined) return this.joints
    const { vocab } = this
    const { merges } = this.pairs
    const found = new PairMap(1 << 12)
    for (let m = 0; m < merges.length; m += 3) {
      const left = vocab.tokens[merges[m]!]!
      const right = vocab.tokens[merges[m + 1]!]!
      found.set(lastCodePoint(left), right.codePointAt(0)!, 1)
    }
    return (this.joints = found)
  }

  encode(piece: string, ids: IdSink, spans: number[] | null): void {
    const { options } = this
    if (options.dropout > 0) {
      append(this.merge(piece), 0, ids, spans)
      return
    }
    if (options.ignoreMerges) {
      const id = this.known(piece)
      if (id !== undefined) {
        ids.push(id)
        spans?.push(0, piece.length)
        return
      }
    }
    if (this.cuts && piece.length > 16) this.encodeInParts(piece, ids, spans)
    else append(this.cache.get(piece, this.merge), 0, ids, spans)
  }

  /**
   * No merge crosses two characters that end and begin no merge's sides, so a long piece falls apart there into words
   * that the cache knows. An unknown character stays with what is before it: the two may fuse.
   */
  private encodeInParts(piece: string, ids: IdSink, spans: number[] | null): void {
    const { junctions } = this
    let start = 0
    let before = piece.codePointAt(0)!
    for (let i = before > 0xffff ? 2 : 1; i < piece.length;) {
      const c = piece.codePointAt(i)!
      if (junctions.get(before, c) < 0 && this.known(String.fromCodePoint(c)) !== undefined) {
        append(this.cache.get(piece.slice(start, i), this.merge), start, ids, spans)
        start = i
      }
      before = c
      i += c > 0xffff ? 2 : 1
    }
    append(this.cache.get(piece.slice(start), this.merge), start, ids, spans)
  }

  private known(token: string): number | undefined {
    const id = this.vocab.ids.get(token)
    return id === undefined || this.reserved.has(id) ? undefined : id
  }

  private readonly merge = (piece: string): Encoded => {
    const { unknown, fuseUnknown, byteFallback, prefix, suffix, dropout } = this.options
    const { row } = this
    row.open(3 * piece.length) // a unit has three bytes at most
    let pending = -1 // where unknown characters began that have no id yet
    const flush = (): void => {
      if (pending < 0) return
      row.push(unknown!, pending)
      pending = -1
    }
    for (let i = 0; i < piece.length;) {
      const width = piece.codePointAt(i)! > 0xffff ? 2 : 1
      let char = piece.slice(i, i + width)
      if (i > 0) char = prefix + char
      if (i + width === piece.length) char += suffix
      const id = this.known(char)
      const at = i
      i += width
      if (id !== undefined) {
        flush()
        row.push(id, at)
      } else if (byteFallback && pushBytes(char, this.byteIds, (byte) => row.push(byte, at))) {
        // Unknown characters that wait do so beyond the bytes, as in Hugging Face's.
      } else if (unknown !== undefined) {
        if (!fuseUnknown) flush()
        if (pending < 0) pending = at
      }
    }
    flush()
    const drop = dropout > 0 ? () => this.random() < dropout : undefined
    row.merge(this.pairs, piece.length, drop)
    const { length, starts } = row
    const ids: number[] = []
    const spans: number[] = []
    for (let i = 0; i < length; i++) {
      // Several bytes of one character all stand for it.
      let next = i + 1
      while (next < length && starts[next] === starts[i]) next++
      ids.push(row.ids[i]!)
      spans.push(starts[i]!, next < length ? starts[next]! : piece.length)
    }
    return { ids, spans }
  }

  toJSON(): JsonObject {
    const triples = this.pairs.merges
    const { tokens } = this.vocab
    const merges: unknown[] = []
    for (let m = 0; m < triples.length; m += 3) {
      const [left, right] = [tokens[triples[m]!]!, tokens[triples[m + 1]!]!]
      merges.push(this.spelling === 'pairs' ? [left, right] : `${left} ${right}`)
    }
    return { vocab: this.vocab.toJSON(), merges }
  }
}

function lastCodePoint(text: string): number {
  const pair = text.length > 1 ? text.codePointAt(text.length - 2)! : 0
  return pair > 0xffff ? pair : text.charCodeAt(text.length - 1)
}

/** The fields of a `model` of type BPE but for its vocabulary and merges; '' where a text is none. */
export function readBpeOptions(
  read: Reader,
  model: JsonObject,
): Omit<BpeOptions, 'unknown'> & { readonly unknownToken: string } {
  read.only(model, 'model', [
    'type',
    'dropout',
    'unk_token',
    'continuing_subword_prefix',
    'end_of_word_suffix',
    'fuse_unk',
    'byte_fallback',
    'ignore_merges',
    'vocab',
    'merges',
  ])
  const optional = (field: string): string =>
    model[field] === null || model[field] === undefined
      ? ''
      : read.text(model[field], `model.${field}`, true)
  const dropout = model.dropout ?? 0
  if (typeof dropout !== 'number' || !(dropout >= 0 && dropout <= 1)) {
    read.fail('model.dropout', `is ${brief(dropout)}. A number from 0 to 1 is expected.`)
  }
  return {
    unknownToken: optional('unk_token'),
    fuseUnknown: read.boolean(model.fuse_unk, 'model.fuse_unk', false),
    byteFallback: read.boolean(model.byte_fallback, 'model.byte_fallback', false),
    ignoreMerges: read.boolean(model.ignore_merges, 'model.ignore_merges', false),
    prefix: optional('continuing_subword_prefix'),
    suffix: optional('end_of_word_suffix'),
    dropout,
  }
}

/** The id of `unk_token`, if there is one. */
export function readUnknown(read: Reader, token: string, vocab: Vocabulary): number | undefined {
  if (token === '') return undefined
  const id = vocab.idOf(token)
  if (id === undefined) {
    read.fail('model.unk_token', `is ${brief(token)}, which model.vocab lacks.`)
  }
  return id
}

/** Reads a `model` of type BPE. `check` may refuse its vocabulary before the merges are read. */
export function readBpe(
  read: Reader,
  model: JsonObject,
  reserved: ReadonlySet<number>,
  check: (vocab: Vocabulary) => void,
): Bpe {
  const { unknownToken, ...options } = readBpeOptions(read, model)
  const vocab = Vocab.read(read, model.vocab)
  const unknown = readUnknown(read, unknownToken, vocab)
  check(vocab)
  const list = mergeList(read, model.merges)
  const pairs = readMerges(read, list, vocab, options.prefix.length, reserved)
  return new Bpe(vocab, pairs, { ...options, unknown }, reserved, list.spelling)
}

function readMerges(
  read: Reader,
  { halves, length }: MergeList,
  vocab: Vocab,
  prefixLength: number,
  reserved: ReadonlySet<number>,
): PairTable {
  const triples = new Int32Array(3 * length)
  for (let m = 0; m < length; m++) {
    const left = halves.text(2 * m)
    const right = halves.text(2 * m + 1)
    ;[left, right, left + right.slice(prefixLength)].forEach((token, k) => {
      const id = vocab.ids.get(token)
      if (id === undefined || reserved.has(id)) {
        read.fail(
          `model.merges[${m}]`,
          id === undefined
            ? `needs the token ${brief(token)}, which model.vocab lacks.`
            : `would let text become the special token ${brief(token)}.`,
        )
      }
      triples[3 * m + k] = id
    })
  }
  return new PairTable(triples, read.file)
}
