// The public vision encoders that come nearest to ours: SigLIP (arXiv 2303.15343), SigLIP 2 (2502.14786) and InternViT (2312.14238). Their blocks are our
// early ones; their position tables, class tokens and ends are not ours, so that they are where training starts, not the same.
import { type Tensor } from '@shakti/tensor'
import type { VisionConfig } from '../../config.js'
import type { ConfigFields } from './fields.js'
import type { MappingRow } from './mapping.js'

export interface EncoderFamily {
  readonly config: (fields: ConfigFields) => Partial<VisionConfig> & { readonly basePatch: number }
  /** @param prefix of the checkpoint's names */
  readonly rows: (prefix: string) => MappingRow[]
  /** What our encoder computes otherwise, whatever the checkpoint holds. */
  readonly differences: readonly string[]
}

/**
 * A table of one vector for each place as the sum of one for its row and one for its column: the nearest in the mean square,
 * means over columns and rows, the mean of all halved between them.
 * @param table [grid * grid, width], rows of the grid one after the other
 */
export function byAxis(table: Tensor): [rows: Tensor, columns: Tensor] {
  const [places, width] = table.shape as [number, number]
  const grid = Math.round(Math.sqrt(places))
  const places2d = table.float().reshape([grid, grid, width])
  const half = places2d.mean([0, 1]).mul(0.5)
  return [places2d.mean(1).sub(half), places2d.mean(0).sub(half)]
}

const axes = ['embeddings.position_bias.pos_row', 'embeddings.position_bias.pos_col']
const axesHow = 'the sum of a vector by row and one by column that is nearest to the table'

/** @param layers where the layers are in the checkpoint */
const layerRows = (layers: string, names: readonly (readonly [string, string])[]): MappingRow[] =>
  names.flatMap(([theirs, ours]) =>
    ['weight', 'bias'].map((part) => ({
      from: `${layers}.*.${theirs}.${part}`,
      to: `encoder.layers.*.${ours}.${part}`,
    })),
  )

const patchRows = (theirs: string): MappingRow[] =>
  ['weight', 'bias'].map((part) => ({
    from: `${theirs}.${part}`,
    to: `embeddings.patch_embedding.${part}`,
  }))

/** Of transformers' config classes, where a checkpoint leaves a field out; undefined: it may not. */
type Defaults = Readonly<Record<string, number>>
const base: Defaults = {
  hidden_size: 768,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  intermediate_size: 3072,
  patch_size: 16,
}

/** @param grid patches of a side, from the side of a patch */
function common(
  fields: ConfigFields,
  defaults: Defaults,
  grid: (patch: number) => number,
): Partial<VisionConfig> & { readonly basePatch: number } {
  const number = (field: string): number => squareNumber(fields, field, defaults)
  const patch = number('patch_size')
  const side = grid(patch)
  if (!(Number.isInteger(patch) && patch > 0 && Number.isInteger(side) && side > 0))
    fields.fail('patch_size', `${patch} does not fit the table of positions, ${side} a side`)
  fields.must('num_channels', 3, 'our encoder reads colours.')
  return {
    layers: number('num_hidden_layers'),
    width: number('hidden_size'),
    heads: number('num_attention_heads'),
    mlp: number('intermediate_size'),
    normEps: fields.take('layer_norm_eps', 1e-6) as number,
    patchSizes: [patch],
    basePatch: patch,
    posGrid: side,
    maxPatches: side ** 2,
  }
}

/** A number, or the one that a list of two repeats, as [448, 448]. */
function squareNumber(fields: ConfigFields, field: string, defaults: Defaults): number {
  const value = fields.take(field, defaults[field]) ?? fields.need(field)
  if (!Array.isArray(value)) return value as number
  if (value.length !== 2 || value[0] !== value[1])
    fields.fail(field, `is ${JSON.stringify(value)}; ours are squares`)
  return value[0] as number
}

const ofImage =
  (fields: ConfigFields, defaults: Defaults) =>
  (patch: number): number =>
    Math.floor(squareNumber(fields, 'image_size', defaults) / patch)

const turned = 'our attention turns queries and keys by their places (2-D RoPE), theirs does not'

