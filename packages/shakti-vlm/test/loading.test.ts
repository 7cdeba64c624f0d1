// What fromPretrained makes of a folder, and what it refuses before any long work.
import { copyFile, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  FileFormatError,
  loadSafetensors,
  manualSeed,
  memory,
  noGrad,
  ones,
  saveSafetensors,
  ShaktiError,
  zeros,
} from '@shakti/tensor'
import { PackedLinear, StateDictError, unpack_ } from '@shakti/nn'
import {
  fromPretrained,
  generate,
  inspectPretrained,
  nano,
  savePretrained,
  ShaktiVlm,
} from '../src/index.js'
import { assert, counts, rejects, test } from './assert.js'
import { bits, editJson, inFolder, relativeDifference, same } from './folder.js'

const config = { ...nano, imageToken: 5 }
const untied = { ...config, decoder: { ...nano.decoder, tied: false } }
const inputs = { ids: Int32Array.of(1, 2, 3, 4), rows: 1, length: 4 }
const logits = (m: ShaktiVlm): Float32Array =>
  noGrad(() => m.logits(m.forward(inputs)).float()).dataSync() as Float32Array

async function ids(m: ShaktiVlm): Promise<number[]> {
  const out: number[] = []
  for await (const { id } of generate(m, { ids: [1, 2, 3] }, { maxTokens: 6 })) out.push(id)
  return out
}

/** A folder of three shards in bf16. */
async function withShards(f: (folder: string, model: ShaktiVlm) => Promise<void>): Promise<void> {
  manualSeed(3)
  const model = new ShaktiVlm(config).to({ dtype: 'bf16' })
  await inFolder(async (folder) => {
    await savePretrained(model, folder, { shardBytes: 60_000 })
    await f(folder, model)
  })
}
const shard = (n: number): string => `model-0000${n}-of-00003.safetensors`

test('the stored dtype is kept, or converted as asked; config.json names it', async () => {
  await withShards(async (folder, model) => {
    assert.is((await readdir(folder)).filter((f) => f.endsWith('.safetensors')).length, 3)
    await editJson(join(folder, 'config.json'), (json) =>
      assert.is(json['torch_dtype'], 'bfloat16'),
    )
    const kept = await fromPretrained(folder)
    same(kept, model)
    assert.is(kept.decoder.model.norm.weight.requiresGrad, true)
    const wide = await fromPretrained(folder, { dtype: 'f32' })
    same(wide, model.to({ dtype: 'f32' }))
    await savePretrained(wide, folder)
    await editJson(join(folder, 'config.json'), (json) => assert.is(json['torch_dtype'], 'float32'))
  })
})

test('weights as stored are mapped and not copied', async () => {
  const wide = { ...nano, decoder: { ...nano.decoder, vocab: 20_000, ffn: 4096 } }
  await inFolder(async (folder) => {
    await savePretrained(new ShaktiVlm(wide).to({ dtype: 'bf16' }), folder)
    const before = counts().liveBytes
    const m = await fromPretrained(folder)
    // The matrices have 3 MB in bf16; what is below 64 KiB is copied.
    assert.ok(m.numParameters() * 2 > 3e6)
    assert.ok(memory().liveBytes - before < 400_000, `${memory().liveBytes - before}`)
  })
})

for (const [name, c] of [
  ['tied', config],
  ['untied', untied],
] as const) {
  test(`packed while loading, a ${name} model gives the same tokens, and the head is packed too`, async () => {
    manualSeed(4)
    await inFolder(async (folder) => {
      await savePretrained(new ShaktiVlm(c), folder)
      const plain = await fromPretrained(folder, { dtype: 'bf16' })
      const packed = await fromPretrained(folder, { dtype: 'bf16', packed: true })
      assert.ok(packed.decoder.lmHead instanceof PackedLinear)
      assert.equal(await ids(packed), await ids(plain))
      assert.ok(relativeDifference(logits(packed), logits(plain)) < 0.01)
      await rejects(savePretrained(packed, folder), ShaktiError, 'unpack_')
      await savePretrained(unpack_(packed), folder)
      same(await fromPretrained(folder), plain)
    })
  })
}

