// Counts the instructions that key kernels execute (the AVX2 build: Valgrind 3.19 knows no AVX-512), and fails when one
// needs more than are recorded for this compiler:
//   npm run instructions -w @shakti/kernels [-- --record]
// A count does not depend on what else the machine does, as a time would; it says nothing of cache misses.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const file = join(root, 'test/cc/instructions.json')
// As test/cc/instructions.cc calls them.
const kernels = {
  matmul: '96x256 by 256x96',
  attention: '64 queries and keys, 2 heads of 32, causal',
  softmax: '64x512',
  rms_norm: '64x512, within and past the caches',
}
// Another version of the C library's memcpy and memset, or of a minor of the compiler, stays below.
const tolerance = 0.03

function skip(why) {
  console.log(`instructions: skipped, ${why}`)
  process.exit(0)
}

function run(command, args) {
  const { status, stderr, stdout, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (error || status !== 0) {
    console.error(`${command} failed: ${error?.message ?? `${stdout}\n${stderr}`}`)
    process.exit(1)
  }
  return { stdout, stderr }
}

const has = (command) => !spawnSync(command, ['--version'], { stdio: 'ignore' }).error

/** The kernels with the addon's own flags, and the program that calls them. */
function build(compiler, to) {
  const gyp = JSON.parse(readFileSync(join(root, 'binding.gyp'), 'utf8'))
  const { flags, kernel_flags: kernelFlags } = gyp.variables
  const [, { targets }] = gyp.conditions[0]
  const avx2 = targets.find((t) => t.target_name === 'kernels_avx2')
  const isa = [
    ...avx2.defines.map((d) => `-D${d}`),
    ...avx2.cflags_cc.filter((f) => !f.includes('@')),
  ]
  const object = (source, more) => {
    const out = join(to, `${source.replaceAll('/', '_')}.o`)
    run(compiler, [...flags, '-DSHAKTI_X86', ...isa, ...more, '-c', join(root, source), '-o', out])
    return out
  }
  const objects = Object.keys(kernels).flatMap((name) => {
    const family = name.replace('rms_', '')
    return [object(`src/ops/${family}/cpu.cc`, kernelFlags), object(`src/ops/${family}/op.cc`, [])]
  })
  const program = join(to, 'instructions')
  // Bound before it starts, so that the first call of a library function costs what the next does.
  run(compiler, [object('test/cc/instructions.cc', []), ...objects, '-Wl,-z,now', '-o', program])
  return program
}

function count(program, kernel) {
  const { stderr } = run('valgrind', [
    '--tool=callgrind',
    '--callgrind-out-file=/dev/null',
    `--toggle-collect=shakti::avx2::run_${kernel}(*`,
    program,
  ])
  const collected = Number(/Collected : (\d+)/.exec(stderr)?.[1])
  if (!(collected > 0)) {
    console.error(`valgrind counted nothing in run_${kernel}:\n${stderr}`)
    process.exit(1)
  }
  return collected
}

if (process.arch !== 'x64') skip('it counts the AVX2 kernels and this is no x86-64')
if (!has('valgrind')) skip('there is no valgrind (Debian: apt install valgrind)')
const compiler = process.env.CXX ?? 'g++'
if (!has(compiler)) skip(`there is no ${compiler}`)
const version = run(compiler, ['--version']).stdout.split('\n')[0]
if (!/^\S*[cg]\+\+ /.test(version)) skip(`counts are recorded for g++ alone, not for ${version}`)
const key = `g++ ${run(compiler, ['-dumpversion']).stdout.trim().split('.')[0]}`

const record = process.argv.includes('--record')
const all = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
const recorded = all[key]
if (!recorded && !record) skip(`nothing is recorded for ${key}: --record does it`)

const temporary = mkdtempSync(join(tmpdir(), 'shakti-instructions-'))
process.on('exit', () => rmSync(temporary, { recursive: true }))
const program = build(compiler, temporary)

let bad = 0
const counts = {}
const rows = Object.entries(kernels).map(([name, size]) => {
  const now = (counts[name] = count(program, name))
  const again = count(program, name)
  const before = recorded?.[name]
  const change = before ? now / before - 1 : 0
  let verdict = 'good'
  if (again !== now) verdict = `unstable: ${again} the second time`
  else if (record) verdict = 'recorded'
  else if (!before) verdict = 'not recorded: --record does it'
  else if (change > tolerance)
    verdict = `more than ${tolerance * 100} % above: find out why, or --record`
  else if (change < -tolerance) verdict = 'fewer: --record keeps it so'
  if (again !== now || (!record && (!before || change > tolerance))) bad++
  const percent = before ? `${change < 0 ? '' : '+'}${(change * 100).toFixed(2)} %` : ''
  return [name, size, String(now), String(before ?? ''), percent, verdict]
})
const table = [['kernel', 'size', 'instructions', key, 'change', ''], ...rows]
const widths = table[0].map((_, i) => Math.max(...table.map((row) => row[i].length)))
for (const row of table) {
  const cell = (text, i) => (i >= 2 && i <= 4 ? text.padStart(widths[i]) : text.padEnd(widths[i]))
  console.log(row.map(cell).join('  ').trimEnd())
}
if (record && bad === 0) {
  writeFileSync(file, `${JSON.stringify({ ...all, [key]: counts }, null, 2)}\n`)
}
process.exitCode = bad ? 1 : 0
