// Models whose matrices are held in 8 or 4 bits: made in memory, made from a folder, read, refused.
import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  FileFormatError,
  loadSafetensors,
  manualSeed,
  noGrad,
  saveSafetensors,
  ShaktiError,
  type Tensor,
} from '@shakti/tensor'
import { Linear, QuantizedLinear, StateDictError } from '@shakti/nn'
import {
  fromPretrained,
  generate,
  initPretrained,
  inspectPretrained,
  memoryBudget,
  nano,
  perplexity,
  quantizationIn,
  quantizeModel_,
  quantizePretrained,
  savePretrained,
  ShaktiVlm,
  tiny4B,
} from '../src/index.js'
import { assert, assertClose, rejects, test } from './assert.js'
import { bits, editJson, inFolder, relativeDifference, same } from './folder.js'

const tied = { ...nano, imageToken: 5 }
const untied = { ...tied, decoder: { ...nano.decoder, tied: false } }
const image = {
  pixels: Float32Array.from({ length: 16 * 16 * 3 }, (_, i) => Math.sin(i)),
  height: 16,
  width: 16,
  patch: 4,
}
const inputs = { ids: Int32Array.of(1, 5, 5, 5, 5, 2), rows: 1, length: 6, images: [image] }
const logits = (m: ShaktiVlm): Tensor => noGrad(() => m.logits(m.forward(inputs)).float())
const numbers = (t: Tensor): Float32Array => t.dataSync() as Float32Array

for (const [name, config] of [
  ['tied', tied],
  ['untied', untied],
] as const) {
  for (const [bitsOf, zeroPoint] of [
    [8, false],
    [4, false],
    [4, true],
  ] as const) {
    test(`a ${name} model of a folder in ${bitsOf} bits${zeroPoint ? ' with zero points' : ''} is the one quantised in memory`, async () => {
      await inFolder(async (folder) => {
        const [from, to] = [join(folder, 'whole'), join(folder, 'few')]
        await initPretrained(from, config, { seed: 2, shardBytes: 50_000 })
        await writeFile(join(from, 'tokenizer.json'), '{"a":1}')
        const options = { bits: bitsOf, zeroPoint }
        const report = await quantizePretrained(from, to, { ...options, shardBytes: 50_000 })
        assert.is(await readFile(join(to, 'tokenizer.json'), 'utf8'), '{"a":1}')
        assert.match(await readFile(join(to, 'README.md'), 'utf8'), `in ${bitsOf} bits`)
        assert.match(await readFile(join(to, 'README.md'), 'utf8'), 'license: apache-2.0')

        const whole = await fromPretrained(from)
        const got = await fromPretrained(to)
        const want = quantizeModel_(await fromPretrained(from), options)
        assert.equal([report.zeroPoint, quantizationIn(got)!.zeroPoint], [zeroPoint, zeroPoint])
        same(got, want)
        assert.equal(got.config, want.config)
        assert.ok(got.decoder.lmHead instanceof QuantizedLinear)
        assert.is(got.decoder.model.embedTokens.weight.dtype, 'bf16')
        const { quantization, model } = await inspectPretrained(to)
        assert.is(memoryBudget(config, { quantization }).weights, model.bytes)
        assert.is(bits(logits(got)), bits(logits(want)))
        const off = relativeDifference(numbers(logits(got)), numbers(logits(whole)))
        assert.ok(off < (bitsOf === 8 ? 0.03 : 0.25), String(off))
        for await (const { id } of generate(got, { ids: [1, 2] }, { maxTokens: 3 }))
          assert.ok(id < config.decoder.vocab)

        const linears = [...whole.namedModules()].filter(([, m]) => m instanceof Linear).length
        assert.is(report.layers.length, linears + (config === tied ? 1 : 0))
        assert.ok(report.layers.every(({ error }) => error > 0.001 && error < 0.2))
        assert.ok(report.error > (bitsOf === 8 ? 0.003 : 0.05))
        assert.ok(report.error < (bitsOf === 8 ? 0.01 : 0.1))
        const sizeOf = (m: ShaktiVlm): number =>
          Object.values(m.stateDict()).reduce((n, t) => n + t.storage.bytes, 0)
        assert.is(report.bytesBefore, sizeOf(whole))
        assert.is(report.bytesAfter, sizeOf(got))
      })
    })
  }
}

