// The fields of tokenizer_config.json that change how a text is encoded: honoured as transformers does, or refused.

import { brief } from '../errors.js'
import type { PostProcessor, Tokens } from '../postprocessors/index.js'
import { specialColumns, withType } from '../postprocessors/index.js'
import { emptyColumns } from '../encoding.js'
import { MAX_ID } from '../models/byte-bpe/word-table.js'
import { Reader } from './reader.js'
import type { JsonObject } from './reader.js'
import type { TokenizerDocument } from './tokenizer-document.js'

function switchOf(read: Reader, config: JsonObject, field: string): boolean | undefined {
  const value = config[field]
  return value === undefined || value === null ? undefined : read.boolean(value, field, false)
}

/**
 * tokenizer.json with the pre-tokenizer that `add_prefix_space` asks for; the same object where it says nothing or
 * what the file says already.
 */
export function withPrefixSpace(
  root: TokenizerDocument,
  config: JsonObject,
  file: string,
): TokenizerDocument {
  const read = new Reader(file)
  const wanted = switchOf(read, config, 'add_prefix_space')
  if (wanted === undefined) return root
  let found = false
  const set = (value: unknown): unknown => {
    const part = value as JsonObject | null
    if (part?.type === 'Sequence' && Array.isArray(part.pretokenizers)) {
      const pretokenizers = part.pretokenizers.map(set)
      return { ...part, pretokenizers }
    }
    if (part?.type === 'ByteLevel') {
      found = true
      return { ...part, add_prefix_space: wanted }
    }
    if (part?.type !== 'Metaspace') return value
    found = true
    // 'first' puts a space before the text too, so true leaves it.
    const scheme = wanted
      ? part.prepend_scheme === 'never'
        ? 'always'
        : part.prepend_scheme
      : 'never'
    const { add_prefix_space: _, ...rest } = part
    return { ...rest, ...(scheme === undefined ? {} : { prepend_scheme: scheme }) }
  }
  const pre_tokenizer = set(root.pre_tokenizer)
  if (found) return { ...root, pre_tokenizer }
  const prepends = JSON.stringify(root.normalizer ?? null).includes('"type":"Prepend"')
  if (prepends !== wanted) {
    read.fail(
      'add_prefix_space',
      `is ${wanted}, but tokenizer.json has ${prepends ? 'a Prepend normalizer' : 'no part that adds a space'}.`,
    )
  }
  return root
}

/** What `added_tokens_decoder` and added_tokens.json have beyond tokenizer.json. */
export function furtherTokens(
  root: TokenizerDocument,
  config: JsonObject,
  configFile: string,
  addedTokens: unknown,
): JsonObject[] {
  const listed = Array.isArray(root.added_tokens)
    ? (root.added_tokens as (JsonObject | null)[])
    : []
  const contents = new Map(listed.map((token) => [token?.content, token?.id]))
  const ids = new Map(listed.map((token) => [token?.id, token?.content]))
  const further: JsonObject[] = []
  const add = (
    read: Reader,
    field: string,
    content: string,
    id: number,
    flags: JsonObject,
  ): void => {
    if (contents.get(content) === id) return
    if (contents.has(content)) {
      read.fail(
        field,
        `gives ${brief(content)} the id ${id}; tokenizer.json says ${brief(contents.get(content))}.`,
      )
    }
    if (ids.has(id)) {
      read.fail(
        field,
        `gives the id ${id} to ${brief(content)}; tokenizer.json has ${brief(ids.get(id))} there.`,
      )
    }
    contents.set(content, id)
    ids.set(id, content)
    further.push({ ...flags, id, content })
  }
  if (config.added_tokens_decoder !== undefined && config.added_tokens_decoder !== null) {
    const read = new Reader(configFile)
    const field = 'added_tokens_decoder'
    for (const [key, value] of Object.entries(read.object(config[field], field))) {
      const place = `${field}[${brief(key)}]`
      const token = read.object(value, place)
      if (!/^\d{1,7}$/.test(key) || Number(key) >= MAX_ID) read.fail(place, 'is no id.')
      const { __type: _, content, ...flags } = token
      add(read, place, read.text(content, `${place}.content`), Number(key), flags)
    }
  }
  if (addedTokens !== undefined) {
    const read = new Reader('added_tokens.json')
    for (const [content, id] of Object.entries(read.object(addedTokens, 'file'))) {
      add(read, brief(content), content, read.id(id, brief(content)), {})
    }
  }
  return further
}

/** The post-processor with the beginning and the end that `add_bos_token` and `add_eos_token` ask for. */
export function withEnds(
  processor: PostProcessor | null,
  config: JsonObject,
  file: string,
  ends: { readonly bos: string | null; readonly eos: string | null },
  tokens: Tokens,
): PostProcessor | null {
  const read = new Reader(file)
  const bos = switchOf(read, config, 'add_bos_token')
  const eos = switchOf(read, config, 'add_eos_token')
  if (bos === undefined && eos === undefined) return processor
  const idOf = (field: string, token: string | null): number => {
    if (token === null) return read.fail(field, 'is true, but no such token is named.')
    return tokens.idOf(token)!
  }
  const { before, after } = around(processor)
  const wantedBefore =
    (bos ?? before.length > 0) ? (bos === true ? [idOf('add_bos_token', ends.bos)] : before) : []
  const wantedAfter =
    (eos ?? after.length > 0) ? (eos === true ? [idOf('add_eos_token', ends.eos)] : after) : []
  if (same(before, wantedBefore) && same(after, wantedAfter)) return processor
  // As transformers' Llama tokenizer has it: each text of a pair has its own ends, of its own type.
  return {
    added: (texts) => texts * (wantedBefore.length + wantedAfter.length),
    process: (texts, addSpecial) => {
      const plain = processor?.process(texts, false) ?? texts
      if (!addSpecial) return [...plain]
      return plain.flatMap((text, i) => [
        specialColumns(wantedBefore, i),
        withType(text, i),
        specialColumns(wantedAfter, i),
      ])
    },
  }
}

/** Ids that a post-processor puts before and after one text. */
function around(processor: PostProcessor | null): { before: number[]; after: number[] } {
  const text = { ...emptyColumns(), sequenceIds: [0] }
  const parts = processor?.process([text], true) ?? [text]
  const at = parts.findIndex((part) => part.sequenceIds[0] === 0)
  const ids = (list: typeof parts): number[] => list.flatMap((part) => part.ids)
  return { before: ids(parts.slice(0, at)), after: ids(parts.slice(at + 1)) }
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i])
}
