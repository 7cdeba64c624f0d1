// Cutting at the places where something matches, in the five ways that tokenizer.json knows.

import type { Aligned } from '../text/aligned.js'

export const BEHAVIORS = [
  'Removed',
  'Isolated',
  'MergedWithPrevious',
  'MergedWithNext',
  'Contiguous',
] as const
export type Behavior = (typeof BEHAVIORS)[number]

/**
 * The pieces of a text with `matches` (flat: start, end, ...) taken as delimiters, or as what is between them where
 * `inverted`. No piece is empty.
 */
export function cut(
  text: Aligned,
  matches: readonly number[],
  behavior: Behavior,
  inverted = false,
): Aligned[] {
  const pieces: Aligned[] = []
  let start = 0 // of the piece that may still grow
  let end = 0
  let open = false // whether there is one
  let delimiter = false // whether the last part was one
  const close = (): void => {
    if (open && end > start) pieces.push(text.slice(start, end))
    open = false
  }
  const part = (from: number, to: number, matched: boolean): void => {
    const isDelimiter = matched !== inverted
    let joins = false
    if (behavior === 'Contiguous') joins = isDelimiter === delimiter && open
    else if (behavior === 'MergedWithPrevious') joins = isDelimiter && !delimiter && open
    else if (behavior === 'MergedWithNext') joins = !isDelimiter && delimiter && open
    if (joins) end = to
    else {
      close()
      ;[start, end] = [from, to]
      open = !(isDelimiter && behavior === 'Removed')
    }
    delimiter = isDelimiter
  }
  let at = 0
  for (let i = 0; i < matches.length; i += 2) {
    if (matches[i]! > at) part(at, matches[i]!, false)
    part(matches[i]!, matches[i + 1]!, true)
    at = matches[i + 1]!
  }
  if (at < text.length) part(at, text.length, false)
  close()
  return pieces
}

/** The matches of a global expression, flat. It must need no backtracking: classes and runs of them. */
export function matchesOf(text: string, expression: RegExp): number[] {
  const found: number[] = []
  for (const match of text.matchAll(expression))
    found.push(match.index, match.index + match[0].length)
  return found
}
