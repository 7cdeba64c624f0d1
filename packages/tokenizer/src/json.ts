// tokenizer.json (Hugging Face) in and out. What a file says and we do not do is refused by name: a tokenizer that
// is nearly right gives a model wrong ids without a word.

import { FileFormatError, TokenizerError, brief } from './errors.js'
import { byteMerges, byteVocab } from './files/byte-vocab.js'
import type { ByteVocab } from './files/byte-vocab.js'
import { MergeList, VocabList } from './files/tokenizer-document.js'
import type { TokenizerDocument } from './files/tokenizer-document.js'
import type { ByteBpeModel } from './models/byte-bpe/byte-bpe.js'
import { ABSENT, MAX_ID, WordTable } from './models/byte-bpe/word-table.js'
import { KNOWN_PATTERNS } from './split/patterns.js'
import { bytesToToken, byteToChar, tokenToBytes } from './text/alphabet.js'
import { PADDING } from './text/utf8.js'

/** A token outside the BPE model. One with `special: false` is found in any text, as Hugging Face does. */
export interface AddedToken {
  readonly id: number
  readonly content: string
  readonly special: boolean
}

export interface TokenizerParts {
  readonly model: ByteBpeModel
  /** The table of the model's words, where reading the file made one. */
  readonly words?: WordTable
  /** The split pattern as the file spells it, a key of KNOWN_PATTERNS. */
  readonly pattern: string
  readonly added: readonly AddedToken[]
}

export interface TokenizerFile extends TokenizerParts {
  /** The id of a token as the file spells it. */
  idOf(token: string): number | undefined
}

const MAX_ADDED = 2 ** 16
const MAX_TOKEN_LENGTH = 2 ** 16

/** Half of a surrogate pair, which has no UTF-8. */
export const LONE_SURROGATE = /\p{Surrogate}/u

type JsonObject = Record<string, unknown>

/** Checks fields of one file and names them in its errors. */
class Reader {
  constructor(readonly file: string) {}

  fail(field: string, message: string): never {
    throw new FileFormatError(this.file, field, message)
  }

  object(value: unknown, field: string): JsonObject {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.fail(field, `is ${brief(value)}. An object is expected.`)
    }
    return value as JsonObject
  }

  array(value: unknown, field: string, max: number): unknown[] {
    if (!Array.isArray(value)) this.fail(field, `is ${brief(value)}. An array is expected.`)
    if (value.length > max)
      this.fail(field, `has ${value.length} entries. At most ${max} are read.`)
    return value
  }

  text(value: unknown, field: string): string {
    if (typeof value !== 'string') this.fail(field, `is ${brief(value)}. A string is expected.`)
    if (value.length === 0) this.fail(field, 'is the empty string.')
    if (value.length > MAX_TOKEN_LENGTH) {
      this.fail(field, `has ${value.length} characters. At most ${MAX_TOKEN_LENGTH} are read.`)
    }
    return value
  }

  id(value: unknown, field: string): number {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value >= MAX_ID) {
      this.fail(field, `is ${brief(value)}. An id from 0 to ${MAX_ID - 1} is expected.`)
    }
    return value
  }

  /** Every field of `object` must be in `known` and pass its list of allowed values. */
  only(
    object: JsonObject,
    path: string,
    known: Record<string, readonly unknown[] | undefined>,
  ): void {
    for (const [key, value] of Object.entries(object)) {
      const field = path === '' ? key : `${path}.${key}`
      if (!Object.hasOwn(known, key)) this.fail(brief(field).replaceAll('"', ''), 'is not known.')
      const allowed = known[key]
      if (allowed !== undefined && !allowed.includes(value)) {
        this.fail(field, `is ${brief(value)}. Supported: ${allowed.map(brief).join(' or ')}.`)
      }
    }
  }
}

/** Reads a tokenizer.json. `file` is named in the errors. Throws FileFormatError. */
export function parseTokenizerJson(root: TokenizerDocument, file: string): TokenizerFile {
  const read = new Reader(file)
  read.only(root, '', {
    version: ['1.0'],
    truncation: [null],
    padding: [null],
    normalizer: [null],
    added_tokens: undefined,
    pre_tokenizer: undefined,
    post_processor: undefined,
    decoder: undefined,
    model: undefined,
  })
  const fields = readModelFields(read, root)
  const vocab = new Vocab(byteVocab(fields.vocab, file), fields.ignoreMerges, file)
  const added = readAdded(read, root.added_tokens ?? [], vocab)
  const model = readModel(fields, vocab, added, file)
  const pattern = readPreTokenizer(read, root.pre_tokenizer)
  readByteLevel(read, root.decoder, 'decoder')
  if (root.post_processor !== undefined && root.post_processor !== null) {
    readByteLevel(read, root.post_processor, 'post_processor')
  }
  const addedIds = new Map(added.map(({ content, id }) => [content, id]))
  const idOf = (token: string): number | undefined => addedIds.get(token) ?? vocab.idOf(token)
  return { model, words: vocab.words, pattern, added, idOf }
}

