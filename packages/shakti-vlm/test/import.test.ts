import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  FileFormatError,
  noGrad,
  ones,
  saveSafetensors,
  tensor,
  zeros,
  type Tensor,
} from '@shakti/tensor'
import {
  importDecoder,
  nano,
  savePretrained,
  ShaktiVlm,
  type Decoder,
  type DecoderConfigInput,
  type ImportOptions,
} from '../src/index.js'
import { assert, assertClose, rejects, test } from './assert.js'
import { inFolder } from './folder.js'
import { randomDecoder } from './randomDecoder.js'
import { referenceLogits } from './reference.js'

const refused = (promise: Promise<unknown>, ...parts: string[]): Promise<Error> =>
  rejects(promise, FileFormatError, ...parts)

/** config.json as transformers writes it for the test's decoder. */
const configJson = (modelType: string, change: object = {}): object => ({
  architectures: ['ForCausalLM'],
  model_type: modelType,
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 96,
  vocab_size: 100,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 500_000,
  hidden_act: 'silu',
  tie_word_embeddings: false,
  torch_dtype: 'float32',
  bos_token_id: 1,
  ...change,
})

type State = Record<string, Tensor>

async function save(folder: string, json: object, state: State): Promise<void> {
  await writeFile(join(folder, 'config.json'), JSON.stringify(json))
  await saveSafetensors(join(folder, 'model.safetensors'), state)
}

const ids = [3, 14, 15, 92, 65, 35, 89, 79]
const logits = (m: Decoder): ArrayLike<number> =>
  noGrad(() =>
    m
      .logits(m.forward(m.embed(tensor(Int32Array.from(ids), { shape: [1, ids.length] }))))
      .float()
      .dataSync(),
  )

const families: [string, Partial<DecoderConfigInput>, object][] = [
  [
    'llama',
    { headDim: 16 },
    { attention_bias: false, mlp_bias: false, pretraining_tp: 1, head_dim: 16 },
  ],
  ['mistral', { slidingWindow: 4 }, { sliding_window: 4 }],
  [
    'qwen2',
    { attentionBias: true, tied: true },
    {
      tie_word_embeddings: true,
      use_sliding_window: false,
      sliding_window: 4,
      max_window_layers: 2,
    },
  ],
  ['qwen3', { qkNorm: 'head', headDim: 32 }, { head_dim: 32, attention_bias: false }],
]

for (const [family, form, fields] of families) {
  test(`a ${family} checkpoint gives the logits of the plain reference on its own tensors`, async () => {
    await inFolder(async (folder) => {
      const made = randomDecoder(form)
      const state = made.stateDict()
      await save(folder, configJson(family, fields), state)
      const { decoder, report } = await importDecoder(folder)
      assert.equal(decoder.config, made.config)
      assertClose(logits(decoder), referenceLogits(made.config, state, ids).dataSync(), 2e-4)
      assert.is(report.family, family)
      assert.equal([...report.mapped].sort(), Object.keys(state).sort())
      for (const part of [report.renamed, report.converted, report.ignored, report.missing])
        assert.is(part.length, 0)
    })
  })
}

test('shards are read, bf16 stays bf16, another dtype may be asked for', async () => {
  await inFolder(async (folder) => {
    const state = randomDecoder({}, { dtype: 'bf16' }).stateDict()
    await writeFile(join(folder, 'config.json'), JSON.stringify(configJson('llama')))
    const names = Object.keys(state)
    const map: Record<string, string> = {}
    for (const [i, file] of ['a.safetensors', 'b.safetensors'].entries()) {
      const part = names.filter((_, k) => k % 2 === i)
      for (const name of part) map[name] = file
      await saveSafetensors(
        join(folder, file),
        Object.fromEntries(part.map((name) => [name, state[name]!])),
      )
    }
    await writeFile(
      join(folder, 'model.safetensors.index.json'),
      JSON.stringify({ weight_map: map }),
    )
    const kept = (await importDecoder(folder)).decoder
    assert.ok(kept.parameters().every((p) => p.dtype === 'bf16'))
    const wide = (await importDecoder(folder, { dtype: 'f32' })).decoder
    assert.ok(wide.parameters().every((p) => p.dtype === 'f32'))
    assertClose(logits(wide), referenceLogits(wide.config, state, ids).dataSync(), 2e-4)
  })
})

