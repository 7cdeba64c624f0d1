// BPE over characters, with all that tokenizer.json lets it do: unknown characters, byte fallback, marks of words'
// insides and ends, dropout. Byte-level files run on it too, over the byte alphabet, where byte-bpe does not fit.

import { brief } from '../errors.js'
import type { JsonObject, Reader } from '../files/reader.js'
import { PairMap } from '../text/pair-map.js'
import { randomFrom } from '../text/random.js'
import { Merges } from './merges.js'
import { PieceCache, Vocab, append, byteTokens, pushBytes } from './model.js'
import type { Encoded, Model } from './model.js'

const MAX_MERGES = 2 ** 22

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
  private readonly cache = new PieceCache()
  private readonly byteIds: Int32Array
  /** Whether a piece is worth cutting where no merge can join its characters. */
  private readonly cuts: boolean
  /** Last and first characters that some merge joins. Made when it is first asked for. */
  private joints: PairMap | undefined
  private random = randomFrom(0)

  constructor(
    readonly vocab: Vocab,
    readonly merges: Merges,
    readonly options: BpeOptions,
    /** Ids that no text may become: the special tokens. */
    private readonly reserved: ReadonlySet<number>,
    /** Whether the file spells merges as pairs, not as "a b". */
    private readonly mergesAsPairs: boolean,
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
    const { vocab, merges } = this
    const found = new PairMap(1 << 12)
    for (let m = 0; m < merges.triples.length; m += 3) {
      const left = vocab.tokens[merges.triples[m]!]!
      const right = vocab.tokens[merges.triples[m + 1]!]!
      found.set(lastCodePoint(left), right.codePointAt(0)!, 1)
    }
    return (this.joints = found)
  }

  encode(piece: string, ids: number[], spans: number[] | null): void {
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
  private encodeInParts(piece: string, ids: number[], spans: number[] | null): void {
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
    const ids: number[] = []
    const starts: number[] = []
    let pending = -1 // where unknown characters began that have no id yet
    const flush = (): void => {
      if (pending < 0) return
      ids.push(unknown!)
      starts.push(pending)
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
        ids.push(id)
        starts.push(at)
      } else if (
        byteFallback &&
        pushBytes(char, this.byteIds, (byte) => {
          ids.push(byte)
          starts.push(at)
        })
      ) {
        // Unknown characters that wait do so beyond the bytes, as in Hugging Face's.
      } else if (unknown !== undefined) {
        if (!fuseUnknown) flush()
        if (pending < 0) pending = at
      }
    }
    flush()
    this.merges.apply(ids, starts, dropout > 0 ? () => this.random() < dropout : undefined)
    const spans: number[] = []
    for (let i = 0; i < starts.length; i++) {
      // Several bytes of one character all stand for it.
      let next = i + 1
      while (next < starts.length && starts[next] === starts[i]) next++
      spans.push(starts[i]!, next < starts.length ? starts[next]! : piece.length)
    }
    return { ids, spans }
  }

  toJSON(): JsonObject {
    const { triples } = this.merges
    const { tokens } = this.vocab
    const merges: unknown[] = []
    for (let m = 0; m < triples.length; m += 3) {
      const [left, right] = [tokens[triples[m]!]!, tokens[triples[m + 1]!]!]
      merges.push(this.mergesAsPairs ? [left, right] : `${left} ${right}`)
    }
    return { vocab: this.vocab.toJSON(), merges }
  }
}

function lastCodePoint(text: string): number {
  const pair = text.length > 1 ? text.codePointAt(text.length - 2)! : 0
  return pair > 0xffff ? pair : text.charCodeAt(text.length - 1)
}

