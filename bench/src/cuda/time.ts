// Times on a GPU, by its own clock: marks (CUDA events) before and after runs that follow one another without the host in between.
import { createRequire } from 'node:module'
import type { NativeModule } from '@shakti/kernels'
import { synchronize, tidy, tidyAsync } from '@shakti/tensor'
import { spreadOf, type Spread } from '../lib/stats.js'
import type { Case } from './cases.js'
import { roofline, type Chip } from './chips.js'

// The addon itself: programs have no need of its clock.
const native = createRequire(import.meta.url)('@shakti/kernels') as NativeModule
const place = 1 // cuda:0

export interface Timed extends Spread {
  readonly family: string
  readonly name: string
  readonly shape: string
  /** Of the median, from the least that the op moves. */
  readonly gigabytesPerSecond: number
  readonly teraflops?: number
  /** Of the roofline; absent on a chip of which no peaks are known. */
  readonly share?: number
}

const runsOfSample = 10

/** Milliseconds of runs, each a mean of ten. */
async function sample(run: () => unknown, seconds: number): Promise<number[]> {
  const call = (): void => tidy(() => void run())
  // Loads the module, fills the allocator's cache, brings the clock up.
  for (let i = 0; i < 3 * runsOfSample; i++) call()
  await synchronize()
  const means: number[] = []
  const end = performance.now() + 1e3 * seconds
  while (means.length < 5 || performance.now() < end) {
    native.mark(place)
    for (let i = 0; i < runsOfSample; i++) call()
    native.mark(place)
    const times = native.times(place)
    if (typeof times === 'number') throw new Error(native.lastError().message)
    means.push(times[0]! / runsOfSample)
  }
  return means
}

export async function time(
  { family, name, timed, unit }: Case,
  chip: Chip | undefined,
  seconds: number,
): Promise<Timed> {
  const times = await tidyAsync(() => sample(timed.setup(), seconds))
  const spread = spreadOf(times)
  const median = spread.median / 1e3
  return {
    family,
    name,
    shape: timed.shape,
    ...spread,
    gigabytesPerSecond: timed.bytes / median / 1e9,
    ...(timed.flops ? { teraflops: timed.flops / median / 1e12 } : {}),
    ...(chip ? { share: roofline(timed, unit, chip) / median } : {}),
  }
}