/** SigLIP's blocks and end; the patches and the number of places are those of either family. */
const siglipFamily = (
  grid: (fields: ConfigFields) => (patch: number) => number,
  patchRows: (prefix: string) => MappingRow[],
): EncoderFamily => ({
  config: (fields) => {
    fields.must('hidden_act', 'gelu_pytorch_tanh', 'that of SigLIP.')
    fields.take('vision_use_head')
    const config = common(fields, base, grid(fields))
    return { ...config, preNormLayers: config.layers!, qkNorm: 'none' }
  },
  rows: (prefix) => [
    ...patchRows(prefix),
    {
      from: [`${prefix}embeddings.position_embedding.weight`],
      to: axes,
      how: axesHow,
      convert: byAxis,
    },
    ...layerRows(`${prefix}encoder.layers`, [
      ['layer_norm1', 'input_layernorm'],
      ['layer_norm2', 'post_attention_layernorm'],
      ...['q_proj', 'k_proj', 'v_proj'].map((p) => [`self_attn.${p}`, `self_attn.${p}`] as const),
      ['self_attn.out_proj', 'self_attn.o_proj'],
      ['mlp.fc1', 'mlp.fc1'],
      ['mlp.fc2', 'mlp.fc2'],
    ]),
    { from: `${prefix}post_layernorm.weight`, to: 'post_layernorm.weight' },
    {
      from: `${prefix}post_layernorm.bias`,
      ignored: 'our last norm is an RMSNorm',
      lossy: true,
    },
    ...['probe', 'attention.in_proj_weight', 'attention.in_proj_bias'].map((name) => ({
      from: `${prefix}head.${name}`,
      ignored: 'pooling, which patches do not pass',
    })),
    ...['attention.out_proj', 'layernorm', 'mlp.fc1', 'mlp.fc2'].flatMap((name) =>
      ['weight', 'bias'].map((part) => ({
        from: `${prefix}head.${name}.${part}`,
        ignored: 'pooling, which patches do not pass',
      })),
    ),
  ],
  differences: [
    turned,
    'the position table becomes a sum by row and column',
    'our last norm is an RMSNorm, theirs a LayerNorm',
    'our GELU is exact, theirs the approximation by tanh',
  ],
})

const siglip = siglipFamily(
  (fields) => ofImage(fields, { image_size: 224 }),
  (prefix) => patchRows(`${prefix}embeddings.patch_embedding`),
)

// Patches come flat there, pixel by pixel: the kernel is a matrix.
const siglip2 = siglipFamily(
  (fields) => () => Math.sqrt(fields.take('num_patches', 256) as number),
  (prefix) => [
    {
      from: [`${prefix}embeddings.patch_embedding.weight`],
      to: ['embeddings.patch_embedding.weight'],
      how: 'as a kernel, colours first',
      convert: (t) => {
        const [width, numbers] = t.shape as [number, number]
        const side = Math.round(Math.sqrt(numbers / 3))
        return [t.reshape([width, side, side, 3]).permute([0, 3, 1, 2])]
      },
    },
    {
      from: `${prefix}embeddings.patch_embedding.bias`,
      to: 'embeddings.patch_embedding.bias',
    },
  ],
)

const perRow = (t: Tensor, scale: Tensor): Tensor[] => [
  t.float().mul(t.ndim === 2 ? scale.float().unsqueeze(1) : scale.float()),
]

const scaled = 'rows times the layer scale behind them'

/** Products whose rows the layer scale multiplies. @param pairs their name, the scale's, ours */
const scaledRows = (
  layers: string,
  pairs: readonly (readonly [string, string, string])[],
): MappingRow[] =>
  pairs.flatMap(([theirs, scale, ours]) =>
    ['weight', 'bias'].map((part): MappingRow => ({
      from: [`${layers}.*.${theirs}.${part}`, `${layers}.*.${scale}`],
      to: [`encoder.layers.*.${ours}.${part}`],
      how: scaled,
      convert: perRow as (...t: Tensor[]) => Tensor[],
    })),
  )

/** The class token, and the table whose first place is its own. */
const classToken = (token: string, table: string): MappingRow[] => [
  { from: token, ignored: 'we have no class token', lossy: true },
  {
    from: [table],
    to: axes,
    how: `${axesHow}, without the class token's`,
    convert: (t) => {
      const places = t.reshape([t.shape.at(-2)!, t.shape.at(-1)!])
      return byAxis(places.narrow(0, 1, places.shape[0]! - 1))
    },
  },
]

/** Which of our schemes InternViT's norms are. */
function internNorms(
  fields: ConfigFields,
  config: ReturnType<typeof common>,
  norm: unknown,
  qkNorm: boolean,
): ReturnType<typeof common> {
  if (norm !== 'layer_norm' && norm !== 'rms_norm')
    fields.fail('norm_type', `is ${JSON.stringify(norm)}; layer_norm and rms_norm can be imported`)
  return {
    ...config,
    preNormLayers: norm === 'layer_norm' ? config.layers! : 0,
    lateNorm: 'pre',
    qkNorm: qkNorm ? 'full' : 'none',
  }
}

