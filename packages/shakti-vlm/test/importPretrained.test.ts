import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FileFormatError, noGrad, ShaktiError, tidy } from '@shakti/tensor'
import {
  fromPretrained,
  importPretrained,
  importVision,
  nano,
  partsOf,
  savePretrained,
  ShaktiVlm,
} from '../src/index.js'
import { assert, rejects, test } from './assert.js'
import { caseOf, writeCheckpoint } from './checkpoints.js'
import { bits, inFolder, relativeDifference } from './folder.js'

const logitsOf = (model: ShaktiVlm, ids: readonly number[]): ArrayLike<number> =>
  tidy(() =>
    noGrad(() =>
      model.logits(model.forward({ ids: Int32Array.from(ids), rows: 1, length: ids.length })),
    ),
  ).dataSync()

test('a decoder and an encoder become one model: the decoder computes what it did, the projector is initial', async () => {
  await inFolder(async (folder) => {
    const llama = caseOf('llama, llama3')
    const decoder = await writeCheckpoint(join(folder, 'llama'), llama)
    const vision = await writeCheckpoint(join(folder, 'siglip'), caseOf('siglip2, in'))
    await writeFile(join(decoder, 'tokenizer.json'), '{"a":1}')
    await writeFile(join(decoder, 'README.md'), '---\nlicense: mit\n---\n')
    await writeFile(join(vision, 'tokenizer.json'), '{"b":1}')
    await writeFile(join(vision, 'preprocessor_config.json'), '{}')
    const out = join(folder, 'out')
    const result = await importPretrained(out, { decoder, vision, imageToken: 3 }, { seed: 4 })
    const model = await fromPretrained(out)
    assert.equal(model.config, result.config)
    assert.is(model.config.imageToken, 3)
    assert.ok(relativeDifference(logitsOf(model, llama.ids!), llama.logits!) < 5e-6)
    assert.ok(result.fresh.every((name) => name.startsWith('multi_modal_projector.')))
    assert.is(result.fresh.length, 6)
    assert.is(result.decoder!.family, 'llama')
    assert.is(result.vision!.family, 'siglip2_vision_model')
    const { encoder } = await importVision(vision, { partial: true })
    for (const [name, t] of Object.entries(encoder.stateDict()))
      assert.is(bits(model.vision.stateDict()[name]!), bits(t), name)
    // The text files are the decoder's; how images are prepared is ours.
    assert.is(await readFile(join(out, 'tokenizer.json'), 'utf8'), '{"a":1}')
    assert.match(await readFile(join(out, 'README.md'), 'utf8'), 'license: mit')
    assert.match(await readFile(join(out, 'preprocessor_config.json'), 'utf8'), 'patch_size')
  })
})

test('what is random depends on the seed and the name, in shards or not, in the dtype asked for', async () => {
  await inFolder(async (folder) => {
    const decoder = await writeCheckpoint(join(folder, 'qwen'), caseOf('qwen2, tied'))
    const read = async (name: string, options: object): Promise<ShaktiVlm> => {
      const out = join(folder, name)
      await importPretrained(out, { decoder, vision: nano.vision, merge: 1 }, options)
      return fromPretrained(out)
    }
    const one = await read('one', { seed: 7, dtype: 'bf16' })
    const two = await read('two', { seed: 7, dtype: 'bf16', shardBytes: 4000 })
    const other = await read('other', { seed: 8, dtype: 'bf16' })
    assert.ok((await readdir(join(folder, 'two'))).includes('model.safetensors.index.json'))
    const [a, b, c] = [one, two, other].map((m) => m.stateDict())
    for (const name of Object.keys(a!)) {
      assert.is(a![name]!.dtype, 'bf16')
      assert.is(bits(a![name]!), bits(b![name]!), name)
    }
    const drawn = 'vision_tower.encoder.layers.0.mlp.fc1.weight'
    assert.is.not(bits(a![drawn]!), bits(c![drawn]!))
    const copied = 'language_model.model.layers.0.mlp.up_proj.weight'
    assert.is(bits(a![copied]!), bits(c![copied]!))
  })
})

test('one folder with both parts, and a Shakti-VLM, give theirs', async () => {
  await inFolder(async (folder) => {
    const both = await writeCheckpoint(join(folder, 'internvl'), caseOf('internvl with'))
    assert.equal(await partsOf(both), { decoder: true, vision: true })
    const sources = { decoder: both, vision: both }
    const result = await importPretrained(join(folder, 'one'), sources)
    assert.is(result.decoder!.family, 'qwen2')
    assert.is(result.vision!.family, 'internvl_vision')
    const own = join(folder, 'own')
    const made = new ShaktiVlm(nano)
    await savePretrained(made, own)
    assert.equal(await partsOf(own), { decoder: true, vision: true })
    const again = await importPretrained(join(folder, 'two'), { decoder: both, vision: own })
    assert.equal(again.vision!.differences, [])
    const model = await fromPretrained(join(folder, 'two'))
    const norm = 'vision_tower.post_layernorm.weight'
    const kernel = 'vision_tower.embeddings.patch_embedding.weight'
    for (const name of [norm, kernel])
      assert.is(bits(model.stateDict()[name]!), bits(made.stateDict()[name]!))
  })
})

test('what does not fit is refused before anything is written, and an abort leaves nothing', async () => {
  await inFolder(async (folder) => {
    const decoder = await writeCheckpoint(join(folder, 'llama'), caseOf('llama, yarn'))
    const vision = await writeCheckpoint(join(folder, 'siglip'), caseOf('siglip'))
    const before = await readdir(folder)
    const out = join(folder, 'out')
    const vlm = { decoder, vision: nano.vision }
    await rejects(importPretrained(out, { ...vlm, decoder: vision }), FileFormatError, 'model_type')
    await rejects(importPretrained(out, { ...vlm, vision: decoder }), FileFormatError, 'model_type')
    await rejects(importPretrained(out, { ...vlm, imageToken: 99 }), ShaktiError, 'imageToken')
    await rejects(importPretrained(out, vlm, { seed: -1 }), ShaktiError, 'seed')
    await rejects(importPretrained(out, vlm, { dtype: 'i32' }), ShaktiError, 'floating')
    await rejects(importPretrained(decoder, vlm), ShaktiError, 'overwritten')
    const stop = new AbortController()
    const onProgress = (done: number): void => {
      if (done > 1000) stop.abort()
    }
    const reason = await importPretrained(out, vlm, { signal: stop.signal, onProgress }).catch(
      (error: Error) => error.name,
    )
    assert.is(reason, 'AbortError')
    assert.equal(await readdir(folder), before)
  })
})

test.run()
