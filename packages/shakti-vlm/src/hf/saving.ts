// A model in memory to a folder in Hugging Face's layout.
import {
  isFloating,
  keep,
  ShaktiError,
  type DType,
  type Tensor,
  type TensorSource,
} from '@shakti/tensor'
import { Linear } from '@shakti/nn'
import type { ProcessorConfig } from '../processor/size.js'
import type { ShaktiVlm } from '../vlm.js'
import { toHfConfig } from './config.js'
import { writeFolder, type WriteOptions } from './folder.js'
import { headName, quantizationIn } from './quantization.js'

export interface SaveOptions extends WriteOptions {
  /** Of the weights, as an SPDX identifier, for the model card; default: none is stated. */
  license?: string
  /** How images are prepared. Default: as the model's config says, without bounds on pixels. */
  processor?: ProcessorConfig
}

/**
 * Writes a model to a folder, sharded above `shardBytes` (default 5 GB), in the dtypes it has, quantised layers as they are. Save
 * the tokenizer to the same folder with its own `save`. When it fails, the folder is as it was.
 * @throws ShaktiError when it cannot be written, or for a model whose weights are packed
 */
export async function savePretrained(
  model: ShaktiVlm,
  folder: string,
  options: SaveOptions = {},
): Promise<void> {
  const { tied } = model.config.decoder
  // The embedding again, as `unpack_` leaves it in a tied model.
  const twice = tied && model.decoder.lmHead instanceof Linear ? `${headName}.weight` : undefined
  const state = Object.entries(model.stateDict()).filter(([name]) => name !== twice)
  const quantization = quantizationIn(model)
  const json = toHfConfig(model.config, { dtype: mostlyIn(state), quantization })
  const held = state.map(([name, t]) => [name, keep(t.detach())] as const)
  const tensors = Object.fromEntries(held.map(([name, t]) => [name, asItIs(name, t)]))
  const { config } = model
  const { license, processor } = options
  try {
    await writeFolder(
      'savePretrained',
      folder,
      { config, json, tensors, license, processor },
      options,
    )
  } finally {
    for (const [, t] of held) t.dispose()
  }
}

/** The floating dtype that most numbers have. */
function mostlyIn(state: readonly (readonly [string, Tensor])[]): DType {
  const counts = new Map<DType, number>()
  for (const [, { dtype, numel }] of state)
    if (isFloating(dtype)) counts.set(dtype, (counts.get(dtype) ?? 0) + numel)
  return [...counts].reduce((a, b) => (b[1] > a[1] ? b : a))[0]
}

/** A tensor as it is now: a change before it is written is an error, not a mixed folder; a dispose changes nothing. */
function asItIs(name: string, t: Tensor): TensorSource {
  const { storage, dtype, shape } = t
  const { version } = storage
  const make = (): Tensor => {
    if (storage.version !== version)
      throw new ShaktiError(
        'savePretrained',
        `${name} was changed while the model was being saved. Await the save first.`,
      )
    return t.detach()
  }
  return { dtype, shape, make }
}
