// Tables for the terminal.
import type { Answer, KernelInfo } from './answer.js'
import type { FaultReport, KernelReport } from './report.js'

/** Columns as wide as their widest cell; the first to the left, numbers to the right. */
export function table(rows: string[][]): string {
  const widths: number[] = []
  for (const row of rows) {
    row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)))
  }
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

const short = (value: number | string): string =>
  typeof value === 'number' ? String(Number(value.toPrecision(6))) : value
const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`

export function formatKernels(kernels: KernelInfo[]): string {
  const header = ['kernel', 'parameters', 'registers', 'shared', 'local', 'threads']
  const rows = kernels.map((k) => [
    k.name,
    k.parameters.length > 0 ? k.parameters.join('+') : '-',
    `~${k.registers}`,
    String(k.shared),
    String(k.local),
    String(k.maxThreads),
  ])
  return table([header, ...rows])
}

export function formatFault(fault: FaultReport): string {
  return `FAULT (${fault.kind}, ${fault.name})\n${fault.message}`
}

/** Figures that follow from the counted ones. */
function derived(counters: Record<string, number>): string[][] {
  const rows: string[][] = []
  const { warp_instructions: warp = 0, thread_instructions: thread = 0 } = counters
  if (warp > 0) rows.push(['active lanes', percent(thread, 32 * warp)])
  for (const space of ['global', 'shared']) {
    const moved = counters[`${space}.moved`] ?? 0
    if (moved > 0) {
      const name =
        space === 'global' ? 'sectors needed of those moved' : 'wavefronts needed of those used'
      rows.push([name, percent(counters[`${space}.ideal`] ?? 0, moved)])
    }
  }
  return rows
}

export function formatRun(
  answer: Answer,
  counted: KernelReport | undefined,
  lines: number,
): string {
  const parts: string[] = []
  if ('buffers' in answer && answer.buffers.length > 0) {
    const header = [
      'argument',
      'type',
      'count',
      'changed',
      'min',
      'max',
      'mean',
      'not finite',
      'first',
    ]
    const rows = answer.buffers.map((b) => [
      b.argument,
      b.type,
      String(b.count),
      b.changed === undefined ? '-' : String(b.changed),
      short(b.min),
      short(b.max),
      short(b.mean),
      String(b.notFinite),
      b.first.slice(0, 4).map(short).join(' ') + (b.count > 4 ? ' ...' : ''),
    ])
    parts.push(table([header, ...rows]))
  }
  if (counted) {
    const figures = Object.entries(counted.counters)
      .filter(([, value]) => value !== 0)
      .map(([name, value]) => [name, String(value)])
    parts.push(table([...figures, ...derived(counted.counters)]))
    if (lines > 0) {
      const top = [...counted.lines].sort((a, b) => b.issued - a.issued).slice(0, lines)
      const rows = top.map((l) => [
        `${l.line}: ${l.text}`,
        String(l.issued),
        l.moved > 0 ? percent(l.ideal, l.moved) : '-',
        l.source,
      ])
      parts.push(table([['line of PTX', 'issued', 'needed of moved', 'source'], ...rows]))
    }
  }
  return parts.join('\n\n')
}
