// npm run mutants -w @shakti/kernels [-- part of a family's name or of a fault's text ...] [--jobs n] [--write]
// Plants each fault of mutants.ts and says what sees it. First everything runs without a fault: nothing may be seen then.
// With --write the table goes into MUTANTS.md; of faults that were not planted this time it keeps what stands there. Ends with 1 when one
// is not seen.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { mutants, type Mutant } from './mutants.js'
import { missing, plant, seen } from './plant.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    jobs: { type: 'string', default: '2' },
    write: { type: 'boolean', default: false },
  },
})
const why = missing()
if (why) {
  console.log(`mutants: skipped: ${why}`)
  process.exit(0)
}
const root = fileURLToPath(new URL('../../', import.meta.url))
const built = spawnSync(process.execPath, [`${root}scripts/cuda.mjs`, '--ptx'], {
  stdio: 'inherit',
})
if (built.status !== 0) process.exit(1)

const wanted = mutants.filter(
  (m) =>
    positionals.length === 0 || positionals.some((p) => m.family.includes(p) || m.what.includes(p)),
)
const families = [...new Set(wanted.map((m) => m.family))]
const unprovoked = await seen(families, `${root}build/cuda`)
console.log(`${families.length} families without a fault: ${unprovoked || 'nothing seen'}`)

const found = new Map<Mutant, string>()
const queue = [...wanted]
async function work(): Promise<void> {
  for (let m = queue.shift(); m !== undefined; m = queue.shift()) {
    const by = await plant(m).catch((e: unknown) => `ERROR: ${(e as Error).message}`)
    found.set(m, by)
    console.log(`${by ? 'seen  ' : 'UNSEEN'} ${m.family}: ${m.what}${by ? `: ${by}` : ''}`)
  }
}
await Promise.all(Array.from({ length: Math.max(1, Number(values.jobs)) }, work))

const good = [...found.values()].filter((by) => by !== '' && !by.startsWith('ERROR')).length
const closing = `${good} of ${wanted.length} faults seen, ${unprovoked ? `and without any: ${unprovoked}` : 'nothing seen without one'}`
console.log(closing)
if (values.write) {
  const page = new URL('MUTANTS.md', import.meta.url)
  const before = readFileSync(page, 'utf8').split('\n')
  const rows = mutants.map((m) => {
    const begin = `| ${m.family} | ${m.what} | `
    if (found.has(m)) return `${begin}${found.get(m) || '**not seen**'} |`
    return before.find((line) => line.startsWith(begin)) ?? `${begin}**not planted** |`
  })
  const seenOf = rows.filter((row) => !/\*\*|\| ERROR/.test(row)).length
  writeFileSync(
    page,
    `# Faults planted in our kernels, and what sees them

Written by \`npm run mutants -w @shakti/kernels -- --write\`; the faults are in [mutants.ts](mutants.ts). ${seenOf} of ${rows.length} faults
seen${unprovoked ? `, and without any: ${unprovoked}` : ', nothing seen without one'}. A word such as
\`race\` is the simulator's check, which needs no right result to compare with; "wrong numbers" names the first case that differs
from the CPU's result. What a fault is called here says what goes wrong.

| family | fault | seen by |
| --- | --- | --- |
${rows.join('\n')}
`,
  )
}
process.exitCode = good === wanted.length && !unprovoked ? 0 : 1
