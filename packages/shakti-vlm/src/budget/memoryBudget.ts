// What a run will take on the CPU, before anything is loaded.
import { blockBytes, ShaktiError } from '@shakti/tensor'
import { derive, parseConfig, type ShaktiVlmConfigInput } from '../config.js'
import { bytesAt, precisions, usualQuantization, type Precision } from '../hf/inspect.js'
import type { QuantizationConfig } from '../hf/quantization.js'
import { decoderActivations, visionActivations, type ImageSize } from './activations.js'

export interface MemoryBudgetOptions {
  /** Of the weights; activations are f32 with f32, else bf16. Default bf16. */
  dtype?: Precision
  /** How weights are quantised, as `inspectPretrained` tells of a folder. Default: as is usual for `dtype`. */
  quantization?: QuantizationConfig | undefined
  /** Default: that of the activations. 'i8' is a byte a number and an f32 for each position and head. */
  kvDtype?: 'f32' | 'bf16' | 'i8'
  /** Positions in the cache: prompt and answer. Default: the context. */
  positions?: number
  /** Sequences at once. Default 1. */
  batch?: number
  /** Tokens of a prompt that are read at a time. Default 512, at most `positions`. */
  chunk?: number
  /** One image as the processor makes it: sides in pixels, multiples of `patch` times the projector's `merge`. Default: none. */
  image?: ImageSize
  /** Whether matrices are packed: then a tied embedding is there twice. Default false. */
  packed?: boolean
}

/** All in bytes. */
export interface MemoryBudget {
  readonly weights: number
  readonly kvCache: number
  /** Cosines and sines of the rotary positions. */
  readonly tables: number
  /** What one step of each kind holds at most, beside weights and cache; they come one after the other. */
  readonly activations: {
    readonly decode: number
    readonly prefill: number
    /** 0 without an image. */
    readonly vision: number
  }
  /** Weights, cache, tables and the largest of the activations. */
  readonly total: number
}

// Bytes of a number in the cache.
const kvBytes = { f32: 4, bf16: 2, i8: 1 } as const

/** @throws ShaktiError for a config or numbers that do not fit */
export function memoryBudget(
  input: ShaktiVlmConfigInput,
  options: MemoryBudgetOptions = {},
): MemoryBudget {
  const config = parseConfig(input)
  const { decoder: d } = config
  const { dtype = 'bf16', positions = d.context, batch = 1, image, packed = false } = options
  const { chunk = Math.min(512, positions) } = options
  const refuse = (field: string, value: unknown, range: string): never => {
    throw new ShaktiError('memoryBudget', `${field} is ${String(value)}. It must be ${range}.`)
  }
  const whole = (field: string, n: number, most: number): void => {
    if (!Number.isInteger(n) || n < 1 || n > most) refuse(field, n, `an integer from 1 to ${most}`)
  }
  if (!precisions.includes(dtype)) refuse('dtype', dtype, `one of ${precisions.join(', ')}`)
  whole('positions', positions, d.context)
  whole('batch', batch, 65_536)
  whole('chunk', chunk, positions)
  const size = dtype === 'f32' ? 4 : 2
  const { kvDtype = size === 4 ? 'f32' : 'bf16' } = options
  if (!(kvDtype in kvBytes)) refuse('kvDtype', kvDtype, `one of ${Object.keys(kvBytes).join(', ')}`)
  const { kvHeads, decoderHeadDim, visionHeadDim } = derive(config)
  const { quantization = usualQuantization(dtype) } = options
  const sizes = bytesAt(config, dtype, quantization)
  let weights = [...sizes.values()].reduce((a, b) => a + b, 0)
  if (packed && d.tied && !quantization) weights += d.vocab * d.width * size

  const rowsOf = (kv: number): number => batch * positions * kv
  const kvCache = kvHeads.reduce(
    (n, kv) =>
      n +
      2 * blockBytes(rowsOf(kv) * decoderHeadDim * kvBytes[kvDtype]) +
      (kvDtype === 'i8' ? 2 * blockBytes(rowsOf(kv) * 4) : 0),
    0,
  )
  const numbers = {
    size,
    layout: quantization ?? (packed ? ('packed' as const) : ('plain' as const)),
  }
  const step = (length: number): number =>
    decoderActivations(d, kvHeads, positions, { ...numbers, batch, length })
  if (image) {
    const unit = image.patch * config.projector.merge
    if (!config.vision.patchSizes.includes(image.patch))
      refuse('image.patch', image.patch, `one of ${config.vision.patchSizes.join(', ')}`)
    for (const side of ['height', 'width'] as const)
      if (!(image[side] > 0 && image[side] % unit === 0))
        refuse(`image.${side}`, image[side], `a multiple of ${unit}`)
  }
  const activations = {
    decode: step(1),
    prefill: step(chunk),
    vision: image ? visionActivations(config, image, numbers) : 0,
  }
  const tables = rotaryTables(positions, chunk, decoderHeadDim, image, visionHeadDim)
  return {
    weights,
    kvCache,
    tables,
    activations,
    total: weights + kvCache + tables + Math.max(...Object.values(activations)),
  }
}

/** The decoder's table doubles until it holds all positions; an image has one for its grid. */
function rotaryTables(
  positions: number,
  chunk: number,
  headDim: number,
  image: ImageSize | undefined,
  visionHeadDim: number,
): number {
  let length = Math.max(chunk, 64)
  while (length < positions) length *= 2
  const patches = image ? (image.height / image.patch) * (image.width / image.patch) : 0
  // f32, half a head's dim each.
  const table = (rows: number, dim: number): number =>
    rows === 0 ? 0 : 2 * blockBytes(rows * dim * 2)
  return table(length, headDim) + table(patches, visionHeadDim)
}