/** Reads a `model` of type BPE. `check` may refuse its vocabulary before the merges are read. */
export function readBpe(
  read: Reader,
  model: JsonObject,
  reserved: ReadonlySet<number>,
  check: (vocab: Vocab, unknown: number | undefined) => void,
): Bpe {
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
  const vocab = Vocab.read(read, model.vocab)
  const optional = (field: string): string =>
    model[field] === null || model[field] === undefined
      ? ''
      : read.text(model[field], `model.${field}`, true)
  const prefix = optional('continuing_subword_prefix')
  const unk = optional('unk_token')
  const unknown = unk === '' ? undefined : vocab.ids.get(unk)
  if (unk !== '' && unknown === undefined) {
    read.fail('model.unk_token', `is ${brief(unk)}, which model.vocab lacks.`)
  }
  check(vocab, unknown)
  const dropout = model.dropout ?? 0
  if (typeof dropout !== 'number' || !(dropout >= 0 && dropout <= 1)) {
    read.fail('model.dropout', `is ${brief(dropout)}. A number from 0 to 1 is expected.`)
  }
  const options: BpeOptions = {
    unknown,
    fuseUnknown: read.boolean(model.fuse_unk, 'model.fuse_unk', false),
    byteFallback: read.boolean(model.byte_fallback, 'model.byte_fallback', false),
    ignoreMerges: read.boolean(model.ignore_merges, 'model.ignore_merges', false),
    prefix,
    suffix: optional('end_of_word_suffix'),
    dropout,
  }
  const entries = read.array(model.merges, 'model.merges', MAX_MERGES)
  const merges = readMerges(read, entries, vocab, prefix.length, reserved)
  return new Bpe(vocab, merges, options, reserved, typeof entries[0] !== 'string')
}

function readMerges(
  read: Reader,
  entries: readonly unknown[],
  vocab: Vocab,
  prefixLength: number,
  reserved: ReadonlySet<number>,
): Merges {
  const triples = new Int32Array(entries.length * 3)
  const pairs = new PairMap(entries.length)
  const asPairs = typeof entries[0] !== 'string'
  for (let i = 0; i < entries.length; i++) {
    const pair = mergePair(read, entries[i], i, asPairs)
    for (let k = 0; k < 3; k++) {
      const token = k < 2 ? pair[k]! : pair[0] + pair[1].slice(prefixLength)
      const id = vocab.ids.get(token)
      if (id === undefined || reserved.has(id)) {
        read.fail(
          `model.merges[${i}]`,
          id === undefined
            ? `needs the token ${brief(token)}, which model.vocab lacks.`
            : `would let text become the special token ${brief(token)}.`,
        )
      }
      triples[3 * i + k] = id
    }
    if (pairs.get(triples[3 * i]!, triples[3 * i + 1]!) >= 0) {
      read.fail(
        `model.merges[${i}]`,
        `merges ${brief(pair[0])} and ${brief(pair[1])} a second time.`,
      )
    }
    pairs.set(triples[3 * i]!, triples[3 * i + 1]!, 3 * i)
  }
  return new Merges(triples, pairs)
}

/** Both spellings: "a b", and ["a", "b"] since tokenizers 0.20. */
function mergePair(read: Reader, entry: unknown, i: number, asPairs: boolean): [string, string] {
  if (typeof entry === 'string' && !asPairs) {
    const space = entry.indexOf(' ')
    if (space > 0 && space + 1 < entry.length && !entry.includes(' ', space + 1)) {
      return [entry.slice(0, space), entry.slice(space + 1)]
    }
  }
  // The names of fields are made only here, where something may be wrong.
  const field = `model.merges[${i}]`
  const pair = typeof entry === 'string' ? entry.split(' ', 3) : read.array(entry, field, 2)
  if (pair.length !== 2) read.fail(field, `is ${brief(entry)}. Two tokens are expected.`)
  const texts: [string, string] = [
    read.text(pair[0], `${field}[0]`),
    read.text(pair[1], `${field}[1]`),
  ]
  if ((typeof entry === 'string') === asPairs) {
    read.fail(field, `is ${brief(entry)}, but model.merges[0] is spelt the other way.`)
  }
  return texts
}