/** The file's tokens by id and by text. */
class Vocab {
  readonly words: WordTable
  private readonly outsideText: ReadonlyMap<number, string>

  constructor(
    readonly bytes: ByteVocab,
    whole: boolean,
    file: string,
  ) {
    this.outsideText = new Map([...bytes.outside].map(([text, id]) => [id, text]))
    this.words = new WordTable(bytes.vocab, whole, new Set(bytes.outside.values()), file)
    for (let byte = 0; byte < 256; byte++) {
      if (this.idOf(byteToChar(byte)) === undefined) {
        const message = `has no token for byte ${byte} (${brief(byteToChar(byte))}).`
        throw new FileFormatError(file, 'model.vocab', message)
      }
    }
  }

  textOf(id: number): string | undefined {
    if (!this.bytes.vocab.has(id)) return undefined
    return this.outsideText.get(id) ?? bytesToToken(this.bytes.vocab.of(id))
  }

  idOf(text: string): number | undefined {
    const bytes = tokenToBytes(text)
    if (bytes === undefined || bytes.length === 0) return this.bytes.outside.get(text)
    const padded = new Uint8Array(bytes.length + PADDING)
    padded.set(bytes)
    const id = this.words.idOf(new DataView(padded.buffer), 0, bytes.length)
    return id === ABSENT ? undefined : id
  }
}

function readAdded(read: Reader, value: unknown, vocab: Vocab): AddedToken[] {
  const contents = new Set<string>()
  const ids = new Set<number>()
  return read.array(value, 'added_tokens', MAX_ADDED).map((entry, i) => {
    const path = `added_tokens[${i}]`
    const token = read.object(entry, path)
    // `normalized` is without effect where there is no normalizer.
    read.only(token, path, {
      id: undefined,
      content: undefined,
      special: [true, false],
      single_word: [false],
      lstrip: [false],
      rstrip: [false],
      normalized: [true, false],
    })
    const content = read.text(token.content, `${path}.content`)
    const id = read.id(token.id, `${path}.id`)
    if (content.length < 2) {
      // chat.ts could not break it in what users wrote.
      read.fail(`${path}.content`, `is ${brief(content)}. Two characters or more are supported.`)
    }
    if (LONE_SURROGATE.test(content)) read.fail(`${path}.content`, 'holds half a surrogate pair.')
    if (contents.has(content)) read.fail(`${path}.content`, `${brief(content)} is there twice.`)
    if (ids.has(id)) read.fail(`${path}.id`, `${id} is there twice.`)
    contents.add(content)
    ids.add(id)
    const vocabId = vocab.idOf(content)
    if (vocabId !== undefined && vocabId !== id) {
      read.fail(
        `${path}.id`,
        `is ${id}, but model.vocab gives ${brief(content)} the id ${vocabId}.`,
      )
    }
    const owner = vocab.textOf(id)
    if (owner !== undefined && owner !== content) {
      read.fail(`${path}.id`, `${id} is the id of ${brief(owner)} in model.vocab.`)
    }
    return { id, content, special: token.special === true }
  })
}

interface ModelFields {
  readonly vocab: VocabList
  readonly merges: MergeList
  readonly ignoreMerges: boolean
}

function readModelFields(read: Reader, root: TokenizerDocument): ModelFields {
  const model = read.object(root.model, 'model')
  read.only(model, 'model', {
    type: ['BPE'],
    dropout: [null, 0],
    unk_token: [null],
    continuing_subword_prefix: [null, ''],
    end_of_word_suffix: [null, ''],
    fuse_unk: [false],
    byte_fallback: [false],
    ignore_merges: [true, false],
    vocab: undefined,
    merges: undefined,
  })
  if (model.type !== 'BPE') read.fail('model.type', 'is missing. Supported: "BPE".')
  const { vocab, merges } = model
  if (!(vocab instanceof VocabList)) {
    read.fail('model.vocab', `is ${brief(vocab)}. An object is expected.`)
  }
  if (!(merges instanceof MergeList)) {
    read.fail('model.merges', `is ${brief(merges)}. An array is expected.`)
  }
  return { vocab, merges, ignoreMerges: model.ignore_merges === true }
}

function readModel(
  { merges, ignoreMerges }: ModelFields,
  vocab: Vocab,
  added: readonly AddedToken[],
  file: string,
): ByteBpeModel {
  const { bytes, words } = vocab
  const special = new Set(added.filter((t) => t.special).map((t) => t.id))
  for (let byte = 0; byte < 256; byte++) {
    if (special.has(vocab.idOf(byteToChar(byte))!)) {
      const message = `makes the byte token ${brief(byteToChar(byte))} special.`
      throw new FileFormatError(file, 'added_tokens', message)
    }
  }
  for (const id of special) if (bytes.vocab.has(id)) words.neverWhole(bytes.vocab, id)
  return { ...bytes, merges: byteMerges(merges, bytes.outside, words, special, file), ignoreMerges }
}

