// The vocabulary and merges of a byte-level BPE file, from the lists of its document.

import { FileFormatError, brief } from '../errors.js'
import { TokenBytes } from '../models/byte-bpe/token-bytes.js'
import { ABSENT, MAX_ID } from '../models/byte-bpe/word-table.js'
import type { ByteVocabulary } from '../models/byte-bpe/byte-vocabulary.js'
import { standInsToBytes } from '../text/alphabet.js'
import { PADDING } from '../text/utf8.js'
import type { MergeList, VocabList } from './tokenizer-document.js'

export interface ByteVocab {
  readonly vocab: TokenBytes
  /** Tokens with a character outside the byte alphabet. They stand for their own UTF-8. */
  readonly outside: ReadonlyMap<string, number>
}

/** The bytes that each token of the file stands for. */
export function byteVocab(vocab: VocabList, file: string): ByteVocab {
  const { texts, ids } = vocab
  const { bytes } = texts
  const tokens = new TokenBytes(vocab.length + 1, texts.at)
  const outside = new Map<string, number>()
  let scratch = new Uint8Array(256)
  for (let i = 0, start = 0; i < vocab.length; i++) {
    const end = texts.ends[i]!
    if (end === start) throw new FileFormatError(file, 'model.vocab[""]', 'is the empty string.')
    if (end - start > scratch.length) scratch = new Uint8Array(2 * (end - start))
    const length = standInsToBytes(bytes, start, end, scratch, 0)
    if (length >= 0) tokens.set(ids[i]!, scratch, 0, length)
    else {
      const text = texts.text(i)
      if (outside.has(text)) {
        throw new FileFormatError(file, `model.vocab[${brief(text)}]`, 'is there twice.')
      }
      outside.set(text, ids[i]!)
      tokens.set(ids[i]!, bytes, start, end)
    }
    start = end
  }
  return { vocab: tokens.trim(), outside }
}

const SPECIAL = 1
const OUTSIDE = 2

/** Merges as triples of ids, flat. No merge may take or make one of the `special` tokens. */
export function byteMerges(
  merges: MergeList,
  vocab: ByteVocabulary,
  special: ReadonlySet<number>,
  file: string,
): Int32Array {
  const { words, bytes: tokens } = vocab
  const { halves } = merges
  const { bytes, ends } = halves
  const triples = new Int32Array(3 * merges.length)
  let scratch = new Uint8Array(512)
  let view = new DataView(scratch.buffer)
  const fail = (merge: number, message: string): never => {
    throw new FileFormatError(file, `model.merges[${merge}]`, message)
  }
  const kinds = new Uint8Array(MAX_ID)
  for (const id of vocab.outside.values()) kinds[id] = OUTSIDE
  for (const id of special) kinds[id] = SPECIAL
  let made = 0
  const isMade = (length: number): boolean =>
    kinds[made] !== OUTSIDE && tokens.is(made, view, length)
  for (let m = 0, start = 0; m < merges.length; m++) {
    const cut = ends[2 * m]!
    const end = ends[2 * m + 1]!
    if (end - start + PADDING > scratch.length) {
      scratch = new Uint8Array(2 * (end - start) + PADDING)
      view = new DataView(scratch.buffer)
    }
    const middle = standInsToBytes(bytes, start, cut, scratch, 0)
    const stop = middle < 0 ? -1 : standInsToBytes(bytes, cut, end, scratch, middle)
    if (stop >= 0) {
      triples[3 * m] = words.idOf(view, 0, middle)
      triples[3 * m + 1] = words.idOf(view, middle, stop - middle)
      // Most files list merges in the order of what they make, so the table need not be asked.
      if (!isMade(stop)) {
        made++
        if (!isMade(stop)) made = words.idOf(view, 0, stop)
      }
      triples[3 * m + 2] = made
    } else triples.fill(ABSENT, 3 * m, 3 * m + 3)
    start = end
    for (let k = 3 * m; k < 3 * m + 3; k++) {
      if (triples[k] !== ABSENT && kinds[triples[k]!] !== SPECIAL) continue
      const side = k - 3 * m
      let text = halves.text(2 * m + (side & 1))
      if (side === 2) text += halves.text(2 * m + 1)
      const id = vocab.idOf(text)
      if (id === undefined) {
        fail(m, `needs the token ${brief(text)}, which model.vocab lacks.`)
      } else if (kinds[id] === SPECIAL) {
        fail(m, `would let text become the special token ${brief(text)}.`)
      } else triples[k] = id
    }
  }
  return triples
}
