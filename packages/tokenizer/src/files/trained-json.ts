// The tokenizer.json of a tokenizer that was trained here: byte-level BPE.

import type { BpeModel } from '../bpe.js'
import type { JsonObject } from './reader.js'

/** What training gives: a model, the split pattern it was trained with, and the special tokens in the order of ids. */
export interface Trained {
  readonly model: BpeModel
  readonly pattern: string
  readonly specialTokens: readonly string[]
}

/** The object that the file holds; deterministic. The special tokens get the ids after the model's. */
export function trainedJson({ model, pattern, specialTokens }: Trained): JsonObject {
  const { tokens, merges, ignoreMerges } = model
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
    pattern: { Regex: pattern },
    behavior: 'Isolated',
    invert: false,
  }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, i) => ({
      id: tokens.length + i,
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
      // fromEntries defines keys, so that a token spelt __proto__ stays one.
      vocab: Object.fromEntries(
        tokens.flatMap((token, id) => (token === undefined ? [] : [[token, id]])),
      ),
      merges: spaced ? pairs : pairs.map((pair) => pair.join(' ')),
    },
  }
}