test('the error of a layer is the length of the difference over that of the weight', async () => {
  await inFolder(async (folder) => {
    const [from, to] = [join(folder, 'whole'), join(folder, 'few')]
    await initPretrained(from, tied, { seed: 2 })
    const { layers } = await quantizePretrained(from, to, { bits: 4 })
    const [whole, few] = [await fromPretrained(from), await fromPretrained(to)]
    const weight = whole.decoder.model.layers.at(1).mlp.children()
    const linear = [...weight].find(([key]) => key === 'downProj')![1] as Linear
    const layer = [...few.decoder.model.layers.at(1).mlp.children()].find(
      ([key]) => key === 'downProj',
    )![1] as QuantizedLinear
    const want = relativeDifference(
      numbers(layer.packedWeight.dequantize()),
      numbers(linear.weight.detach().float()),
    )
    const named = layers.find((l) => l.name === 'language_model.model.layers.1.mlp.down_proj')!
    assertClose([named.error], [want], 1e-4)
    assert.equal(named.shape, [48, 48])
    assert.equal([named.bytesBefore, named.bytesAfter], [48 * 48 * 2, layer.weight.numel])
    const head = layers.at(-1)!
    assert.equal([head.name, head.bytesBefore], ['language_model.lm_head', 0])
  })
})

test('modules that are left whole are named in config.json, the fewest names that say it', async () => {
  for (const [options, want] of [
    [{}, []],
    [{ head: false }, ['language_model.lm_head']],
    [{ except: ['vision_tower.*'] }, ['vision_tower.*']],
    [
      {
        except: ['vision_tower.*', '*.q_proj', '*.layers.1.mlp.*'],
        bits: 4,
        group: 64,
        zeroPoint: true,
      },
      [
        'vision_tower.*',
        'language_model.model.layers.0.self_attn.q_proj',
        'language_model.model.layers.1.self_attn.q_proj',
        'language_model.model.layers.1.mlp.*',
      ],
    ],
  ] as const) {
    manualSeed(3)
    const m = quantizeModel_(new ShaktiVlm(tied).to({ dtype: 'bf16' }), options)
    assert.equal(quantizationIn(m)!.except, want)
    await inFolder(async (folder) => {
      await savePretrained(m, folder)
      const json = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as object
      assert.equal((json as Record<string, unknown>)['quantization_config'], {
        quant_method: 'shakti',
        layout: 1,
        bits: 'bits' in options ? 4 : 8,
        group_size: 64,
        zero_point: 'zeroPoint' in options,
        modules_not_converted: want,
      })
      assert.is((json as Record<string, unknown>)['torch_dtype'], 'bfloat16')
      const back = await fromPretrained(folder)
      same(back, m)
      assert.is(bits(logits(back)), bits(logits(m)))
    })
  }
})

test('a quantised model takes activations in f32 on request, and packs what is left whole', async () => {
  await inFolder(async (folder) => {
    const [from, to] = [join(folder, 'whole'), join(folder, 'few')]
    await initPretrained(from, untied)
    await quantizePretrained(from, to, { except: ['vision_tower.*'] })
    const wide = await fromPretrained(to, { dtype: 'f32' })
    assert.is(noGrad(() => wide.forward(inputs)).dtype, 'f32')
    const packed = await fromPretrained(to, { packed: true })
    const plain = await fromPretrained(to)
    assert.is(noGrad(() => plain.forward(inputs)).dtype, 'bf16')
    assert.ok(relativeDifference(numbers(logits(packed)), numbers(logits(plain))) < 0.01)
  })
})

test('options that do not fit are refused before anything is written', async () => {
  await inFolder(async (folder) => {
    const [from, to] = [join(folder, 'whole'), join(folder, 'few')]
    await initPretrained(from, tied)
    const refuse = (options: object, ...parts: string[]): Promise<Error> =>
      rejects(quantizePretrained(from, to, options), ShaktiError, ...parts)
    await refuse({ bits: 5 }, 'bits')
    await refuse({ group: 16 }, 'group')
    await refuse({ zeroPoint: 1 }, 'zeroPoint')
    await refuse({ except: ['decoder.*'] }, "'decoder.*'")
    await rejects(quantizePretrained(from, from), ShaktiError, 'overwritten')
    await rejects(quantizePretrained(to, from), FileFormatError, 'config.json')
    assert.equal(await readdir(folder), ['whole'])
    await quantizePretrained(from, to)
    await rejects(quantizePretrained(to, join(folder, 'x')), ShaktiError, 'already')
    const mixed = quantizeModel_(new ShaktiVlm(tied), { head: false })
    mixed.decoder.lmHead = QuantizedLinear.from(new Linear(48, 320, { bias: false }), { bits: 4 })
    await rejects(savePretrained(mixed, to), ShaktiError, 'layers differ')
  })
})

