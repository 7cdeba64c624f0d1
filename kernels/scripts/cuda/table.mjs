// Kernels as an aligned table, the worst first.
import { occupancy } from './resources.mjs'

/** Where launch bounds and recorded launches say nothing: what launchers take for walks over elements (kThreads in host.h). */
const usualThreads = 256

/**
 * One row a kernel and generation.
 * @param launches by kernel { threads, shared }: the largest dynamic shared memory seen, and the block that went with it
 */
export function rowsOf(made, launches) {
  return made.flatMap(({ family, generation, kernels }) =>
    Object.entries(kernels).map(([kernel, facts]) => {
      const launch = launches[kernel]
      const threads = launch?.threads ?? facts.threads ?? usualThreads
      const row = { family, kernel, generation, ...facts, threads, dynamic: launch?.shared ?? null }
      const shared = facts.shared + (row.dynamic ?? 0)
      return {
        ...row,
        occupancy: occupancy(generation, { registers: facts.registers, shared, threads }),
      }
    }),
  )
}

const worse = (a, b) =>
  b.spills - a.spills || b.stack - a.stack || a.occupancy - b.occupancy || b.registers - a.registers

const columns = [
  ['kernel', (r) => r.kernel],
  ['sm', (r) => r.generation],
  ['registers', (r) => r.registers],
  ['spills', (r) => r.spills],
  ['stack', (r) => r.stack],
  ['shared', (r) => (r.dynamic === null ? r.shared : `${r.shared} + ${r.dynamic}`)],
  ['threads', (r) => r.threads],
  ['occupancy', (r) => `${Math.round(100 * r.occupancy)} %`],
]

/** @param most rows, Infinity for all */
export function table(rows, most) {
  const shown = [...rows].sort(worse).slice(0, most)
  const cells = [
    columns.map(([name]) => name),
    ...shown.map((r) => columns.map(([, of]) => String(of(r)))),
  ]
  const widths = columns.map((_, c) => Math.max(...cells.map((line) => line[c].length)))
  const lines = cells.map((line) =>
    line.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c]))).join('  '),
  )
  const left = rows.length - shown.length
  return [...lines, ...(left > 0 ? [`... and ${left} more (--all)`] : [])].join('\n')
}