function readPreTokenizer(read: Reader, value: unknown): string {
  const root = read.object(value, 'pre_tokenizer')
  const wanted = 'Supported: a Sequence of Split and ByteLevel without its own pattern.'
  if (root.type !== 'Sequence') read.fail('pre_tokenizer.type', `is ${brief(root.type)}. ${wanted}`)
  read.only(root, 'pre_tokenizer', { type: undefined, pretokenizers: undefined })
  const list = read.array(root.pretokenizers, 'pre_tokenizer.pretokenizers', 16)
  const path = (i: number): string => `pre_tokenizer.pretokenizers[${i}]`
  const types = list.map((entry, i) => read.object(entry, path(i)).type)
  if (types.length !== 2 || types[0] !== 'Split' || types[1] !== 'ByteLevel') {
    read.fail('pre_tokenizer.pretokenizers', `are ${types.map(brief).join(', ')}. ${wanted}`)
  }
  const split = list[0] as JsonObject
  read.only(split, path(0), {
    type: undefined,
    pattern: undefined,
    behavior: ['Isolated'],
    invert: [false],
  })
  if (split.behavior === undefined) read.fail(`${path(0)}.behavior`, 'is missing.')
  const pattern = read.object(split.pattern, `${path(0)}.pattern`)
  read.only(pattern, `${path(0)}.pattern`, { Regex: undefined })
  const regex = read.text(pattern.Regex, `${path(0)}.pattern.Regex`)
  if (!KNOWN_PATTERNS.has(regex)) {
    const message = `is ${brief(regex)}. Supported: the patterns of GPT-2, cl100k, Llama 3, Qwen 2 and o200k.`
    read.fail(`${path(0)}.pattern.Regex`, message)
  }
  const byteLevel = list[1] as JsonObject
  readByteLevel(read, byteLevel, path(1), {
    add_prefix_space: [false],
    use_regex: [false],
  })
  for (const key of ['add_prefix_space', 'use_regex']) {
    if (byteLevel[key] === undefined)
      read.fail(`${path(1)}.${key}`, 'is missing; it defaults to true.')
  }
  return regex
}

/** A ByteLevel part; as a decoder or post-processor its switches change nothing about ids or text. */
function readByteLevel(
  read: Reader,
  value: unknown,
  path: string,
  allowed: Record<string, readonly unknown[]> = {},
): void {
  const part = read.object(value, path)
  if (part.type !== 'ByteLevel') {
    read.fail(`${path}.type`, `is ${brief(part.type)}. Supported: "ByteLevel".`)
  }
  const either = [true, false]
  read.only(part, path, {
    type: undefined,
    add_prefix_space: either,
    trim_offsets: either,
    use_regex: either,
    ...allowed,
  })
}

/** The object that tokenizer.json holds; deterministic. */
export function toTokenizerJson(parts: TokenizerParts): JsonObject {
  const { vocab, outside, merges, ignoreMerges } = parts.model
  if (merges === null) {
    const message = 'ranks of tiktoken have no merges, which tokenizer.json needs.'
    throw new TokenizerError('toJSON', message)
  }
  const outsideText = new Map([...(outside ?? [])].map(([text, id]) => [id, text]))
  const tokens = Array.from({ length: vocab.size }, (_, id) =>
    vocab.has(id) ? (outsideText.get(id) ?? bytesToToken(vocab.of(id))) : undefined,
  )
  const pairs: [string, string][] = []
  for (let m = 0; m < merges.length; m += 3)
    pairs.push([tokens[merges[m]!]!, tokens[merges[m + 1]!]!])
  // "a b" is what every version of tokenizers reads; a token with a blank in it needs the newer spelling.
  const spaced = pairs.some(([left, right]) => left.includes(' ') || right.includes(' '))
  const byteLevel = {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: false,
  }
  const split = {
    type: 'Split',
    pattern: { Regex: parts.pattern },
    behavior: 'Isolated',
    invert: false,
  }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: parts.added.map(({ id, content, special }) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special,
    })),
    normalizer: null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [split, byteLevel] },
    post_processor: null,
    decoder: { ...byteLevel, add_prefix_space: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: ignoreMerges,
      // fromEntries defines keys, so that a token spelt __proto__ stays one.
      vocab: Object.fromEntries(
        tokens.flatMap((token, id) => (token === undefined ? [] : [[token, id]])),
      ),
      merges: spaced ? pairs : pairs.map((pair) => pair.join(' ')),
    },
  }
}
