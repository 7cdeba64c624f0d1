// Models as folders in Hugging Face's layout: config.json, model.safetensors (or shards with an index),
// preprocessor_config.json, generation_config.json.
import { mkdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { meta } from '@shakti/nn'
import {
  FileFormatError,
  loadSafetensors,
  saveSafetensors,
  writeAtomically,
  type Tensor,
} from '@shakti/tensor'
import { parseConfig, type RopeScalingConfig, type ShaktiVlmConfig } from '../config.js'
import { toHfPreprocessor } from '../processor/preprocessor.js'
import type { ProcessorConfig } from '../processor/size.js'
import { ShaktiVlm } from '../vlm.js'

type Json = Record<string, unknown>

function toHfScaling(s: RopeScalingConfig | null): Json | null {
  if (s === null) return null
  if (s.type !== 'yarn') return { rope_type: s.type, factor: s.factor }
  return {
    rope_type: 'yarn',
    factor: s.factor,
    original_max_position_embeddings: s.original,
    beta_fast: s.betaFast,
    beta_slow: s.betaSlow,
  }
}

function fromHfScaling(json: unknown): unknown {
  if (json === null || json === undefined || typeof json !== 'object') return json ?? null
  const {
    rope_type,
    factor,
    original_max_position_embeddings: original,
    beta_fast,
    beta_slow,
  } = json as Json
  if (rope_type !== 'yarn') return { type: rope_type, factor }
  return {
    type: 'yarn',
    factor,
    original,
    ...(beta_fast === undefined ? {} : { betaFast: beta_fast }),
    ...(beta_slow === undefined ? {} : { betaSlow: beta_slow }),
  }
}

/** The config as config.json has it: the parts under their Hugging Face names. */
export function toHfConfig(config: ShaktiVlmConfig): Record<string, unknown> {
  const { vision: v, decoder: d, projector } = config
  return {
    architectures: ['ShaktiVlmForConditionalGeneration'],
    model_type: 'shakti_vlm',
    torch_dtype: 'float32',
    shakti_version: config.version,
    ...(config.imageToken === undefined ? {} : { image_token_id: config.imageToken }),
    vision_config: {
      num_hidden_layers: v.layers,
      num_pre_norm_layers: v.preNormLayers,
      late_norm: v.lateNorm,
      hidden_size: v.width,
      num_attention_heads: v.heads,
      intermediate_size: v.mlp,
      qk_norm: v.qkNorm,
      patch_sizes: v.patchSizes,
      base_patch_size: v.basePatch,
      position_grid: v.posGrid,
      rope_theta: v.ropeTheta,
      max_patches: v.maxPatches,
      norm_eps: v.normEps,
    },
    projector_config: { merge_size: projector.merge },
    text_config: {
      num_hidden_layers: d.layers,
      hidden_size: d.width,
      num_attention_heads: d.heads,
      num_key_value_heads: d.kvHeads,
      intermediate_size: d.ffn,
      vocab_size: d.vocab,
      tie_word_embeddings: d.tied,
      rope_theta: d.ropeTheta,
      rope_scaling: toHfScaling(d.ropeScaling),
      max_position_embeddings: d.context,
      rms_norm_eps: d.normEps,
      sliding_window: d.slidingWindow,
      global_every: d.globalEvery,
    },
  }
}

function part(file: string, json: Json, name: string): Json {
  const value = json[name]
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new FileFormatError(file, name, 'is missing or not an object')
  return value as Json
}

export function fromHfConfig(json: unknown, file = 'config.json'): ShaktiVlmConfig {
  if (typeof json !== 'object' || json === null)
    throw new FileFormatError(file, 'config', 'is not an object')
  const all = json as Json
  if (all['model_type'] !== 'shakti_vlm')
    throw new FileFormatError(
      file,
      'model_type',
      `is ${JSON.stringify(all['model_type'])}, expected "shakti_vlm"`,
    )
  const v = part(file, all, 'vision_config')
  const t = part(file, all, 'text_config')
  try {
    return parseConfig({
      version: all['shakti_version'],
      ...(all['image_token_id'] === undefined ? {} : { imageToken: all['image_token_id'] }),
      vision: {
        layers: v['num_hidden_layers'],
        preNormLayers: v['num_pre_norm_layers'],
        lateNorm: v['late_norm'],
        width: v['hidden_size'],
        heads: v['num_attention_heads'],
        mlp: v['intermediate_size'],
        qkNorm: v['qk_norm'],
        patchSizes: v['patch_sizes'],
        basePatch: v['base_patch_size'],
        posGrid: v['position_grid'],
        ropeTheta: v['rope_theta'],
        maxPatches: v['max_patches'],
        normEps: v['norm_eps'],
      },
      projector: { merge: part(file, all, 'projector_config')['merge_size'] },
      decoder: {
        layers: t['num_hidden_layers'],
        width: t['hidden_size'],
        heads: t['num_attention_heads'],
        kvHeads: t['num_key_value_heads'],
        ffn: t['intermediate_size'],
        vocab: t['vocab_size'],
        tied: t['tie_word_embeddings'],
        ropeTheta: t['rope_theta'],
        ropeScaling: fromHfScaling(t['rope_scaling']),
        context: t['max_position_embeddings'],
        normEps: t['rms_norm_eps'],
        slidingWindow: t['sliding_window'],
        globalEvery: t['global_every'],
      },
    })
  } catch (error) {
    throw new FileFormatError(file, 'config', (error as Error).message)
  }
}

const writeJson = (path: string, value: unknown): Promise<void> =>
  writeAtomically('savePretrained', path, `${JSON.stringify(value, null, 2)}\n`)

/** A JSON file of a model's folder. */
export async function readJson(path: string): Promise<unknown> {
  const { size } = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new FileFormatError(path, 'file', `cannot be opened: ${error.code ?? error.message}`)
  })
  if (size > 100_000_000)
    throw new FileFormatError(path, 'file', `has ${size} bytes, more than any config needs`)
  try {
    return JSON.parse(await readFile(path, 'utf8')) as unknown
  } catch (error) {
    throw new FileFormatError(path, 'json', (error as Error).message)
  }
}

