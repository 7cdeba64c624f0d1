// How a tokenizer.json cuts a text into the pieces that its model sees, by the `type` of each part.

import { kindOf, partsOf } from '../files/reader.js'
import type { JsonObject, Reader } from '../files/reader.js'
import type { Aligned } from '../text/aligned.js'
import { byteLevel } from './byte-level.js'
import { metaspace } from './metaspace.js'
import { unicodeScripts } from './scripts.js'
import {
  bert,
  charDelimiterSplit,
  digits,
  fixedLength,
  punctuation,
  split,
  whitespace,
  whitespaceSplit,
} from './simple.js'

/** The pieces of a text that is not empty; none of them is. */
export type PreTokenizer = (text: Aligned) => Aligned[]

export type PreTokenizerKind = (read: Reader, part: JsonObject, path: string) => PreTokenizer

const KINDS: Readonly<Record<string, PreTokenizerKind>> = {
  BertPreTokenizer: bert,
  ByteLevel: byteLevel,
  CharDelimiterSplit: charDelimiterSplit,
  Digits: digits,
  FixedLength: fixedLength,
  Metaspace: metaspace,
  Punctuation: punctuation,
  Sequence: sequence,
  Split: split,
  UnicodeScripts: unicodeScripts,
  Whitespace: whitespace,
  WhitespaceSplit: whitespaceSplit,
}

const MAX_PARTS = 64

/** The file's pre-tokenizer, or null. */
export function readPreTokenizer(read: Reader, value: unknown, path: string): PreTokenizer | null {
  if (value === undefined || value === null) return null
  const part = read.object(value, path)
  return kindOf(read, part, path, KINDS)(read, part, path)
}

function sequence(read: Reader, part: JsonObject, path: string): PreTokenizer {
  const parts = partsOf(read, part, path, 'pretokenizers', MAX_PARTS, (one, place) =>
    readPreTokenizer(read, one, place)!,
  )
  return (text) => {
    let pieces = [text]
    for (const preTokenizer of parts) pieces = pieces.flatMap(preTokenizer)
    return pieces
  }
}
