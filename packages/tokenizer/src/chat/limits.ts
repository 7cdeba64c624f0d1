// What a template may spend.

import { TemplateError } from '../errors.js'

export interface TemplateLimits {
  /** Characters of the template itself; default 131,072. */
  readonly source?: number
  /** Nodes evaluated in one rendering; default 2,000,000. */
  readonly steps?: number
  /** Nesting of nodes being evaluated; default 400. */
  readonly depth?: number
  /** Characters of any one string, the output among them; default 4,194,304. */
  readonly output?: number
  /** Milliseconds of parsing, and of one rendering; default 5,000. Infinity sets no limit. */
  readonly milliseconds?: number
}

export const DEFAULT_LIMITS: Required<TemplateLimits> = {
  source: 131_072,
  steps: 2_000_000,
  depth: 400,
  output: 4_194_304,
  milliseconds: 5000,
}

/** Entries of one list, or nodes of one built value. */
export const MAX_ITEMS = 100_000
export const MAX_INDENT = 64
export const MAX_VALUE_DEPTH = 64

export function over(what: string, limit: number): never {
  throw new TemplateError('chatTemplate', `the template went over the limit of ${limit} ${what}.`)
}
