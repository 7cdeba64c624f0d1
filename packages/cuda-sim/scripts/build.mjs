// Builds build/libcuda.so.1 and the program behind the command (build/cuda-sim) with g++ and nothing else. Only what
// changed is compiled. `--tests` builds native/test too, into build/test; `--asan` everything with AddressSanitizer and
// UndefinedBehaviorSanitizer, into build/asan.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const asan = process.argv.includes('--asan')
const tests = process.argv.includes('--tests')
const out = asan ? join(root, 'build', 'asan') : join(root, 'build')
const [compiler, ...compilerFlags] = (process.env.CXX ?? 'g++').split(' ')

// The same for every machine, so that what a cache or an image brings from another one runs. AVX2 is enough: with all that a Zen 5 has
// (-march=native) the simulator is not measurably faster (native/README.md has the figures).
const tuning = process.arch === 'x64' ? ['-march=x86-64-v3'] : []
const flags = [
  ...compilerFlags,
  '-std=c++17',
  ...(asan ? ['-O1'] : ['-O3', ...tuning]),
  '-g1',
  '-fPIC',
  '-pthread',
  '-ffp-contract=off',
  '-fno-math-errno',
  '-fno-trapping-math',
  '-fvisibility=hidden',
  '-Wall',
  '-Wextra',
  ...(asan
    ? [
        '-fsanitize=address,undefined',
        '-fno-sanitize=alignment',
        '-fno-sanitize-recover=undefined',
        '-fno-omit-frame-pointer',
      ]
    : []),
  ...(process.env.CXXFLAGS ?? '').split(' ').filter(Boolean),
]

function fail(message) {
  console.error(`\n@shakti/cuda-sim: ${message}\n`)
  process.exit(1)
}

function sources(folder) {
  return readdirSync(join(root, 'native', folder), { recursive: true })
    .map((name) => join('native', folder, name))
    .filter((name) => name.endsWith('.cc'))
    .sort()
}

/** What the library depends on, as one hash. */
function fingerprint() {
  const hash = createHash('sha256')
  const { stdout, error } = spawnSync(compiler, ['--version'], { encoding: 'utf8' })
  if (error) {
    fail(`building needs ${compiler} (a C++17 compiler). On Debian or Ubuntu: apt install g++`)
  }
  hash.update([process.arch, stdout, ...flags].join('\0'))
  const files = readdirSync(join(root, 'native'), { recursive: true })
    .filter((name) => /\.(cc|h|inc)$/.test(name) && !name.startsWith('test'))
    .sort()
  for (const file of files)
    hash.update(`${file}\0`).update(readFileSync(join(root, 'native', file)))
  return hash.digest('hex')
}

/** Two builds in one folder would tread on each other: the second waits. */
let locked = false
function lock() {
  if (locked) return
  locked = true
  const name = createHash('sha256').update(out).digest('hex').slice(0, 16)
  const file = join(tmpdir(), `shakti-cuda-sim-${name}.lock`)
  for (;;) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' })
      break
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    try {
      process.kill(Number(readFileSync(file, 'utf8')), 0)
    } catch (error) {
      // Its process is gone (or the file is, since a moment).
      if (error.code === 'ESRCH') rmSync(file, { force: true })
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 250)
  }
  process.on('exit', () => rmSync(file, { force: true }))
}

function compilerRun(args) {
  return new Promise((resolve) => {
    const child = spawn(compiler, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
    child.on('error', () => resolve(false))
    child.on('close', (code) => resolve(code === 0))
  })
}

const objectOf = (source) => join(out, 'obj', `${source.replaceAll(/[/\\]/g, '-')}.o`)

/** An object is good while it is newer than all that it was made from, as the compiler listed that. */
function isFresh(source, flagsChanged) {
  const object = objectOf(source)
  const list = `${object}.d`
  if (flagsChanged || !existsSync(object) || !existsSync(list)) return false
  const made = statSync(object).mtimeMs
  const files = readFileSync(list, 'utf8')
    .replaceAll('\\\n', ' ')
    .replace(/^[^:]*:/, '')
    .split(/\s+/)
    .filter((file) => file && !file.startsWith('/'))
  return files.every((file) => {
    const path = join(root, file)
    return existsSync(path) && statSync(path).mtimeMs <= made
  })
}

async function compile(list) {
  const flagsFile = join(out, 'obj', 'flags.txt')
  const text = [compiler, ...flags].join('\n')
  mkdirSync(join(out, 'obj'), { recursive: true })
  const changed = !existsSync(flagsFile) || readFileSync(flagsFile, 'utf8') !== text
  const queue = list.filter((source) => !isFresh(source, changed))
  let good = true
  const work = async () => {
    for (let source = queue.shift(); source !== undefined && good; source = queue.shift()) {
      const object = objectOf(source)
      const args = [...flags, '-MMD', '-MF', `${object}.d`, '-c', source, '-o', `${object}.part`]
      if (await compilerRun(args)) renameSync(`${object}.part`, object)
      else good = false
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, availableParallelism()) }, work))
  if (!good) fail('the build failed; the compiler says why above.')
  writeFileSync(flagsFile, text)
}

async function link(target, args) {
  // Under another name first: who has the old one open keeps it whole.
  if (!(await compilerRun([...flags, ...args, '-o', `${target}.part`]))) {
    fail('linking failed; the linker says why above.')
  }
  renameSync(`${target}.part`, target)
}

const library = join(out, 'libcuda.so.1')
const program = join(out, 'cuda-sim')
const stamp = join(out, 'built.txt')
const hashOf = (file) => createHash('sha256').update(readFileSync(file)).digest('hex')
const stampText = (print) => `${print} ${hashOf(library)} ${hashOf(program)}`
const core = ['ptx', 'exec', 'memory', 'report'].flatMap(sources)
const driver = sources('driver')

mkdirSync(out, { recursive: true })
const current = () =>
  [library, program, stamp].every((file) => existsSync(file)) &&
  readFileSync(stamp, 'utf8') === stampText(fingerprint())

if (!current()) {
  lock()
  if (!current()) {
    // Of the sources as they were when it started: one that changed meanwhile is built next time.
    const print = fingerprint()
    const host = sources('cli')
    await compile([...core, ...driver, ...host])
    const objects = [...core, ...driver].map(objectOf)
    await link(library, ['-shared', '-Wl,-soname,libcuda.so.1', ...objects, '-ldl'])
    await link(program, [
      ...host.map(objectOf),
      `-L${out}`,
      '-l:libcuda.so.1',
      '-Wl,-rpath,$ORIGIN',
    ])
    writeFileSync(stamp, stampText(print))
  }
}

if (tests) {
  lock()
  const all = sources('test').filter((source) => source.endsWith('_test.cc'))
  await compile([...core, ...all])
  mkdirSync(join(out, 'test'), { recursive: true })
  for (const source of all) {
    // The driver's tests open the library, as programs do; the others call the parts themselves.
    const name = basename(source, '_test.cc')
    const objects = name.startsWith('driver') ? [] : core.map(objectOf)
    await link(join(out, 'test', name), [objectOf(source), ...objects, '-ldl'])
  }
}
