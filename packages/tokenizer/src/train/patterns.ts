// The split patterns that training knows by name. This is the one place where training reaches the splitters.

import { TokenizerError, brief } from '../errors.js'
import { PatternError } from '../regex/syntax.js'
import { CL100K_PATTERN, GPT2_PATTERN, O200K_PATTERN } from '../split/patterns.js'
import type { Splitter } from '../split/splitter.js'
import { splitterOf } from '../split/words.js'

/** A pattern by its name, or a regular expression of one's own as tokenizer.json spells it. */
export type SplitPattern = 'gpt2' | 'cl100k' | 'llama3' | 'o200k' | { readonly regex: string }

const NAMED: ReadonlyMap<string, string> = new Map([
  ['gpt2', GPT2_PATTERN],
  ['cl100k', CL100K_PATTERN],
  ['llama3', CL100K_PATTERN],
  ['o200k', O200K_PATTERN],
])

export const PATTERN_NAMES: readonly string[] = [...NAMED.keys()]

/** How a pattern writes its numbers. */
const NUMBERS = /(?<=^|\|)( \?)?\\p\{N\}(\+|\{1,\d\})?(?=\||$)/

/** The regular expression of a pattern, with at most `digits` digits in a word where that is given. */
export function patternRegex(pattern: SplitPattern, digits?: number): string {
  const regex = typeof pattern === 'string' ? NAMED.get(pattern) : pattern.regex
  if (typeof regex !== 'string') {
    throw new TokenizerError(
      'Tokenizer.train',
      `pattern is ${brief(pattern)}. One of ${PATTERN_NAMES.join(', ')} or { regex } is expected.`,
    )
  }
  if (digits === undefined) return regex
  if (!Number.isInteger(digits) || digits < 1 || digits > 9) {
    throw new TokenizerError(
      'Tokenizer.train',
      `digits is ${brief(digits)}. An integer from 1 to 9 is expected.`,
    )
  }
  if (!NUMBERS.test(regex)) {
    throw new TokenizerError(
      'Tokenizer.train',
      `digits is ${digits}, but the pattern has no alternative of numbers alone, such as \\p{N}{1,3}.`,
    )
  }
  return regex.replace(NUMBERS, digits === 1 ? '\\p{N}' : `\\p{N}{1,${digits}}`)
}

/** Whether texts may be cut at the places that `betweenWords` names. */
export function cutsAtBlanks(pattern: SplitPattern): boolean {
  return typeof pattern === 'string'
}

export function wordSplitter(regex: string): Splitter {
  try {
    return splitterOf(regex)
  } catch (error) {
    if (!(error instanceof PatternError)) throw error
    throw new TokenizerError('Tokenizer.train', `pattern: ${error.message}.`, { cause: error })
  }
}
