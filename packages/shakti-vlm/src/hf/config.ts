// config.json: ours, under the names that Hugging Face's models have.
import { FileFormatError, type DType } from '@shakti/tensor'
import { parseConfig, type RopeScalingConfig, type ShaktiVlmConfig } from '../config.js'
import { toHfQuantization, type QuantizationConfig } from './quantization.js'

type Json = Record<string, unknown>

function toHfScaling(s: RopeScalingConfig | null): Json | null {
  if (s === null) return null
  if (s.type === 'by-parts')
    return {
      rope_type: 'llama3',
      factor: s.factor,
      original_max_position_embeddings: s.original,
      low_freq_factor: s.lowFrequency,
      high_freq_factor: s.highFrequency,
    }
  if (s.type !== 'yarn') return { rope_type: s.type, factor: s.factor }
  return {
    rope_type: 'yarn',
    factor: s.factor,
    original_max_position_embeddings: s.original,
    beta_fast: s.betaFast,
    beta_slow: s.betaSlow,
  }
}

export function fromHfScaling(json: unknown): unknown {
  if (json === null || json === undefined || typeof json !== 'object') return json ?? null
  const {
    rope_type,
    factor,
    original_max_position_embeddings: original,
    beta_fast,
    beta_slow,
    low_freq_factor,
    high_freq_factor,
  } = json as Json
  if (rope_type === 'llama3')
    return {
      type: 'by-parts',
      factor,
      original,
      ...(low_freq_factor === undefined ? {} : { lowFrequency: low_freq_factor }),
      ...(high_freq_factor === undefined ? {} : { highFrequency: high_freq_factor }),
    }
  if (rope_type !== 'yarn') return { type: rope_type, factor }
  return {
    type: 'yarn',
    factor,
    original,
    ...(beta_fast === undefined ? {} : { betaFast: beta_fast }),
    ...(beta_slow === undefined ? {} : { betaSlow: beta_slow }),
  }
}

// As torch_dtype names them.
const torchNames: Readonly<Partial<Record<DType, string>>> = {
  f64: 'float64',
  f32: 'float32',
  bf16: 'bfloat16',
  f16: 'float16',
}

export interface HfConfigOptions {
  /** Of the weights that are not quantised. Default f32. */
  dtype?: DType
  /** Default: none is. */
  quantization?: QuantizationConfig | undefined
}

/** The config as config.json has it: the parts under their Hugging Face names. */
export function toHfConfig(
  config: ShaktiVlmConfig,
  { dtype = 'f32', quantization }: HfConfigOptions = {},
): Record<string, unknown> {
  const { vision: v, decoder: d, projector } = config
  return {
    architectures: ['ShaktiVlmForConditionalGeneration'],
    model_type: 'shakti_vlm',
    torch_dtype: torchNames[dtype],
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
      head_dim: d.headDim,
      qk_norm: d.qkNorm,
      attention_bias: d.attentionBias,
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
    ...(quantization ? { quantization_config: toHfQuantization(quantization) } : {}),
  }
}

/** An object within a file. */
export function part(file: string, json: Json, name: string): Json {
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
      `is ${JSON.stringify(all['model_type'])}, expected "shakti_vlm"; 'shakti import' makes one of public checkpoints`,
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
        headDim: t['head_dim'],
        qkNorm: t['qk_norm'],
        attentionBias: t['attention_bias'],
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
