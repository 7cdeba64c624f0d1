// Builds the addon with node-gyp and Node's own headers, downloading nothing. `--debug` and `--asan` build variants.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const version = process.version.slice(1)

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

const missing = [
  [[process.env.CXX ?? 'g++', 'c++', 'clang++'].some((c) => runs(c.split(' ')[0])), 'g++ (a C++17 compiler)', 'g++'],
  [runs('make'), 'make', 'make'],
  [runs(process.env.PYTHON ?? 'python3'), 'python3', 'python3'],
].filter(([there]) => !there)
if (missing.length > 0) {
  fail(
    `building needs ${missing.map((m) => m[1]).join(', ')}, which ${missing.length > 1 ? 'are' : 'is'} not installed. ` +
      `On Debian or Ubuntu: apt install ${missing.map((m) => m[2]).join(' ')}`,
  )
}

const require = createRequire(import.meta.url)
const nodeGyp = join(dirname(require.resolve('node-gyp/package.json')), 'bin/node-gyp.js')
const nodedir = headers()
const asan = process.argv.includes('--asan')
const env = { ...process.env }
if (asan) {
  const flags = '-fsanitize=address,undefined -fno-sanitize-recover=undefined -g -O1 -fno-omit-frame-pointer'
  env.CXXFLAGS = flags
  env.LDFLAGS = '-fsanitize=address,undefined'
}
const gyp = (...args) =>
  spawnSync(process.execPath, [nodeGyp, ...args, `--nodedir=${nodedir}`, '--loglevel=error'], {
    cwd: root,
    stdio: 'inherit',
    env,
  }).status ?? 1

// Configuring again lists the sources anew; make then compiles what changed.
let status = gyp('configure')
if (status === 0) status = gyp('build', `--jobs=${Math.max(1, availableParallelism())}`)
if (status !== 0) fail('the native build failed; the compiler says why above.')
