// tokenizer.json (Hugging Face). What a file says and we do not do is refused by name: a tokenizer that is nearly right
// gives a model wrong ids without a word.

import { TokenizerError, brief } from '../errors.js'
import type { Padding, Truncation } from '../encoding.js'
import { MAX_ADDED, checkAdded, readAdded } from '../added.js'
import type { AddedToken } from '../added.js'
import { readBpe } from '../models/bpe.js'
import type { ByteBpeModel } from '../models/byte-bpe/byte-bpe.js'
import { ByteLevelBpe, readByteLevelBpe } from '../models/byte-level-bpe.js'
import type { Model, Vocabulary } from '../models/model.js'
import { readUnigram } from '../models/unigram.js'
import { readWordLevel, readWordPiece } from '../models/words.js'
import { readNormalizer } from '../normalizers/index.js'
import type { Normalizer } from '../normalizers/index.js'
import { readPostProcessor } from '../postprocessors/index.js'
import type { PostProcessor, Tokens } from '../postprocessors/index.js'
import { readPreTokenizer } from '../pretokenizers/index.js'
import type { PreTokenizer } from '../pretokenizers/index.js'
import { readDecoder } from '../decoders/index.js'
import type { Decoder } from '../decoders/index.js'
import { WHOLE } from '../split/splitter.js'
import type { Splitter } from '../split/splitter.js'
import { byteToChar } from '../text/alphabet.js'
import { byteLevelJson } from './byte-level-json.js'
import type { ByteLevelParts } from './byte-level-json.js'
import { endsInBytes, readByteLevelSplit } from './byte-level-split.js'
import { Reader } from './reader.js'
import type { JsonObject } from './reader.js'
import type { TokenizerDocument } from './tokenizer-document.js'

/** A tokenizer.json, read. */
export interface TokenizerFile {
  readonly added: readonly AddedToken[]
  readonly normalizer: Normalizer | null
  readonly preTokenizer: PreTokenizer | null
  readonly model: Model
  readonly postProcessor: PostProcessor | null
  readonly decoder: Decoder
  /** Whether tokens decode to bytes, not to text. */
  readonly decodesBytes: boolean
  readonly truncation: Truncation | null
  readonly padding: Padding | null
  /** Whether the model cuts and encodes bytes by itself, to the same ids and much faster. */
  readonly takesBytes: boolean
  /** The file but for its vocabulary and merges. */
  readonly shell: JsonObject
}

const MODELS = ['BPE', 'Unigram', 'WordPiece', 'WordLevel'] as const

/** Gives the model; `split` cuts bytes as the pre-tokenizer cuts text, where that is possible. */
type ModelReader = (
  read: Reader,
  added: readonly AddedToken[],
  split: Splitter | undefined,
) => Model

/**
 * Reads a tokenizer.json. `file` is named in the errors; `further` are added tokens that other files name.
 * Throws FileFormatError.
 */
export function readTokenizerJson(
  root: TokenizerDocument,
  file: string,
  further: readonly JsonObject[] = [],
): TokenizerFile {
  return assemble(root, file, further, (read, added, split) => readModel(read, root, added, split))
}

/** The same for a byte-level model that is there already. `file` is named in the errors. */
export function byteLevelFile(
  model: ByteBpeModel,
  parts: Omit<ByteLevelParts, 'ignoreMerges'>,
  file: string,
): TokenizerFile {
  const root = byteLevelJson({ ...parts, ignoreMerges: model.ignoreMerges })
  return assemble(root, file, [], (_, __, split) => {
    return new ByteLevelBpe({ ...model, split: split!, file })
  })
}

function assemble(
  root: JsonObject,
  file: string,
  further: readonly JsonObject[],
  modelOf: ModelReader,
): TokenizerFile {
  const read = new Reader(file)
  read.only(root, '', [
    'version',
    'truncation',
    'padding',
    'added_tokens',
    'normalizer',
    'pre_tokenizer',
    'post_processor',
    'decoder',
    'model',
  ])
  if (root.version !== undefined) read.choice(root.version, 'version', ['1.0'])
  const listed = read.array(root.added_tokens ?? [], 'added_tokens', MAX_ADDED)
  const added = readAdded(read, [...listed, ...further])
  const preTokenizer = readPreTokenizer(read, root.pre_tokenizer, 'pre_tokenizer')
  const split = readByteLevelSplit(read, root.pre_tokenizer)
  const model = modelOf(read, added, split)
  const tokens = tokensOf(model, added)
  const normalizer = readNormalizer(read, root.normalizer, 'normalizer')
  return {
    added,
    normalizer,
    preTokenizer,
    model,
    postProcessor: readPostProcessor(read, root.post_processor, 'post_processor', tokens),
    decoder: readDecoder(read, root.decoder, 'decoder'),
    decodesBytes: (root.decoder as JsonObject | null | undefined)?.type === 'ByteLevel',
    truncation: readTruncation(read, root.truncation),
    padding: readPadding(read, root.padding),
    takesBytes: split !== undefined && model instanceof ByteLevelBpe,
    shell: shellOf(root),
  }
}

function shellOf(root: JsonObject): JsonObject {
  const { vocab: _, merges: __, ...model } = root.model as JsonObject
  return structuredClone({ ...root, model })
}

