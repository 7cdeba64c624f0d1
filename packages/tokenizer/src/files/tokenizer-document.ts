// tokenizer.json as data: the vocabulary and the merges as lists of bytes, every other field as JSON.parse gives it.
// What the fields mean is not looked at here.

import { brief } from '../errors.js'
import { MAX_ID } from '../models/byte-bpe/word-table.js'
import { StringList } from '../text/string-list.js'
import { JsonReader } from './json-reader.js'

export const MAX_MERGES = 2 ** 22
const MAX_TOKEN_BYTES = 2 ** 16
/** All tokens' text together; decoding one id must not be able to fill the memory. */
const MAX_VOCAB_BYTES = 2 ** 27

const encoder = new TextEncoder()

/** `model.vocab` where it is an object: tokens with their ids, in the file's order. */
export class VocabList {
  readonly texts = new StringList()
  ids: Int32Array = new Int32Array(64)

  get length(): number {
    return this.texts.length
  }

  /** Gives the text finished last its id. */
  setId(id: number): void {
    const index = this.texts.length - 1
    if (index >= this.ids.length) {
      const grown = new Int32Array(2 * index)
      grown.set(this.ids)
      this.ids = grown
    }
    this.ids[index] = id
  }

  /** The id of a text, looked for among all. */
  find(text: string): number | undefined {
    const wanted = encoder.encode(text)
    const { bytes, ends } = this.texts
    for (let i = 0, start = 0; i < this.length; i++) {
      const end = ends[i]!
      if (end - start === wanted.length && wanted.every((byte, k) => bytes[start + k] === byte)) {
        return this.ids[i]!
      }
      start = end
    }
    return undefined
  }
}

/** `model.merges`: the two halves of merge `i` are the strings `2 i` and `2 i + 1`. */
export class MergeList {
  readonly halves = new StringList()
  /** Spelt "a b", or ["a", "b"] as since tokenizers 0.20. */
  spelling: 'joined' | 'pairs' = 'joined'

  get length(): number {
    return this.halves.length / 2
  }
}

export interface ModelDocument {
  readonly [field: string]: unknown
  /** A VocabList where the file has an object. */
  readonly vocab?: unknown
  /** A MergeList where the file has an array of merges. */
  readonly merges?: unknown
}

export interface TokenizerDocument {
  readonly [field: string]: unknown
  readonly model?: ModelDocument | undefined
}

/** Reads the bytes of a tokenizer.json. `file` is named in the errors. Throws FileFormatError. */
export function readTokenizerDocument(bytes: Uint8Array, file: string): TokenizerDocument {
  const reader = new JsonReader(bytes, file)
  const root = readObject(reader, '', (name) => {
    if (name !== 'model' || reader.peek() !== 0x7b) return reader.value(name)
    return readObject(reader, 'model', (field) => {
      const next = reader.peek()
      if (field === 'vocab' && next === 0x7b) return readVocab(reader, 'model.vocab')
      if (field === 'merges' && next === 0x5b) return readMerges(reader)
      return reader.value(`model.${field}`)
    })
  })
  if (reader.peek() !== -1) reader.fail('file', 'has more than one JSON value.')
  return root as TokenizerDocument
}

/** An object's fields by `read`. Its keys are few; a field twice is refused. */
function readObject(
  reader: JsonReader,
  path: string,
  read: (name: string) => unknown,
): Record<string, unknown> {
  const field = path === '' ? 'file' : path
  if (reader.peek() !== 0x7b) {
    reader.fail(field, `is ${brief(reader.value(field))}. An object is expected.`)
  }
  reader.at++
  const fields = new Map<string, unknown>()
  for (let first = true; reader.more(first, '}', field); first = false) {
    const names = new StringList()
    reader.string(names, field)
    names.finish()
    const name = names.text(0)
    if (fields.has(name)) reader.fail(path === '' ? name : `${path}.${name}`, 'is there twice.')
    reader.expect(':', field)
    fields.set(name, read(name))
  }
  // fromEntries defines fields, so that one called __proto__ stays one.
  return Object.fromEntries(fields)
}

