// The patterns that have a hand-written scanner, in the spellings that files use.

import { Cl100kSplitter } from './cl100k.js'
import { Gpt2Splitter } from './gpt2.js'
import { O200kSplitter } from './o200k.js'
import type { Splitter } from './splitter.js'

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const BOTH_CASES = "('s|'S|'t|'T|'re|'rE|'Re|'RE|'ve|'vE|'Ve|'VE|'m|'M|'ll|'lL|'Ll|'LL|'d|'D)"
const BLANKS = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
/** What cl100k and its kin have in common; only contractions and digits differ. */
const cl100k = (contractions: string, digits: string): string =>
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${BLANKS}`

const o200k = (contractions: string): string => {
  const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]'
  const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'
  const prefix = '[^\\r\\n\\p{L}\\p{N}]?'
  return (
    `${prefix}${upper}*${lower}+${contractions}?|${prefix}${upper}+${lower}*${contractions}?` +
    `|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${BLANKS}`
  )
}

export const GPT2_PATTERN =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
/** cl100k_base's pattern, which is also Llama 3's. */
export const CL100K_PATTERN = cl100k(CONTRACTIONS, '{1,3}')
export const QWEN2_PATTERN = cl100k(CONTRACTIONS, '')
export const O200K_PATTERN = o200k(CONTRACTIONS)

const gpt2 = new Gpt2Splitter()
const qwen2 = new Cl100kSplitter(1, 'folded', false)

/** Scanners by the pattern as files spell it. */
export const KNOWN_PATTERNS: ReadonlyMap<string, Splitter> = new Map<string, Splitter>([
  [GPT2_PATTERN, gpt2],
  // tiktoken's newer, possessive spelling.
  [
    "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s",
    gpt2,
  ],
  ["'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", gpt2],
  [CL100K_PATTERN, new Cl100kSplitter(3, 'folded', false)],
  [cl100k(BOTH_CASES, '{1,3}'), new Cl100kSplitter(3, 'ascii', false)],
  [
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+" +
      '|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s',
    new Cl100kSplitter(3, 'folded', true),
  ],
  [
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*" +
      '|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+',
    new Cl100kSplitter(3, 'folded', false),
  ],
  [QWEN2_PATTERN, qwen2],
  [O200K_PATTERN, new O200kSplitter()],
])