test('a bare model, rotary tables and a second copy of a tied head are taken as what they are', async () => {
  await inFolder(async (folder) => {
    const made = randomDecoder({ tied: true })
    const state: State = {}
    for (const [name, t] of Object.entries(made.stateDict())) state[name.slice('model.'.length)] = t
    const extra = {
      'lm_head.weight': state['embed_tokens.weight']!.clone(),
      'layers.0.self_attn.rotary_emb.inv_freq': zeros([8]),
    }
    await save(folder, configJson('llama', { tie_word_embeddings: true }), { ...state, ...extra })
    const { decoder, report } = await importDecoder(folder)
    assert.is(report.renamed.length, Object.keys(state).length)
    assert.equal(
      report.renamed.find(({ from }) => from === 'norm.weight'),
      { from: 'norm.weight', to: 'model.norm.weight' },
    )
    assert.equal(
      report.ignored.map(({ name }) => name),
      ['layers.0.self_attn.rotary_emb.inv_freq', 'lm_head.weight'],
    )
    assertClose(logits(decoder), logits(made), 1e-6)
  })
})

test('the decoder of a Shakti-VLM is imported from its folder', async () => {
  await inFolder(async (folder) => {
    const m = new ShaktiVlm(nano)
    await savePretrained(m, folder)
    const { decoder, report } = await importDecoder(folder)
    assertClose(logits(decoder), logits(m.decoder), 1e-6)
    assert.is(report.family, 'shakti_vlm')
  })
})

/** The config that an import of this config.json gives; its tensors are those of `form`. */
async function imported(
  json: object,
  form: Partial<DecoderConfigInput> = {},
  options: ImportOptions = {},
): Promise<Decoder['config']> {
  let config: Decoder['config'] | undefined
  await inFolder(async (folder) => {
    await save(folder, json, randomDecoder(form).stateDict())
    config = (await importDecoder(folder, options)).decoder.config
  })
  return config!
}

test('rope scalings are read in the old and the new spelling', async () => {
  const llama3 = {
    rope_type: 'llama3',
    factor: 8,
    original_max_position_embeddings: 64,
    low_freq_factor: 1,
    high_freq_factor: 4,
  }
  const want = { type: 'by-parts', factor: 8, original: 64, lowFrequency: 1, highFrequency: 4 }
  assert.equal((await imported(configJson('llama', { rope_scaling: llama3 }))).ropeScaling, want)
  const { rope_theta: _, ...rest } = configJson('llama') as Record<string, unknown>
  const fresh = await imported({ ...rest, rope_parameters: { ...llama3, rope_theta: 1e6 } })
  assert.equal([fresh.ropeScaling, fresh.ropeTheta], [want, 1e6])
  const plain = await imported({
    ...rest,
    rope_parameters: { rope_type: 'default', rope_theta: 7 },
  })
  assert.equal([plain.ropeScaling, plain.ropeTheta], [null, 7])
  // Without it, YaRN's original context is the model's.
  const yarn = await imported(configJson('llama', { rope_scaling: { type: 'yarn', factor: 4 } }))
  assert.equal(yarn.ropeScaling, {
    type: 'yarn',
    factor: 4,
    original: 256,
    betaFast: 32,
    betaSlow: 1,
  })
})

test('sliding layers are read from each spelling that ours can have', async () => {
  const windows = async (change: object): Promise<unknown> => {
    const c = await imported(
      configJson('qwen3', { num_hidden_layers: 4, head_dim: 16, sliding_window: 8, ...change }),
      { layers: 4, qkNorm: 'head' },
    )
    return [c.slidingWindow, c.globalEvery]
  }
  const on = { use_sliding_window: true }
  const [f, s] = ['full_attention', 'sliding_attention']
  assert.equal(await windows({ use_sliding_window: false, max_window_layers: 4 }), [null, null])
  assert.equal(await windows({ ...on, max_window_layers: 0 }), [8, null])
  assert.equal(await windows({ ...on, max_window_layers: 4 }), [null, null])
  assert.equal(await windows({ ...on, layer_types: [s, f, s, f] }), [8, 2])
  assert.equal(await windows({ ...on, layer_types: [s, s, s, f] }), [8, 4])
  await refused(windows({ ...on, max_window_layers: 2 }), 'max_window_layers', 'n-th')
  await refused(windows({ ...on, layer_types: [f, s, s, s] }), 'layer_types', 'n-th')
  await refused(windows({ ...on, layer_types: [s] }), 'layer_types', '4 layers')
  await refused(windows({ ...on, layer_types: [s, s, s, 'linear'] }), 'layer_types', 'linear')
})

