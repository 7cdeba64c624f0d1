import type { Case } from './cases.js'

/** Those whose family or name holds one of the words; without words all. */
export const chosen = (cases: readonly Case[], words: readonly string[]): Case[] =>
  cases.filter(
    ({ family, name }) =>
      words.length === 0 || words.some((word) => `${family} ${name}`.includes(word)),
  )
