// Figures as lines that line up.

/** Three digits: 0.0431, 4.61, 49.3, 1080. */
export const digits = (x: number): string => (x >= 100 ? x.toFixed(0) : x.toPrecision(3))

export const percent = (share: number): string => `${(100 * share).toFixed(0)} %`

export const rate = (perSecond: number, unit: string): string =>
  `${digits(perSecond / 1e9)} G${unit}/s`

export interface Column {
  readonly title: string
  readonly width: number
  /** Default: to the right. */
  readonly left?: boolean
}

/** One line; a cell that is too wide pushes the next ones. */
export const lineOf = (columns: readonly Column[], cells: readonly string[]): string =>
  columns
    .map(({ width, left }, i) =>
      left ? (cells[i] ?? '').padEnd(width) : (cells[i] ?? '').padStart(width),
    )
    .join('  ')
    .trimEnd()

/** Title and rule of such a table. */
export const headOf = (columns: readonly Column[]): string =>
  [
    lineOf(
      columns,
      columns.map((c) => c.title),
    ),
    lineOf(
      columns,
      columns.map((c) => '─'.repeat(c.width)),
    ),
  ].join('\n')

/** A Markdown table whose columns line up; all but the first and those named go to the right. */
export function markdown(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  left: readonly string[],
): string {
  const columns = titles.map((title, i) => ({
    title,
    width: Math.max(title.length, ...rows.map((r) => r[i]!.length)),
    left: i === 0 || left.includes(title),
  }))
  const bar = (cells: readonly string[]): string =>
    `| ${columns.map((c, i) => (c.left ? cells[i]!.padEnd(c.width) : cells[i]!.padStart(c.width))).join(' | ')} |`
  const rule = columns.map((c) => (c.left ? '-'.repeat(c.width) : `${'-'.repeat(c.width - 1)}:`))
  return [bar(titles), bar(rule), ...rows.map(bar)].join('\n')
}

/** What goes on, on standard error: on a terminal one line, written over each time; elsewhere only what has no detail. */
export function progress(text: string, detail?: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${detail ? `${text}: ${detail}` : text}`)
  else if (text && detail === undefined) process.stderr.write(`${text}\n`)
}
