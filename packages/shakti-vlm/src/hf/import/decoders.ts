// The public decoders that ours can be: Llama (arXiv 2302.13971), Mistral (2310.06825), Qwen 2 (2407.10671), Qwen 3 (2505.09388).
// Fields and their defaults are those of transformers' config classes.
import type { DecoderConfigInput } from '../../config.js'
import { fromHfScaling } from '../config.js'
import type { ConfigFields } from './fields.js'
import type { MappingRow } from './mapping.js'

export interface DecoderFamily {
  readonly config: (fields: ConfigFields) => DecoderConfigInput
  /** Parameters of `self_attn`, by which the families' tables differ. */
  readonly attention: readonly string[]
}

const scalingFields: Readonly<Record<string, readonly string[]>> = {
  default: [],
  linear: ['factor'],
  yarn: ['factor', 'original_max_position_embeddings', 'beta_fast', 'beta_slow'],
  llama3: ['factor', 'original_max_position_embeddings', 'low_freq_factor', 'high_freq_factor'],
}

/** rope_theta and rope_scaling, or since transformers 5 both in rope_parameters. */
function rope(fields: ConfigFields): Pick<DecoderConfigInput, 'ropeTheta' | 'ropeScaling'> {
  const parameters = fields.take('rope_parameters')
  const scaling = fields.take('rope_scaling')
  const name = parameters === undefined ? 'rope_scaling' : 'rope_parameters'
  const given = parameters ?? scaling ?? {}
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    fields.fail(name, 'is not an object')
  const { rope_type, type, rope_theta, ...rest } = given as Record<string, unknown>
  const theta = (rope_theta ?? fields.take('rope_theta', 10_000)) as number
  fields.take('rope_theta')
  fields.must('partial_rotary_factor', 1, 'our heads turn as a whole.')
  const kind = rope_type ?? type ?? 'default'
  const known =
    typeof kind === 'string' && Object.hasOwn(scalingFields, kind) ? scalingFields[kind] : undefined
  if (!known)
    fields.fail(
      `${name}.rope_type`,
      `is ${JSON.stringify(kind)}; ${Object.keys(scalingFields).join(', ')} can be imported`,
    )
  const { partial_rotary_factor: part = 1, truncate = true, attention_factor, ...used } = rest
  if (part !== 1)
    fields.fail(`${name}.partial_rotary_factor`, 'is not 1: our heads turn as a whole')
  if (truncate !== true)
    fields.fail(`${name}.truncate`, "is not true: our YaRN's ramp begins and ends at whole numbers")
  const gain = kind === 'yarn' ? 0.1 * Math.log(Number(used['factor'])) + 1 : 1
  if (typeof attention_factor === 'number' && Math.abs(attention_factor - gain) > 1e-6)
    fields.fail(`${name}.attention_factor`, `is ${attention_factor}; ours is ${gain}`)
  const other = Object.entries(used).find(([key, value]) => value !== null && !known.includes(key))
  if (other) fields.fail(`${name}.${other[0]}`, `is nothing that ${JSON.stringify(kind)} has here`)
  if (kind === 'default') return { ropeTheta: theta }
  const context = fields.json['max_position_embeddings']
  return {
    ropeTheta: theta,
    ropeScaling: fromHfScaling({
      ...(kind === 'linear' ? {} : { original_max_position_embeddings: context }),
      ...used,
      rope_type: kind,
    }) as DecoderConfigInput['ropeScaling'],
  }
}

/** Which layers see a window only, from layer_types where it is there. */
function windows(
  fields: ConfigFields,
  window: number | undefined,
  slides: (layer: number) => boolean,
): Pick<DecoderConfigInput, 'slidingWindow' | 'globalEvery'> {
  const layers = Number(fields.json['num_hidden_layers'])
  const types = fields.take('layer_types')
  if (types !== undefined && (!Array.isArray(types) || types.length !== layers))
    fields.fail('layer_types', `does not list ${layers} layers`)
  const sliding = Array.from(
    { length: Number.isInteger(layers) && layers <= 1024 ? layers : 0 },
    (_, i) => {
      if (types === undefined) return window !== undefined && slides(i)
      const type: unknown = (types as unknown[])[i]
      if (type === 'full_attention') return false
      return type === 'sliding_attention'
        ? true
        : fields.fail(
            'layer_types',
            `has ${JSON.stringify(type)}; full_attention and sliding_attention can be imported`,
          )
    },
  )
  const full = sliding.indexOf(false)
  if (!sliding.includes(true)) return {}
  if (window === undefined) fields.fail('sliding_window', 'is missing, though layers have one')
  if (full < 0) return { slidingWindow: window }
  const every = full + 1
  if (sliding.some((s, i) => s === ((i + 1) % every === 0)))
    fields.fail(
      types === undefined ? 'max_window_layers' : 'layer_types',
      'mixes full and sliding layers other than by making every n-th one full',
    )
  return { slidingWindow: window, globalEvery: every }
}

