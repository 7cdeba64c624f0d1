import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FileFormatError, manualSeed, ones, saveSafetensors, ShaktiError } from '@shakti/tensor'
import { StateDictError } from '@shakti/nn'
import {
  fromHfConfig,
  fromPretrained,
  nano,
  savePretrained,
  shaktiVlm1B,
  shaktiVlm4B,
  ShaktiVlm,
  tiny1B,
  toHfConfig,
} from '../src/index.js'
import { assert, assertThrows, rejects, test } from './assert.js'
import { bits, inFolder, same } from './folder.js'

for (const [name, config] of [
  ['1B', shaktiVlm1B],
  ['4B', shaktiVlm4B],
  ['tiny', tiny1B],
  ['nano', { ...nano, imageToken: 5 }],
  [
    "one with Qwen's biases and norms",
    {
      ...nano,
      decoder: { ...nano.decoder, headDim: 32, qkNorm: 'head', attentionBias: true },
    },
  ],
  ['a windowed one', { ...nano, decoder: { ...nano.decoder, slidingWindow: 8, globalEvery: 2 } }],
] as const) {
  test(`the config of ${name} survives Hugging Face's form`, () => {
    assert.equal(fromHfConfig(JSON.parse(JSON.stringify(toHfConfig(config)))), config)
  })
}

for (const type of ['linear', 'ntk', 'yarn', 'by-parts'] as const) {
  test(`an extended context (${type}) is saved with the model`, async () => {
    await inFolder(async (folder) => {
      const m = new ShaktiVlm(nano)
      m.decoder.setRope(
        1_000_000,
        type === 'yarn'
          ? { type, factor: 4, original: 32, betaFast: 16 }
          : type === 'by-parts'
            ? { type, factor: 8, original: 32, lowFrequency: 2 }
            : { type, factor: 4 },
      )
      await savePretrained(m, folder)
      const back = await fromPretrained(folder)
      assert.equal(back.config, m.config)
      assert.equal(
        Array.from(back.decoder.rope.range(3, 1).cos.dataSync()),
        Array.from(m.decoder.rope.range(3, 1).cos.dataSync()),
      )
    })
  })
}

test('a saved model comes back bit for bit, in one file or in shards, tied or not', async () => {
  manualSeed(9)
  for (const tied of [true, false]) {
    const m = new ShaktiVlm({ ...nano, imageToken: 5, decoder: { ...nano.decoder, tied } })
    for (const shardBytes of [undefined, 60_000]) {
      await inFolder(async (folder) => {
        await savePretrained(m, folder, shardBytes ? { shardBytes } : {})
        const files = await readdir(folder)
        assert.is(files.includes('model.safetensors'), shardBytes === undefined)
        assert.is(files.includes('model.safetensors.index.json'), shardBytes !== undefined)
        assert.ok(
          ['config.json', 'preprocessor_config.json', 'generation_config.json'].every((f) =>
            files.includes(f),
          ),
        )
        assert.not.ok(files.some((f) => f.endsWith('.tmp')))
        const back = await fromPretrained(folder)
        same(back, m)
        assert.equal(back.config, m.config)
        const inputs = { ids: Int32Array.of(1, 2, 3), rows: 1, length: 3 }
        assert.is(
          bits(back.logits(back.forward(inputs)).detach()),
          bits(m.logits(m.forward(inputs)).detach()),
        )
      })
    }
  }
})

test('a model that was read can be trained and saved again over its own file', async () => {
  await inFolder(async (folder) => {
    await savePretrained(new ShaktiVlm(nano), folder)
    const m = await fromPretrained(folder)
    m.logits(m.forward({ ids: Int32Array.of(1, 2), rows: 1, length: 2 }))
      .sum()
      .backward()
    assert.ok(m.decoder.model.norm.weight.grad)
    await savePretrained(m, folder)
    same(await fromPretrained(folder), m)
  })
})

