// Hides benchmark.js. Commands run on a stream, so one op has two times: `issue`, until the call returns, and `done`,
// until its result is there. Inputs are made before the clock starts; nothing below the printed ± is a difference.
import Benchmark from 'benchmark'
import { synchronize, tidy, zeros } from '@shakti/tensor'
import { spreadOf, type Spread } from './stats.js'

export type Mode = 'issue' | 'done'

export interface Bench {
  /** `matmul f32 512x512x512` */
  readonly name: string
  /** Made once, outside of the timed part; returns what is timed. It may keep its results, a scope frees them. */
  readonly setup: () => () => unknown
  /** Floating-point operations of one run, for GFLOP/s. */
  readonly flops?: number
  /** Bytes read and written by one run, for GB/s. */
  readonly bytes?: number
}

/** Microseconds of one run: each sample is the mean of a cycle of benchmark.js, which holds one run or many. */
export interface Result extends Spread {
  readonly name: string
  readonly mode: Mode
  readonly gflops?: number
  readonly gigabytesPerSecond?: number
}

export interface Limits {
  /** Seconds that one bench may take. */
  readonly maxTime: number
  readonly minSamples: number
}

/**
 * A few calls a cycle, with the stream drained between cycles: else a queue of thousands would be timed, not the calls.
 * @param runSeconds of one run from call to result, which bounds how many may queue up
 */
function issueMode(run: () => unknown, limits: Limits, runSeconds: number): Promise<Benchmark> {
  const mark = zeros([1])
  const fn = (): void => tidy(() => void run())
  const initCount = Math.max(1, Math.min(64, Math.floor(2e-3 / runSeconds)))
  // A least time of about nothing keeps benchmark.js from raising the count.
  const options = { ...limits, initCount, minTime: 1e-9, fn, onCycle: () => mark.dataSync() }
  return measure(new Benchmark('issue', options))
}

function doneMode(run: () => unknown, limits: Limits): Promise<Benchmark> {
  const fn = (deferred: { resolve(): void }): void => {
    tidy(() => void run())
    void synchronize().then(() => deferred.resolve())
  }
  return measure(new Benchmark('done', { ...limits, defer: true, fn }))
}

function measure(bench: Benchmark): Promise<Benchmark> {
  return new Promise((resolve, reject) => {
    bench.on('complete', () => resolve(bench))
    bench.on('error', () =>
      reject((bench as { error?: Error }).error ?? new Error('benchmark failed')),
    )
    bench.run({ async: true })
  })
}

export async function time(bench: Bench, mode: Mode, limits: Limits): Promise<Result> {
  const run = bench.setup()
  // First runs pay for memory and caches.
  for (let i = 0; i < 3; i++) tidy(() => void run())
  await synchronize()
  const start = performance.now()
  tidy(() => void run())
  await synchronize()
  const once = (performance.now() - start) / 1000
  const { stats } = await (mode === 'issue' ? issueMode(run, limits, once) : doneMode(run, limits))
  await synchronize()
  const spread = spreadOf(stats.sample.map((s) => s * 1e6))
  const seconds = spread.median / 1e6
  return {
    name: bench.name,
    mode,
    ...spread,
    ...(mode === 'done' && bench.flops ? { gflops: bench.flops / seconds / 1e9 } : {}),
    ...(mode === 'done' && bench.bytes ? { gigabytesPerSecond: bench.bytes / seconds / 1e9 } : {}),
  }
}
