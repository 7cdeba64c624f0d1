// From the simulator's counters to what is said of a kernel.
import type { LaunchReport } from '@shakti/cuda-sim'

/** What one kernel did in an op, over its launches. */
export interface KernelCounts {
  readonly kernel: string
  readonly launches: number
  /** Of a block. */
  readonly threads: number
  /** Dynamic shared memory, bytes. */
  readonly shared: number
  /** Sectors of 32 bytes that its warps asked of global memory, and the fewest that hold what its threads read and wrote. */
  readonly sectors: number
  readonly idealSectors: number
  readonly requests: number
  /** Turns of the shared memory's 32 banks, and the fewest. */
  readonly wavefronts: number
  readonly idealWavefronts: number
  readonly warpInstructions: number
  readonly threadInstructions: number
  readonly tensorInstructions: number
}

export interface Counted {
  readonly name: string
  /** Another chip than an A100 runs other kernels: which. */
  readonly on?: string
  readonly kernels: readonly KernelCounts[]
}

const sizeOf = ([x, y, z]: readonly [number, number, number]): number => x * y * z

/** By kernel, in the order in which they first ran. */
export function countsOf(launches: readonly LaunchReport[]): KernelCounts[] {
  const byKernel = new Map<string, KernelCounts>()
  for (const { kernel, block, shared, counters } of launches) {
    const before = byKernel.get(kernel)
    const of = (name: string): number => counters[name] ?? 0
    const sum = (key: keyof KernelCounts, ...names: string[]): number =>
      names.reduce((all, name) => all + of(name), (before?.[key] as number | undefined) ?? 0)
    byKernel.set(kernel, {
      kernel,
      launches: (before?.launches ?? 0) + 1,
      threads: Math.max(before?.threads ?? 0, sizeOf(block)),
      shared: Math.max(before?.shared ?? 0, shared),
      sectors: sum('sectors', 'global.moved'),
      idealSectors: sum('idealSectors', 'global.ideal'),
      requests: sum('requests', 'global.load_requests', 'global.store_requests'),
      wavefronts: sum('wavefronts', 'shared.moved'),
      idealWavefronts: sum('idealWavefronts', 'shared.ideal'),
      warpInstructions: sum('warpInstructions', 'warp_instructions'),
      threadInstructions: sum('threadInstructions', 'thread_instructions'),
      tensorInstructions: sum('tensorInstructions', 'class.mma'),
    })
  }
  return [...byKernel.values()]
}

/** Bytes that the kernels of an op asked of global memory; caches keep some of them from the DRAM. */
export const movedBytes = (kernels: readonly KernelCounts[]): number =>
  kernels.reduce((all, k) => all + 32 * k.sectors, 0)

const share = (part: number, of: number): number | undefined => (of > 0 ? part / of : undefined)

/** Shares between 0 and 1; undefined where there was nothing of the kind. */
export const figuresOf = (k: KernelCounts) => ({
  /** How much of the sectors that it moved its threads wanted. */
  coalescing: share(k.idealSectors, k.sectors),
  sectorsPerRequest: share(k.sectors, k.requests),
  /** Turns for each that would do: 1 is without conflicts. */
  bankConflicts: share(k.wavefronts, k.idealWavefronts),
  tensor: share(k.tensorInstructions, k.warpInstructions),
  activeLanes: share(k.threadInstructions, 32 * k.warpInstructions),
  /** Issued to lanes for each byte that was moved. */
  instructionsPerByte: share(32 * k.warpInstructions, 32 * k.sectors),
})
