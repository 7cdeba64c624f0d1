// What a model consists of, from headers and configs.
import { truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { FileFormatError, memory } from '@shakti/tensor'
import {
  countParameters,
  initPretrained,
  inspectConfig,
  inspectPretrained,
  nano,
  quantizePretrained,
  shaktiVlm1B,
  shaktiVlm4B,
  tiny4B,
  type InspectedModule,
} from '../src/index.js'
import { assert, counts, rejects, test } from './assert.js'
import { inFolder } from './folder.js'

function* all(m: InspectedModule): Generator<InspectedModule> {
  yield m
  for (const child of m.modules) yield* all(child)
}
const find = (m: InspectedModule, name: string): InspectedModule =>
  [...all(m)].find((x) => x.name === name)!

for (const [name, config] of [
  ['1B', shaktiVlm1B],
  ['4B', shaktiVlm4B],
  ['tiny 4B', tiny4B],
] as const) {
  test(`the tree of the ${name} adds up to its exact count, without memory`, () => {
    const before = counts().liveBytes
    const root = inspectConfig(config)
    const { encoder, projector, decoder, total } = countParameters(config)
    assert.equal([root.name, root.kind, root.parameters], ['', 'ShaktiVlm', total])
    assert.equal(
      [root.bytes, root.bytesAt.f32, root.bytesAt.bf16],
      [2 * total, 4 * total, 2 * total],
    )
    assert.equal(
      root.modules.map((m) => [m.name, m.parameters]),
      [
        ['vision_tower', encoder],
        ['multi_modal_projector', projector],
        ['language_model', decoder],
      ],
    )
    for (const m of all(root)) {
      const own = m.tensors.reduce((n, t) => n + t.shape.reduce((a, b) => a * b, 1), 0)
      assert.is(m.parameters, own + m.modules.reduce((n, c) => n + c.parameters, 0), m.name)
    }
    assert.is(memory().liveBytes, before)
  })
}

test('bytes at 8 and 4 bits are those of the folder that quantizePretrained writes', async () => {
  for (const config of [nano, tiny4B]) {
    await inFolder(async (folder) => {
      const [from, to] = [join(folder, 'whole'), join(folder, 'few')]
      await initPretrained(from, config, { shardBytes: 1e6 })
      const whole = await inspectPretrained(from)
      assert.equal([whole.dtype, whole.quantization], ['bf16', undefined])
      assert.equal(whole.model, inspectConfig(config))
      assert.equal(whole.config, config)
      const size = whole.files.reduce((n, f) => n + f.bytes, 0)
      assert.ok(size > whole.model.bytes && size < whole.model.bytes + 50_000)
      for (const bits of [8, 4] as const) {
        const report = await quantizePretrained(from, to, { bits })
        const { model, quantization } = await inspectPretrained(to)
        assert.is(quantization!.bits, bits)
        assert.is(model.bytes, report.bytesAfter)
        assert.is(model.bytes, whole.model.bytesAt[bits === 8 ? 'int8' : 'int4'])
        assert.is(model.parameters, whole.model.parameters)
        const layer = find(model, 'language_model.model.layers.0.mlp.up_proj')
        assert.equal([layer.kind, layer.tensors[0]!.dtype], ['QuantizedLinear', 'u8'])
        const { width, ffn } = config.decoder
        assert.is(layer.parameters, width * ffn)
        const head = find(model, 'language_model.lm_head')
        assert.is(head.parameters, config.decoder.tied ? 0 : width * config.decoder.vocab)
      }
    })
  }
})

test('a broken folder is refused without being loaded', async () => {
  await inFolder(async (folder) => {
    await initPretrained(folder, nano)
    await truncate(join(folder, 'model.safetensors'), 60_000)
    await rejects(inspectPretrained(folder), FileFormatError, 'model.safetensors')
  })
})

test.run()
