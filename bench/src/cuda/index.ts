// npm run bench:cuda -- [words...] [--judge] [--json] [--list] [--max-time s]
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { cudaDevices, isCudaAvailable, manualSeed, setDefaultDevice, zeros } from '@shakti/tensor'
import { writeJson } from '../lib/report.js'
import { plusMinus } from '../lib/stats.js'
import { cases } from './cases.js'
import { chipOf } from './chips.js'
import { chosen } from './choose.js'
import { judge } from './judge.js'
import { time, type Timed } from './time.js'

const help = `Times the ops on this machine's GPU by its own clock, beside what its memory and arithmetic allow.

npm run bench:cuda -- [words...]   only ops whose family or name holds one of the words
  --judge             without a GPU: counts what the kernels do on the simulator, and writes bench/cuda/README.md
                      (with words: prints the page of those ops)
  --max-time seconds  for one op (default 0.5)
  --json              the result on standard output; it is always written to bench/results/cuda.json
  --list              names only`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    judge: { type: 'boolean', default: false },
    'max-time': { type: 'string', default: '0.5' },
    json: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

function fail(message: string, code: 1 | 2): never {
  console.error(`bench:cuda: ${message}`)
  process.exit(code)
}

const number = (x: number): string => x.toFixed(x >= 100 ? 0 : x >= 10 ? 1 : 2)

function row(t: Timed): string {
  return [
    t.family.padEnd(12),
    `${t.name} (${t.shape})`.padEnd(72),
    `${number(1e3 * t.median)} µs`.padStart(12),
    `± ${plusMinus(t).toFixed(1)} %`.padStart(9),
    `${number(t.gigabytesPerSecond)} GB/s`.padStart(12),
    (t.teraflops ? `${number(t.teraflops)} TFLOP/s` : '').padStart(15),
    (t.share === undefined ? '' : `${Math.round(100 * t.share)} % of the roofline`).padStart(22),
  ].join(' ')
}

if (values.help) {
  console.log(help)
  process.exit(0)
}
const seconds = Number(values['max-time'])
if (!(seconds > 0)) fail(`--max-time must be a number of seconds, got '${values['max-time']}'`, 2)
const list = chosen(cases, positionals)
if (list.length === 0) fail(`no op matches '${positionals.join(' ')}'`, 2)
if (values.list) {
  for (const { family, name } of list) console.log(`${family}: ${name}`)
  process.exit(0)
}
if (values.judge) {
  try {
    judge(positionals)
  } catch (error) {
    fail((error as Error).message, 1)
  }
  process.exit(0)
}

if (!isCudaAvailable()) {
  let why = ''
  try {
    zeros([1], { device: 'cuda' })
  } catch (error) {
    why = (error as Error).message
  }
  fail(`nothing to time: ${why}`, 1)
}
const gpu = cudaDevices()[0]!
if (gpu.name.includes('no GPU'))
  fail(
    `'${gpu.name}' is a simulator: it has no clock, and how long it takes says nothing of a GPU. --judge counts on it.`,
    1,
  )

const chip = chipOf(gpu.name)
setDefaultDevice('cuda')
manualSeed(0)
const say = values.json ? console.error : console.log
say(
  `${gpu.name}, compute capability ${gpu.compute}, ${chip ? `rooflines of the ${chip.name}` : 'a chip whose published peaks are not in chips.json: no rooflines'}\n`,
)
const results: Timed[] = []
for (const c of list) {
  const result = await time(c, chip, seconds)
  results.push(result)
  say(row(result))
}
const report = { date: new Date().toISOString(), gpu, chip: chip ?? null, results }
const path = fileURLToPath(new URL('../../results/cuda.json', import.meta.url))
writeJson(path, report)
if (values.json) console.log(JSON.stringify(report, null, 2))
else console.log(`\nwritten to ${path}`)
