// The tokenizer.json of byte-level BPE that comes from no such file: one that was trained here, tiktoken's ranks, or a
// folder of vocab.json and merges.txt.

import type { JsonObject } from './reader.js'

export const byteLevel = (flags: JsonObject = {}): JsonObject => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: true,
  ...flags,
})

export const split = (regex: string, behavior: string, invert: boolean): JsonObject => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior,
  invert,
})

export const sequence = (...pretokenizers: JsonObject[]): JsonObject => ({
  type: 'Sequence',
  pretokenizers,
})

interface SpecialToken {
  readonly id: number
  readonly content: string
}

/** The object that a file holds: `parts` and fields of the `model` take the place of the usual ones. */
export function byteLevelDocument(
  specialTokens: readonly SpecialToken[],
  parts: JsonObject,
  model?: JsonObject,
): JsonObject {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map(({ id, content }) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    ...parts,
    decoder: byteLevel({ add_prefix_space: true }),
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      ...model,
    },
  }
}

export interface ByteLevelParts {
  readonly pattern: string
  readonly ignoreMerges: boolean
  readonly specialTokens: readonly SpecialToken[]
}

/** That of a tokenizer made here, without its vocabulary and merges. */
export function byteLevelJson({
  pattern,
  ignoreMerges,
  specialTokens,
}: ByteLevelParts): JsonObject {
  const pre = sequence(split(pattern, 'Isolated', false), byteLevel({ use_regex: false }))
  return byteLevelDocument(specialTokens, { pre_tokenizer: pre }, { ignore_merges: ignoreMerges })
}
