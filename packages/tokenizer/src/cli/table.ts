// Aligned tables and colours.

/** Rows of cells; columns of numbers are aligned at the right. */
export function table(rows: readonly (readonly (string | number)[])[], indent = ''): string {
  const texts = rows.map((row) => row.map((cell) => String(cell)))
  const columns = Math.max(0, ...texts.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, i) =>
    Math.max(...texts.map((row) => width(row[i] ?? ''))),
  )
  const right = widths.map((_, i) =>
    texts.slice(1).every((row) => /^-?[\d,.]+( ?%| [kMG]?B)?$/.test(row[i] ?? '0')),
  )
  return texts
    .map((row) => {
      const cells = row.map((cell, i) => {
        const pad = ' '.repeat(widths[i]! - width(cell))
        return right[i] ? pad + cell : cell + pad
      })
      return `${indent}${cells.join('  ')}`.trimEnd() + '\n'
    })
    .join('')
}

// eslint-disable-next-line no-control-regex -- what `paints` puts in
const STYLE = /\x1b\[[\d;]*m/g

/** Columns on a terminal: combining marks take none, East Asian characters and emoji two. */
function width(text: string): number {
  let columns = 0
  for (const char of text.replace(STYLE, '')) {
    if (/\p{M}|\p{Cf}/u.test(char)) continue
    columns +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]|\p{Emoji_Presentation}/u.test(
        char,
      )
        ? 2
        : 1
  }
  return columns
}

export const number = (n: number): string => n.toLocaleString('en-US')
export const decimals = (n: number): string => n.toFixed(2)

export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`
}

export function duration(seconds: number): string {
  const s = Math.round(seconds)
  if (s < 60) return `${s} s`
  return s < 3600
    ? `${Math.floor(s / 60)} min ${s % 60} s`
    : `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
}

/** Control characters made visible, so that a token cannot move the cursor. */
export function printable(text: string): string {
  return text.replace(/[\p{C}\u2028\u2029]/gu, (char) => {
    const short = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[char]
    return short ?? (char === '\u200d' ? char : `\\u{${char.codePointAt(0)!.toString(16)}}`)
  })
}

export type Paint = (text: string) => string

/** Styles that do nothing where there is no terminal. */
export function paints(colours: boolean): { bold: Paint; dim: Paint; pieces: readonly Paint[] } {
  const sgr =
    (on: string): Paint =>
    (text) =>
      colours ? `\x1b[${on}m${text}\x1b[0m` : text
  return {
    bold: sgr('1'),
    dim: sgr('2'),
    pieces: ['30;46', '30;43', '30;42', '30;45'].map(sgr),
  }
}