/** The object that the file holds. */
export function toTokenizerJson(file: Pick<TokenizerFile, 'shell' | 'model'>): JsonObject {
  const { shell, model } = file
  const copy = structuredClone(shell)
  return { ...copy, model: { ...(copy.model as JsonObject), ...model.toJSON() } }
}

function tokensOf(model: Model, added: readonly AddedToken[]): Tokens {
  const byId = new Map(added.map((token) => [token.id, token.content]))
  const byContent = new Map(added.map((token) => [token.content, token.id]))
  return {
    tokenOf: (id) => byId.get(id) ?? model.vocab.tokenOf(id),
    idOf: (token) => byContent.get(token) ?? model.vocab.idOf(token),
  }
}

function readModel(
  read: Reader,
  root: TokenizerDocument,
  added: readonly AddedToken[],
  split: Splitter | undefined,
): Model {
  const model = read.object(root.model, 'model')
  const special = new Set(added.filter((token) => token.special).map((token) => token.id))
  const unknown = (text: string): never => {
    throw new TokenizerError(
      'encode',
      `${brief(text)} is no token, and the model has none for unknown text.`,
    )
  }
  const check = (vocab: Vocabulary): void => checkAdded(read, added, vocab)
  const made = ((): Model => {
    switch (read.choice(model.type, 'model.type', MODELS)) {
      case 'BPE': {
        const hasUnknown = (model.unk_token ?? '') !== ''
        const checkAll = (vocab: Vocabulary): void => {
          check(vocab)
          if (split !== undefined) checkBytes(read, vocab, hasUnknown, special)
        }
        const onBytes = endsInBytes(root.pre_tokenizer)
          ? readByteLevelBpe(read, model, split ?? WHOLE, special, checkAll)
          : undefined
        return onBytes ?? readBpe(read, model, special, checkAll)
      }
      case 'Unigram':
        return readUnigram(read, model, special, unknown)
      case 'WordPiece':
        return readWordPiece(read, model, special)
      case 'WordLevel':
        return readWordLevel(read, model, special, unknown)
    }
  })()
  check(made.vocab)
  return made
}

/** Byte-level BPE without a token for each byte would lose text without a word, unless it says what is unknown. */
function checkBytes(
  read: Reader,
  vocab: Vocabulary,
  hasUnknown: boolean,
  reserved: ReadonlySet<number>,
): void {
  for (let byte = 0; byte < 256; byte++) {
    const char = byteToChar(byte)
    const id = vocab.idOf(char)
    if (id === undefined && !hasUnknown) {
      read.fail('model.vocab', `has no token for byte ${byte} (${brief(char)}).`)
    }
    if (id !== undefined && reserved.has(id)) {
      read.fail('added_tokens', `makes the byte token ${brief(char)} special.`)
    }
  }
}

const SIDES = { Left: 'left', Right: 'right' } as const
const STRATEGIES = {
  LongestFirst: 'longest-first',
  OnlyFirst: 'only-first',
  OnlySecond: 'only-second',
} as const
const MAX_LENGTH = 2 ** 31 - 1

function named<T extends Record<string, unknown>>(
  read: Reader,
  value: unknown,
  field: string,
  names: T,
): T[keyof T] {
  return names[read.choice(value, field, Object.keys(names))] as T[keyof T]
}

function readTruncation(read: Reader, value: unknown): Truncation | null {
  if (value === undefined || value === null) return null
  const part = read.object(value, 'truncation')
  read.only(part, 'truncation', ['direction', 'max_length', 'strategy', 'stride'])
  return {
    side: named(read, part.direction ?? 'Right', 'truncation.direction', SIDES),
    maxLength: read.integer(part.max_length, 'truncation.max_length', 0, MAX_LENGTH),
    strategy: named(read, part.strategy ?? 'LongestFirst', 'truncation.strategy', STRATEGIES),
    stride: read.integer(part.stride ?? 0, 'truncation.stride', 0, MAX_LENGTH),
  }
}

/** Padding to more than this many ids at once would be a slip, or an attack. */
const MAX_PADDING = 2 ** 24

function readPadding(read: Reader, value: unknown): Padding | null {
  if (value === undefined || value === null) return null
  const part = read.object(value, 'padding')
  read.only(part, 'padding', [
    'strategy',
    'direction',
    'pad_to_multiple_of',
    'pad_id',
    'pad_type_id',
    'pad_token',
  ])
  let length: number | 'longest' = 'longest'
  if (part.strategy !== undefined && part.strategy !== 'BatchLongest') {
    const fixed = read.object(part.strategy, 'padding.strategy')
    read.only(fixed, 'padding.strategy', ['Fixed'])
    length = read.integer(fixed.Fixed, 'padding.strategy.Fixed', 0, MAX_PADDING)
  }
  read.text(part.pad_token ?? '[PAD]', 'padding.pad_token', true)
  return {
    length,
    side: named(read, part.direction ?? 'Right', 'padding.direction', SIDES),
    multipleOf:
      read.integer(part.pad_to_multiple_of ?? 1, 'padding.pad_to_multiple_of', 0, MAX_PADDING) || 1,
    id: read.id(part.pad_id ?? 0, 'padding.pad_id'),
    typeId: read.integer(part.pad_type_id ?? 0, 'padding.pad_type_id', 0, 2 ** 16),
  }
}
