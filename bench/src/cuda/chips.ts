// What NVIDIA publishes of its chips: kernels/scripts/cuda/chips.json, which the build's table of occupancy reads too.
import { readFileSync } from 'node:fs'
import type { Unit, Work } from './cases.js'

export interface Chip extends Record<Unit, number> {
  readonly name: string
  /** What the driver's name of it matches. */
  readonly match: string
  readonly sm: string
  /** GB/s of its memory; `f32`, `bf16` and `int8` are TFLOP/s. */
  readonly gigabytes: number
}

const file = new URL('../../../kernels/scripts/cuda/chips.json', import.meta.url)
const { peaks } = JSON.parse(readFileSync(file, 'utf8')) as { peaks: readonly Chip[] }

/** Undefined: one of which the table has no peaks. */
export const chipOf = (deviceName: string): Chip | undefined =>
  peaks.find(({ match }) => new RegExp(match).test(deviceName))

/** The chips that the page reckons for. */
export const judged: readonly Chip[] = ['A100 SXM4 40 GB', 'H100 SXM5 80 GB', 'RTX 4090'].map(
  (name) => peaks.find((chip) => chip.name === name)!,
)

/** Instructions that lanes can issue while a byte comes from memory: a kernel with more of them is not bound by memory. */
export const issuesPerByte = ({ f32, gigabytes }: Chip): number => (f32 * 1e3) / 2 / gigabytes

/** Seconds that no program can beat on this chip: its memory's, or its arithmetic's. */
export function roofline({ bytes, flops = 0 }: Work, unit: Unit, chip: Chip): number {
  return Math.max(bytes / (chip.gigabytes * 1e9), flops / (chip[unit] * 1e12))
}
