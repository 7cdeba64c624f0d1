// nvcc, and what it makes: of each family (src/ops/<family>/cuda.cu) and GPU generation a unit, PTX and the machine code that ptxas makes
// of that text, with what ptxas says about it. A unit is made again when something changed that it was made from.
import { execFile, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { blockThreads, resources } from './resources.mjs'

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
export const out = join(root, 'build/cuda')
const units = join(out, 'units')

/** The generations that a release has machine code for. The oldest has cp.async; its PTX serves what is newer than the list. */
export const generations = ['80', '86', '89', '90a', '100', '120']
export const oldest = generations[0]
export const hopper = '90a'

const nvcc = process.env.NVCC ?? 'nvcc'
const flags = ['-std=c++17', '-lineinfo', '--Werror', 'all-warnings']

/** What `nvcc --version` says; null where there is no nvcc. */
export function version() {
  const { status, stdout } = spawnSync(nvcc, ['--version'], { encoding: 'utf8' })
  return status === 0 ? stdout : null
}

/** The tool beside nvcc, which may be found through a wrapper. */
function tool(name) {
  const { stderr } = spawnSync(nvcc, ['--dryrun', '-ptx', 'none.cu'], { encoding: 'utf8' })
  const folder = /_HERE_=(.+)/.exec(stderr)?.[1]
  return folder ? join(folder, name) : name
}

const source = (family) => join(root, 'src/ops', family, 'cuda.cu')

export const families = () =>
  readdirSync(join(root, 'src/ops')).filter((family) => existsSync(source(family)))

/** Whether a family has kernels for sm_90a alone (wgmma, TMA). */
export const forHopper = (family) =>
  readFileSync(source(family), 'utf8').includes('__CUDA_ARCH_FEAT_SM90_ALL')

const hashOf = (...parts) => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('hex')
}

/** A source and what it includes of ours, and so on: headers of the host do not count. */
export function included(file, seen = new Set()) {
  if (seen.has(file)) return seen
  seen.add(file)
  for (const [, name] of readFileSync(file, 'utf8').matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)) {
    const path = join(dirname(file), name)
    if (existsSync(path)) included(path, seen)
  }
  return seen
}

/** What all units of a family depend on, as one hash. */
function fingerprint(family, nvccVersion) {
  const files = [...included(source(family))].sort()
  const tools = ['compile.mjs', 'resources.mjs'].map((name) => join(root, 'scripts/cuda', name))
  return hashOf(
    nvccVersion,
    ...[...files, ...tools].flatMap((file) => [relative(root, file), readFileSync(file)]),
  )
}

const run = promisify(execFile)
const roomy = { maxBuffer: 1 << 28 }

const paths = (family, generation) => {
  const base = join(units, `${family}.sm_${generation}`)
  return {
    ptx: `${base}.ptx`,
    plain: `${base}.plain.ptx`,
    cubin: `${base}.cubin`,
    facts: `${base}.json`,
  }
}

function read(file, key) {
  if (!existsSync(file)) return null
  const facts = JSON.parse(readFileSync(file, 'utf8'))
  return facts.key === key ? facts : null
}

/**
 * PTX without the lines and files that it came from, which are names of this machine and three times the size. The simulator runs it with
 * them, ptxas and a release get it without: the instructions are the same.
 */
export const withoutLines = (ptx) =>
  ptx
    .replace(/^\s*\.(loc|file)\b.*\n/gm, '')
    .replace(/^\s*\.section\s+\.debug_\w+\s*\{[^}]*\}\n?/gm, '')

/** A family for a generation: { family, generation, ptx, plain, cubin, kernels, seconds, fresh }; without `code` PTX alone. */
async function unit(family, generation, print, code) {
  const at = paths(family, generation)
  const key = hashOf(print, generation)
  const known = read(at.facts, key)
  if (known && (known.kernels || !code))
    return { family, generation, ...at, ...known, fresh: false }
  const start = performance.now()
  const facts = { key }
  if (!known)
    await run(
      nvcc,
      [...flags, '-ptx', `-arch=compute_${generation}`, source(family), '-o', at.ptx],
      roomy,
    )
  if (code) {
    const text = readFileSync(at.ptx, 'utf8')
    writeFileSync(at.plain, withoutLines(text))
    const command = ['-cubin', `-arch=sm_${generation}`, '-Xptxas', '-v', at.plain, '-o', at.cubin]
    const { stderr } = await run(nvcc, command, roomy)
    facts.kernels = resources(stderr, blockThreads(text))
  }
  facts.seconds = (known?.seconds ?? 0) + (performance.now() - start) / 1e3
  writeFileSync(at.facts, JSON.stringify(facts))
  return { family, generation, ...at, ...facts, fresh: true }
}

/** The units of a family as what a release carries: { family, file, bytes }. */
async function bundle(family, made) {
  const fallback = made.find((u) => u.generation === oldest)
  const file = join(units, `${family}.fatbin`)
  const key = hashOf(...made.map((u) => u.key))
  const stamp = `${file}.txt`
  if (!existsSync(file) || !existsSync(stamp) || readFileSync(stamp, 'utf8') !== key) {
    await run(tool('fatbinary'), [
      `--create=${file}`,
      ...['-64', '--compress-all', '--compress-mode=size'],
      `--image3=kind=ptx,sm=${oldest},file=${fallback.plain}`,
      ...made.map((u) => `--image3=kind=elf,sm=${u.generation},file=${u.cubin}`),
    ])
    writeFileSync(stamp, key)
  }
  return { family, file, bytes: statSync(file).size }
}

/** Runs as many at once as there are cores; failures come back as { failed }. */
async function parallel(items, work) {
  const results = []
  const queue = [...items.entries()]
  const worker = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [i, item] = next
      results[i] = await work(item).catch((error) => ({
        failed: error.stderr || error.message,
        item,
      }))
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, worker))
  return results
}

/**
 * Makes units, or finds them where they lie.
 * @param items { family, generation, code }: with machine code or not
 */
export async function compile(items, nvccVersion) {
  mkdirSync(units, { recursive: true })
  const prints = new Map()
  for (const { family } of items)
    prints.set(family, prints.get(family) ?? fingerprint(family, nvccVersion))
  // The largest first, so that no core ends long after the others.
  const size = (family) => statSync(source(family)).size
  const order = [...items].sort((a, b) => size(b.family) - size(a.family))
  return parallel(order, ({ family, generation, code }) =>
    unit(family, generation, prints.get(family), code),
  )
}

/** The fat binaries of families all of whose units are there. */
export const bundles = (wanted, made) =>
  parallel(wanted, (family) =>
    bundle(
      family,
      made.filter((u) => u.family === family),
    ),
  )
