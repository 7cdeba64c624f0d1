// Local memory that kernels may use: src/cuda/budget.json lists it, each entry with its reason. Everything else fails, and so does an
// entry that nothing needs any more.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './compile.mjs'

const fields = ['kernels', 'generations', 'stack', 'spills', 'reason']

/** Entries: `kernels` is a pattern that a whole name matches; `generations` a list, or 'all'; `stack` and `spills` bytes at most. */
export function readBudget(file = join(root, 'src/cuda/budget.json')) {
  return JSON.parse(readFileSync(file, 'utf8')).map((entry, i) => {
    const unknown = Object.keys(entry).filter((key) => !fields.includes(key))
    if (unknown.length > 0 || !entry.kernels || !entry.reason || !entry.generations)
      throw new Error(
        `${file}: entry ${i} needs kernels, generations and reason, and knows stack and spills`,
      )
    return { stack: 0, spills: 0, ...entry, pattern: new RegExp(`^(?:${entry.kernels})$`) }
  })
}

/** Sentences, none when all is well. `rows` are kernels of generations: { kernel, generation, stack, spills }. */
export function overBudget(rows, budget) {
  const applies = (entry, row) =>
    entry.pattern.test(row.kernel) &&
    (entry.generations === 'all' || entry.generations.includes(row.generation))
  const wrong = rows
    .filter((row) => row.stack > 0 || row.spills > 0)
    .filter(
      (row) =>
        !budget.some((e) => applies(e, row) && row.stack <= e.stack && row.spills <= e.spills),
    )
    .map(
      (r) =>
        `${r.kernel} (sm_${r.generation}) has ${r.stack} bytes of stack and ${r.spills} of spills, which the budget does not list`,
    )
  // Of a generation some families alone may have been built.
  const built = new Set(rows.map((row) => row.generation))
  for (const entry of budget) {
    if (entry.generations !== 'all' && !entry.generations.some((g) => built.has(g))) continue
    const named = rows.filter((row) => applies(entry, row))
    if (named.length === 0)
      wrong.push(`the budget lists '${entry.kernels}', and no kernel has that name`)
    for (const generation of new Set(named.map((row) => row.generation))) {
      const users = named.filter((row) => row.generation === generation)
      if (!users.some((row) => row.stack > 0 || row.spills > 0))
        wrong.push(
          `the budget lists '${entry.kernels}' for sm_${generation}, where none of them uses local memory`,
        )
    }
  }
  return wrong
}
