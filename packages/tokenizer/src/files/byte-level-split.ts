// The files whose text byte-level BPE can cut as bytes: their pre-tokenizer ends with ByteLevel, and what is before it
// cuts the text and changes nothing.

import { readPreTokenizer } from '../pretokenizers/index.js'
import { GPT2_PATTERN, KNOWN_PATTERNS } from '../split/patterns.js'
import { WHOLE } from '../split/splitter.js'
import type { Splitter } from '../split/splitter.js'
import { TextSplitter } from '../split/words.js'
import { Aligned } from '../text/aligned.js'
import type { JsonObject, Reader } from './reader.js'

function partsOf(value: unknown): readonly JsonObject[] {
  const root = value as JsonObject | null | undefined
  return (root?.type === 'Sequence' ? root.pretokenizers : [root]) as JsonObject[]
}

/** Whether all pieces of a pre-tokenizer that was read are in the byte alphabet. */
export function endsInBytes(value: unknown): boolean {
  return partsOf(value).at(-1)?.type === 'ByteLevel'
}

/** What cuts bytes as the pre-tokenizer cuts text, or undefined where that does more than cutting. */
export function readByteLevelSplit(read: Reader, value: unknown): Splitter | undefined {
  const parts = partsOf(value)
  const last = parts.at(-1)
  // add_prefix_space is true where it is missing.
  if (last?.type !== 'ByteLevel' || last.add_prefix_space !== false) return undefined
  const cuts = parts.slice(0, -1)
  const byRegex = last.use_regex !== false
  if (byRegex && cuts.length === 0) return KNOWN_PATTERNS.get(GPT2_PATTERN)
  if (!byRegex && cuts.length === 1) {
    const scanner = scannerOf(cuts[0]!)
    if (scanner !== undefined) return scanner
  }
  if (!cuts.every(keepsAll)) return undefined
  const pattern = { type: 'Split', pattern: { Regex: GPT2_PATTERN }, behavior: 'Isolated' }
  const pretokenizers = byRegex ? [...cuts, pattern] : cuts
  if (pretokenizers.length === 0) return WHOLE
  const cut = readPreTokenizer(read, { type: 'Sequence', pretokenizers }, 'pre_tokenizer')!
  return new TextSplitter((text) =>
    cut(Aligned.of(text, false)).map((piece) => piece.endOf(piece.length)),
  )
}

/** Whether all text is in the pieces of a part. */
function keepsAll(part: JsonObject): boolean {
  return part.type === 'Digits' || (part.type === 'Split' && part.behavior !== 'Removed')
}

/** The scanner of a Split part that cuts at a known pattern. Known patterns match all of a text, so that inverting
 * the part and removing what is between changes nothing. */
function scannerOf(part: JsonObject): Splitter | undefined {
  if (part.type !== 'Split') return undefined
  const source = (part.pattern as JsonObject).Regex
  const isolated = part.behavior === 'Isolated' && part.invert !== true
  const kept = part.behavior === 'Removed' && part.invert === true
  return isolated || kept ? KNOWN_PATTERNS.get(source as string) : undefined
}