test('progress is told in bytes to the end, and an abort ends loading', async () => {
  await withShards(async (folder) => {
    const steps: number[] = []
    await fromPretrained(folder, {
      onProgress: (done, total) => steps.push(done / total),
    })
    assert.is(steps.at(-1), 1)
    assert.ok(steps.every((s, i) => i === 0 || s > steps[i - 1]!))
    const before = counts().tensors
    const stop = new AbortController()
    await rejects(
      fromPretrained(folder, { signal: stop.signal, onProgress: () => stop.abort() }),
      Error,
      'aborted',
    )
    assert.is(memory().tensors, before)
  })
})

test('a wrong shape in one of the shards is named with both, before anything is loaded', async () => {
  await withShards(async (folder) => {
    const path = join(folder, shard(3))
    const { tensors } = loadSafetensors(path)
    const name = Object.keys(tensors)[0]!
    const odd = ones([3, 7], { dtype: 'bf16' })
    await editJson(join(folder, 'model.safetensors.index.json'), (json) => {
      const metadata = json['metadata'] as { total_size: number }
      metadata.total_size += odd.storage.bytes - tensors[name]!.storage.bytes
    })
    await saveSafetensors(path, { ...tensors, [name]: odd })
    await rejects(fromPretrained(folder), StateDictError, 'wrong shape (1)', name, 'bf16[3, 7]')
    await rejects(inspectPretrained(folder), StateDictError, name)
  })
})

test('a tensor of whole numbers is no weight', async () => {
  await inFolder(async (folder) => {
    const model = new ShaktiVlm(nano)
    await savePretrained(model, folder)
    const name = 'language_model.model.norm.weight'
    await saveSafetensors(join(folder, 'model.safetensors'), {
      ...model.stateDict(),
      [name]: zeros([48], { dtype: 'u8' }),
    })
    await rejects(fromPretrained(folder), StateDictError, name, 'u8[48]')
  })
})

test('weights of several dtypes need a dtype named', async () => {
  await inFolder(async (folder) => {
    const model = new ShaktiVlm(nano)
    await savePretrained(model, folder)
    const name = 'language_model.model.norm.weight'
    await saveSafetensors(join(folder, 'model.safetensors'), {
      ...model.stateDict(),
      [name]: ones([48], { dtype: 'bf16' }),
    })
    await rejects(fromPretrained(folder), FileFormatError, `${name} is bf16`, "dtype: 'bf16'")
    assert.is(
      (await fromPretrained(folder, { dtype: 'f32' })).decoder.model.norm.weight.dtype,
      'f32',
    )
  })
})

test('a shard that was cut short, or is missing, is named', async () => {
  await withShards(async (folder) => {
    const path = join(folder, shard(2))
    const { size } = await stat(path)
    await truncate(path, size - 2)
    await rejects(fromPretrained(folder), FileFormatError, shard(2), 'data_offsets')
    await truncate(path, 5)
    await rejects(fromPretrained(folder), FileFormatError, shard(2), '5 bytes')
    await rm(path)
    await rejects(
      fromPretrained(folder),
      FileFormatError,
      'weight_map',
      shard(2),
      'not in the folder',
    )
  })
})

test('an index that disagrees with its shards is refused', async () => {
  await withShards(async (folder) => {
    const index = join(folder, 'model.safetensors.index.json')
    const copy = join(folder, 'copy.json')
    await copyFile(index, copy)
    const name = 'language_model.model.norm.weight'
    type Map = Record<string, string>
    for (const [change, ...parts] of [
      [(j: Record<string, unknown>) => (j['metadata'] = { total_size: 1 }), 'metadata.total_size'],
      [(j: Record<string, unknown>) => ((j['weight_map'] as Map)[name] = shard(1)), name, shard(1)],
      [
        (j: Record<string, unknown>) => Reflect.deleteProperty(j['weight_map'] as Map, name),
        'leaves out',
        name,
      ],
      [(j: Record<string, unknown>) => ((j['weight_map'] as Map)['x'] = shard(1)), 'x', 'no file'],
      [(j: Record<string, unknown>) => delete j['weight_map'], 'weight_map', 'missing'],
    ] as const) {
      await copyFile(copy, index)
      await editJson(index, change)
      await rejects(fromPretrained(folder), FileFormatError, 'index.json', ...parts)
    }
    await writeFile(index, '[')
    await rejects(fromPretrained(folder), FileFormatError, 'index.json', 'json')
  })
})

