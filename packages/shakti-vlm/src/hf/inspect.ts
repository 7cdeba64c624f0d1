// What a model consists of and what it takes, from its config and the headers of its files: no weight is read.
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { dtypeSize, type DType } from '@shakti/tensor'
import { parseConfig, type ShaktiVlmConfig, type ShaktiVlmConfigInput } from '../config.js'
import type { ShaktiVlm } from '../vlm.js'
import { emptyModel, quantizationOf, type QuantizationConfig } from './quantization.js'
import { readCheckpoint } from './weights.js'

/** What weights can be held in. 'int8' and 'int4': matrices in the usual groups (64 and 32), the head too, all else in bf16. */
export type Precision = 'f32' | 'bf16' | 'int8' | 'int4'
export const precisions: readonly Precision[] = ['f32', 'bf16', 'int8', 'int4']

/** The usual quantisation of a precision; undefined where it has none. */
export const usualQuantization = (precision: Precision): QuantizationConfig | undefined =>
  precision === 'int8' || precision === 'int4'
    ? quantizationOf('usualQuantization', { bits: precision === 'int8' ? 8 : 4 })
    : undefined

export interface InspectedTensor {
  /** In the state dict. */
  readonly name: string
  readonly shape: readonly number[]
  readonly dtype: DType
  readonly bytes: number
}

/** A module with all that is below it. */
export interface InspectedModule {
  /** In the state dict; '' for the model itself. */
  readonly name: string
  /** The class: `Linear`, `TransformerBlock`. */
  readonly kind: string
  /** Trained numbers; a quantised copy of a tied embedding counts none. */
  readonly parameters: number
  readonly bytes: number
  readonly bytesAt: Readonly<Record<Precision, number>>
  /** Its own, without those of modules below. */
  readonly tensors: readonly InspectedTensor[]
  readonly modules: readonly InspectedModule[]
}

export interface InspectedFolder {
  readonly config: ShaktiVlmConfig
  readonly quantization: QuantizationConfig | undefined
  /** Of what is not quantised; undefined when tensors differ. */
  readonly dtype: DType | undefined
  readonly files: readonly { readonly name: string; readonly bytes: number }[]
  readonly model: InspectedModule
}

/**
 * The modules, tensors and sizes of a folder, checked as `fromPretrained` checks them.
 * @throws FileFormatError, StateDictError
 */
export async function inspectPretrained(folder: string): Promise<InspectedFolder> {
  const { config, quantization, tensors, model, dtype } = await readCheckpoint(folder)
  const names = [...new Set(Array.from(tensors.values(), (t) => t.file))]
  const files = await Promise.all(
    names.map(async (name) => ({ name, bytes: (await stat(join(folder, name))).size })),
  )
  const described = Object.keys(model.stateDict()).map((name) => {
    const { dtype, shape, bytes } = tensors.get(name)!
    return { name, dtype, shape, bytes }
  })
  return { config, quantization, dtype, files, model: tree(config, model, described) }
}

/** The same for a model that nobody has written yet. */
export function inspectConfig(input: ShaktiVlmConfigInput, dtype: DType = 'bf16'): InspectedModule {
  const config = parseConfig(input)
  const model = emptyModel(config)
  const tensors = Object.entries(model.stateDict()).map(([name, { shape, numel }]) => ({
    name,
    dtype,
    shape,
    bytes: numel * dtypeSize(dtype),
  }))
  return tree(config, model, tensors)
}

type Sizes = ReadonlyMap<string, number>

/** Bytes of each tensor of a model at a precision, by name. */
export function bytesAt(
  config: ShaktiVlmConfig,
  precision: Precision,
  quantization = usualQuantization(precision),
): Sizes {
  const model = emptyModel(config, quantization)
  const size = dtypeSize(precision === 'f32' ? 'f32' : 'bf16')
  return new Map(
    Object.entries(model.stateDict()).map(([name, t]) => [
      name,
      t.numel * (t.dtype === 'u8' ? 1 : size),
    ]),
  )
}

function tree(
  config: ShaktiVlmConfig,
  model: ShaktiVlm,
  tensors: readonly InspectedTensor[],
): InspectedModule {
  const counts = new Map(
    Object.entries(emptyModel(config).stateDict()).map(([name, t]) => [name, t.numel]),
  )
  const kinds = new Map(Array.from(model.stateModules(), ([name, m]) => [name, m.constructor.name]))
  const parentOf = (name: string): string => {
    let at = name
    do at = at.includes('.') ? at.slice(0, at.lastIndexOf('.')) : ''
    while (!kinds.has(at))
    return at
  }
  const ownerOf = (tensor: string): string => (kinds.has(tensor) ? tensor : parentOf(tensor))
  /** Of each module with all that is below it. */
  const summed = (of: Sizes): Map<string, number> => {
    const sums = new Map<string, number>()
    for (const [tensor, n] of of) {
      for (let at = ownerOf(tensor); ; at = parentOf(at)) {
        sums.set(at, (sums.get(at) ?? 0) + n)
        if (at === '') break
      }
    }
    return sums
  }
  const parameters = summed(counts)
  const bytes = summed(new Map(tensors.map((t) => [t.name, t.bytes])))
  const sizes = precisions.map((p) => [p, summed(bytesAt(config, p))] as const)
  const ownTensors = new Map<string, InspectedTensor[]>()
  for (const t of tensors) {
    const owner = ownerOf(t.name)
    ownTensors.set(owner, [...(ownTensors.get(owner) ?? []), t])
  }
  const below = new Map<string, string[]>()
  for (const name of kinds.keys())
    if (name !== '') below.set(parentOf(name), [...(below.get(parentOf(name)) ?? []), name])
  const node = (name: string): InspectedModule => ({
    name,
    kind: kinds.get(name)!,
    parameters: parameters.get(name) ?? 0,
    bytes: bytes.get(name) ?? 0,
    bytesAt: Object.fromEntries(
      sizes.map(([precision, of]) => [precision, of.get(name) ?? 0]),
    ) as Record<Precision, number>,
    tensors: ownTensors.get(name) ?? [],
    modules: (below.get(name) ?? []).map(node),
  })
  return node('')
}
