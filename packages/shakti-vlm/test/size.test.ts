// Bounds on the pixels of an image, and its tokens before it is read.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import {
  chooseSize,
  chunkLength,
  ImageError,
  ImageProcessor,
  PromptError,
  seededRandom,
  shaktiVlm1B,
  splice,
  tiny1B,
  type ProcessorConfig,
} from '../src/index.js'
import { assert, assertThrows, rejects, test } from './assert.js'

const big: ProcessorConfig = { vision: shaktiVlm1B.vision, merge: 2 }
const small = new ImageProcessor({ vision: tiny1B.vision, merge: 2 })
const imageToken = 5

const png = (width: number, height: number, background = '#3070b0'): Promise<Buffer> =>
  sharp({ create: { width, height, channels: 3, background } })
    .png()
    .toBuffer()

/** Sides from 1 to `most`, small ones as often as large ones, at most 200 times apart. */
function* sizes(n: number, most: number): Generator<[number, number]> {
  const random = seededRandom(11)
  const side = (): number => Math.max(1, Math.floor(most ** random()))
  while (n > 0) {
    const [h, w] = [side(), side()]
    if (Math.max(h / w, w / h) > 200) continue
    yield [h, w]
    n--
  }
}

test('with one patch size the bounds act as smart_resize of Qwen2-VL', () => {
  // Its formula on its own numbers: factor 28, 3,136 to 1,003,520 pixels.
  const [unit, least, most] = [28, 56 * 56, 28 * 28 * 1280]
  const smart = (h: number, w: number): [number, number] => {
    const near = [h, w].map((v) => Math.max(unit, Math.round(v / unit) * unit)) as [number, number]
    if (near[0] * near[1] > most) {
      const by = Math.sqrt((h * w) / most)
      return [Math.floor(h / by / unit) * unit, Math.floor(w / by / unit) * unit]
    }
    if (near[0] * near[1] >= least) return near
    const by = Math.sqrt(least / (h * w))
    return [Math.ceil((h * by) / unit) * unit, Math.ceil((w * by) / unit) * unit]
  }
  const config: ProcessorConfig = {
    vision: { patchSizes: [14], maxPatches: 1 << 20 },
    merge: 2,
    minPixels: least,
    maxPixels: most,
  }
  let compared = 0
  for (const [h, w] of sizes(2000, 8000)) {
    const want = smart(h, w)
    if (Math.min(...want) < unit) continue
    const { height, width } = chooseSize(h, w, config)
    assert.equal([height, width], want, `${h} x ${w}`)
    compared++
  }
  assert.ok(compared > 1000)
})

test('the size lies within the bounds wherever a multiple of patch times merge does', () => {
  for (const [h, w] of sizes(3000, 12_000)) {
    for (const bounds of [
      { minPixels: 448 * 448 },
      { maxPixels: 448 * 448 },
      { minPixels: 300_000, maxPixels: 700_000 },
      { minPixels: 1000, maxPixels: 1000 },
    ]) {
      const s = chooseSize(h, w, { ...big, ...bounds })
      const unit = s.patch * 2
      const area = s.height * s.width
      const what = `${h} x ${w} with ${JSON.stringify(bounds)} became ${s.height} x ${s.width}`
      assert.is(s.height % unit, 0, what)
      assert.is(s.width % unit, 0, what)
      assert.ok(area > 0 && area / s.patch ** 2 <= 4096, what)
      assert.ok(area <= (bounds.maxPixels ?? Infinity), what)
      if (bounds.maxPixels === undefined) assert.ok(area >= bounds.minPixels!, what)
    }
  }
})

test('the patch size is that of the picture as it will be seen', () => {
  assert.is(chooseSize(3000, 3000, big).patch, 32)
  assert.equal(chooseSize(3000, 3000, { ...big, maxPixels: 448 * 448 }), {
    patch: 14,
    height: 448,
    width: 448,
  })
  // 1000 / sqrt(1000 * 1000 / 896^2) is 896 but for rounding: no row of patches is lost.
  assert.is(chooseSize(1000, 1000, { ...big, maxPixels: 896 * 896 }).height, 896)
  assert.is(chooseSize(10, 10, { ...big, minPixels: 1500 * 1500 }).patch, 24)
})

test('bounds that no image could satisfy are refused by name', () => {
  const refused = (bounds: Partial<ProcessorConfig>, ...parts: string[]): void => {
    assertThrows(() => new ImageProcessor({ ...big, ...bounds }), ImageError, ...parts)
  }
  refused({ minPixels: 2000, maxPixels: 1000 }, 'minPixels', '2000', '1000')
  refused({ maxPixels: 783 }, 'maxPixels', '784')
  refused({ minPixels: 0 }, 'minPixels')
  refused({ maxPixels: NaN }, 'maxPixels')
  refused({ merge: 0 }, 'merge')
  refused({ std: [0.5, 0, 0.5] }, 'std')
  refused({ vision: { patchSizes: [16, 14], maxPatches: 9 } }, 'patchSizes', '16, 14')
  refused({ vision: { patchSizes: [14], maxPatches: 3 } }, 'maxPatches', '4')
  // A forced patch may be too large for a bound that the smallest one keeps.
  assertThrows(
    () => chooseSize(99, 99, { ...big, maxPixels: 1000 }, 32),
    ImageError,
    '64 x 64',
    '1000',
  )
})

