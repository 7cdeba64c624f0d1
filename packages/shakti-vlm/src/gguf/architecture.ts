// Which of llama.cpp's architectures computes what a decoder computes, and what its file must say. Keys and tensor names are
// those of gguf-py/gguf/constants.py; what each architecture reads and does, of src/models/ in llama.cpp.
import { ShaktiError } from '@shakti/tensor'
import { ntkBase, scaledFrequencies, frequencies } from '@shakti/nn'
import { decoderHeadDim, decoderKvHeads, type DecoderConfig } from '../config.js'
import type { GgufField } from './format.js'

export type GgufArchitecture = 'llama' | 'deci' | 'granite_swa' | 'qwen2' | 'qwen3'

/** A tensor of the file and where its values come from. */
export interface PlannedTensor {
  readonly name: string
  /** Name in the decoder's state dict; undefined where `values` has what no parameter holds. */
  readonly from?: string
  readonly values?: Float32Array
  /** Heads whose rows change their order, from rotated halves to rotated neighbours. */
  readonly interleave?: number
  /** The embedding or the output matrix. */
  readonly head?: boolean
}

export interface GgufPlan {
  readonly architecture: GgufArchitecture
  readonly fields: readonly GgufField[]
  readonly tensors: readonly PlannedTensor[]
}

function refuse(field: string, message: string): never {
  throw new ShaktiError('exportGguf', `${field}: ${message}`)
}

/**
 * The architecture for a decoder: 'llama'; 'deci' (Llama-Nemotron), which is llama with heads by layer; 'granite_swa', which is
 * llama with windows, its scales left at 1; 'qwen2' for biases; 'qwen3' for head norms.
 * @throws ShaktiError naming the field that none of them has
 */
export function architectureOf(config: DecoderConfig): GgufArchitecture {
  const { attentionBias, qkNorm, slidingWindow, ropeScaling } = config
  const varied = new Set(decoderKvHeads(config)).size > 1
  if (slidingWindow !== null && (varied || attentionBias || qkNorm === 'head'))
    refuse(
      'slidingWindow',
      `${slidingWindow}: llama.cpp has windows without ${varied ? 'heads that differ by layer' : attentionBias ? 'biases' : 'head norms'} only.`,
    )
  if (attentionBias && qkNorm === 'head')
    refuse('attentionBias', 'no architecture of llama.cpp has these biases beside head norms.')
  if (varied && (attentionBias || qkNorm === 'head'))
    refuse(
      'kvHeads',
      `differ by layer, which llama.cpp has without ${attentionBias ? 'biases' : 'head norms'} only.`,
    )
  const plain = slidingWindow !== null ? 'granite_swa' : varied ? 'deci' : 'llama'
  const architecture = qkNorm === 'head' ? 'qwen3' : attentionBias ? 'qwen2' : plain
  if (architecture === 'qwen2' && decoderHeadDim(config) * config.heads !== config.width)
    refuse(
      'headDim',
      `is ${decoderHeadDim(config)}; with biases llama.cpp takes width / heads alone, ${config.width / config.heads}.`,
    )
  if (ropeScaling?.type === 'by-parts' && (architecture === 'qwen2' || architecture === 'qwen3'))
    refuse('ropeScaling', `by-parts scaling (llama3) is not read by llama.cpp for ${architecture}.`)
  return architecture
}

const u32 = (key: string, value: number): GgufField => ({ key, type: 'u32', value })
const f32 = (key: string, value: number): GgufField => ({ key, type: 'f32', value })
const text = (key: string, value: string): GgufField => ({ key, type: 'string', value })

function ropeFields(config: DecoderConfig, name: string): GgufField[] {
  const s = config.ropeScaling
  const headDim = decoderHeadDim(config)
  const base = s?.type === 'ntk' ? ntkBase(headDim, config.ropeTheta, s.factor) : config.ropeTheta
  const fields = [u32(`${name}.rope.dimension_count`, headDim), f32(`${name}.rope.freq_base`, base)]
  if (s?.type !== 'linear' && s?.type !== 'yarn') return fields
  fields.push(
    text(`${name}.rope.scaling.type`, s.type),
    f32(`${name}.rope.scaling.factor`, s.factor),
  )
  if (s.type === 'yarn')
    fields.push(
      u32(`${name}.rope.scaling.original_context_length`, s.original),
      f32(`${name}.rope.scaling.yarn_beta_fast`, s.betaFast),
      f32(`${name}.rope.scaling.yarn_beta_slow`, s.betaSlow),
    )
  return fields
}

