// What `npm run build:cuda` says of kernels: read from ptxas, reckoned from chips' limits, held to the budget. No nvcc is needed.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { assert, test } from './border.js'

interface Facts {
  registers: number
  stack: number
  spills: number
  shared: number
  threads: number | null
}
interface Entry {
  kernels: string
  generations: string[] | 'all'
  stack: number
  spills: number
  pattern: RegExp
}
type Row = Facts & { kernel: string; generation: string }

const scripts = new URL('../scripts/', import.meta.url)
const load = async <T>(name: string): Promise<T> =>
  (await import(new URL(`cuda/${name}.mjs`, scripts).href)) as T
const { blockThreads, occupancy, resources } = await load<{
  blockThreads(ptx: string): Record<string, number>
  occupancy(generation: string, facts: Omit<Facts, 'stack' | 'spills'>): number
  resources(log: string, threads: Record<string, number>): Record<string, Facts>
}>('resources')
const { overBudget, readBudget } = await load<{
  overBudget(rows: readonly Row[], budget: readonly Entry[]): string[]
  readBudget(file?: string): Entry[]
}>('budget')
const { included, withoutLines } = await load<{
  included(file: string): Set<string>
  withoutLines(ptx: string): string
}>('compile')

const log = `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'plain_f32' for 'sm_80'
ptxas info    : Function properties for plain_f32
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 18 registers, used 0 barriers, 848 bytes cmem[0]
ptxas info    : Compiling entry function 'full_f32' for 'sm_80'
ptxas info    : Function properties for full_f32
    24 bytes stack frame, 36 bytes spill stores, 48 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 64 bytes cumulative stack size, 4096 bytes smem, 848 bytes cmem[0]
ptxas info    : Function properties for helper
    16 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
`

test('registers, spills, stack and shared memory are read from what ptxas says', () => {
  assert.equal(resources(log, { full_f32: 128 }), {
    plain_f32: { registers: 18, stack: 0, spills: 0, shared: 0, threads: null },
    full_f32: { registers: 255, stack: 64, spills: 84, shared: 4096, threads: 128 },
    helper: { registers: 0, stack: 16, spills: 0, shared: 0, threads: null },
  })
})

test("a block's threads are those of the launch bounds, when there are any", () => {
  const ptx = `.visible .entry a(\n.param .u64 p\n)\n.maxntid 32, 4, 1\n.minnctapersm 3\n{\nret;\n}
.visible .entry b(\n.param .u64 p\n)\n{\nret;\n}`
  assert.equal(blockThreads(ptx), { a: 128 })
})

test('occupancy is what registers, shared memory, warps and blocks leave of a chip', () => {
  const at = (generation: string, registers: number, shared: number, threads: number): number =>
    occupancy(generation, { registers, shared, threads })
  assert.is(at('80', 32, 0, 256), 1)
  assert.is(at('80', 33, 0, 256), 0.75) // 40 registers: 6 blocks of 8 warps
  assert.is(at('80', 255, 0, 128), 8 / 64)
  assert.is(at('80', 32, 48 << 10, 128), 12 / 64) // three of 49 KiB in 164
  assert.is(at('86', 32, 48 << 10, 128), 8 / 48)
  assert.is(at('89', 16, 0, 32), 24 / 48) // blocks
  assert.is(at('90a', 32, 228 << 10, 128), 0)
})

const entry = (more: Partial<Entry>): Entry => ({
  kernels: 'sin_.*',
  generations: 'all',
  stack: 32,
  spills: 0,
  pattern: /^(?:sin_.*)$/,
  ...more,
})
const row = (kernel: string, generation: string, stack: number, spills: number): Row => ({
  kernel,
  generation,
  stack,
  spills,
  registers: 32,
  shared: 0,
  threads: null,
})

test('local memory that the budget does not list is told by kernel and generation', () => {
  assert.equal(overBudget([row('sin_f32', '80', 32, 0)], [entry({})]), [])
  const wrong = overBudget(
    [row('sin_f32', '80', 40, 0), row('sin_f16', '80', 32, 0), row('add', '80', 0, 8)],
    [entry({})],
  )
  assert.is(wrong.length, 2)
  assert.match(wrong[0]!, /sin_f32 \(sm_80\) has 40 bytes of stack/)
  assert.match(wrong[1]!, /add \(sm_80\).* 8 of spills/)
})

test('an entry of the budget that nothing needs any more is told, for generations that were built', () => {
  const rows = [row('sin_f32', '80', 32, 0), row('sin_f32', '90a', 0, 0)]
  assert.match(overBudget(rows, [entry({})])[0]!, /'sin_\.\*' for sm_90a, where none/)
  assert.equal(overBudget(rows, [entry({ generations: ['80'] })]), [])
  const gone = [entry({}), entry({ kernels: 'cos', generations: ['80'], pattern: /^cos$/ })]
  assert.match(overBudget(rows.slice(0, 1), gone)[0]!, /'cos', and no kernel has that name/)
})

test('the budget has a reason for each entry, and no words that mean nothing', () => {
  assert.ok(readBudget().length > 0)
  const folder = mkdtempSync(join(tmpdir(), 'shakti-budget-'))
  const file = join(folder, 'budget.json')
  writeFileSync(file, JSON.stringify([{ kernels: 'a', generations: 'all', stack: 8 }]))
  assert.throws(() => readBudget(file), /entry 0 needs kernels, generations and reason/)
  writeFileSync(file, JSON.stringify([{ kernels: 'a', generations: 'all', reason: 'b', stak: 8 }]))
  assert.throws(() => readBudget(file), /knows stack and spills/)
  rmSync(folder, { recursive: true })
})

test('a module depends on what its source includes, near and far, and on no header of the host', () => {
  const source = fileURLToPath(new URL('../src/ops/rope/cuda.cu', import.meta.url))
  const files = [...included(source)].map((file) => file.replace(/^.*\/src\//, ''))
  assert.ok(files.includes('ops/rope/cuda.h') && files.includes('cuda/heads.h'))
  assert.not(files.includes('cuda/driver.h'))
})

test('a release holds no names of files', () => {
  const ptx = `.target sm_80\n\t.loc\t1 266 0\n\tret;\n\t.file\t1 "/home/me/cuda.cu"\n\t.section\t.debug_str\n\t{\n$L__info_string0:\n.b8 95,90,0\n\n\t}\n`
  assert.is(withoutLines(ptx), '.target sm_80\n\tret;\n')
})

test('without nvcc the build says so in one line, and is no failure', () => {
  const bin = mkdtempSync(join(tmpdir(), 'shakti-bin-'))
  symlinkSync(process.execPath, join(bin, 'node'))
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [fileURLToPath(new URL('cuda.mjs', scripts)), '--check'],
    { encoding: 'utf8', env: { PATH: bin } },
  )
  rmSync(bin, { recursive: true })
  assert.is(status, 0)
  assert.is(stdout.trim(), 'build:cuda: skipped: nvcc not found (CUDA toolkit 12.8 or later)')
  assert.is(stderr, '')
})

test.run()
