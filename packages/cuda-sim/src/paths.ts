// Where the built library lies. It is built on the machine that uses it, never shipped.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url))

function built(path: string): string {
  const file = root(path)
  if (existsSync(file)) return file
  throw new Error(
    `The CUDA simulator is not built: there is no ${file}. Run \`npx cuda-sim build\` (it needs g++).`,
  )
}

/**
 * The path of the simulator's `libcuda.so.1`. A program that opens this file instead of the driver's (or is started with
 * its folder in `LD_LIBRARY_PATH`) runs its kernels on the CPU.
 * @throws Error when it has not been built
 */
export const simulatorPath = (): string => built('build/libcuda.so.1')

/** The program that the command runs kernels with. */
export const programPath = (): string => built('build/cuda-sim')

/**
 * Builds the simulator with g++ where it is missing or older than its sources; otherwise returns at once.
 * @throws Error when the build fails
 */
export function buildSimulator(): void {
  const { status, error } = spawnSync(process.execPath, [root('scripts/build.mjs')], {
    stdio: ['ignore', 2, 2],
  })
  if (error || status !== 0) {
    throw new Error('The CUDA simulator could not be built; the reason is above.')
  }
}
