// The files whose words the byte-level core can cut and encode by itself: their pre-tokenizer ends with ByteLevel, and
// what is before it cuts the text and changes nothing.

import { SPLIT_PATTERNS } from '../pretokenize.js'
import type { NextWord } from '../pretokenize.js'
import { readPreTokenizer } from '../pretokenizers/index.js'
import type { PreTokenizer } from '../pretokenizers/index.js'
import { GPT2_PATTERN } from '../pretokenizers/byte-level.js'
import type { JsonObject, Reader } from './reader.js'

export interface ByteLevelPath {
  /** Cuts the text before it becomes bytes; null where all cutting is the scanner's. */
  readonly before: PreTokenizer | null
  /** Cuts bytes into words; the whole where `before` did it. */
  readonly split: NextWord
}

const WHOLE: NextWord = (_, __, end) => end

/** What the pre-tokenizer of a byte-level file does before its bytes, or undefined where it does more than cutting. */
export function readByteLevelPath(read: Reader, value: unknown): ByteLevelPath | undefined {
  const root = value as JsonObject | null | undefined
  const list = (root?.type === 'Sequence' ? root.pretokenizers : [root]) as JsonObject[]
  const last = list[list.length - 1]
  // add_prefix_space is true where it is missing.
  if (last?.type !== 'ByteLevel' || last.add_prefix_space !== false) return undefined
  const cuts = list.slice(0, -1)
  if (!cuts.every((part) => part.type === 'Split' || part.type === 'Digits')) return undefined
  const byRegex = last.use_regex !== false
  const scanner = byRegex
    ? cuts.length === 0 && SPLIT_PATTERNS.get(GPT2_PATTERN)
    : cuts.length === 1 && scannerOf(cuts[0]!)
  if (scanner) return { before: null, split: scanner }
  const pattern = { type: 'Split', pattern: { Regex: GPT2_PATTERN }, behavior: 'Isolated' }
  const pretokenizers = byRegex ? [...cuts, pattern] : cuts
  if (pretokenizers.length === 0) return { before: null, split: WHOLE }
  const before = readPreTokenizer(read, { type: 'Sequence', pretokenizers }, 'pre_tokenizer')
  return { before, split: WHOLE }
}

/** The scanner of a Split part that cuts at a known pattern. Known patterns match all of a text, so that inverting
 * the part and removing what is between changes nothing. */
function scannerOf(part: JsonObject): NextWord | undefined {
  if (part.type !== 'Split') return undefined
  const source = (part.pattern as JsonObject).Regex
  const isolated = part.behavior === 'Isolated' && part.invert !== true
  const kept = part.behavior === 'Removed' && part.invert === true
  return isolated || kept ? SPLIT_PATTERNS.get(source as string) : undefined
}
