import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  FileFormatError,
  manualSeed,
  noGrad,
  randn,
  saveSafetensors,
  type Tensor,
} from '@shakti/tensor'
import { importVision, type ImportVisionOptions, type VisionEncoder } from '../src/index.js'
import { assert, assertClose, rejects, test } from './assert.js'
import { inFolder } from './folder.js'

const [layers, width, mlp, patch, image] = [2, 16, 24, 4, 12]
const grid = image / patch

const both = (name: string, ...shape: number[]): [string, number[]][] => [
  [`${name}.weight`, shape],
  [`${name}.bias`, shape.slice(0, 1)],
]

const patches = both('embeddings.patch_embedding', width, 3, patch, patch)

/** Names and shapes of the two families, as their public checkpoints have them. */
const shapes: Record<string, [string, number[]][]> = {
  siglip_vision_model: [
    ...patches,
    ['embeddings.position_embedding.weight', [grid * grid, width]],
    ...Array.from({ length: layers }, (_, i) =>
      [
        ...['layer_norm1', 'layer_norm2'].flatMap((n) => both(n, width)),
        ...['q_proj', 'k_proj', 'v_proj', 'out_proj'].flatMap((n) =>
          both(`self_attn.${n}`, width, width),
        ),
        ...both('mlp.fc1', mlp, width),
        ...both('mlp.fc2', width, mlp),
      ].map(([name, shape]): [string, number[]] => [`encoder.layers.${i}.${name}`, shape]),
    ).flat(),
    ...both('post_layernorm', width),
    ['head.probe', [1, 1, width]],
    ['head.attention.in_proj_weight', [3 * width, width]],
    ['head.attention.in_proj_bias', [3 * width]],
    ...both('head.attention.out_proj', width, width),
    ...both('head.layernorm', width),
    ...both('head.mlp.fc1', mlp, width),
    ...both('head.mlp.fc2', width, mlp),
  ],
  intern_vit_6b: [
    ...patches,
    ['embeddings.class_embedding', [1, 1, width]],
    ['embeddings.position_embedding', [1, grid * grid + 1, width]],
    ...Array.from({ length: layers }, (_, i) =>
      [
        ['ls1', [width]] as [string, number[]],
        ['ls2', [width]] as [string, number[]],
        ['norm1.weight', [width]] as [string, number[]],
        ['norm2.weight', [width]] as [string, number[]],
        ['attn.qkv.weight', [3 * width, width]] as [string, number[]],
        ['attn.q_norm.weight', [width]] as [string, number[]],
        ['attn.k_norm.weight', [width]] as [string, number[]],
        ...both('attn.proj', width, width),
        ...both('mlp.fc1', mlp, width),
        ...both('mlp.fc2', width, mlp),
      ].map(([name, shape]): [string, number[]] => [`encoder.layers.${i}.${name}`, shape]),
    ).flat(),
  ],
}

const config = (type: string, change: object = {}): object => ({
  model_type: type,
  hidden_size: width,
  num_hidden_layers: layers,
  num_attention_heads: 2,
  intermediate_size: mlp,
  patch_size: patch,
  image_size: image,
  hidden_act: type === 'intern_vit_6b' ? 'gelu' : 'gelu_pytorch_tanh',
  layer_norm_eps: 1e-6,
  ...(type === 'intern_vit_6b'
    ? { qkv_bias: false, qk_normalization: true, norm_type: 'rms_norm', use_flash_attn: true }
    : { num_channels: 3 }),
  ...change,
})

async function run(
  type: string,
  options: ImportVisionOptions = { partial: true },
  change: { config?: object; drop?: string } = {},
): Promise<{
  encoder: VisionEncoder
  report: Awaited<ReturnType<typeof importVision>>['report']
  state: Record<string, Tensor>
}> {
  return inFolder(async (folder) => {
    manualSeed(3)
    const state: Record<string, Tensor> = {}
    for (const [name, shape] of shapes[type]!)
      if (name !== change.drop) state[`vision_model.${name}`] = randn(shape)
    await writeFile(join(folder, 'config.json'), JSON.stringify(config(type, change.config)))
    await saveSafetensors(join(folder, 'model.safetensors'), state)
    return { ...(await importVision(folder, options)), state }
  })
}

