// What a tokenizer.json does to the ids of one or two texts: special tokens around them, offsets without blanks.

import { brief } from '../errors.js'
import { kindOf, partsOf } from '../files/reader.js'
import type { JsonObject, Reader } from '../files/reader.js'
import { emptyColumns } from '../encoding.js'
import type { Columns } from '../encoding.js'
import { template } from './template.js'
import { trimmed } from './offsets.js'

/** One or two texts in, and all that is put around and between them out, in order. */
export interface PostProcessor {
  /** How many special tokens it adds to one text, or to two. */
  added(texts: number): number
  process(texts: readonly Columns[], addSpecial: boolean): Columns[]
}

/** What a post-processor may ask about tokens. */
export interface Tokens {
  tokenOf(id: number): string | undefined
  idOf(token: string): number | undefined
}

export type PostProcessorKind = (
  read: Reader,
  part: JsonObject,
  path: string,
  tokens: Tokens,
) => PostProcessor

const KINDS: Readonly<Record<string, PostProcessorKind>> = {
  BertProcessing: bert,
  ByteLevel: byteLevel,
  RobertaProcessing: roberta,
  Sequence: sequence,
  TemplateProcessing: template,
}

/** The file's post-processor, or null. */
export function readPostProcessor(
  read: Reader,
  value: unknown,
  path: string,
  tokens: Tokens,
): PostProcessor | null {
  if (value === undefined || value === null) return null
  const part = read.object(value, path)
  return kindOf(read, part, path, KINDS)(read, part, path, tokens)
}

function sequence(read: Reader, part: JsonObject, path: string, tokens: Tokens): PostProcessor {
  const parts = partsOf(read, part, path, 'processors', 16, (one, place) =>
    readPostProcessor(read, one, place, tokens)!,
  )
  const adding = parts.filter((processor) => processor.added(1) > 0 || processor.added(2) > 0)
  if (adding.length > 1) {
    read.fail(`${path}.processors`, `has ${adding.length} parts that add tokens. One is supported.`)
  }
  return {
    added: (texts) => adding[0]?.added(texts) ?? 0,
    process: (texts, addSpecial) =>
      parts.reduce<Columns[]>((list, part) => part.process(list, addSpecial), [...texts]),
  }
}

function byteLevel(read: Reader, part: JsonObject, path: string, tokens: Tokens): PostProcessor {
  read.only(part, path, ['type', 'add_prefix_space', 'trim_offsets', 'use_regex'])
  const prefix = read.boolean(part.add_prefix_space, `${path}.add_prefix_space`, true)
  const trim = read.boolean(part.trim_offsets, `${path}.trim_offsets`, true)
  return {
    added: () => 0,
    process: (texts) => (trim ? texts.map((text) => trimmed(text, prefix, tokens)) : [...texts]),
  }
}

/** A special token of the file's, `[text, id]`. */
function special(read: Reader, value: unknown, path: string, tokens: Tokens): number {
  const pair = read.array(value, path, 2)
  const token = read.text(pair[0], `${path}[0]`)
  const id = read.id(pair[1], `${path}[1]`)
  if (tokens.idOf(token) !== id) {
    read.fail(path, `is ${brief(token)} with id ${id}, which the vocabulary does not have.`)
  }
  return id
}

export function specialColumns(ids: readonly number[], typeId: number): Columns {
  return {
    ids: [...ids],
    typeIds: ids.map(() => typeId),
    attentionMask: ids.map(() => 1),
    specialTokensMask: ids.map(() => 1),
    sequenceIds: ids.map(() => null),
    wordIds: ids.map(() => null),
    offsets: ids.map(() => [0, 0] as const),
  }
}

export function withType(columns: Columns, typeId: number): Columns {
  return { ...columns, typeIds: columns.typeIds.map(() => typeId) }
}

/** Columns one after another. */
export function joined(parts: readonly Columns[]): Columns {
  if (parts.length === 1) return parts[0]!
  const all = emptyColumns()
  const keys = Object.keys(all) as (keyof Columns)[]
  for (const part of parts) {
    for (const key of keys) {
      const to = all[key] as unknown[]
      for (const value of part[key]) to.push(value)
    }
  }
  return all
}

/** [CLS] A [SEP], [CLS] A [SEP] B [SEP]. */
function bert(read: Reader, part: JsonObject, path: string, tokens: Tokens): PostProcessor {
  read.only(part, path, ['type', 'sep', 'cls'])
  const sep = special(read, part.sep, `${path}.sep`, tokens)
  const cls = special(read, part.cls, `${path}.cls`, tokens)
  return {
    added: (texts) => texts + 1,
    process: (texts, addSpecial) => {
      if (!addSpecial) return [...texts]
      const around = texts.flatMap((text, i) => [withType(text, i), specialColumns([sep], i)])
      return [specialColumns([cls], 0), ...around]
    },
  }
}

/** <s> A </s>, <s> A </s></s> B </s>; all of type 0. */
function roberta(read: Reader, part: JsonObject, path: string, tokens: Tokens): PostProcessor {
  read.only(part, path, ['type', 'sep', 'cls', 'trim_offsets', 'add_prefix_space'])
  const sep = special(read, part.sep, `${path}.sep`, tokens)
  const cls = special(read, part.cls, `${path}.cls`, tokens)
  const trim = read.boolean(part.trim_offsets, `${path}.trim_offsets`, true)
  const prefix = read.boolean(part.add_prefix_space, `${path}.add_prefix_space`, true)
  return {
    added: (texts) => texts * 2,
    process: (texts, addSpecial) => {
      const plain = texts.map((text) => withType(trim ? trimmed(text, prefix, tokens) : text, 0))
      if (!addSpecial) return plain
      return plain.flatMap((text, i) => [
        specialColumns([i === 0 ? cls : sep], 0),
        text,
        specialColumns([sep], 0),
      ])
    },
  }
}
