// Rotary positions: tables of cosines and sines, made once and read by attention. One dimension for text, two for patches.
import {
  getDefaultDevice,
  keep,
  ShaktiError,
  tensor,
  type DeviceName,
  type Tensor,
} from '@shakti/tensor'

/** Cosines and sines of every position's angles: f32 [1, positions, headDim / 2]. */
export interface RotaryTable {
  readonly cos: Tensor
  readonly sin: Tensor
}

export type RopeScaling =
  /** Positions divided by `factor`. */
  | { readonly type: 'linear'; readonly factor: number }
  /** The base raised so that the slowest wave is `factor` times as long: theta * factor^(d / (d - 2)) ("NTK-aware"). */
  | { readonly type: 'ntk'; readonly factor: number }
  /** YaRN (arXiv 2309.00071): high frequencies kept, low ones interpolated. `original` is the context trained on. */
  | {
      readonly type: 'yarn'
      readonly factor: number
      readonly original: number
      readonly betaFast?: number
      readonly betaSlow?: number
    }
  /**
   * NTK by parts (arXiv 2309.00071, section 3.2), without YaRN's factor: waves that turn at least `highFrequency` times over the original context are kept, those that turn at most
   * `lowFrequency` times are stretched by `factor`, those between go over from one to the other.
   */
  | {
      readonly type: 'by-parts'
      readonly factor: number
      readonly original: number
      /** Turns. Default 1. */
      readonly lowFrequency?: number
      /** Turns; more than `lowFrequency`. Default 4. */
      readonly highFrequency?: number
    }

/** theta^(-2i / dim) for i = 0 .. dim / 2 - 1 (arXiv 2104.09864, equation 15). */
export function frequencies(dim: number, theta: number): Float64Array {
  if (dim % 2 !== 0) throw new ShaktiError('rope', `the head dim must be even, got ${dim}.`)
  return Float64Array.from({ length: dim / 2 }, (_, i) => theta ** ((-2 * i) / dim))
}

function yarn(
  f: Float64Array,
  dim: number,
  theta: number,
  s: RopeScaling & { type: 'yarn' },
): Float64Array {
  const { factor, original, betaFast = 32, betaSlow = 1 } = s
  // The dimension whose wave turns `beta` times over the original context.
  const turning = (beta: number): number =>
    (dim * Math.log(original / (beta * 2 * Math.PI))) / (2 * Math.log(theta))
  const low = Math.max(Math.floor(turning(betaFast)), 0)
  const high = Math.min(Math.ceil(turning(betaSlow)), dim - 1)
  return f.map((v, i) => {
    const ramp = Math.min(Math.max((i - low) / Math.max(high - low, 1e-3), 0), 1)
    return (v / factor) * ramp + v * (1 - ramp)
  })
}

function byParts(f: Float64Array, s: RopeScaling & { type: 'by-parts' }): Float64Array {
  const { factor, original, lowFrequency = 1, highFrequency = 4 } = s
  return f.map((v) => {
    const turns = (original * v) / (2 * Math.PI)
    const kept = Math.min(Math.max((turns - lowFrequency) / (highFrequency - lowFrequency), 0), 1)
    return (v / factor) * (1 - kept) + v * kept
  })
}

/** What a scaling makes of the frequencies, and the factor by which YaRN lengthens queries and keys (1 in all others). */
export function scaledFrequencies(
  dim: number,
  theta: number,
  scaling?: RopeScaling,
): { frequencies: Float64Array; gain: number } {
  const plain = frequencies(dim, theta)
  switch (scaling?.type) {
    case undefined:
      return { frequencies: plain, gain: 1 }
    case 'linear':
      return { frequencies: plain.map((v) => v / scaling.factor), gain: 1 }
    case 'ntk':
      return { frequencies: frequencies(dim, ntkBase(dim, theta, scaling.factor)), gain: 1 }
    case 'yarn':
      return {
        frequencies: yarn(plain, dim, theta, scaling),
        gain: 0.1 * Math.log(scaling.factor) + 1,
      }
    case 'by-parts':
      return { frequencies: byParts(plain, scaling), gain: 1 }
  }
}

/** The base that 'ntk' puts in the place of `theta`. */
export function ntkBase(dim: number, theta: number, factor: number): number {
  return theta * factor ** (dim / (dim - 2))
}

const kept = (values: Float32Array, shape: readonly number[], device: DeviceName): Tensor =>
  keep(tensor(values, { shape, device }))

/** Rotary embedding of text positions. Tables grow as longer sequences come. */
export class RotaryEmbedding {
  readonly headDim: number
  readonly theta: number
  readonly scaling: RopeScaling | undefined
  #table: RotaryTable | undefined
  #length = 0
  #cos = new Float32Array(0)
  #sin = new Float32Array(0)
  #device: DeviceName | undefined

