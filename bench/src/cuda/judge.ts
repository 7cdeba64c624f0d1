// The static judgement: counts on the simulator, registers from the build, floors from the chips' data sheets.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cases } from './cases.js'
import type { Counted } from './figures.js'
import { page, type Resources } from './page.js'

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))
const root = path('../../..')

function run(...args: string[]): string {
  const { status, stdout, error } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  if (error || status !== 0)
    throw new Error(`${args.join(' ')} failed${error ? `: ${error.message}` : ''}`)
  return stdout
}

const build = (...flags: string[]): string => run('kernels/scripts/cuda.mjs', ...flags)

function count(arch: string, words: readonly string[]): Counted[] {
  const folder = mkdtempSync(join(tmpdir(), 'shakti-judge-'))
  const file = join(folder, 'counted.json')
  run('--import', 'tsx', path('count.ts'), arch, file, ...words)
  const counted = JSON.parse(readFileSync(file, 'utf8')) as Counted[]
  rmSync(folder, { recursive: true })
  return counted
}

/** Kernels that only a later chip runs, added to the ops that have them. */
function withLater(first: readonly Counted[], later: readonly Counted[]): Counted[] {
  return first.flatMap((op) => {
    const other = later.find(({ name }) => name === op.name)
    const fresh = other?.kernels.some((k) => !op.kernels.some(({ kernel }) => kernel === k.kernel))
    return fresh && other ? [op, { ...other, on: 'H100' }] : [op]
  })
}

/**
 * Counts the ops on the simulator.
 * @param words only ops whose family or name holds one of them; the page is then not written
 */
export function judge(words: readonly string[]): void {
  if (build('--ptx').includes('skipped'))
    throw new Error('the kernels cannot be judged: nvcc not found')
  const counted = withLater(
    count('80', words),
    count('90', words.length > 0 ? words : ['matmul', 'attention']),
  )
  if (words.length === 0) {
    // What launches ask for, for the occupancy in the build's table.
    const launches = counted.flatMap(({ kernels }) =>
      kernels.map((k) => [k.kernel, { threads: k.threads, shared: k.shared }] as const),
    )
    writeFileSync(
      path('../../../kernels/src/cuda/launches.json'),
      JSON.stringify(Object.fromEntries(launches.sort()), null, 1) + '\n',
    )
  }
  const resources = JSON.parse(build('--report', '--json')) as Resources[]
  const text = page(counted, resources)
  if (words.length > 0) {
    console.log(text)
    return
  }
  const file = path('../../cuda/README.md')
  writeFileSync(file, text)
  run(
    'node_modules/prettier/bin/prettier.cjs',
    '--write',
    file,
    path('../../../kernels/src/cuda/launches.json'),
  )
  console.log(`${counted.length} of ${cases.length} ops counted; written to ${file}`)
}
