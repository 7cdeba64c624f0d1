// The command, as a user calls it.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readReport, simulatorEnvironment, simulatorPath } from '../src/index.js'
import { table } from '../src/format.js'

const file = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url))
const ptx = file('native/test/fixtures/driver.ptx')
const folder = mkdtempSync(join(tmpdir(), 'cuda-sim-test-'))
test.after(() => rmSync(folder, { recursive: true }))

function sim(...args: string[]) {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--import', 'tsx', '--conditions=@shakti/source', file('src/cli.ts'), ...args],
    { encoding: 'utf8', cwd: file('.') },
  )
  return { stdout, stderr, status }
}
const add = (...rest: string[]) =>
  sim('run', ptx, '--kernel', 'add', '--grid', '3', '--block', '128', ...rest)
const buffers = ['--arg', 'f32:300:iota', '--arg', 'f32:300:0.5', '--arg', 'f32:300:none']

test('run: a kernel, what its buffers hold after it, and what it did', () => {
  const { stdout, status, stderr } = add(...buffers, '--arg', 'u32:300', '--lines', '3')
  assert.is(status, 0, stdout + stderr)
  assert.match(stdout, /^2 +f32 +300 +- +0\.5 +299\.5 +150 +0 +0\.5 1\.5 2\.5 3\.5 \.\.\.$/m)
  assert.match(stdout, /^1 +f32 +300 +0 +0\.5/m)
  assert.match(stdout, /active lanes/)
  assert.match(stdout, /line of PTX/)
  assert.match(stdout, /driver\.cu:\d+/)
})

test('run --json: the same as one object, with the report', () => {
  const { stdout, status } = add('--json', ...buffers, '--arg', 'u32:300')
  assert.is(status, 0)
  const answer = JSON.parse(stdout) as {
    buffers: { first: number[] }[]
    report: { type: string; name: string; launches: number; counters: Record<string, number> }[]
  }
  assert.equal(answer.buffers[2]!.first.slice(0, 3), [0.5, 1.5, 2.5])
  const [kernel] = answer.report
  assert.is(kernel!.type, 'kernel')
  assert.is(kernel!.name, 'add')
  assert.is(kernel!.launches, 1)
  assert.is(kernel!.counters.blocks, 3)
  assert.is(kernel!.counters['global.load_bytes'], 2 * 300 * 4)
  assert.is(kernel!.counters['global.store_bytes'], 300 * 4)
})

test('run: a step outside is a fault that names the place, and ends with 1', () => {
  const { stdout, status } = add(...buffers, '--arg', 'u32:301')
  assert.is(status, 1)
  assert.match(stdout, /FAULT \(out-of-bounds, CUDA_ERROR_ILLEGAL_ADDRESS\)/)
  assert.match(stdout, /Block \(2,0,0\), thread \(44,0,0\), PTX line \d+/)
})

