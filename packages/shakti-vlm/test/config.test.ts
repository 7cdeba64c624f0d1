import { ShaktiError } from '@shakti/tensor'
import {
  countParameters,
  derive,
  nano,
  parseConfig,
  shaktiVlm1B,
  shaktiVlm4B,
  ShaktiVlm,
  tiny1B,
} from '../src/index.js'
import { assert, assertThrows, test } from './assert.js'

test('the presets are those of PAPER.md section 8', () => {
  const v = shaktiVlm1B.vision
  assert.equal(
    [v.layers, v.preNormLayers, v.lateNorm, v.width, v.heads, v.mlp, v.qkNorm, v.ropeTheta],
    [36, 12, 'branch', 1536, 16, 1536, 'head', 10_000],
  )
  assert.equal(v.patchSizes, [14, 16, 20, 24, 28, 32])
  const d = shaktiVlm4B.decoder
  assert.equal(
    [
      d.layers,
      d.width,
      d.heads,
      d.kvHeads,
      d.ffn,
      d.vocab,
      d.tied,
      d.ropeTheta,
      d.context,
      d.normEps,
    ],
    [16, 4096, 32, 8, 4096, 128_256, false, 500_000, 32_768, 1e-5],
  )
  assert.equal(derive(shaktiVlm4B).visionHeadDim, 80)
  assert.equal(derive(shaktiVlm1B).projectorIn, 6144)
  assert.equal(derive(tiny1B).kvHeads, [4, 2, 2, 2, 1, 1])
})

test('what is derived follows an overridden field', () => {
  const wide = parseConfig({
    ...nano,
    vision: { ...nano.vision, width: 64 },
    projector: { merge: 1 },
  })
  assert.equal([derive(wide).visionHeadDim, derive(wide).projectorIn], [32, 64])
})

test('a model does not change the preset it was built from', () => {
  const m = new ShaktiVlm(nano)
  m.decoder.setRope(2_000_000, { type: 'yarn', factor: 2, original: 64 })
  assert.is(m.config.decoder.ropeTheta, 2_000_000)
  assert.is(m.config.decoder.ropeScaling?.type, 'yarn')
  assert.is(nano.decoder.ropeTheta, 500_000)
  assert.is(nano.decoder.ropeScaling, null)
})

const vision = (change: object): unknown => ({ ...nano, vision: { ...nano.vision, ...change } })
const decoder = (change: object): unknown => ({ ...nano, decoder: { ...nano.decoder, ...change } })
const bad: readonly (readonly [string, unknown, readonly string[]])[] = [
  [
    'an unknown field, with the nearest name',
    vision({ patchSize: [4] }),
    ['vision', "'patchSize'", "'patchSizes'"],
  ],
  ['an unknown field near nothing', { ...nano, whatever: 1 }, ["'whatever'"]],
  ['a missing field', { ...nano, projector: undefined }, ['projector']],
  ['more pre-norm layers than layers', vision({ preNormLayers: 4 }), ['preNormLayers', '4', '3']],
  [
    'a head dim that 2-D RoPE cannot split',
    vision({ heads: 16 }),
    ['vision.heads', '2', 'multiple of 4'],
  ],
  ['heads that do not divide the width', decoder({ heads: 5 }), ['decoder.heads', '9.6']],
  ['kv heads that do not divide the heads', decoder({ kvHeads: 2 }), ['kvHeads', '2', '3']],
  ['a list of kv heads of another length', decoder({ kvHeads: [1] }), ['kvHeads', '1', '2']],
  ['patch sizes that do not ascend', vision({ patchSizes: [8, 4] }), ['patchSizes', '8, 4']],
  ['an image token outside the vocabulary', { ...nano, imageToken: 320 }, ['imageToken', '320']],
  ['a number where none can be', vision({ layers: 'many' }), ['vision.layers']],
  ['a width that no machine holds', decoder({ width: 1e9 }), ['decoder.width']],
  ['a billion layers', decoder({ layers: 1e9 }), ['decoder.layers']],
  ['a NaN', decoder({ ropeTheta: NaN }), ['decoder.ropeTheta']],
  [
    'global layers among none that are local',
    decoder({ globalEvery: 2 }),
    ['globalEvery', '2', 'slidingWindow'],
  ],
  ['null', null, ['config']],
  ['another version', { ...nano, version: 2 }, ['version']],
]
for (const [name, input, parts] of bad) {
  test(`a config with ${name} is refused by name`, () => {
    assertThrows(() => parseConfig(input), ShaktiError, ...parts)
  })
}

test('counting needs no memory for the model', () => {
  const before = process.memoryUsage().rss
  countParameters(shaktiVlm4B)
  assert.ok(process.memoryUsage().rss - before < 50e6)
})

test.run()
