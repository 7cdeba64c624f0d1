// Runs turbo with what its cache must know and does not: for which Node and compiler a native build is good. Without
// it a cache hit can restore a binary of another Node (turborepo issue 6201).
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const compiler = spawnSync((process.env.CXX ?? 'g++').split(' ')[0], ['-dumpfullversion'], {
  encoding: 'utf8',
})
const libc = process.report?.getReport().header.glibcVersionRuntime ?? 'other'
const abi = [
  process.versions.modules,
  process.platform,
  process.arch,
  libc,
  (compiler.stdout ?? 'none').trim(),
].join('-')

const require = createRequire(import.meta.url)
const turbo = join(dirname(require.resolve('turbo/package.json')), 'bin/turbo')
const { status } = spawnSync(process.execPath, [turbo, ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, SHAKTI_ABI: abi, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' },
})
process.exit(status ?? 1)