test('a config whose numbers do not fit is refused by field', async () => {
  await withShards(async (folder) => {
    const path = join(folder, 'config.json')
    const copy = join(folder, 'copy.json')
    await copyFile(path, copy)
    for (const [part, field, value, text] of [
      ['text_config', 'num_attention_heads', 5, 'decoder.heads'],
      ['text_config', 'num_key_value_heads', 2, 'decoder.kvHeads'],
      ['text_config', 'num_hidden_layers', 0, 'decoder.layers'],
      ['vision_config', 'num_attention_heads', 3, 'vision.heads'],
      ['vision_config', 'num_hidden_layers', 0, 'vision.layers'],
    ] as const) {
      await copyFile(copy, path)
      await editJson(path, (json) => ((json[part] as Record<string, unknown>)[field] = value))
      await rejects(fromPretrained(folder), FileFormatError, 'config.json', text)
    }
  })
})

test('options that do not fit are refused', async () => {
  await withShards(async (folder) => {
    await rejects(fromPretrained(folder, { dtype: 'u8' }), ShaktiError, 'dtype', 'u8')
    await rejects(fromPretrained(folder, { dtype: 'f16', packed: true }), ShaktiError, 'f16')
  })
})

test('a save that fails leaves the folder as it was, and none behind where none was', async () => {
  await withShards(async (folder, model) => {
    const before = (await readdir(folder)).sort()
    const stop = new AbortController()
    const failing = { signal: stop.signal, onProgress: () => stop.abort() }
    await rejects(savePretrained(new ShaktiVlm(untied), folder, failing), Error, 'aborted')
    assert.equal((await readdir(folder)).sort(), before)
    same(await fromPretrained(folder), model)

    const fresh = join(folder, 'fresh')
    const again = new AbortController()
    await rejects(
      savePretrained(model, fresh, { signal: again.signal, onProgress: () => again.abort() }),
      Error,
      'aborted',
    )
    assert.not.ok((await readdir(folder)).includes('fresh'))

    await writeFile(join(folder, 'file'), '')
    await rejects(savePretrained(model, join(folder, 'file')), ShaktiError, 'cannot make')
    await rejects(savePretrained(model, fresh, { shardBytes: 0 }), ShaktiError, 'shardBytes')
  })
})

test('a change during a save is an error', async () => {
  await withShards(async (folder, model) => {
    const saving = savePretrained(model, folder)
    model.decoder.model.norm.weight.detach().fill_(2)
    await rejects(saving, ShaktiError, 'was changed')
  })
})

test('a smaller model saved over a sharded one leaves no shard of it behind', async () => {
  await withShards(async (folder, model) => {
    await savePretrained(model, folder)
    const files = await readdir(folder)
    assert.equal(
      files.filter((f) => f.includes('model')),
      ['model.safetensors'],
    )
    same(await fromPretrained(folder), model)
  })
})

test('the model card is written anew with the model, but never over a text of one’s own', async () => {
  await withShards(async (folder, model) => {
    const path = join(folder, 'README.md')
    const card = await readFile(path, 'utf8')
    for (const part of ['79,408 parameters', 'bfloat16', 'No licence', 'fromPretrained'])
      assert.ok(card.includes(part), part)
    assert.not.match(card, /^license:/m)
    await savePretrained(model, folder, { license: 'mit' })
    assert.match(await readFile(path, 'utf8'), /^---\n[^]*license: mit\n[^]*---\n/)
    await writeFile(path, 'Mine.')
    await savePretrained(model, folder)
    assert.is(await readFile(path, 'utf8'), 'Mine.')
  })
})

test('what was loaded mapped stays whole when its files are replaced', async () => {
  await withShards(async (folder) => {
    const loaded = await fromPretrained(folder)
    const before = bits(loaded.decoder.model.embedTokens.weight)
    manualSeed(99)
    await savePretrained(new ShaktiVlm(config), folder)
    assert.is(bits(loaded.decoder.model.embedTokens.weight), before)
  })
})

test.run()