export interface SaveOptions {
  /** Bytes of a weights file, above which the weights are split. Default 5 GB. */
  shardBytes?: number
  /** How images are prepared. Default: as the model's config says, without bounds on pixels. */
  processor?: ProcessorConfig
}

/** Writes a model to a folder. Save the tokenizer to the same folder with its own `save`. */
export async function savePretrained(
  model: ShaktiVlm,
  folder: string,
  options: SaveOptions = {},
): Promise<void> {
  const { shardBytes = 5e9 } = options
  await mkdir(folder, { recursive: true })
  const { vision, projector } = model.config
  await writeJson(join(folder, 'config.json'), toHfConfig(model.config))
  await writeJson(
    join(folder, 'preprocessor_config.json'),
    toHfPreprocessor(options.processor ?? { vision, merge: projector.merge }),
  )
  await writeJson(join(folder, 'generation_config.json'), { do_sample: false, max_new_tokens: 256 })

  const state = model.stateDict()
  const shards: Record<string, Tensor>[] = [{}]
  let size = 0
  let total = 0
  for (const [name, t] of Object.entries(state)) {
    const bytes = t.storage.bytes
    if (size > 0 && size + bytes > shardBytes) {
      shards.push({})
      size = 0
    }
    shards.at(-1)![name] = t
    size += bytes
    total += bytes
  }
  const metadata = { format: 'pt' }
  if (shards.length === 1)
    return saveSafetensors(join(folder, 'model.safetensors'), state, metadata)
  const weightMap: Record<string, string> = {}
  const digits = (n: number): string => String(n).padStart(5, '0')
  for (const [i, shard] of shards.entries()) {
    const file = `model-${digits(i + 1)}-of-${digits(shards.length)}.safetensors`
    await saveSafetensors(join(folder, file), shard, metadata)
    for (const name of Object.keys(shard)) weightMap[name] = file
  }
  await writeJson(join(folder, 'model.safetensors.index.json'), {
    metadata: { total_size: total },
    weight_map: weightMap,
  })
}

async function weightFiles(folder: string): Promise<string[]> {
  const index = join(folder, 'model.safetensors.index.json')
  const exists = await stat(index).then(
    () => true,
    () => false,
  )
  if (!exists) return ['model.safetensors']
  const map = part(index, (await readJson(index)) as Json, 'weight_map')
  const files = [...new Set(Object.values(map))]
  for (const f of files) {
    // A name from a file must not lead out of the folder.
    if (typeof f !== 'string' || !/^[\w.-]+\.safetensors$/.test(f))
      throw new FileFormatError(
        index,
        'weight_map',
        `names a file ${JSON.stringify(f)} that is not a plain .safetensors name`,
      )
  }
  return files as string[]
}

/**
 * Reads a model from a folder. Every name and shape must fit; nothing of the model's size is allocated before they do.
 * @throws FileFormatError, or StateDictError listing the names that do not fit
 */
export async function fromPretrained(folder: string): Promise<ShaktiVlm> {
  const file = join(folder, 'config.json')
  const config = fromHfConfig(await readJson(file), file)
  const model = meta(() => new ShaktiVlm(config))
  const state: Record<string, Tensor> = Object.create(null) as Record<string, Tensor>
  try {
    for (const name of await weightFiles(folder)) {
      const path = join(folder, name)
      for (const [key, t] of Object.entries((await loadSafetensors(path)).tensors)) {
        if (state[key]) throw new FileFormatError(path, key, 'stands in more than one file')
        state[key] = t
      }
    }
    // Some writers store a tied output matrix a second time; the embedding is the one that counts.
    if (config.decoder.tied) delete state['language_model.lm_head.weight']
    model.loadStateDict(state)
  } finally {
    for (const t of Object.values(state)) t.dispose()
  }
  return model
}