const internDifferences = [
  turned,
  'the position table becomes a sum by row and column',
  'we end with an RMSNorm, they with the last block',
  "our images have mean and deviation 0.5, theirs ImageNet's",
]

/** As OpenGVLab publishes it, with code of its own. */
const internVit: EncoderFamily = {
  config: (fields) => {
    fields.must('hidden_act', 'gelu', 'ours is exact GELU.')
    fields.take('qkv_bias')
    const config = common(fields, {}, ofImage(fields, {}))
    const norm = fields.take('norm_type', 'rms_norm')
    return internNorms(fields, config, norm, fields.take('qk_normalization', true) === true)
  },
  rows: (prefix) => {
    const layers = `${prefix}encoder.layers`
    return [
      ...patchRows(`${prefix}embeddings.patch_embedding`),
      ...classToken(
        `${prefix}embeddings.class_embedding`,
        `${prefix}embeddings.position_embedding`,
      ),
      ...['weight', 'bias'].map((part): MappingRow => ({
        from: [`${layers}.*.attn.qkv.${part}`],
        to: ['q', 'k', 'v'].map((p) => `encoder.layers.*.self_attn.${p}_proj.${part}`),
        how: 'cut in three',
        convert: (t) => t.chunk(3, 0),
      })),
      ...scaledRows(layers, [
        ['attn.proj', 'ls1', 'self_attn.o_proj'],
        ['mlp.fc2', 'ls2', 'mlp.fc2'],
      ]),
      ...layerRows(layers, [
        ['norm1', 'input_layernorm'],
        ['norm2', 'post_attention_layernorm'],
        ['mlp.fc1', 'mlp.fc1'],
        ['attn.q_norm', 'self_attn.q_norm'],
        ['attn.k_norm', 'self_attn.k_norm'],
      ]),
    ]
  },
  differences: internDifferences,
}

/** The same encoder as transformers has it, in InternVL. */
const internvl: EncoderFamily = {
  config: (fields) => {
    fields.must('hidden_act', 'gelu', 'ours is exact GELU.')
    fields.must('use_absolute_position_embeddings', true, 'our places are learned.')
    for (const field of ['attention_bias', 'use_mask_token', 'use_mean_pooling']) fields.take(field)
    const image = { image_size: 224 }
    const config = common(fields, { ...base, ...image }, ofImage(fields, image))
    const qkNorm = fields.take('use_qk_norm', false) === true
    if (qkNorm && config.normEps !== 1e-6)
      fields.fail('layer_norm_eps', 'is not 1e-6, which the norms of queries and keys have there')
    return internNorms(fields, config, fields.take('norm_type', 'layer_norm'), qkNorm)
  },
  rows: (prefix) => {
    const layers = `${prefix}encoder.layer`
    return [
      ...patchRows(`${prefix}embeddings.patch_embeddings.projection`),
      ...classToken(`${prefix}embeddings.cls_token`, `${prefix}embeddings.position_embeddings`),
      {
        from: `${prefix}embeddings.mask_token`,
        ignored: 'stands for patches that pretraining hid',
      },
      ...scaledRows(layers, [
        ['attention.projection_layer', 'lambda_1', 'self_attn.o_proj'],
        ['mlp.fc2', 'lambda_2', 'mlp.fc2'],
      ]),
      ...layerRows(layers, [
        ['layernorm_before', 'input_layernorm'],
        ['layernorm_after', 'post_attention_layernorm'],
        ['mlp.fc1', 'mlp.fc1'],
        ...['q', 'k', 'v'].map((p) => [`attention.${p}_proj`, `self_attn.${p}_proj`] as const),
        ...['q', 'k'].map((p) => [`attention.${p}_norm`, `self_attn.${p}_norm`] as const),
      ]),
      { from: `${prefix}layernorm.weight`, to: 'post_layernorm.weight' },
      { from: `${prefix}layernorm.bias`, ignored: 'our last norm is an RMSNorm', lossy: true },
    ]
  },
  differences: internDifferences,
}

export const encoderFamilies: Readonly<Record<string, EncoderFamily>> = {
  siglip_vision_model: siglip,
  siglip2_vision_model: siglip2,
  internvl_vision: internvl,
  intern_vit_6b: internVit,
}