test('the names in config.json are those that Hugging Face models use', async () => {
  await inFolder(async (folder) => {
    await savePretrained(new ShaktiVlm(nano), folder)
    const json = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as {
      text_config: Record<string, unknown>
      vision_config: Record<string, unknown>
      projector_config: object
    }
    assert.equal(json.text_config['num_key_value_heads'], [3, 1])
    assert.is(json.vision_config['hidden_size'], 32)
    assert.equal(json.projector_config, { merge_size: 2 })
  })
})

test('a tied output matrix that another writer stored a second time is no error', async () => {
  await inFolder(async (folder) => {
    const m = new ShaktiVlm(nano)
    await savePretrained(m, folder)
    const state = m.stateDict()
    await saveSafetensors(join(folder, 'model.safetensors'), {
      ...state,
      'language_model.lm_head.weight': state['language_model.model.embed_tokens.weight']!,
    })
    same(await fromPretrained(folder), m)
  })
})

test('weights that do not fit the config are listed, before memory is taken', async () => {
  await inFolder(async (folder) => {
    await savePretrained(new ShaktiVlm(nano), folder)
    const { 'language_model.model.norm.weight': _, ...state } = new ShaktiVlm(nano).stateDict()
    await saveSafetensors(join(folder, 'model.safetensors'), { ...state, surplus: ones([2]) })
    await rejects(
      fromPretrained(folder),
      StateDictError,
      'missing (1): language_model.model.norm.weight',
      'unexpected (1): surplus',
    )
    // A config of 4 billion parameters over a small file.
    await writeFile(join(folder, 'config.json'), JSON.stringify(toHfConfig(shaktiVlm4B)))
    const before = process.memoryUsage().rss
    await rejects(fromPretrained(folder), StateDictError, 'missing')
    assert.ok(process.memoryUsage().rss - before < 300e6)
  })
})

test('files that are missing or broken are named', async () => {
  await inFolder(async (folder) => {
    await rejects(fromPretrained(folder), ShaktiError, 'config.json')
    await writeFile(join(folder, 'config.json'), '{')
    await rejects(fromPretrained(folder), FileFormatError, 'config.json', 'json')
    await writeFile(join(folder, 'config.json'), '[]')
    await rejects(fromPretrained(folder), FileFormatError, 'model_type')
    await writeFile(
      join(folder, 'config.json'),
      JSON.stringify({ ...toHfConfig(nano), model_type: 'llama' }),
    )
    await rejects(fromPretrained(folder), FileFormatError, 'model_type', 'llama')
    await writeFile(
      join(folder, 'config.json'),
      JSON.stringify({ ...toHfConfig(nano), text_config: 3 }),
    )
    await rejects(fromPretrained(folder), FileFormatError, 'text_config')
    await writeFile(join(folder, 'config.json'), JSON.stringify(toHfConfig(nano)))
    await rejects(fromPretrained(folder), Error, 'model.safetensors')
  })
})

test('an index may not lead out of its folder', async () => {
  await inFolder(async (folder) => {
    await savePretrained(new ShaktiVlm(nano), folder)
    for (const file of [
      '../x.safetensors',
      '/etc/x.safetensors',
      'a/b.safetensors',
      '..\\x.safetensors',
      5,
    ]) {
      await writeFile(
        join(folder, 'model.safetensors.index.json'),
        JSON.stringify({ weight_map: { a: file } }),
      )
      await rejects(fromPretrained(folder), FileFormatError, 'weight_map')
    }
  })
})

test('deeply wrong values in a config are refused by field', () => {
  const json = (change: object): unknown => ({
    ...toHfConfig(nano),
    text_config: { ...(toHfConfig(nano)['text_config'] as object), ...change },
  })
  assertThrows(() => fromHfConfig(json({ rope_scaling: 'yes' })), FileFormatError, 'ropeScaling')
  assertThrows(
    () => fromHfConfig(json({ rope_scaling: { rope_type: 'dynamic', factor: 2 } })),
    FileFormatError,
    'ropeScaling',
  )
  assertThrows(() => fromHfConfig(json({ num_hidden_layers: 1e12 })), FileFormatError, 'layers')
})

test.run()
