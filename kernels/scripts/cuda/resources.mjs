// What ptxas says about kernels (-v), and how many of their warps a multiprocessor holds at once.
import { readFileSync } from 'node:fs'

const { limits } = JSON.parse(readFileSync(new URL('chips.json', import.meta.url), 'utf8'))

/** Threads of a block by the kernel's launch bounds. */
export function blockThreads(ptx) {
  const threads = {}
  for (const [, name, bounds] of ptx.matchAll(/\.entry (\w+)\([^)]*\)([^{]*)\{/g)) {
    const most = /\.maxntid (\d+)(?:, (\d+))?(?:, (\d+))?/.exec(bounds)
    if (most) threads[name] = Number(most[1]) * Number(most[2] ?? 1) * Number(most[3] ?? 1)
  }
  return threads
}

/**
 * By kernel: { registers, stack, spills, shared, threads }, bytes all but registers and threads. A device function that was not
 * inlined has a row of its own when it uses local memory.
 */
export function resources(log, threads) {
  const kernels = {}
  let entry = null
  let name = null
  for (const line of log.split('\n')) {
    entry = /Compiling entry function '(\w+)'/.exec(line)?.[1] ?? entry
    name = /Function properties for (\S+)/.exec(line)?.[1] ?? name
    const local = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(
      line,
    )
    if (local) {
      const [stack, stores, loads] = local.slice(1).map(Number)
      if (name === entry || stack + stores + loads > 0)
        kernels[name] = {
          registers: 0,
          stack,
          spills: stores + loads,
          shared: 0,
          threads: threads[name] ?? null,
        }
    }
    const used = /Used (\d+) registers(.*)/.exec(line)
    if (used) {
      const bytes = (what) => Number(new RegExp(`(\\d+) bytes ${what}`).exec(used[2])?.[1] ?? 0)
      const kernel = kernels[entry]
      kernel.registers = Number(used[1])
      kernel.stack = Math.max(kernel.stack, bytes('cumulative stack size'))
      kernel.shared = bytes('smem')
    }
  }
  return kernels
}

const up = (n, step) => Math.ceil(n / step) * step

/** The share of a multiprocessor's warps that can be there at once; 0: not one block. */
export function occupancy(generation, { registers, shared, threads }) {
  const chip = limits[parseInt(generation)]
  const warps = Math.ceil(threads / 32)
  // Registers are given out by warps, 256 at a time, from a quarter of the file each; each block costs 1 KiB of shared memory beside its own.
  const ofWarp = up(Math.max(registers, 1) * 32, 256)
  const byRegisters = Math.floor((Math.floor(chip.registers / 4 / ofWarp) * 4) / warps)
  const byShared = Math.floor(chip.shared / up(shared + 1024, 128))
  const blocks = Math.min(chip.blocks, Math.floor(chip.warps / warps), byRegisters, byShared)
  return (blocks * warps) / chip.warps
}
