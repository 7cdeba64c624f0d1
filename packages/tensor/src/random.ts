// Random numbers: Philox 4x32-10 (Salmon et al., SC 2011). A draw is a function of (seed, offset) alone, so the whole
// state is two numbers, and equal on every device.
import { ShaktiError } from './errors.js'
import { refuseInCapture } from './recording.js'

export interface RngState {
  seed: number
  /** Blocks of four 32-bit words drawn so far. */
  offset: number
}

const state: RngState = { seed: 0, offset: 0 }

function check(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new ShaktiError(name, `needs an integer from 0 to 2^53 - 1, got ${value}.`)
  }
}

/** Starts the random numbers of this thread anew. The same seed gives the same numbers. */
export function manualSeed(seed: number): void {
  refuseInCapture('manualSeed')
  check('manualSeed', seed)
  state.seed = seed
  state.offset = 0
}

/** Where the random numbers stand; plain JSON. */
export function getRngState(): RngState {
  return { ...state }
}

export function setRngState({ seed, offset }: RngState): void {
  refuseInCapture('setRngState')
  check('setRngState', seed)
  check('setRngState', offset)
  restoreRng({ seed, offset })
}

/** Internal: back to a state of `getRngState`. */
export function restoreRng({ seed, offset }: RngState): void {
  state.seed = seed
  state.offset = offset
}

/** Internal: the attributes seed_lo, seed_hi, offset of a command that draws now. */
export function randomNow(): [number, number, number] {
  const { seed, offset } = state
  return [seed % 2 ** 32, Math.floor(seed / 2 ** 32), offset]
}

/** Internal: goes on by `blocks` without a draw. */
export function skipRandom(blocks: number): void {
  state.offset += blocks
}

/** Internal: reserves `words` 32-bit words; the attributes seed_lo, seed_hi, offset of a random command. */
export function takeRandom(words: number): [number, number, number] {
  const now = randomNow()
  skipRandom(Math.ceil(words / 4))
  return now
}
