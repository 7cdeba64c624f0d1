// Plants a fault in a copy of the sources, compiles its family with nvcc, and runs that family's cases (packages/tensor/test/cuda/
// families.ts) on the simulator: what sees it?
import { execFile, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { cp, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { readReport, simulatorEnvironment, type SimulatorOptions } from '@shakti/cuda-sim'
import type { Outcomes } from '../../../packages/tensor/test/cuda/trial.js'
import type { Mutant } from './mutants.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const trial = fileURLToPath(new URL('../../../packages/tensor/test/cuda/trial.ts', import.meta.url))
export const simulator = fileURLToPath(
  new URL('../../../packages/cuda-sim/build/libcuda.so.1', import.meta.url),
)
const run = promisify(execFile)

/** Why faults cannot be planted here; empty where they can. */
export function missing(): string {
  if (spawnSync(process.env.NVCC ?? 'nvcc', ['--version']).status !== 0) return 'nvcc not found'
  return existsSync(simulator) ? '' : 'the simulator is not built'
}

/**
 * The file's text with the fault in it.
 * @throws Error unless the fault's place stands there exactly once
 */
export function mutated({ file, at, becomes, what }: Mutant, source = sourceOf(file)): string {
  const places = source.split(at).length - 1
  if (places !== 1)
    throw new Error(`${file}: '${what}' fits ${places} places. Its text must stand there once.`)
  return source.replace(at, () => becomes)
}
const sourceOf = (file: string): string => readFileSync(join(root, 'src', file), 'utf8')

/** Two ways to run: what one order of warps hides, the other may show. Results must not differ between them. */
const ways: readonly SimulatorOptions[] = [
  { fill: 'garbage', schedule: 'in-order', copies: 'late' },
  { fill: 'nan', schedule: 'random-warps', copies: 'early', streams: 'eager', seed: 3 },
]

interface Tried {
  readonly outcomes: Outcomes
  /** Kinds of the faults that the simulator reported, as 'race'. */
  readonly faults: readonly string[]
}

async function attempt(
  families: readonly string[],
  modules: string,
  way: SimulatorOptions,
): Promise<Tried> {
  const folder = await mkdtemp(join(tmpdir(), 'shakti-trial-'))
  const report = join(folder, 'report.jsonl')
  try {
    const { stdout } = await run(
      process.execPath,
      ['--import', 'tsx', '--conditions=@shakti/source', trial, ...families],
      {
        env: {
          ...process.env,
          ...simulatorEnvironment({ ...way, report, memory: 2 ** 34, maxInstructions: 2e9 }),
          SHAKTI_LIBCUDA: simulator,
          SHAKTI_CUDA_EXACT: '1',
          SHAKTI_CUDA_MODULES: modules,
        },
        maxBuffer: 1 << 26,
        timeout: 300_000,
      },
    )
    const faults = readReport(report).flatMap((line) => (line.type === 'fault' ? [line.kind] : []))
    return { outcomes: JSON.parse(stdout) as Outcomes, faults }
  } finally {
    await rm(folder, { recursive: true })
  }
}

const flat = (outcomes: Outcomes): [name: string, digest: string, wrong: string][] =>
  Object.values(outcomes).flatMap((cases) =>
    Object.entries(cases).map(([name, { digest, wrong }]): [string, string, string] => [
      name,
      digest,
      wrong,
    ]),
  )

/** What was seen of families whose modules lie in `modules`; empty: nothing. */
export async function seen(families: readonly string[], modules: string): Promise<string> {
  const tried: Tried[] = []
  for (const way of ways) {
    const t = await attempt(families, modules, way)
    if (t.faults.length > 0) return [...new Set(t.faults)].join(', ')
    const wrong = flat(t.outcomes).find(([, , w]) => w !== '')
    if (wrong) return `wrong numbers (${wrong[0]})`
    tried.push(t)
  }
  const [a, b] = tried.map((t) => flat(t.outcomes))
  const other = a!.find(([, digest], i) => digest !== b![i]![1])
  return other ? `other bits under another order (${other[0]})` : ''
}

/** Compiles the mutant and says what sees it; empty: nothing does. */
export async function plant(mutant: Mutant): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'shakti-mutant-'))
  try {
    await cp(join(root, 'src'), join(folder, 'src'), { recursive: true })
    await cp(join(root, 'scripts'), join(folder, 'scripts'), { recursive: true })
    // The build script makes what it finds: this family alone.
    for (const family of await readdir(join(folder, 'src/ops'))) {
      const others = join(folder, 'src/ops', family, 'cuda.cu')
      if (family !== mutant.family && existsSync(others)) await rm(others)
    }
    writeFileSync(join(folder, 'src', mutant.file), mutated(mutant))
    await run(process.execPath, [join(folder, 'scripts/cuda.mjs'), '--ptx'])
    const modules = join(folder, 'build/cuda')
    const made = join(modules, `${mutant.family}.ptx`)
    if (!existsSync(made)) throw new Error(`${mutant.file}: '${mutant.what}' made no module.`)
    for (const file of await readdir(join(root, 'build/cuda'))) {
      if (file.endsWith('.ptx') && file.split('.')[0] !== mutant.family)
        await symlink(join(root, 'build/cuda', file), join(modules, file))
    }
    return await seen([mutant.family], modules)
  } finally {
    await rm(folder, { recursive: true })
  }
}
