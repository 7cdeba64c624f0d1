import type { Columns, Span } from '../encoding.js'
import type { Tokens } from './index.js'

const LEADING = /^[Ġ\p{White_Space}]*/u
const TRAILING = /[Ġ\p{White_Space}]$/u

/** Offsets without the blanks that byte-level tokens begin and end with, but for one that was put before the text. */
export function trimmed(columns: Columns, addedPrefix: boolean, tokens: Tokens): Columns {
  return {
    ...columns,
    offsets: columns.offsets.map((span, i): Span => {
      if (columns.sequenceIds[i] === null) return span
      const token = tokens.tokenOf(columns.ids[i]!) ?? ''
      let leading = LEADING.exec(token)![0].length
      let trailing = 0
      while (trailing < token.length && TRAILING.test(token.slice(0, token.length - trailing))) {
        trailing++
      }
      let [start, end] = span
      if (leading > 0 && addedPrefix && (i === 0 || start === 0)) leading--
      start = Math.min(start + leading, end)
      // Of blanks alone nothing is left, also where one stands for the character that it was put before.
      if (trailing === token.length) return [start, start]
      if (end >= trailing) end = Math.max(end - trailing, start)
      return [start, end]
    }),
  }
}
