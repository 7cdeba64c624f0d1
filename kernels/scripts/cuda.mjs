// Compiles the CUDA kernels (src/ops/<family>/cuda.cu), only what changed; the addon loads them at run time.
import { existsSync, mkdirSync, readFileSync, readdirSync, copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { overBudget, readBudget } from './cuda/budget.mjs'
import {
  bundles,
  compile,
  families,
  forHopper,
  generations,
  hopper,
  oldest,
  out,
  root,
  version,
} from './cuda/compile.mjs'
import { rowsOf, table } from './cuda/table.mjs'

const help = `npm run build:cuda -- [family...]
  (nothing)   build/cuda/<family>.fatbin: machine code for sm_${generations.join(', ')} and PTX, compressed; what a release carries
  --ptx       build/cuda/<family>.ptx alone, which is what the simulator runs
  --check     the same, and the budget of local memory on sm_${oldest}
  --report    the table for all of them, no more: build/cuda stays as it is, and the budget is not held
  --require   no nvcc is an error, as it is before a release
  --all       the whole table of registers, shared memory and occupancy, not the worst twenty
  --json      the table as JSON on standard output
NVCC names another nvcc. Local memory that src/cuda/budget.json does not list is an error.`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(
    ['ptx', 'check', 'report', 'require', 'all', 'json', 'help'].map((name) => [
      name,
      { type: 'boolean', default: false },
    ]),
  ),
})
const say = values.json ? console.error : console.log
if (values.help) {
  console.log(help)
  process.exit(0)
}

const known = families()
const wanted = positionals.length > 0 ? positionals : known
const strange = wanted.filter((family) => !known.includes(family))
if (strange.length > 0) {
  console.error(`build:cuda: no family '${strange.join("', '")}'. There are: ${known.join(', ')}`)
  process.exit(2)
}
const nvccVersion = version()
if (nvccVersion === null) {
  say(`build:cuda: ${values.require ? '' : 'skipped: '}nvcc not found (CUDA toolkit 12.8 or later)`)
  process.exit(values.require ? 1 : 0)
}

const whole = !values.ptx && !values.check
const items = whole
  ? wanted.flatMap((family) =>
      generations.map((generation) => ({ family, generation, code: true })),
    )
  : wanted.flatMap((family) => [
      { family, generation: oldest, code: values.check },
      ...(forHopper(family) ? [{ family, generation: hopper, code: values.check }] : []),
    ])
const start = performance.now()
const all = await compile(items, nvccVersion)
const failures = all.filter((u) => u.failed)
for (const { failed, item } of failures)
  console.error(`build:cuda: ${item.family} (sm_${item.generation})\n${failed}`)
const made = all.filter((u) => !u.failed)
const bad = new Set(failures.map((u) => u.item.family))
const good = wanted.filter((family) => !bad.has(family))

// The loader takes what lies in build/cuda: what this run made, and nothing older beside it.
if (!values.report) {
  mkdirSync(out, { recursive: true })
  for (const file of readdirSync(out)) {
    const family = file.split('.')[0]
    if (file !== 'units' && (!known.includes(family) || wanted.includes(family)))
      rmSync(join(out, file))
  }
}
const bundled = whole && !values.report ? await bundles(good, made) : []
for (const { failed, item, family, file } of bundled) {
  if (!failed) {
    copyFileSync(file, join(out, `${family}.fatbin`))
    continue
  }
  bad.add(item)
  console.error(`build:cuda: ${item}\n${failed}`)
}
const texts = whole ? [] : made
for (const { family, generation, ptx } of texts) {
  const name = generation === oldest ? family : `${family}.sm_${generation}`
  copyFileSync(ptx, join(out, `${name}.ptx`))
}

let wrong = []
if (!values.ptx) {
  const recorded = join(root, 'src/cuda/launches.json')
  const launches = existsSync(recorded) ? JSON.parse(readFileSync(recorded, 'utf8')) : {}
  const rows = rowsOf(made, launches)
  if (values.json) console.log(JSON.stringify(rows, null, 1))
  else if (whole || values.all) console.log(table(rows, values.all ? Infinity : 20))
  // Of some families alone the budget's other entries are not due.
  const names = new Set(rows.map((row) => row.kernel))
  const due = readBudget().filter(
    (e) => wanted === known || [...names].some((name) => e.pattern.test(name)),
  )
  if (!values.report) wrong = overBudget(rows, due)
  for (const sentence of wrong)
    console.error(`build:cuda: ${sentence} (kernels/src/cuda/budget.json)`)
}

const minutes = (s) => (s < 100 ? `${s.toFixed(0)} s` : `${(s / 60).toFixed(1)} min`)
if (whole && !bad.size && made.some((u) => u.fresh)) {
  for (const { family, bytes } of bundled) {
    const seconds = made.filter((u) => u.family === family).reduce((sum, u) => sum + u.seconds, 0)
    say(
      `${family.padEnd(14)} ${(bytes / 1024).toFixed(0).padStart(6)} KiB, compiled in ${minutes(seconds)} of one core`,
    )
  }
}
const fresh = made.filter((u) => u.fresh).length
say(
  `build:cuda: ${fresh} of ${all.length} units compiled in ${minutes((performance.now() - start) / 1e3)}, the others had not changed` +
    (bundled.length
      ? `; fat binaries of ${(bundled.reduce((n, b) => n + (b.bytes ?? 0), 0) / 2 ** 20).toFixed(1)} MiB`
      : ''),
)
process.exitCode = bad.size || wrong.length ? 1 : 0