/** What all of them share. @param kvHeads where the field is missing; null there always means all heads */
function common(fields: ConfigFields, kvHeads?: number): DecoderConfigInput {
  const number = (field: string): number => fields.need(field) as number
  fields.must('hidden_act', 'silu', 'our decoder has SwiGLU.')
  fields.must('mlp_bias', false, 'our SwiGLU has no biases.')
  if (fields.take('quantization_config') !== undefined)
    fields.fail('quantization_config', 'is there: import the weights before quantisation')
  const headDim = fields.take('head_dim')
  const heads = number('num_attention_heads')
  return {
    layers: number('num_hidden_layers'),
    width: number('hidden_size'),
    heads,
    kvHeads: (fields.takeNullable('num_key_value_heads', kvHeads) ?? heads) as number,
    ...(headDim === undefined ? {} : { headDim: headDim as number }),
    ffn: number('intermediate_size'),
    vocab: number('vocab_size'),
    tied: fields.take('tie_word_embeddings', false) as boolean,
    context: number('max_position_embeddings'),
    normEps: fields.take('rms_norm_eps', 1e-6) as number,
    ...rope(fields),
  }
}

const noBias = 'with it the output product has a bias too, ours has none.'

/** Null is none; where the field is missing it is 4096. */
const slidingWindow = (fields: ConfigFields): number | undefined =>
  (fields.takeNullable('sliding_window', 4096) ?? undefined) as number | undefined

/** sliding_window of Qwen, which counts only with use_sliding_window, from layer max_window_layers on. */
function qwenWindows(fields: ConfigFields): ReturnType<typeof windows> {
  const on = fields.take('use_sliding_window', false) === true
  const window = slidingWindow(fields)
  const from = fields.take('max_window_layers', 28) as number
  return windows(fields, on ? window : undefined, (layer) => layer >= from)
}

const weights = ['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((name) => `${name}.weight`)

export const decoderFamilies: Readonly<Record<string, DecoderFamily>> = {
  llama: {
    config: (fields) => {
      fields.must('attention_bias', false, noBias)
      return { ...common(fields), ...windows(fields, undefined, () => false) }
    },
    attention: weights,
  },
  mistral: {
    config: (fields) => {
      const window = slidingWindow(fields)
      return { ...common(fields, 8), ...windows(fields, window, () => true) }
    },
    attention: weights,
  },
  qwen2: {
    config: (fields) => ({ ...common(fields, 32), attentionBias: true, ...qwenWindows(fields) }),
    attention: [...weights, 'q_proj.bias', 'k_proj.bias', 'v_proj.bias'],
  },
  qwen3: {
    config: (fields) => {
      fields.must('attention_bias', false, noBias)
      const config = common(fields, 32)
      return { ...config, headDim: config.headDim ?? 128, qkNorm: 'head', ...qwenWindows(fields) }
    },
    attention: [...weights, 'q_norm.weight', 'k_norm.weight'],
  },
}

/**
 * The table of a family, by its parameters of `self_attn`: names are Hugging Face's here too, so that the rows say which there are.
 * @param prefix 'model.', or '' in a checkpoint of the bare model
 */
export function decoderRows(
  attention: readonly string[],
  prefix: string,
  tied: boolean,
): MappingRow[] {
  const inLayer = [
    'input_layernorm.weight',
    ...attention.map((name) => `self_attn.${name}`),
    'post_attention_layernorm.weight',
    ...['gate_proj', 'up_proj', 'down_proj'].map((name) => `mlp.${name}.weight`),
  ].map((name) => `layers.*.${name}`)
  return [
    ...['embed_tokens.weight', ...inLayer, 'norm.weight'].map((name) => ({
      from: prefix + name,
      to: `model.${name}`,
    })),
    tied
      ? {
          from: 'lm_head.weight',
          ignored: 'the embedding is the output matrix (tie_word_embeddings)',
        }
      : { from: 'lm_head.weight', to: 'lm_head.weight' },
    {
      from: `${prefix}layers.*.self_attn.rotary_emb.inv_freq`,
      ignored: 'a table that rope_theta gives',
    },
  ]
}