test('a field that is left out has the default of transformers, null another meaning', async () => {
  const form = { kvHeads: 2 }
  const mistral = async (change: object): Promise<unknown> =>
    (await imported(configJson('mistral', change), form)).slidingWindow
  assert.is(await mistral({}), 4096)
  assert.is(await mistral({ sliding_window: null }), null)
  const heads = (change: object): Promise<Decoder['config']> =>
    imported(configJson('llama', change), { kvHeads: 4 })
  assert.is((await heads({ num_key_value_heads: null })).kvHeads, 4)
  assert.is((await heads({ num_key_value_heads: undefined })).kvHeads, 4)
  const { hidden_size: _, ...rest } = configJson('llama') as Record<string, unknown>
  await refused(imported(rest), 'hidden_size', 'is missing')
  // Written out, what our YaRN has anyway is no reason to refuse.
  const yarn = { rope_type: 'yarn', factor: 4, truncate: true, partial_rotary_factor: 1 }
  const given = { ...yarn, attention_factor: 0.1 * Math.log(4) + 1 }
  const { ropeScaling } = await imported(configJson('llama', { rope_scaling: given }))
  assert.is(ropeScaling!.type, 'yarn')
})

test('what transformers 4 wrote into the config of every part changes nothing', async () => {
  const base = { do_sample: false, id2label: { 0: 'LABEL_0' }, top_k: 50, pruned_heads: {} }
  assert.is((await imported(configJson('llama', base))).width, 64)
})

test('errors of a part name it as config.json does', async () => {
  const text = configJson('llama', { attention_bias: true })
  await refused(imported({ model_type: 'llava', text_config: text }), 'text_config.attention_bias')
  const clip = { model_type: 'llava', text_config: { model_type: 'gemma' } }
  await refused(imported(clip), 'text_config.model_type', '"gemma"', 'qwen3')
  await refused(imported({ model_type: 'llava' }), 'text_config', 'is missing')
  const quantised = {
    model_type: 'llava',
    quantization_config: {},
    text_config: configJson('llama'),
  }
  await refused(imported(quantised), 'quantization_config')
})

for (const [family, change, ...parts] of [
  ['gpt2', {}, 'model_type', '"gpt2"', 'llama, mistral, qwen2, qwen3'],
  ['llama', { attention_bias: true }, 'attention_bias', 'output product'],
  ['qwen3', { attention_bias: true }, 'attention_bias'],
  ['llama', { mlp_bias: true }, 'mlp_bias'],
  ['llama', { hidden_act: 'gelu' }, 'hidden_act', '"gelu"'],
  ['llama', { partial_rotary_factor: 0.5 }, 'partial_rotary_factor', '0.5'],
  ['llama', { rope_scaling: { type: 'dynamic', factor: 2 } }, 'rope_scaling', '"dynamic"'],
  ['llama', { rope_scaling: { type: 'yarn', factor: 2, mscale: 0.7 } }, 'rope_scaling.mscale'],
  ['llama', { rope_scaling: { type: 'yarn', factor: 'x' } }, 'ropeScaling'],
  ['llama', { rope_parameters: { partial_rotary_factor: 0.5 } }, 'rope_parameters.partial_rot'],
  ['llama', { rope_parameters: { full_attention: {} } }, 'rope_parameters.full_attention'],
  ['llama', { rope_scaling: { type: 'yarn', factor: 2, truncate: false } }, 'truncate'],
  ['llama', { rope_scaling: { type: 'yarn', factor: 2, attention_factor: 1 } }, 'attention_fac'],
  ['llama', { quantization_config: { bits: 4 } }, 'quantization_config'],
  ['llama', { logit_scale: 2 }, 'logit_scale', 'ignoreFields'],
  ['llama', { num_attention_heads: 7 }, 'heads'],
  ['llama', { num_hidden_layers: 1e9 }, 'layers'],
  ['llama', { hidden_size: 'many' }, 'width'],
] as const) {
  test(`config.json of ${family} with ${JSON.stringify(change)} is refused by name`, async () => {
    await refused(imported(configJson(family, change)), 'config.json', ...parts)
  })
}

test('a field known to change nothing can be named', async () => {
  const config = await imported(configJson('llama', { note: 'x' }), {}, { ignoreFields: ['note'] })
  assert.is(config.width, 64)
})

test('tensors that are missing, unknown or of another shape are named', async () => {
  await inFolder(async (folder) => {
    const state = randomDecoder({}).stateDict()
    const call = async (json: object, tensors: State): Promise<unknown> => {
      await save(folder, json, tensors)
      return importDecoder(folder)
    }
    const { 'model.norm.weight': norm, ...rest } = state
    await refused(call(configJson('llama'), rest), 'lacks model.norm.weight')
    const extra = { 'model.layers.0.mlp.experts.weight': ones([2]) }
    await refused(call(configJson('llama'), { ...state, ...extra }), 'no row', 'experts')
    await refused(
      call(configJson('llama'), { ...state, 'model.norm.weight': ones([3]) }),
      'model.norm.weight',
      'f32[3]',
      '[64]',
    )
    await refused(
      call(configJson('llama', { num_hidden_layers: 1 }), state),
      'no place',
      'layers.1.',
    )
    assert.ok(norm)
  })
})

test.run()
