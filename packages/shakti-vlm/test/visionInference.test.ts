import { manualSeed, memory, noGrad, resetPeakMemoryStats, tidy } from '@shakti/tensor'
import { nano, ShaktiVlm, type EncodedImage } from '../src/index.js'
import { assert, counts, test } from './assert.js'

const image = (height: number, width: number, patch: number): EncodedImage => ({
  height,
  width,
  patch,
  pixels: Float32Array.from({ length: height * width * 3 }, (_, i) => Math.sin(0.7 * i)),
})

const visual = (model: ShaktiVlm, images: EncodedImage[]): Promise<Float32Array> =>
  tidy(() => noGrad(() => model.encodeImages(images).float())).data() as Promise<Float32Array>

test('an encoder in bf16 sees what it sees in f32: at the base patch, at another, several sizes packed', async () => {
  manualSeed(3)
  const model = new ShaktiVlm(nano)
  const inputs = [[image(16, 16, 8)], [image(16, 16, 4)], [image(16, 16, 8), image(8, 16, 4)]]
  const want: Float32Array[] = []
  for (const images of inputs) want.push(await visual(model, images))
  model.to({ dtype: 'bf16' })
  assert.is(
    tidy(() => noGrad(() => model.encodeImages(inputs[1]!).dtype)),
    'bf16',
  )
  for (const [i, images] of inputs.entries()) {
    const got = await visual(model, images)
    const norm = (v: Float32Array): number => Math.sqrt(v.reduce((s, x) => s + x * x, 0))
    const off = norm(got.map((x, k) => x - want[i]![k]!)) / norm(want[i]!)
    // 2^-8 to a rounding, a few dozen of them one after the other.
    assert.ok(off < 0.03, `input ${i}: relative error ${off}`)
    assert.ok(off > 0, 'the two were not computed apart')
  }
})

test('without gradients the encoder holds the activations of one layer, however many there are', async () => {
  const grown = async (layers: number): Promise<number> => {
    const model = new ShaktiVlm({ ...nano, vision: { ...nano.vision, layers, maxPatches: 256 } })
    await visual(model, [image(64, 64, 4)])
    resetPeakMemoryStats()
    const before = counts().liveBytes
    await visual(model, [image(64, 64, 4)])
    return memory().peakBytes - before
  }
  const [few, many] = [await grown(3), await grown(24)]
  assert.ok(few > 0 && many < 1.5 * few, `3 layers ${few} bytes, 24 layers ${many}`)
})

test.run()
