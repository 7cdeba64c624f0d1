// From public checkpoints to a folder of ours, tensor by tensor: what they lack is random, as `initPretrained` makes it.
import { join, resolve } from 'node:path'
import {
  isFloating,
  noGrad,
  ShaktiError,
  tidy,
  type DType,
  type Tensor,
  type TensorSource,
} from '@shakti/tensor'
import type { Parameter } from '@shakti/nn'
import {
  parseConfig,
  type DecoderConfig,
  type ShaktiVlmConfig,
  type VisionConfig,
} from '../../config.js'
import { companionsOf, licenseOf } from '../companions.js'
import { toHfConfig } from '../config.js'
import { writeFolder, type WriteOptions } from '../folder.js'
import { randomTensor } from '../init.js'
import { emptyModel } from '../quantization.js'
import { readJsonObject } from '../weights.js'
import { hasPart } from './containers.js'
import { openDecoder, type ImportOptions } from './decoder.js'
import type { ImportReport } from './mapping.js'
import { openVision } from './vision.js'

/** Where the parts come from: a folder that holds one, or a config, whose part is random. */
export interface PretrainedSources {
  readonly decoder: string | DecoderConfig
  readonly vision: string | VisionConfig
  /** merge x merge neighbouring patches become one visual token; default 2. The projector is random. */
  readonly merge?: number
  /** The token that stands for an image. Default: none, so that the model takes text alone. */
  readonly imageToken?: number
}

export interface ImportPretrainedOptions extends ImportOptions, WriteOptions {
  /** Of what is random: an integer from 0; default 0. */
  seed?: number
  /** Of all weights. Default: that of the checkpoint's embedding, or without a decoder's checkpoint bf16. */
  dtype?: DType
}

export interface PretrainedImport {
  readonly config: ShaktiVlmConfig
  readonly dtype: DType
  /** Of the parts that came from checkpoints. */
  readonly decoder?: ImportReport
  readonly vision?: ImportReport
  /** Names of the parameters that no checkpoint gave: they have the values that training starts from, of `seed`. */
  readonly fresh: readonly string[]
}

/** A part's config, and its sources by their names in the model. */
interface Opened<C> {
  readonly config: C
  readonly state: Readonly<Record<string, TensorSource>>
  readonly report?: ImportReport
  readonly dispose: () => void
}

const nothing = <C>(config: C): Opened<C> => ({ config, state: {}, dispose: () => undefined })

const under = (prefix: string, state: Readonly<Record<string, TensorSource>>): typeof state =>
  Object.fromEntries(Object.entries(state).map(([name, t]) => [prefix + name, t]))

async function decoderOf(
  source: string | DecoderConfig,
  options: ImportOptions,
): Promise<Opened<DecoderConfig>> {
  if (typeof source !== 'string') return nothing(source)
  const { state, ...rest } = await openDecoder(source, options)
  const sources = Object.entries(state).map(([name, t]): [string, TensorSource] => [
    name,
    { shape: t.shape, dtype: t.dtype, make: () => t.detach() },
  ])
  return { ...rest, state: under('language_model.', Object.fromEntries(sources)) }
}

async function visionOf(
  source: string | VisionConfig,
  options: ImportOptions,
): Promise<Opened<VisionConfig>> {
  if (typeof source !== 'string') return nothing(source)
  const { state, ...rest } = await openVision(source, { ...options, partial: true })
  return { ...rest, state: under('vision_tower.', state) }
}

/** A source in another dtype. */
function inDtype({ shape, dtype: given, make }: TensorSource, dtype: DType): TensorSource {
  if (given === dtype) return { shape, dtype, make }
  const converted = async (): Promise<Tensor> => {
    const t = await make()
    try {
      return tidy(() => noGrad(() => t.to(dtype)))
    } finally {
      t.dispose()
    }
  }
  return { shape, dtype, make: converted }
}

/** Which parts a folder has, by its config.json. @throws FileFormatError for a folder without one */
export async function partsOf(folder: string): Promise<{ decoder: boolean; vision: boolean }> {
  const json = await readJsonObject(join(folder, 'config.json'), 'config')
  return { decoder: hasPart(json, 'decoder'), vision: hasPart(json, 'encoder') }
}

/**
 * Writes a Shakti-VLM whose decoder, or encoder, or both come from public checkpoints: the start for training the projector between
 * them. Names are mapped as `importDecoder` and `importVision` do, with { partial }. The tokenizer and generation_config.json of the
 * decoder's folder are copied. It takes memory for one tensor; the checkpoints are mapped.
 * @returns what was mapped, and what is random
 * @throws FileFormatError naming field or tensors that have no place; ShaktiError for parts that do not fit, or a folder that cannot
 * be written. Nothing is left behind then.
 * @example await importPretrained('vlm', { decoder: 'Qwen3-0.6B', vision: 'siglip-base-patch16-224' })
 */
export async function importPretrained(
  to: string,
  sources: PretrainedSources,
  options: ImportPretrainedOptions = {},
): Promise<PretrainedImport> {
  const op = 'importPretrained'
  const { seed = 0, shardBytes = 2e9 } = options
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new ShaktiError(op, `seed is ${String(seed)}. It must be an integer from 0.`)
  for (const from of [sources.decoder, sources.vision])
    if (typeof from === 'string' && resolve(from) === resolve(to))
      throw new ShaktiError(
        op,
        `${from} would be overwritten while it is read. Name another folder.`,
      )
  const decoder = await decoderOf(sources.decoder, options)
  try {
    const vision = await visionOf(sources.vision, options)
    try {
      const stored = decoder.state['language_model.model.embed_tokens.weight']?.dtype
      const { dtype = stored ?? 'bf16' } = options
      if (!isFloating(dtype))
        throw new ShaktiError(op, `dtype is ${String(dtype)}. It must be floating.`)
      const config = parseConfig({
        vision: vision.config,
        projector: { merge: sources.merge },
        decoder: decoder.config,
        ...(sources.imageToken === undefined ? {} : { imageToken: sources.imageToken }),
      })
      const given = { ...decoder.state, ...vision.state }
      const fresh: string[] = []
      const tensors: Record<string, TensorSource> = {}
      for (const [name, p] of Object.entries(emptyModel(config).stateDict())) {
        const source = given[name]
        if (!source) fresh.push(name)
        tensors[name] = source
          ? inDtype(source, dtype)
          : randomTensor(name, p as Parameter, seed, dtype)
      }
      const folder = typeof sources.decoder === 'string' ? sources.decoder : undefined
      await writeFolder(
        op,
        to,
        {
          config,
          json: toHfConfig(config, { dtype }),
          tensors,
          copies: folder === undefined ? [] : await companionsOf(folder),
          license: folder === undefined ? undefined : await licenseOf(folder),
        },
        { ...options, shardBytes },
      )
      return {
        config,
        dtype,
        fresh,
        ...(decoder.report ? { decoder: decoder.report } : {}),
        ...(vision.report ? { vision: vision.report } : {}),
      }
    } finally {
      vision.dispose()
    }
  } finally {
    decoder.dispose()
  }
}