/** An object of tokens and ids. */
export function readVocab(reader: JsonReader, field: string): VocabList {
  const vocab = new VocabList()
  const { texts } = vocab
  const path = (): string => `${field}[${brief(texts.text(texts.length - 1))}]`
  let taken = new Uint8Array(1024)
  reader.expect('{', field)
  for (let first = true; reader.more(first, '}', field); first = false) {
    const start = texts.at
    reader.string(texts, field)
    texts.finish()
    const length = texts.at - start
    if (length > MAX_TOKEN_BYTES) {
      reader.fail(path(), `has ${length} bytes. At most ${MAX_TOKEN_BYTES} are read.`)
    }
    if (texts.at > MAX_VOCAB_BYTES) {
      reader.fail(field, `holds more than ${MAX_VOCAB_BYTES} bytes of tokens.`)
    }
    reader.expect(':', field)
    const id = reader.integer(path, MAX_ID)
    if (id >= taken.length) {
      const grown = new Uint8Array(2 * id)
      grown.set(taken)
      taken = grown
    }
    if (taken[id] === 1) reader.fail(path(), `has id ${id}, which another token has too.`)
    taken[id] = 1
    vocab.setId(id)
  }
  return vocab
}

function readMerges(reader: JsonReader): MergeList {
  const field = 'model.merges'
  const list = new MergeList()
  const { halves } = list
  let index = 0
  const path = (): string => `${field}[${index}]`
  reader.expect('[', field)
  for (; reader.more(index === 0, ']', field); index++) {
    if (index === MAX_MERGES) reader.fail(field, `has more than ${MAX_MERGES} merges.`)
    const spelling = reader.peek() === 0x22 ? 'joined' : 'pairs'
    if (spelling === 'joined') joinedMerge(reader, halves, path)
    else pairMerge(reader, halves, path)
    if (index === 0) list.spelling = spelling
    else if (spelling !== list.spelling) {
      reader.fail(path(), 'is spelt otherwise than the merges before it ("a b" or ["a", "b"]).')
    }
  }
  return list
}

/** "a b", with exactly one blank. */
function joinedMerge(reader: JsonReader, halves: StringList, path: () => string): void {
  const start = halves.at
  reader.string(halves, 'model.merges')
  splitMerge(halves, start, (part, message) => reader.fail(path() + part, message))
}

/** Cuts what was written to `halves` since `start` at its blank. */
export function splitMerge(
  halves: StringList,
  start: number,
  fail: (part: '' | '[0]' | '[1]', message: string) => never,
): void {
  const { bytes, at } = halves
  let blank = start
  while (blank < at && bytes[blank] !== 0x20) blank++
  let second = blank + 1
  while (second < at && bytes[second] !== 0x20) second++
  if (blank === at || second < at) {
    fail('', 'is not two tokens with a blank between them.')
  }
  if (blank === start) fail('[0]', 'is the empty string.')
  if (blank + 1 === at) fail('[1]', 'is the empty string.')
  // The second half moves over the blank.
  for (let i = blank + 1; i < at; i++) bytes[i - 1] = bytes[i]!
  halves.cut(blank)
  halves.finish(1)
}

function pairMerge(reader: JsonReader, halves: StringList, path: () => string): void {
  if (reader.peek() !== 0x5b) {
    reader.fail(path(), `is ${brief(reader.value(path()))}. Two tokens are expected.`)
  }
  reader.at++
  let parts = 0
  for (let first = true; reader.more(first, ']', 'model.merges'); first = false) {
    if (parts === 2) reader.fail(path(), 'has more than two tokens.')
    const part = `${path()}[${parts}]`
    if (reader.peek() !== 0x22) {
      reader.fail(part, `is ${brief(reader.value(part))}. A token is expected.`)
    }
    const start = halves.at
    reader.string(halves, 'model.merges')
    if (halves.at === start) reader.fail(part, 'is the empty string.')
    halves.finish()
    parts++
  }
  if (parts !== 2) reader.fail(path(), `has ${parts} tokens. Two are expected.`)
}