test('run: memory that nobody wrote is not read', () => {
  const { stdout, status } = sim(
    ...['run', ptx, '--kernel', 'affine', '--block', '4'],
    ...['--arg', 'f32:4:none', '--arg', 'f32:1', '--arg', 'f32:1', '--arg', 'u32:4'],
  )
  assert.is(status, 1)
  assert.match(stdout, /FAULT \(uninitialised/)
})

test('run: values of every type arrive as they are, and the bytes of a file', () => {
  const bytes = join(folder, 'in.bin')
  writeFileSync(bytes, new Uint8Array(new Float32Array([1, 2, 3]).buffer))
  const mixed = sim(
    ...['run', ptx, '--kernel', 'mixed', '--json'],
    ...['--arg', 'u8:200', '--arg', 'f64:-2.5', '--arg', 'u16:0xffff', '--arg', `f32:3:@${bytes}`],
  )
  assert.is(mixed.status, 0, mixed.stdout)
  const { buffers } = JSON.parse(mixed.stdout) as {
    buffers: { first: number[]; changed: number }[]
  }
  assert.equal(buffers[0]!.first, [200, -2.5, 65535])
  assert.is(buffers[0]!.changed, 3)
})

test('run: a structure is a parameter too', () => {
  const { stdout, status } = sim(
    ...['run', ptx, '--kernel', 'scale', '--block', '32', '--json'],
    ...['--arg', '{u32:4,f32:4:iota,f32:2.5,f32:4:none}'],
  )
  assert.is(status, 0, stdout)
  const { buffers } = JSON.parse(stdout) as { buffers: { argument: string; first: number[] }[] }
  assert.is(buffers[1]!.argument, '0.3')
  assert.equal(buffers[1]!.first, [0, 2.5, 5, 7.5])
})

test('run: the seed gives the same random numbers again, another one others', () => {
  const first = (seed: string) =>
    (
      JSON.parse(
        sim(
          ...['run', ptx, '--kernel', 'affine', '--json', '--seed', seed],
          ...['--arg', 'f32:4:random', '--arg', 'f32:1', '--arg', 'f32:0', '--arg', 'u32:4'],
        ).stdout,
      ) as { buffers: { first: number[] }[] }
    ).buffers[0]!.first
  assert.equal(first('1'), first('1'))
  assert.not.equal(first('1'), first('2'))
})

test('check: lists kernels; a file that is no PTX says what is wrong', () => {
  const { stdout, status } = sim('check', ptx)
  assert.is(status, 0)
  assert.match(stdout, /^kernel +parameters +registers +shared +local +threads$/m)
  assert.match(stdout, /^add +8\+8\+8\+4 +~\d+ +0 +0 +1024$/m)
  assert.match(stdout, /^static_shared +8 +~\d+ +16384/m)
  assert.match(stdout, /^bounded .* 128$/m)
  assert.is(sim('check', file('native/test/fixtures/plain.fatbin')).status, 0)
  const bad = join(folder, 'bad.ptx')
  writeFileSync(bad, readFileSync(ptx, 'utf8').replace('fma.rn.f32', 'frob.rn.f32'))
  const refused = sim('check', bad)
  assert.is(refused.status, 1)
  assert.match(refused.stdout, /CUDA_ERROR_INVALID_PTX/)
  assert.match(refused.stdout, /frob/)
  assert.match(sim('check', file('native/test/fixtures/zstd.fatbin')).stdout, /Zstandard/)
})

test('what is called wrongly ends with 2 and a sentence', () => {
  const expectUsage = (pattern: RegExp, ...args: string[]) => {
    const { stderr, status } = sim(...args)
    assert.is(status, 2, args.join(' '))
    assert.match(stderr, pattern)
  }
  expectUsage(/which file/, 'run')
  expectUsage(/which kernel/, 'run', ptx)
  expectUsage(/no command fly/, 'fly')
  expectUsage(/cannot be read/, 'check', '/no/such/file')
  expectUsage(/takes 4 arguments, 0 are given/, 'run', ptx, '--kernel', 'add')
  expectUsage(/no type f33/, 'run', ptx, '--kernel', 'add', '--arg', 'f33:1')
  expectUsage(/has 8 bytes, not 4/, 'run', ptx, '--kernel', 'reverse', '--arg', 'f32:1')
  expectUsage(/no whole number/, 'run', ptx, '--kernel', 'add', '--seed', 'x')
  expectUsage(/Unknown option/, 'run', ptx, '--kernle', 'add')
})

test('a word that the library does not know is refused', () => {
  const { stdout, stderr, status } = sim('check', ptx, '--schedule', 'sideways')
  assert.is(status, 1)
  assert.match(stdout + stderr, /SHAKTI_SIM_SCHEDULE/)
})

test('--help has examples and says first what is not shown', () => {
  const { stdout, status } = sim('--help')
  assert.is(status, 0)
  assert.match(stdout, /^cuda-sim: runs PTX on the CPU, with checks\. It shows no time/)
  assert.match(stdout, /Examples:/)
})

test('path: the library that programs open', () => {
  assert.is(sim('path').stdout.trim(), simulatorPath())
})

test('settings become environment variables; those left out are not set', () => {
  assert.equal(simulatorEnvironment({}), {})
  assert.equal(
    simulatorEnvironment({ arch: 80, races: false, counters: 'launches', maxInstructions: 10 }),
    {
      SHAKTI_SIM_ARCH: '80',
      SHAKTI_SIM_RACES: '0',
      SHAKTI_SIM_COUNTERS: 'launches',
      SHAKTI_SIM_MAX_INSTRUCTIONS: '10',
    },
  )
})

test('a report that was never written is empty', () => {
  assert.equal(readReport(join(folder, 'nothing.jsonl')), [])
})

test('tables line up', () => {
  assert.is(
    table([
      ['a', 'bb'],
      ['long', '1'],
    ]),
    'a     bb\nlong   1',
  )
})

test.run()
