// The tokenizer.json of byte-level BPE that comes from no such file: one that was trained here, or tiktoken's ranks.

import type { JsonObject } from './reader.js'

export interface ByteLevelParts {
  readonly pattern: string
  readonly ignoreMerges: boolean
  readonly specialTokens: readonly { readonly id: number; readonly content: string }[]
}

/** The object that the file holds, without its vocabulary and merges. */
export function byteLevelJson({
  pattern,
  ignoreMerges,
  specialTokens,
}: ByteLevelParts): JsonObject {
  const byteLevel = {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: false,
  }
  const split = {
    type: 'Split',
    pattern: { Regex: pattern },
    behavior: 'Isolated',
    invert: false,
  }
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
    },
  }
}
