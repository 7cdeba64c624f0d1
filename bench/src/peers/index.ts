// npm run bench:peers -- [words...] [--seconds s] [--json] [--list]: our works beside other engines', in the same run and
// on two threads, and beside what the machine can do at all.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { manualSeed, setNumThreads } from '@shakti/tensor'
import { time } from '../lib/metabench.js'
import { report } from '../lib/report.js'
import { works, type Limit, type Work } from './works.js'

const threads = 2
const help = `Times our works beside PyTorch's in one run, two threads each, and says what share of the machine's limit they reach.

npm run bench:peers -- [words...]   only works whose name holds one of the words
  --seconds s                       for each work and peer (default 1)
  --json                            the rows on standard output instead of the table
  --list                            names only
  --help

PyTorch is Debian's: apt-get install python3-torch libopenblas0-openmp. A peer that is not there is shown as absent.
Rows go to bench/results/peers.json, the machine and its limits to peers.machine.json.

  npm run bench:peers -- attention
  npm run bench:peers -- product linear --seconds 3`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const seconds = Number(values.seconds)
const chosen = works.filter(
  ({ name }) => positionals.length === 0 || positionals.some((word) => name.includes(word)),
)
if (values.help || !(seconds > 0) || chosen.length === 0) {
  if (!values.help)
    console.error(
      chosen.length === 0
        ? `no work is named like ${positionals.join(' or ')}\n`
        : `--seconds must be a number above 0, got '${values.seconds}'\n`,
    )
  ;(values.help ? console.log : console.error)(help)
  process.exit(values.help ? 0 : 2)
}
if (values.list) {
  for (const { name } of chosen) console.log(name)
  process.exit(0)
}

const here = dirname(fileURLToPath(import.meta.url))

/** Flops and bytes a second that the machine can do, by limits.cc; an empty object where it cannot be built. */
function machineLimits(): Partial<Record<Limit, number>> {
  const folder = mkdtempSync(join(tmpdir(), 'shakti-limits-'))
  try {
    const program = join(folder, 'limits')
    const flags = ['-O2', '-march=native', '-std=c++17', '-pthread']
    execFileSync(process.env['CXX'] ?? 'g++', [...flags, join(here, 'limits.cc'), '-o', program])
    return JSON.parse(execFileSync(program, [String(threads)], { encoding: 'utf8' })) as never
  } catch (error) {
    console.error(`limits: ${(error as Error).message.split('\n')[0]}; shares are left out.`)
    return {}
  } finally {
    rmSync(folder, { recursive: true })
  }
}

interface PeerLine {
  readonly peer?: string
  readonly name?: string
  readonly ms?: number
  readonly why?: string
}

/** PyTorch at its best: its widest instructions, the OpenMP BLAS, a malloc that keeps its pages. */
function torch(names: readonly string[]): { peer: string; lines: readonly PeerLine[] } {
  const openmp = '/usr/lib/x86_64-linux-gnu/openblas-openmp'
  const { stdout, status, stderr } = spawnSync(
    '/usr/bin/python3',
    [join(here, 'torch_peer.py'), String(seconds), String(threads), ...names],
    {
      encoding: 'utf8',
      env: {
        PATH: process.env['PATH'],
        ATEN_CPU_CAPABILITY: 'avx512',
        LD_LIBRARY_PATH: openmp,
        OMP_NUM_THREADS: String(threads),
        OPENBLAS_NUM_THREADS: String(threads),
        MALLOC_MMAP_THRESHOLD_: '10000000000',
        MALLOC_TRIM_THRESHOLD_: '10000000000',
      },
    },
  )
  const lines = (stdout ?? '')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as PeerLine)
  if (status !== 0)
    console.error(`PyTorch: ${stderr?.trim().split('\n').at(-1) ?? 'python3 is not there'}`)
  for (const { name, why } of lines) if (why) console.error(`PyTorch, ${name}: ${why}`)
  return { peer: lines[0]?.peer ?? 'PyTorch', lines }
}

interface Row {
  readonly work: string
  readonly dtype: string
  readonly oursMs: number
  readonly peer: string
  /** null: absent, or not able to. */
  readonly peerMs: number | null
  readonly ratio: number | null
  /** Of the machine's limit, ours; null for works without one. */
  readonly shareOfLimit: number | null
  readonly target: number
}

const round = (x: number): number => Number(x.toPrecision(4))

async function ours(work: Work): Promise<number> {
  const result = await time(work, 'done', { maxTime: seconds, minSamples: 5 })
  return result.microseconds / 1000
}

manualSeed(1)
setNumThreads(threads)
const limits = machineLimits()
const mine = new Map<string, number>()
for (const work of chosen) mine.set(work.name, await ours(work))
const { peer, lines } = torch(chosen.map((w) => w.name))
const rows = chosen.map((work): Row => {
  const oursMs = mine.get(work.name)!
  const peerMs = lines.find((line) => line.name === work.name)?.ms ?? null
  const limit = work.limit && limits[work.limit]
  const done = work.flops ?? work.bytes
  return {
    work: work.name,
    dtype: work.dtype,
    oursMs: round(oursMs),
    peer,
    peerMs: peerMs && round(peerMs),
    ratio: peerMs && round(peerMs / oursMs),
    shareOfLimit: limit && done ? round(done / (oursMs / 1000) / limit) : null,
    target: work.target,
  }
})

const cell = (value: number | null): string =>
  value === null ? 'absent' : value >= 100 ? value.toFixed(0) : value.toPrecision(3)
if (values.json) console.log(JSON.stringify(rows, null, 2))
else {
  const line = (...cells: string[]): string =>
    cells.map((c, i) => (i === 0 ? c.padEnd(36) : c.padStart(13))).join('')
  console.log(line('work', 'ours, ms', `${peer.slice(0, 12)}`, 'ratio', 'target', 'of limit'))
  for (const r of rows)
    console.log(
      line(
        r.work,
        cell(r.oursMs),
        cell(r.peerMs),
        cell(r.ratio),
        r.target.toFixed(1),
        r.shareOfLimit === null ? '-' : `${(100 * r.shareOfLimit).toFixed(0)} %`,
      ),
    )
}
const out = (name: string): string => join(here, '../../results', name)
mkdirSync(out('.'), { recursive: true })
const save = (name: string, value: unknown): void =>
  writeFileSync(out(name), JSON.stringify(value, null, 2) + '\n')
save('peers.json', rows)
const { results: _, ...machine } = report('peers', [])
save('peers.machine.json', { ...machine, limits })