test('weights that are not finite are refused by name, and nothing is left behind', async () => {
  await inFolder(async (folder) => {
    const [from, to] = [join(folder, 'whole'), join(folder, 'few')]
    const m = new ShaktiVlm(tied)
    m.projector.fc2.weight.detach().narrow(0, 3, 1).fill_(NaN)
    await savePretrained(m, from)
    await rejects(
      quantizePretrained(from, to),
      ShaktiError,
      'multi_modal_projector.linear_2.weight',
      'finite',
    )
    assert.equal(await readdir(folder), ['whole'])
    const stop = new AbortController()
    await rejects(
      quantizePretrained(from, to, { signal: stop.signal, onProgress: () => stop.abort() }),
      Error,
      'aborted',
    )
    assert.equal(await readdir(folder), ['whole'])
  })
})

test('a quantization_config that this version cannot read is refused by field', async () => {
  await inFolder(async (folder) => {
    await savePretrained(quantizeModel_(new ShaktiVlm(tied)), folder)
    const path = join(folder, 'config.json')
    const copy = join(folder, 'copy.json')
    await copyFile(path, copy)
    for (const [change, ...parts] of [
      [{ quant_method: 'gptq' }, 'quant_method', 'gptq'],
      [{ layout: 2 }, 'layout', 'reads 1'],
      [{ bits: 3 }, 'bits'],
      [{ group_size: 48 }, 'group'],
      [{ zero_point: 1 }, 'zeroPoint'],
      [{ modules_not_converted: 'all' }, 'except'],
      [{ desc_act: true }, 'desc_act'],
    ] as const) {
      await copyFile(copy, path)
      await editJson(path, (json) => Object.assign(json['quantization_config'] as object, change))
      await rejects(fromPretrained(folder), FileFormatError, 'quantization_config', ...parts)
    }
    // Other groups ask for other bytes, and so do zero points.
    for (const change of [{ group_size: 32 }, { zero_point: true }]) {
      await copyFile(copy, path)
      await editJson(path, (json) => Object.assign(json['quantization_config'] as object, change))
      await rejects(fromPretrained(folder), StateDictError, 'wrong shape')
    }
    await copyFile(copy, path)
    const { tensors } = loadSafetensors(join(folder, 'model.safetensors'))
    await saveSafetensors(join(folder, 'model.safetensors'), {
      ...tensors,
      'language_model.lm_head.weight': tensors['language_model.model.embed_tokens.weight']!,
    })
    await rejects(fromPretrained(folder), StateDictError, 'language_model.lm_head.weight')
  })
})

test('perplexity is that of the logits, whatever the chunk; few bits change it little', async () => {
  manualSeed(6)
  const m = new ShaktiVlm(tiny4B)
  const ids = Array.from({ length: 40 }, (_, i) => (i * 7919) % 2048)
  const rows = noGrad(() =>
    m
      .logits(m.forward({ ids: Int32Array.from(ids), rows: 1, length: 40 }))
      .logSoftmax(-1)
      .select(0, 0),
  ).dataSync()
  let loss = 0
  for (let i = 0; i < 39; i++) loss -= Number(rows[i * 2048 + ids[i + 1]!]) / 39
  for (const chunk of [undefined, 1, 7, 39, 40]) {
    const got = await perplexity(m, ids, chunk ? { chunk } : {})
    assert.is(got.tokens, 39)
    assertClose([got.loss, got.perplexity / 1000], [loss, Math.exp(loss) / 1000], 1e-4)
  }
  const few = await perplexity(quantizeModel_(m, { bits: 8 }), ids)
  assert.ok(Math.abs(few.loss - loss) < 0.02, `${few.loss} ${loss}`)
  assert.is.not(few.loss, loss)
  await rejects(perplexity(m, [1]), ShaktiError, '1 tokens')
  await rejects(perplexity(m, new Int32Array(2000)), ShaktiError, '1024')
  await rejects(perplexity(m, [1, 2048]), ShaktiError, 'token 1 is 2048')
  await rejects(perplexity(m, [1, 2], { chunk: 0 }), ShaktiError, 'chunk')
})

test.run()