test('mean and deviation may differ by channel', async () => {
  const config = { vision: tiny1B.vision, merge: 2 }
  const mean = [0.1, 0.2, 0.3] as const
  const std = [1, 2, 4] as const
  const { pixels } = await new ImageProcessor({ ...config, mean, std }).encode(
    await png(8, 8, '#ffffff'),
  )
  assert.equal(
    Array.from(pixels.slice(0, 3), (v) => v.toFixed(4)),
    ['0.9000', '0.4000', '0.1750'],
  )
})

test('the count from the header is the number of tokens that encode gives', async () => {
  const bounded = new ImageProcessor({ ...small.config, minPixels: 400, maxPixels: 1500 })
  for (const [h, w] of sizes(40, 400)) {
    const file = await png(w, h)
    for (const processor of [small, bounded]) {
      const tokens = processor.tokens(await processor.encode(file))
      assert.is(await processor.count(file), tokens, `${h} x ${w}`)
      assert.is(await processor.count({ height: h, width: w }), tokens, `${h} x ${w}`)
    }
    assert.is(
      await small.count(file, { patch: 8 }),
      small.tokens(await small.encode(file, { patch: 8 })),
    )
  }
})

test('the count of a picture that lies on its side is that of the upright one', async () => {
  const lying = await sharp(await png(64, 24))
    .jpeg()
    .withMetadata({ orientation: 8 })
    .toBuffer()
  assert.equal(await small.measure(lying), { patch: 4, height: 64, width: 24 })
  const upright = await small.encode(lying)
  assert.equal([upright.height, upright.width], [64, 24])
})

test('counting reads the header alone', async () => {
  const noise = Buffer.from(Uint8Array.from({ length: 300 * 300 * 3 }, (_, i) => (i * 7919) % 251))
  const whole = await sharp(noise, { raw: { width: 300, height: 300, channels: 3 } })
    .png()
    .toBuffer()
  const start = whole.subarray(0, 2000)
  assert.is(await small.count(start), await small.count(whole))
  await rejects(small.encode(start), ImageError, 'cannot be read')
})

test('what is too large is refused by count as by encode, with its size', async () => {
  const strict = new ImageProcessor(small.config, { maxDecodedPixels: 2999 })
  for (const source of [await png(60, 50), { height: 50, width: 60 }])
    await rejects(strict.count(source), ImageError, '60 x 50', '2999')
  await rejects(small.count({ height: 0, width: 3 }), ImageError, '0 x 3')
  await rejects(small.count({ height: 1.5, width: 3 } as never), ImageError, 'a path or the bytes')
})

test('a prompt of three images of several sizes, one of them twice, is counted and encoded alike', async () => {
  const [a, b, c] = [await png(48, 48), await png(100, 30, 'red'), await png(1, 1, 'white')]
  const ids = [1, imageToken, 2, imageToken, imageToken, 3, imageToken]
  const sources = [a, b, c, a]
  const list = await small.encodePrompt(ids, sources, { imageToken })
  assert.is(await small.countPrompt(ids, sources, { imageToken }), chunkLength(list))
  const images = list.filter((chunk) => chunk.kind === 'image')
  const counts = await Promise.all(sources.map((s) => small.count(s)))
  assert.equal(
    images.map((chunk) => chunk.tokens),
    counts,
  )
  assert.is(new Set(counts).size, 3)
  assert.is(images[3]!.hash, images[0]!.hash)
  assert.is(new Set(images.map((chunk) => chunk.hash)).size, 3)
  const { ids: spliced, spans } = splice(list, { imageToken })
  assert.equal(
    spans.map(({ start, end }) => end - start),
    counts,
  )
  assert.is(
    spliced.filter((id) => id === imageToken).length,
    counts.reduce((n, t) => n + t),
  )
})

test('the same picture from another file has the same hash', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'shakti-size-'))
  try {
    const path = join(folder, 'a.png')
    await writeFile(path, await png(48, 48))
    const list = await small.encodePrompt([imageToken, imageToken], [path, await png(48, 48)], {
      imageToken,
    })
    const [x, y] = list.map((chunk) => (chunk.kind === 'image' ? chunk.hash : ''))
    assert.is(x, y)
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('a prompt that names more or fewer images than there are is refused before a file is opened', async () => {
  // A missing file would be an ImageError: it is never looked at.
  const none = '/none.png'
  const call = { imageToken }
  await rejects(small.encodePrompt([1, 2], [none], call), PromptError, '0 images', '1 were')
  await rejects(small.encodePrompt([1, imageToken], [], call), PromptError, '1 images', '0 were')
  await rejects(
    small.countPrompt([imageToken, imageToken], [none], call),
    PromptError,
    '2 images',
    '1 were',
  )
  await rejects(small.countPrompt([imageToken], [none], call), ImageError, 'ENOENT')
})

test.run()
