import sharp, { type Sharp } from 'sharp'
import {
  chooseSize,
  fittingPatchSizes,
  ImageError,
  ImageProcessor,
  normalizePixels,
  shaktiVlm1B,
  tiny1B,
  type ProcessorConfig,
} from '../src/index.js'
import { assert, assertClose, assertThrows, test } from './assert.js'

const big: ProcessorConfig = { vision: shaktiVlm1B.vision, merge: 2 }
const small: ProcessorConfig = { vision: tiny1B.vision, merge: 2 }
const processor = new ImageProcessor(small)

/** Red left half, blue right half: 48 x 48. */
const halves = (channels: 3 | 4 = 3, alpha = 255): Buffer => {
  const data = Buffer.alloc(48 * 48 * channels)
  for (let i = 0; i < 48 * 48; i++) {
    const left = i % 48 < 24
    data.set(left ? [255, 0, 0] : [0, 0, 255], i * channels)
    if (channels === 4) data[i * 4 + 3] = alpha
  }
  return data
}
const picture = (): Sharp => sharp(halves(), { raw: { width: 48, height: 48, channels: 3 } })
const at = (pixels: Float32Array, width: number, row: number, column: number): number[] =>
  Array.from(pixels.slice((row * width + column) * 3, (row * width + column) * 3 + 3))

test('the smallest patch size with at most 4,096 patches is chosen, as PAPER.md 6.4 lists', () => {
  for (const [side, patch] of [
    [896, 14],
    [897, 16],
    [1024, 16],
    [1025, 20],
    [1280, 20],
    [1281, 24],
    [1536, 24],
    [1792, 28],
    [2048, 32],
    [5000, 32],
  ] as const) {
    assert.is(chooseSize(side, side, big).patch, patch, `${side}`)
  }
})

test('sizes are multiples of patch times merge, never above the budget, with the aspect ratio about kept', () => {
  for (const [h, w] of [
    [1, 1],
    [1, 200],
    [200, 1],
    [37, 1000],
    [640, 480],
    [3000, 4000],
    [10_000, 60],
    [60, 10_000],
    [20_000, 20_000],
    [2048, 2100],
  ] as const) {
    for (const config of [big, small]) {
      const s = chooseSize(h, w, config)
      const unit = s.patch * config.merge
      assert.is(s.height % unit, 0)
      assert.is(s.width % unit, 0)
      assert.ok(s.height >= unit && s.width >= unit)
      const patches = (s.height / s.patch) * (s.width / s.patch)
      assert.ok(patches <= config.vision.maxPatches, `${h} x ${w}: ${patches}`)
      if (Math.min(s.height, s.width) > 8 * unit)
        assert.ok(
          Math.abs(Math.log(s.height / s.width / (h / w))) < 0.15,
          `${h} x ${w} became ${s.height} x ${s.width}`,
        )
    }
  }
})

test('a patch size may be forced, and those that fit are listed', () => {
  assert.equal(fittingPatchSizes(48, 48, small), [4, 6, 8])
  assert.equal(fittingPatchSizes(72, 72, small), [6, 8])
  assert.equal(chooseSize(48, 48, small, 8), { patch: 8, height: 48, width: 48 })
  assert.equal(chooseSize(96, 96, small, 4), { patch: 4, height: 48, width: 48 })
  assertThrows(() => chooseSize(48, 48, small, 5), ImageError, '5', '4, 6, 8')
})

test('impossible sizes are refused', () => {
  assertThrows(() => chooseSize(1, 201, big), ImageError, '200 times')
  assertThrows(() => chooseSize(0, 5, big), ImageError, '0 x 5')
  assertThrows(() => chooseSize(NaN, 5, big), ImageError)
})

test('pixels run from -1 to 1, row by row', () => {
  assertClose(normalizePixels(Uint8Array.of(0, 255, 51)), [-1, 1, -0.6], 1e-6)
})

test('a PNG comes out as it is, whether from bytes or from a path', async () => {
  const bytes = await picture().png().toBuffer()
  const e = await processor.encode(bytes)
  assert.equal([e.height, e.width, e.patch, e.pixels.length], [48, 48, 4, 48 * 48 * 3])
  assertClose(at(e.pixels, 48, 7, 3), [1, -1, -1], 1e-6)
  assertClose(at(e.pixels, 48, 7, 40), [-1, -1, 1], 1e-6)
  assert.is(processor.tokens(e), 36)
})

test('an EXIF orientation turns the picture upright, its sides included', async () => {
  // Orientation 6: turn by 90 degrees clockwise; the left half comes to the top.
  const bytes = await picture()
    .resize(48, 24, { fit: 'fill' })
    .jpeg({ quality: 100 })
    .withMetadata({ orientation: 6 })
    .toBuffer()
  const e = await processor.encode(bytes)
  assert.equal([e.height, e.width], [48, 24])
  assertClose(at(e.pixels, 24, 4, 12), [1, -1, -1], 0.1)
  assertClose(at(e.pixels, 24, 44, 12), [-1, -1, 1], 0.1)
})

test('transparency shows white', async () => {
  const bytes = await sharp(halves(4, 0), { raw: { width: 48, height: 48, channels: 4 } })
    .png()
    .toBuffer()
  assert.ok((await processor.encode(bytes)).pixels.every((v) => v > 0.99))
})

test('grey, grey with alpha, 16-bit and CMYK become RGB', async () => {
  const grey = await processor.encode(await picture().greyscale().png().toBuffer())
  const [r, g, b] = at(grey.pixels, 48, 5, 5)
  assertClose([r!, g!], [b!, b!], 1e-6)
  const alpha = await sharp(halves(4, 255), { raw: { width: 48, height: 48, channels: 4 } })
    .toColourspace('b-w')
    .png()
    .toBuffer()
  assert.is((await processor.encode(alpha)).pixels.length, 48 * 48 * 3)
  const deep = await processor.encode(await picture().toColourspace('rgb16').png().toBuffer())
  assertClose(at(deep.pixels, 48, 5, 5), [1, -1, -1], 0.02)
  const cmyk = await processor.encode(
    await picture().toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer(),
  )
  assert.is(cmyk.pixels.length, 48 * 48 * 3)
  const [cr, , cb] = at(cmyk.pixels, 48, 5, 5)
  assert.ok(cr! > cb! + 0.5, `${cr} ${cb}`)
})

test('an animation gives its first frame', async () => {
  const frames = Buffer.concat([halves(), Buffer.alloc(48 * 48 * 3)])
  const gif = await sharp(frames, { raw: { width: 48, height: 96, channels: 3, pageHeight: 48 } })
    .gif({ delay: [100, 100] })
    .toBuffer()
  assert.is((await sharp(gif).metadata()).pages, 2)
  const e = await processor.encode(gif)
  assert.equal([e.height, e.width], [48, 48])
  assertClose(at(e.pixels, 48, 5, 5), [1, -1, -1], 0.05)
})

test('one pixel is an image', async () => {
  const e = await processor.encode(
    await sharp({ create: { width: 1, height: 1, channels: 3, background: 'red' } })
      .png()
      .toBuffer(),
  )
  assert.equal([e.height, e.width, e.patch], [8, 8, 4])
  assertClose(at(e.pixels, 8, 3, 3), [1, -1, -1], 0.01)
})

test.run()
