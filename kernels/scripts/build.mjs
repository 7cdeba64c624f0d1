// Builds the addon with node-gyp and Node's own headers, downloading nothing. Does nothing when nothing has changed.
// --asan builds one with AddressSanitizer and UndefinedBehaviorSanitizer in build/asan (see asan.mjs).
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const version = process.version.slice(1)
const asan = process.argv.includes('--asan')
const compiler = (process.env.CXX ?? 'g++').split(' ')[0]

function fail(message) {
  console.error(`\n@shakti/kernels: ${message}\n`)
  process.exit(1)
}

function runs(command, args = ['--version']) {
  const { error, status } = spawnSync(command, args, { stdio: 'ignore' })
  return !error && status === 0
}

/** Node's headers: where they lie beside the running binary, or where the user says, or in node-gyp's cache. */
function headers() {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache')
  const candidates = [
    join(dirname(process.execPath), '..'),
    process.env.npm_config_nodedir,
    join(cache, 'node-gyp', version),
  ].filter(Boolean)
  for (const dir of candidates) {
    const file = join(dir, 'include/node/node_version.h')
    if (!existsSync(file)) continue
    const text = readFileSync(file, 'utf8')
    const part = (name) => new RegExp(`#define NODE_${name}_VERSION (\\d+)`).exec(text)?.[1]
    if (['MAJOR', 'MINOR', 'PATCH'].map(part).join('.') === version) return dir
  }
  return fail(
    `the C++ headers of Node ${version} were not found (looked in ${candidates.join(', ')}). ` +
      `Official Node archives carry them under include/node; on Debian: apt install libnode-dev. ` +
      `Or set npm_config_nodedir to the folder that holds include/node.`,
  )
}

function wantTools() {
  const missing = [
    [[compiler, 'c++', 'clang++'].some((c) => runs(c)), 'g++ (a C++17 compiler)', 'g++'],
    [runs('make'), 'make', 'make'],
    [runs(process.env.PYTHON ?? 'python3'), 'python3', 'python3'],
  ].filter(([there]) => !there)
  if (missing.length === 0) return
  fail(
    `building needs ${missing.map((m) => m[1]).join(', ')}, which ${missing.length > 1 ? 'are' : 'is'} not installed. ` +
      `On Debian or Ubuntu: apt install ${missing.map((m) => m[2]).join(' ')}`,
  )
}

/** What the result depends on, as one hash. */
function fingerprint(nodedir) {
  const hash = createHash('sha256')
  const { stdout } = spawnSync(compiler, ['--version'], { encoding: 'utf8' })
  hash.update(
    [process.version, process.arch, nodedir, stdout ?? '', process.env.CXXFLAGS ?? '', asan].join(
      '\0',
    ),
  )
  const files = readdirSync(join(root, 'src'), { recursive: true }).filter((f) =>
    /\.(cc|h|inc)$/.test(f),
  )
  for (const file of [
    'binding.gyp',
    'scripts/build.mjs',
    'scripts/sources.mjs',
    ...files.sort().map((f) => `src/${f}`),
  ]) {
    hash.update(`${file}\0`).update(readFileSync(join(root, file)))
  }
  return hash.digest('hex')
}

/** Two builds in one folder would tread on each other: the second waits. Returns a function that lets it go. */
function lock() {
  const file = join(
    tmpdir(),
    `shakti-build-${createHash('sha256').update(home).digest('hex').slice(0, 16)}.lock`,
  )
  for (let said = false; ;) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' })
      break
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    let holder = 0
    try {
      holder = Number(readFileSync(file, 'utf8'))
      process.kill(holder, 0)
    } catch (error) {
      // Its process is gone (or the file is, since a moment).
      if (error.code === 'ESRCH') rmSync(file, { force: true })
    }
    if (!said) console.log(`waiting for another build (process ${holder})`)
    said = true
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 250)
  }
  process.on('exit', () => rmSync(file, { force: true }))
}

/**
 * Functions that the linker may take from any object (templates, inline functions) must not come from an object that
 * was compiled for AVX: plain code would call it, and stop with an illegal instruction on a CPU without.
 */
function checkObjects(folder) {
  const objects = readdirSync(folder, { recursive: true })
    .map((f) => join(folder, f))
    .filter((f) => /kernels_\w+\/.*\.o$/.test(f))
  const { stdout, error, status } = spawnSync('nm', ['-A', '-C', '--defined-only', ...objects], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  if (error || status !== 0)
    fail(`nm, which comes with the compiler (binutils), could not read the objects.`)
  const weak = stdout.split('\n').filter((line) => /\s[WVu]\s/.test(line))
  if (weak.length > 0) {
    fail(
      `kernel objects hold functions that other code may end up calling. Keep helpers in an anonymous namespace, and ` +
        `std containers out of cpu.cc:\n  ${weak.slice(0, 10).join('\n  ')}`,
    )
  }
}

const nodedir = headers()
const home = asan ? join(root, 'build/asan') : root
const release = join(home, 'build/Release')
const stamp = join(release, 'built.txt')
// With the addon's own hash: turbo's cache can put another one in its place.
const stampText = (sources) =>
  `${sources} ${createHash('sha256')
    .update(readFileSync(join(release, 'shakti.node')))
    .digest('hex')}`
const current = () =>
  existsSync(join(release, 'shakti.node')) &&
  existsSync(stamp) &&
  readFileSync(stamp, 'utf8') === stampText(fingerprint(nodedir))

if (!current()) {
  wantTools()
  lock()
  if (!current()) build()
}

function build() {
  const before = fingerprint(nodedir)
  const env = { ...process.env }
  if (asan) {
    // node-gyp builds in its project's folder; this one has the same files.
    mkdirSync(home, { recursive: true })
    for (const name of ['binding.gyp', 'scripts', 'src']) {
      if (!existsSync(join(home, name))) symlinkSync(join(root, name), join(home, name))
    }
    // vptr needs the type information of Node's own classes, which it is built without.
    const flags = '-fsanitize=address,undefined -fno-sanitize=vptr'
    env.CXXFLAGS = `${flags} -g -O1 -fno-omit-frame-pointer`
    env.LDFLAGS = flags
  }
  const nodeGyp = join(
    dirname(createRequire(import.meta.url).resolve('node-gyp/package.json')),
    'bin/node-gyp.js',
  )
  const gyp = (...args) =>
    spawnSync(process.execPath, [nodeGyp, ...args, `--nodedir=${nodedir}`, '--loglevel=error'], {
      cwd: home,
      stdio: 'inherit',
      env,
    }).status ?? 1
  // Configuring again lists the sources anew; make then compiles what changed.
  let status = gyp('configure')
  if (status === 0) status = gyp('build', `--jobs=${Math.max(1, availableParallelism())}`)
  if (status !== 0) fail('the native build failed; the compiler says why above.')
  if (!asan) checkObjects(join(release, 'obj.target'))
  // Of the sources as they were when it started: one that changed meanwhile is built next time.
  writeFileSync(stamp, stampText(before))
}
