// What is said of the CUDA kernels: figures from counters, chips by name, and no time where there is no GPU.
import { spawnSync } from 'node:child_process'
import { readdirSync, existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { LaunchReport } from '@shakti/cuda-sim'
import { cases } from '../src/cuda/cases.js'
import { chipOf, judged, roofline } from '../src/cuda/chips.js'
import { chosen } from '../src/cuda/choose.js'
import { countsOf, figuresOf, movedBytes } from '../src/cuda/figures.js'
import { page } from '../src/cuda/page.js'

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))

const launch = (
  kernel: string,
  threads: number,
  counters: Record<string, number>,
): LaunchReport => ({
  type: 'launch',
  kernel,
  grid: [2, 1, 1],
  block: [threads / 4, 4, 1],
  shared: 8 * threads,
  counters,
  lines: [],
})

const counters = {
  'global.moved': 80,
  'global.ideal': 40,
  'global.load_requests': 8,
  'global.store_requests': 2,
  'shared.moved': 6,
  'shared.ideal': 4,
  warp_instructions: 100,
  thread_instructions: 1600,
  'class.mma': 5,
}

test('launches of a kernel are added up, and its figures are shares of what it did', () => {
  const kernels = countsOf([
    launch('a', 128, counters),
    launch('b', 32, {}),
    launch('a', 64, counters),
  ])
  assert.equal(
    kernels.map((k) => [k.kernel, k.launches, k.threads, k.shared]),
    [
      ['a', 2, 128, 1024],
      ['b', 1, 32, 256],
    ],
  )
  assert.is(movedBytes(kernels), 2 * 80 * 32)
  assert.equal(figuresOf(kernels[0]!), {
    coalescing: 0.5,
    sectorsPerRequest: 8,
    bankConflicts: 1.5,
    tensor: 0.05,
    activeLanes: 0.5,
    instructionsPerByte: 100 / 80,
  })
  assert.is(figuresOf(kernels[1]!).coalescing, undefined)
})

test('a chip is known by what its driver calls it, and an unknown one has no roofline', () => {
  assert.is(chipOf('NVIDIA GeForce RTX 4090')?.name, 'RTX 4090')
  assert.is(chipOf('NVIDIA A100-SXM4-80GB')?.gigabytes, 2039)
  assert.is(chipOf('NVIDIA H100 80GB HBM3')?.sm, '90')
  assert.is(chipOf('NVIDIA GeForce RTX 4090 Laptop GPU'), undefined)
  assert.is(chipOf('PTX interpreter (no GPU)'), undefined)
})

test('a roofline is the slower of memory and arithmetic', () => {
  const [a100] = judged
  const work = { shape: '', bytes: 1555e9, setup: () => () => undefined }
  assert.is(roofline(work, 'bf16', a100!), 1)
  assert.is(roofline({ ...work, flops: 624e12 }, 'bf16', a100!), 2)
})

test('each family of kernels has a case, and cases go by different names', () => {
  const ops = path('../../kernels/src/ops')
  const families = readdirSync(ops).filter((f) => existsSync(`${ops}/${f}/cuda.cu`))
  assert.equal([...new Set(cases.map((c) => c.family))].sort(), families.sort())
  assert.is(new Set(cases.map((c) => c.name)).size, cases.length)
  assert.ok(
    chosen(cases, ['rope']).every(({ family, name }) => `${family} ${name}`.includes('rope')),
  )
})

test('the page says first that nothing was measured', () => {
  const { name } = cases[0]!
  const text = page([{ name, kernels: countsOf([launch('a', 128, counters)]) }], [])
  const first = text.split('\n').find((line) => line && !/^(#|<!--)/.test(line))
  assert.match(first!, /No figure on this page was measured on a GPU/)
  assert.match(text, /\| `a` +\| attention/)
})

const bench = (
  ...env: [string, string][]
): { status: number | null; stderr: string; stdout: string } =>
  spawnSync(process.execPath, ['--import', 'tsx', path('../src/cuda/index.ts'), 'rope'], {
    encoding: 'utf8',
    cwd: path('..'),
    env: { ...process.env, SHAKTI_DEVICE: 'cpu', ...Object.fromEntries(env) },
  })

test('without a GPU nothing is timed, and the reason is the one that devices give', () => {
  const { status, stderr, stdout } = bench(['SHAKTI_LIBCUDA', '/none/libcuda.so.1'])
  assert.is(status, 1)
  assert.is(stdout, '')
  assert.match(stderr, /nothing to time: .*SHAKTI_LIBCUDA names '\/none\/libcuda\.so\.1'/)
})

const simulator = path('../../packages/cuda-sim/build/libcuda.so.1')
const onSimulator = existsSync(simulator) ? test : test.skip
onSimulator('no times are taken on the simulator, which says why', () => {
  const { status, stderr, stdout } = bench(['SHAKTI_LIBCUDA', simulator])
  assert.is(status, 1)
  assert.is(stdout, '')
  assert.match(stderr, /is a simulator: it has no clock/)
})

test.run()
