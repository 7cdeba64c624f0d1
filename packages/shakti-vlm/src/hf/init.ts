// Folders with random weights, written tensor by tensor: a start for training, and models of full size to measure.
import { createHash } from 'node:crypto'
import {
  getRngState,
  isFloating,
  manualSeed,
  setRngState,
  ShaktiError,
  tidy,
  type DType,
  type TensorSource,
} from '@shakti/tensor'
import type { Parameter } from '@shakti/nn'
import { parseConfig, type ShaktiVlmConfigInput } from '../config.js'
import { toHfConfig } from './config.js'
import { writeFolder, type WriteOptions } from './folder.js'
import { emptyModel } from './quantization.js'

export interface InitPretrainedOptions extends WriteOptions {
  /** An integer from 0; default 0. */
  seed?: number
  /** Default bf16. */
  dtype?: DType
}

/**
 * Writes a folder with random weights, of the distributions that `new ShaktiVlm` starts from, in memory for one tensor. What a
 * tensor holds depends on the seed, its name and the dtype alone, not on how the weights are split (`shardBytes`, default 2 GB).
 * The global random numbers are left as they were.
 * @throws ShaktiError for a config that does not fit, or a folder that cannot be written; then nothing is left behind
 */
export async function initPretrained(
  folder: string,
  config: ShaktiVlmConfigInput,
  options: InitPretrainedOptions = {},
): Promise<void> {
  const { seed = 0, dtype = 'bf16', shardBytes = 2e9 } = options
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new ShaktiError(
      'initPretrained',
      `seed is ${String(seed)}. It must be an integer from 0.`,
    )
  if (!isFloating(dtype))
    throw new ShaktiError('initPretrained', `dtype is ${String(dtype)}. It must be floating.`)
  const checked = parseConfig(config)
  const tensors: Record<string, TensorSource> = {}
  for (const [name, p] of Object.entries(emptyModel(checked).stateDict()))
    tensors[name] = randomTensor(name, p as Parameter, seed, dtype)
  const json = toHfConfig(checked, { dtype })
  await writeFolder(
    'initPretrained',
    folder,
    { config: checked, json, tensors, license: 'apache-2.0' },
    { ...options, shardBytes },
  )
}

/** A parameter's random values as they are when its turn comes. */
export function randomTensor(name: string, p: Parameter, seed: number, dtype: DType): TensorSource {
  const { shape, init } = p
  return {
    dtype,
    shape,
    make: () => {
      const before = getRngState()
      manualSeed(seedOf(seed, name))
      try {
        return tidy(() => init!(shape, 'cpu', dtype))
      } finally {
        setRngState(before)
      }
    },
  }
}

/** Of one tensor: 53 bits of a hash, so that no two of a model draw the same numbers. */
function seedOf(seed: number, name: string): number {
  const hash = createHash('sha256').update(`${seed}:${name}`).digest()
  return Number(hash.readBigUInt64LE() >> 11n)
}
