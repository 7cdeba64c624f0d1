// Compiles the CUDA kernels (src/ops/<family>/cuda.cu), only those that changed. The addon loads them at run time.
//   node scripts/cuda.mjs          build/cuda/<family>.fatbin: code for each GPU generation and PTX, compressed; what a release carries
//   node scripts/cuda.mjs --ptx    build/cuda/<family>.ptx alone: quick, and enough for the simulator; and <family>.sm_90a.ptx of those
//                                  that have kernels for it
import { execFile, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const out = join(root, 'build/cuda')
const ptx = process.argv.includes('--ptx')
const nvcc = process.env.NVCC ?? 'nvcc'

// The oldest has cp.async; PTX of it serves what is newer than the list.
const oldest = 80
const generations = ['80', '86', '89', '90a', '100', '120']
const flags = ['-std=c++17', '-O3', '-lineinfo', '--Werror', 'all-warnings']

const { status, stdout } = spawnSync(nvcc, ['--version'], { encoding: 'utf8' })
if (status !== 0) {
  console.log(`build:cuda: skipped, there is no nvcc (CUDA toolkit 12.8 or later)`)
  process.exit(0)
}

const families = readdirSync(join(root, 'src/ops')).filter((f) =>
  existsSync(join(root, 'src/ops', f, 'cuda.cu')),
)
const headers = readdirSync(join(root, 'src/cuda'), { recursive: true })
  .filter((f) => /\.(h|cuh)$/.test(f))
  .map((f) => `src/cuda/${f}`)
  .concat('scripts/cuda.mjs')

/** What a family's module depends on, as one hash. */
function fingerprint(family) {
  const hash = createHash('sha256').update(stdout)
  const own = readdirSync(join(root, 'src/ops', family))
    .filter((f) => /\.(cu|cuh|h)$/.test(f))
    .map((f) => `src/ops/${family}/${f}`)
  for (const file of [...headers, ...own].sort())
    hash.update(`${file}\0`).update(readFileSync(join(root, file)))
  return hash.digest('hex')
}

/** Whether it has kernels for sm_90a alone (wgmma, TMA). */
const forHopper = (family) =>
  readFileSync(join(root, `src/ops/${family}/cuda.cu`), 'utf8').includes(
    '__CUDA_ARCH_FEAT_SM90_ALL',
  )

const run = promisify(execFile)

async function compile(family) {
  const file = join(out, `${family}.${ptx ? 'ptx' : 'fatbin'}`)
  const stamp = `${file}.txt`
  const now = fingerprint(family)
  if (existsSync(file) && existsSync(stamp) && readFileSync(stamp, 'utf8') === now) return false
  const targets = ptx
    ? ['-ptx', `-arch=compute_${oldest}`]
    : [
        '-fatbin',
        ...generations.flatMap((g) => ['-gencode', `arch=compute_${g},code=sm_${g}`]),
        ...['-gencode', `arch=compute_${oldest},code=compute_${oldest}`],
      ]
  const source = join(root, `src/ops/${family}/cuda.cu`)
  await run(nvcc, [...flags, ...targets, source, '-o', file], { maxBuffer: 1 << 26 })
  if (ptx && forHopper(family)) {
    const hopper = file.replace(/ptx$/, 'sm_90a.ptx')
    await run(nvcc, [...flags, '-ptx', '-arch=compute_90a', source, '-o', hopper])
  }
  writeFileSync(stamp, now)
  return true
}

mkdirSync(out, { recursive: true })
for (const file of readdirSync(out)) {
  if (!families.includes(file.split('.')[0])) rmSync(join(out, file))
}
const queue = [...families]
let failed = false
let made = 0
async function work() {
  for (let family = queue.shift(); family !== undefined; family = queue.shift()) {
    try {
      if (await compile(family)) made++
    } catch (error) {
      failed = true
      console.error(`build:cuda: ${family}\n${error.stderr || error.message}`)
    }
  }
}
await Promise.all(Array.from({ length: availableParallelism() }, work))
if (!failed)
  console.log(
    `build:cuda: ${made} of ${families.length} modules compiled, the others had not changed`,
  )
process.exitCode = failed ? 1 : 0