const refused = (promise: Promise<unknown>, ...parts: string[]): Promise<Error> =>
  rejects(promise, FileFormatError, ...parts)

const values = (t: Tensor): Float32Array => t.dataSync() as Float32Array

test('without { partial } an encoder that would compute something else is refused, naming the differences', async () => {
  await refused(run('siglip_vision_model', {}), 'RoPE', 'LayerNorm', 'tanh', 'partial')
  await refused(run('intern_vit_6b', {}), 'RoPE', 'class_embedding', 'ImageNet')
})

test('SigLIP: blocks are taken as they are, the position table by row and column, pooling left out', async () => {
  const { encoder, report, state } = await run('siglip_vision_model')
  const own = encoder.stateDict()
  assert.equal([encoder.config.preNormLayers, encoder.config.qkNorm], [layers, 'none'])
  assert.equal(
    values(own['encoder.layers.1.self_attn.o_proj.weight']!),
    values(state['vision_model.encoder.layers.1.self_attn.out_proj.weight']!),
  )
  assert.is(report.missing.length, 0)
  assert.is(report.converted.length, 1)
  assert.is(report.ignored.filter(({ reason }) => reason.includes('pooling')).length, 11)
  assert.ok(report.differences.some((d) => d.includes('post_layernorm.bias')))
  // A table that is such a sum comes back exactly; of any other what is left has no part by row or column.
  noGrad(() => {
    const [row, column] = [
      own['embeddings.position_bias.pos_row']!,
      own['embeddings.position_bias.pos_col']!,
    ]
    const sum = row.unsqueeze(1).add(column.unsqueeze(0))
    const table = state['vision_model.embeddings.position_embedding.weight']!.reshape(sum.shape)
    const left = table.sub(sum)
    assertClose(values(left.mean(0)), new Float32Array(grid * width), 1e-5)
    assertClose(values(left.mean(1)), new Float32Array(grid * width), 1e-5)
  })
})

test('InternViT: qkv is cut in three, layer scales go into the products before them', async () => {
  const { encoder, report, state } = await run('intern_vit_6b')
  const own = encoder.stateDict()
  const { preNormLayers, lateNorm, qkNorm } = encoder.config
  assert.equal([preNormLayers, lateNorm, qkNorm], [0, 'pre', 'full'])
  const at = 'vision_model.encoder.layers.1.'
  const qkv = state[`${at}attn.qkv.weight`]!
  assert.equal(
    values(own['encoder.layers.1.self_attn.k_proj.weight']!),
    values(qkv.narrow(0, width, width).clone()),
  )
  const [proj, bias, scale] = ['attn.proj.weight', 'attn.proj.bias', 'ls1'].map((n) =>
    values(state[at + n]!),
  )
  assertClose(
    values(own['encoder.layers.1.self_attn.o_proj.weight']!),
    proj!.map((v, i) => v * scale![Math.floor(i / width)]!),
    1e-6,
  )
  assertClose(
    values(own['encoder.layers.1.self_attn.o_proj.bias']!),
    bias!.map((v, i) => v * scale![i]!),
    1e-6,
  )
  // They have neither: ours stay 0 and 1.
  assert.equal(report.missing, [
    ...[0, 1].flatMap((i) =>
      ['q', 'k', 'v'].map((p) => `encoder.layers.${i}.self_attn.${p}_proj.bias`),
    ),
    'post_layernorm.weight',
  ])
  assert.equal(
    [...values(own['encoder.layers.0.self_attn.q_proj.bias']!)],
    new Array(width).fill(0),
  )
})

test('what has no place is refused by name, partial or not', async () => {
  const partial = { partial: true }
  const type = 'intern_vit_6b'
  await refused(run(type, partial, { config: { norm_type: 'batch' } }), 'norm_type', 'batch')
  await refused(run(type, partial, { config: { hidden_act: 'relu' } }), 'hidden_act', 'relu')
  await refused(run(type, partial, { config: { patch_size: 0 } }), 'patch_size')
  await refused(run(type, partial, { config: { window_size: 7 } }), 'window_size')
  await refused(run(type, partial, { config: { num_attention_heads: 5 } }), 'heads')
  await refused(run(type, partial, { drop: 'encoder.layers.0.ls1' }), 'layers.0.ls1', 'is missing')
})

test.run()
