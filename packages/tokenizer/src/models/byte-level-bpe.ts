// Byte-level BPE as one of the models of tokenizer.json: pieces in the byte alphabet, one character a byte.

import { byteMerges, byteVocab } from '../files/byte-vocab.js'
import type { JsonObject, Reader } from '../files/reader.js'
import { WHOLE } from '../split/splitter.js'
import type { Splitter } from '../split/splitter.js'
import { byteToChar, tokenToBytes } from '../text/alphabet.js'
import { IdBuffer } from '../text/id-buffer.js'
import { ByteBpe } from './byte-bpe/byte-bpe.js'
import type { ByteBpeModel } from './byte-bpe/byte-bpe.js'
import { ByteVocabulary } from './byte-bpe/byte-vocabulary.js'
import { WordTable } from './byte-bpe/word-table.js'
import { readBpeOptions, readUnknown } from './bpe.js'
import { mergeList, vocabList } from './model.js'
import type { IdSink, Model, Vocabulary } from './model.js'

interface Options extends ByteBpeModel {
  readonly split: Splitter
  readonly words?: WordTable
  readonly spelling?: 'joined' | 'pairs'
  /** Named in the errors. */
  readonly file: string
}

export class ByteLevelBpe implements Model {
  readonly vocab: Vocabulary
  readonly core: ByteBpe
  private readonly spelling: 'joined' | 'pairs'
  private readonly ids = new IdBuffer()
  private readonly ends = new IdBuffer()

  constructor({ vocab, outside = new Map(), spelling = 'joined', ...options }: Options) {
    const { merges, ignoreMerges, file } = options
    const words =
      options.words ??
      new WordTable(vocab, merges === null || ignoreMerges, new Set(outside.values()), file)
    this.vocab = new ByteVocabulary(vocab, words, outside)
    this.core = new ByteBpe({ ...options, vocab, words })
    this.spelling = spelling
  }

  encode(piece: string, ids: IdSink, spans: number[] | null): void {
    const { ids: found, ends } = this
    found.length = 0
    ends.length = 0
    const bytes = tokenToBytes(piece)!
    this.core.encodeWithOffsets(bytes, 0, bytes.length, found, ends, WHOLE)
    let start = 0
    for (let i = 0; i < found.length; i++) {
      const end = ends.ids[i]!
      ids.push(found.ids[i]!)
      spans?.push(start, end)
      start = end
    }
    found.trim()
    ends.trim()
  }

  toJSON(): JsonObject {
    const { vocab, spelling } = this
    const { merges } = this.core
    const tokens = Array.from({ length: vocab.size }, (_, id) => vocab.tokenOf(id))
    const pairs = Array.from({ length: merges.length / 3 }, (_, m) => {
      const pair = [tokens[merges[3 * m]!]!, tokens[merges[3 * m + 1]!]!]
      return spelling === 'pairs' ? pair : pair.join(' ')
    })
    return {
      // fromEntries defines keys, so that a token spelt __proto__ stays one.
      vocab: Object.fromEntries(
        tokens.flatMap((token, id) => (token === undefined ? [] : [[token, id] as const])),
      ),
      merges: pairs,
    }
  }
}

/**
 * Reads a `model` of type BPE whose pieces are in the byte alphabet, or gives undefined where it needs what only
 * the general one has. `check` may refuse its vocabulary before the merges are read.
 */
export function readByteLevelBpe(
  read: Reader,
  model: JsonObject,
  split: Splitter,
  reserved: ReadonlySet<number>,
  check: (vocab: Vocabulary) => void,
): ByteLevelBpe | undefined {
  const { unknownToken, prefix, suffix, dropout, ignoreMerges } = readBpeOptions(read, model)
  if (prefix !== '' || suffix !== '' || dropout > 0) return undefined
  const { file } = read
  const { vocab, outside } = byteVocab(vocabList(read, model.vocab), file)
  const words = new WordTable(vocab, ignoreMerges, new Set(outside.values()), file)
  const vocabulary = new ByteVocabulary(vocab, words, outside)
  readUnknown(read, unknownToken, vocabulary)
  check(vocabulary)
  for (let byte = 0; byte < 256; byte++) {
    const id = vocabulary.idOf(byteToChar(byte))
    if (id === undefined || reserved.has(id)) return undefined
  }
  for (const id of reserved) if (vocab.has(id)) words.neverWhole(vocab, id)
  const list = mergeList(read, model.merges)
  const merges = byteMerges(list, vocabulary, reserved, file)
  const { spelling } = list
  return new ByteLevelBpe({ vocab, outside, words, merges, ignoreMerges, split, spelling, file })
}
