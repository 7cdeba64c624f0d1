// Models that run in bf16 throughout, beside the same weights in f32.
import { manualSeed, noGrad, tidy, type DType } from '@shakti/tensor'
import {
  generate,
  nano,
  shaktiVlm1B,
  shaktiVlm4B,
  ShaktiVlm,
  tiny1B,
  type ShaktiVlmConfigInput,
} from '../src/index.js'
import { assert, test } from './assert.js'
import { relativeDifference } from './folder.js'

const imageOf = (rows: number, columns: number, patch: number) => ({
  pixels: Float32Array.from({ length: rows * columns * patch * patch * 3 }, (_, i) =>
    Math.sin(i * 0.37),
  ),
  height: rows * patch,
  width: columns * patch,
  patch,
})

// The attention of the real models, of which one or two layers are enough; narrow elsewhere. In the encoder heads do not share
// anything: four of the real size are enough.
const real = ({ vision, decoder }: typeof shaktiVlm1B): ShaktiVlmConfigInput => ({
  vision: {
    ...vision,
    layers: 2,
    preNormLayers: 1,
    heads: 4,
    width: (4 * vision.width) / vision.heads,
    mlp: 64,
  },
  projector: { merge: 2 },
  decoder: { ...decoder, layers: 1, ffn: 64, vocab: 256 },
})

const cases: readonly [string, ShaktiVlmConfigInput, number, number][] = [
  ['nano', { ...nano, imageToken: 5 }, 4, 0.02],
  [
    'tiny-1b, with another number of key heads in each layer',
    { ...tiny1B, imageToken: 5 },
    4,
    0.03,
  ],
  [
    'heads of 96 in the encoder, 128 and 16/4 in the decoder',
    { ...real(shaktiVlm1B), imageToken: 5 },
    14,
    0.02,
  ],
  [
    'heads of 80 in the encoder, 128 and 32/8 in the decoder',
    { ...real(shaktiVlm4B), imageToken: 5 },
    16,
    0.02,
  ],
]

for (const [name, config, patch, tolerance] of cases) {
  test(`bf16 agrees with f32 within ${tolerance} of the length of the logits: ${name}`, () => {
    manualSeed(11)
    const m = new ShaktiVlm(config).to({ dtype: 'bf16' })
    m.eval()
    const images = [imageOf(4, 4, patch)]
    const ids = Int32Array.of(1, 5, 5, 5, 5, 2, 3)
    const run = (dtype: DType) =>
      tidy(() =>
        noGrad(() => {
          const tokens = m.encodeImages(images)
          const hidden = m.forward({ ids, rows: 1, length: 7, images })
          const logits = m.logits(hidden)
          assert.equal([tokens.dtype, hidden.dtype, logits.dtype], [dtype, dtype, dtype])
          return [tokens, logits].map((t) => t.float().dataSync() as Float32Array)
        }),
      )
    const low = run('bf16')
    // The very same numbers, since every bf16 is an f32.
    m.to({ dtype: 'f32' })
    const high = run('f32')
    for (const [i, what] of ['visual tokens', 'logits'].entries()) {
      const off = relativeDifference(low[i]!, high[i]!)
      assert.ok(off < tolerance && off > 1e-5, `${what}: ${off}`)
    }
  })
}

test('the base patch, which is not resized, and several sizes at once run in bf16 too', () => {
  manualSeed(12)
  const m = new ShaktiVlm(nano).to({ dtype: 'bf16' })
  const images = [imageOf(2, 2, 8), imageOf(4, 2, 4)]
  const low = noGrad(() => m.encodeImages(images).float()).dataSync() as Float32Array
  m.to({ dtype: 'f32' })
  const high = noGrad(() => m.encodeImages(images)).dataSync() as Float32Array
  assert.ok(relativeDifference(low, high) < 0.02)
})

test('generation over a cache in bf16 gives the tokens of whole passes', async () => {
  manualSeed(13)
  const m = new ShaktiVlm(tiny1B).to({ dtype: 'bf16' })
  const ids = [3, 1, 4]
  for await (const { id } of generate(m, { ids: [...ids] }, { maxTokens: 6 })) {
    const given = { ids: Int32Array.from(ids), rows: 1, length: ids.length }
    const whole = noGrad(() =>
      m
        .logits(m.forward(given))
        .float()
        .select(1, ids.length - 1),
    )
    const scores = whole.dataSync() as Float32Array
    // Rounded sums may swap neighbours; the token is one of the best, within what bf16 resolves.
    assert.ok(scores[id]! >= Math.max(...scores) - 0.05 * Math.abs(Math.max(...scores)))
    ids.push(id)
  }
  assert.is(ids.length, 9)
})

test.run()
