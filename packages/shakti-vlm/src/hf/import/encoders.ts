// The public vision encoders that come nearest to ours: SigLIP (arXiv 2303.15343) and InternViT (2312.14238). Their blocks are our
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

const layerRows = (prefix: string, names: readonly (readonly [string, string])[]): MappingRow[] =>
  names.flatMap(([theirs, ours]) =>
    ['weight', 'bias'].map((part) => ({
      from: `${prefix}encoder.layers.*.${theirs}.${part}`,
      to: `encoder.layers.*.${ours}.${part}`,
    })),
  )

const embeddingRows = (prefix: string): MappingRow[] =>
  ['weight', 'bias'].map((part) => ({
    from: `${prefix}embeddings.patch_embedding.${part}`,
    to: `embeddings.patch_embedding.${part}`,
  }))

function common(fields: ConfigFields): Partial<VisionConfig> & { readonly basePatch: number } {
  const number = (field: string): number => fields.take(field) as number
  const [patch, image] = [number('patch_size'), number('image_size')]
  if (!(Number.isInteger(patch) && patch > 0 && Number.isInteger(image) && image >= patch))
    fields.fail('patch_size', `${patch} does not fit an image_size of ${image}`)
  fields.must('num_channels', 3, 'our encoder reads colours.')
  return {
    layers: number('num_hidden_layers'),
    width: number('hidden_size'),
    heads: number('num_attention_heads'),
    mlp: number('intermediate_size'),
    normEps: fields.take('layer_norm_eps', 1e-6) as number,
    patchSizes: [patch],
    basePatch: patch,
    posGrid: Math.floor(image / patch),
    maxPatches: Math.floor(image / patch) ** 2,
  }
}

const turned = 'our attention turns queries and keys by their places (2-D RoPE), theirs does not'

const siglip: EncoderFamily = {
  config: (fields) => {
    fields.must('hidden_act', 'gelu_pytorch_tanh', 'that of SigLIP.')
    fields.take('vision_use_head')
    const config = common(fields)
    return { ...config, preNormLayers: config.layers!, qkNorm: 'none' }
  },
  rows: (prefix) => [
    ...embeddingRows(prefix),
    {
      from: [`${prefix}embeddings.position_embedding.weight`],
      to: axes,
      how: axesHow,
      convert: byAxis,
    },
    ...layerRows(prefix, [
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
}

const perRow = (t: Tensor, scale: Tensor): Tensor[] => [
  t.float().mul(t.ndim === 2 ? scale.float().unsqueeze(1) : scale.float()),
]

const internVit: EncoderFamily = {
  config: (fields) => {
    fields.must('hidden_act', 'gelu', 'ours is exact GELU.')
    fields.take('qkv_bias')
    const config = common(fields)
    const norm = fields.take('norm_type', 'rms_norm')
    if (norm !== 'layer_norm' && norm !== 'rms_norm')
      fields.fail(
        'norm_type',
        `is ${JSON.stringify(norm)}; layer_norm and rms_norm can be imported`,
      )
    return {
      ...config,
      preNormLayers: norm === 'layer_norm' ? config.layers! : 0,
      lateNorm: 'pre',
      qkNorm: fields.take('qk_normalization', true) === true ? 'full' : 'none',
    }
  },
  rows: (prefix) => {
    const layer = `${prefix}encoder.layers.*`
    return [
      ...embeddingRows(prefix),
      {
        from: `${prefix}embeddings.class_embedding`,
        ignored: 'we have no class token',
        lossy: true,
      },
      {
        from: [`${prefix}embeddings.position_embedding`],
        to: axes,
        how: `${axesHow}, without the class token's`,
        convert: (t) => {
          const table = t.reshape([t.shape.at(-2)!, t.shape.at(-1)!])
          return byAxis(table.narrow(0, 1, table.shape[0]! - 1))
        },
      },
      ...['weight', 'bias'].flatMap((part): MappingRow[] => [
        {
          from: [`${layer}.attn.qkv.${part}`],
          to: ['q', 'k', 'v'].map((p) => `encoder.layers.*.self_attn.${p}_proj.${part}`),
          how: 'cut in three',
          convert: (t) => t.chunk(3, 0),
        },
        {
          from: [`${layer}.attn.proj.${part}`, `${layer}.ls1`],
          to: [`encoder.layers.*.self_attn.o_proj.${part}`],
          how: 'rows times the layer scale behind them',
          convert: perRow as (...t: Tensor[]) => Tensor[],
        },
        {
          from: [`${layer}.mlp.fc2.${part}`, `${layer}.ls2`],
          to: [`encoder.layers.*.mlp.fc2.${part}`],
          how: 'rows times the layer scale behind them',
          convert: perRow as (...t: Tensor[]) => Tensor[],
        },
      ]),
      ...layerRows(prefix, [
        ['norm1', 'input_layernorm'],
        ['norm2', 'post_attention_layernorm'],
        ['mlp.fc1', 'mlp.fc1'],
      ]),
      ...['q_norm', 'k_norm'].map((name) => ({
        from: `${layer}.attn.${name}.weight`,
        to: `encoder.layers.*.self_attn.${name}.weight`,
      })),
    ]
  },
  differences: [
    turned,
    'the position table becomes a sum by row and column',
    'we end with an RMSNorm, they with the last block',
    "our images have mean and deviation 0.5, theirs ImageNet's",
  ],
}

export const encoderFamilies: Readonly<Record<string, EncoderFamily>> = {
  siglip_vision_model: siglip,
  intern_vit_6b: internVit,
}