/** Which layers see a window only, and the logits as they are: the architecture asks for a scale. */
function windowFields(
  { layers, slidingWindow, globalEvery }: DecoderConfig,
  name: string,
): GgufField[] {
  if (slidingWindow === null) return []
  const windowed = (i: number): number =>
    globalEvery !== null && (i + 1) % globalEvery === 0 ? 0 : 1
  return [
    f32(`${name}.logit_scale`, 1),
    u32(`${name}.attention.sliding_window`, slidingWindow),
    {
      key: `${name}.attention.sliding_window_pattern`,
      type: 'array',
      of: 'u32',
      value: Array.from({ length: layers }, (_, i) => windowed(i)),
    },
  ]
}

/** Fields and tensors of a decoder's file. @throws ShaktiError as `architectureOf` */
export function planGguf(config: DecoderConfig): GgufPlan {
  const architecture = architectureOf(config)
  const kvHeads = decoderKvHeads(config)
  const headDim = decoderHeadDim(config)
  const a = architecture
  const perLayer = (key: string, values: readonly number[]): GgufField =>
    a === 'deci' ? { key, type: 'array', of: 'u32', value: values } : u32(key, values[0]!)
  const fields: GgufField[] = [
    u32(`${a}.vocab_size`, config.vocab),
    u32(`${a}.context_length`, config.context),
    u32(`${a}.embedding_length`, config.width),
    u32(`${a}.block_count`, config.layers),
    perLayer(
      `${a}.feed_forward_length`,
      kvHeads.map(() => config.ffn),
    ),
    perLayer(
      `${a}.attention.head_count`,
      kvHeads.map(() => config.heads),
    ),
    perLayer(`${a}.attention.head_count_kv`, kvHeads),
    u32(`${a}.attention.key_length`, headDim),
    u32(`${a}.attention.value_length`, headDim),
    f32(`${a}.attention.layer_norm_rms_epsilon`, config.normEps),
    ...ropeFields(config, a),
    ...windowFields(config, a),
  ]

  // llama and its kin rotate neighbours, the others halves as here.
  const neighbours = a === 'llama' || a === 'deci' || a === 'granite_swa'
  const tensors: PlannedTensor[] = [
    { name: 'token_embd.weight', from: 'model.embed_tokens.weight', head: true },
  ]
  if (config.ropeScaling?.type === 'by-parts') {
    const plain = frequencies(headDim, config.ropeTheta)
    const scaled = scaledFrequencies(headDim, config.ropeTheta, config.ropeScaling).frequencies
    tensors.push({
      name: 'rope_freqs.weight',
      values: Float32Array.from(plain, (f, i) => f / scaled[i]!),
    })
  }
  kvHeads.forEach((kv, i) => {
    const add = (name: string, from: string, interleave?: number): void => {
      tensors.push({
        name: `blk.${i}.${name}`,
        from: `model.layers.${i}.${from}`,
        ...(interleave !== undefined && neighbours ? { interleave } : {}),
      })
    }
    add('attn_norm.weight', 'input_layernorm.weight')
    for (const part of config.attentionBias ? ['weight', 'bias'] : ['weight']) {
      add(`attn_q.${part}`, `self_attn.q_proj.${part}`, config.heads)
      add(`attn_k.${part}`, `self_attn.k_proj.${part}`, kv)
      add(`attn_v.${part}`, `self_attn.v_proj.${part}`)
    }
    if (config.qkNorm === 'head') {
      add('attn_q_norm.weight', 'self_attn.q_norm.weight')
      add('attn_k_norm.weight', 'self_attn.k_norm.weight')
    }
    add('attn_output.weight', 'self_attn.o_proj.weight')
    // A score that each head has beside its keys': so low that it takes nothing.
    if (a === 'granite_swa')
      tensors.push({
        name: `blk.${i}.attn_sinks.weight`,
        values: new Float32Array(config.heads).fill(-1e30),
      })
    add('ffn_norm.weight', 'post_attention_layernorm.weight')
    add('ffn_gate.weight', 'mlp.gate_proj.weight')
    add('ffn_up.weight', 'mlp.up_proj.weight')
    add('ffn_down.weight', 'mlp.down_proj.weight')
  })
  tensors.push({ name: 'output_norm.weight', from: 'model.norm.weight' })
  if (!config.tied) tensors.push({ name: 'output.weight', from: 'lm_head.weight', head: true })
  return { architecture, fields, tensors }
}