  constructor(headDim: number, theta: number, scaling?: RopeScaling) {
    if (!(theta > 0)) throw new ShaktiError('rope', `theta must be above 0, got ${theta}.`)
    if (scaling && !(scaling.factor >= 1))
      throw new ShaktiError(
        'rope',
        `the factor of the scaling must be at least 1, got ${scaling.factor}.`,
      )
    if (headDim < 4 && scaling?.type === 'ntk')
      throw new ShaktiError('rope', `ntk scaling needs a head dim of at least 4, got ${headDim}.`)
    if (scaling?.type === 'by-parts') {
      const { lowFrequency = 1, highFrequency = 4 } = scaling
      if (!(lowFrequency < highFrequency))
        throw new ShaktiError(
          'rope',
          `by-parts scaling needs lowFrequency below highFrequency, got ${lowFrequency} and ${highFrequency}.`,
        )
    }
    frequencies(headDim, theta)
    this.headDim = headDim
    this.theta = theta
    this.scaling = scaling
  }

  #upTo(length: number, device: DeviceName): RotaryTable {
    if (this.#table && this.#length >= length && this.#device === device) return this.#table
    const { headDim } = this
    const half = headDim / 2
    const from = this.#length
    if (length > from) {
      // As far as is asked for, in steps of about a millisecond: a text that is read chunk by chunk never waits for more.
      const n = Math.ceil(length / 256) * 256
      const { frequencies: f, gain } = scaledFrequencies(headDim, this.theta, this.scaling)
      const cos = new Float32Array(n * half)
      const sin = new Float32Array(n * half)
      cos.set(this.#cos)
      sin.set(this.#sin)
      for (let p = from, at = from * half; p < n; p++)
        for (let i = 0; i < half; i++, at++) {
          cos[at] = gain * Math.cos(p * f[i]!)
          sin[at] = gain * Math.sin(p * f[i]!)
        }
      this.#cos = cos
      this.#sin = sin
      this.#length = n
    }
    this.#table?.cos.dispose()
    this.#table?.sin.dispose()
    const shape = [1, this.#length, half]
    this.#table = { cos: kept(this.#cos, shape, device), sin: kept(this.#sin, shape, device) }
    this.#device = device
    return this.#table
  }

  /** Positions start .. start + length - 1, on the device of what they turn. */
  range(start: number, length: number, device: DeviceName = getDefaultDevice()): RotaryTable {
    const { cos, sin } = this.#upTo(start + length, device)
    return {
      cos: cos.narrow(1, start, length).contiguous(),
      sin: sin.narrow(1, start, length).contiguous(),
    }
  }

  /**
   * Any positions.
   * @param positions i32 [rows, length], none beyond `limit`
   * @returns tables [rows, length, headDim / 2]
   */
  gather(positions: Tensor, limit: number): RotaryTable {
    const { cos, sin } = this.#upTo(limit, positions.device)
    const half = this.headDim / 2
    const flat = positions.reshape([-1])
    const pick = (t: Tensor): Tensor =>
      t
        .reshape([-1, half])
        .indexSelect(0, flat)
        .reshape([...positions.shape, half])
    return { cos: pick(cos), sin: pick(sin) }
  }
}

/**
 * Angles of a grid of patches, row by row (PAPER.md 6.3, after Qwen2-VL): the first half of the angles turns with the row,
 * the second with the column, each over headDim / 4 frequencies theta^(-2i / (headDim / 2)).
 */
export function rotaryTable2d(
  rows: number,
  columns: number,
  headDim: number,
  theta: number,
  device: DeviceName = getDefaultDevice(),
): RotaryTable {
  const { angles, half } = angles2d(rows, columns, headDim, theta)
  const shape = [1, rows * columns, half]
  const of = (f: (a: number) => number): Tensor => kept(Float32Array.from(angles, f), shape, device)
  return { cos: of(Math.cos), sin: of(Math.sin) }
}

/** The angles alone: [rows * columns][headDim / 2]. */
export function angles2d(
  rows: number,
  columns: number,
  headDim: number,
  theta: number,
): { angles: Float64Array; half: number } {
  if (headDim % 4 !== 0)
    throw new ShaktiError('rope2d', `the head dim must be a multiple of 4, got ${headDim}.`)
  const f = frequencies(headDim / 2, theta)
  const half = headDim / 2
  const angles = new Float64Array(rows * columns * half)
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const at = (r * columns + c) * half
      f.forEach((v, i) => {
        angles[at + i] = r * v
        angles[at + f.length + i] = c * v
      })
    }
  }
  return { angles, half }
}
