// npm run bench -- [filter] [--mode issue|done] [--max-time s] [--name name] [--json] [--list]
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { manualSeed, setNumThreads } from '@shakti/tensor'
import { time, type Bench, type Mode, type Result } from './lib/metabench.js'
import { report, row, writeJson } from './lib/report.js'
import { attention } from './ops/attention.js'
import { captures } from './ops/capture.js'
import { elementwise } from './ops/elementwise.js'
import { products } from './ops/matmul.js'
import { norms } from './ops/norm.js'
import { overhead } from './ops/overhead.js'
import { quant } from './ops/quant.js'
import { trainStep } from './train/step.js'

const suites: Record<string, readonly Bench[]> = {
  overhead,
  capture: captures,
  elementwise,
  matmul: products,
  norm: norms,
  attention,
  quant,
  train: trainStep,
}

const help = `Times ops and a training step: 'issue' is until the call returns, 'done' until the result is there.

npm run bench -- [words...]     only benches whose suite or name holds one of the words
  --mode issue|done             one mode only (default: both)
  --max-time seconds            for one bench in one mode (default 0.5)
  --name name                   result file bench/results/<name>.json (default: latest)
  --json                        the report on standard output instead of the table
  --list                        names only
  --help

On two threads. Times are medians; ± is half the distance of the quartiles.`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    mode: { type: 'string' },
    'max-time': { type: 'string', default: '0.5' },
    name: { type: 'string', default: 'latest' },
    json: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

function fail(message: string): never {
  console.error(`${message}\n\n${help}`)
  process.exit(2)
}

if (values.help) {
  console.log(help)
  process.exit(0)
}
const maxTime = Number(values['max-time'])
if (!(maxTime > 0)) fail(`--max-time must be a number of seconds, got '${values['max-time']}'`)
if (values.mode !== undefined && values.mode !== 'issue' && values.mode !== 'done')
  fail(`--mode is issue or done, got '${values.mode}'`)
if (!/^[\w.-]+$/.test(values.name)) fail(`--name is a plain file name, got '${values.name}'`)
const modes: Mode[] = values.mode ? [values.mode] : ['issue', 'done']

const chosen = Object.entries(suites).flatMap(([suite, benches]) =>
  benches.filter(
    (b) => positionals.length === 0 || positionals.some((w) => `${suite} ${b.name}`.includes(w)),
  ),
)
if (chosen.length === 0) fail(`no bench matches '${positionals.join(' ')}'`)
if (values.list) {
  for (const b of chosen) console.log(b.name)
  process.exit(0)
}

manualSeed(0)
setNumThreads(2)
const results: Result[] = []
for (const bench of chosen) {
  for (const mode of modes) {
    const result = await time(bench, mode, { maxTime, minSamples: 5 })
    results.push(result)
    if (!values.json) console.log(row(result))
  }
}
const full = report(positionals.join(' ') || 'all', results)
const path = fileURLToPath(new URL(`../results/${values.name}.json`, import.meta.url))
writeJson(path, full)
if (values.json) console.log(JSON.stringify(full, null, 2))
else
  console.log(
    `\n${full.cpu}, ${full.isa}, ${full.threads} threads, node ${full.node}; written to ${path}`,
  )
