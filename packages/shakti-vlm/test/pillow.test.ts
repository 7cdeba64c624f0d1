// Pixels against Pillow's: fixtures/pillow.py made the files, and what Pillow makes of them.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { ImageProcessor, resizeBicubic } from '../src/index.js'
import { assert, test } from './assert.js'

interface Case {
  kind: 'resize' | 'exact' | 'jpeg' | 'cmyk'
  file: string
  /** Height and width of the upright file. */
  from: [number, number]
  height: number
  width: number
  expected: string
}

const path = (file: string): string =>
  fileURLToPath(new URL(`fixtures/pillow/${file}`, import.meta.url))
const { cases } = JSON.parse(readFileSync(path('cases.json'), 'utf8')) as { cases: Case[] }
const of = (kind: Case['kind']): Case[] => {
  const some = cases.filter((c) => c.kind === kind)
  assert.ok(some.length > 0, kind)
  return some
}

/** Of an RGB PNG that is read as it lies. */
const raw = (file: string): Promise<Buffer> =>
  sharp(path(file)).toColourspace('srgb').raw().toBuffer()

/** 8-bit steps between two pictures. */
function steps(got: ArrayLike<number>, want: Uint8Array): { most: number; mean: number } {
  assert.is(got.length, want.length)
  let [most, sum] = [0, 0]
  want.forEach((v, i) => {
    const off = Math.abs(got[i]! - v)
    most = Math.max(most, off)
    sum += off
  })
  return { most, mean: sum / want.length }
}

/** The picture of a case as `encode` makes it, back in 8-bit steps. */
async function encoded({ file, height, width }: Case): Promise<number[]> {
  const processor = new ImageProcessor({
    vision: { patchSizes: [4], maxPatches: 4096 },
    merge: 1,
    minPixels: height * width,
    maxPixels: height * width,
  })
  const image = await processor.encode(path(file))
  assert.equal([image.height, image.width], [height, width], file)
  return Array.from(image.pixels, (v) => Math.round((v + 1) * 127.5))
}

test('the resize is Pillow’s to the bit: shrinking, enlarging, one axis, one row, one pixel', async () => {
  for (const { file, from, height, width, expected } of of('resize')) {
    const source = { height: from[0], width: from[1] }
    const got = await resizeBicubic(await raw(file), source, { height, width })
    assert.equal(steps(got, await raw(expected)).most, 0, expected)
  }
})

test('a resize to the same size gives the same bytes', async () => {
  const rgb = Uint8Array.from({ length: 5 * 4 * 3 }, (_, i) => (i * 37) % 256)
  const size = { height: 5, width: 4 }
  assert.equal(await resizeBicubic(rgb, size, size), rgb)
})

test('grey, palette, bilevel, 16-bit, alpha on white and all eight orientations are Pillow’s to the bit', async () => {
  for (const c of of('exact'))
    assert.equal(steps(await encoded(c), await raw(c.expected)).most, 0, c.expected)
})

// Decoders may differ in the inverse DCT and in how they bring up chroma; sharp's and Pillow 9.4's do not.
test('a JPEG is Pillow’s within 2 steps, 0.1 in the mean', async () => {
  for (const c of of('jpeg')) {
    const { most, mean } = steps(await encoded(c), await raw(c.expected))
    assert.ok(most <= 2 && mean <= 0.1, `${c.expected}: most ${most}, mean ${mean}`)
  }
})

test('a CMYK JPEG is Pillow’s within 2 steps, 0.1 in the mean: inks are multiplied, no profile is asked', async () => {
  for (const c of of('cmyk')) {
    const { most, mean } = steps(await encoded(c), await raw(c.expected))
    assert.ok(most <= 2 && mean <= 0.1, `${c.expected}: most ${most}, mean ${mean}`)
  }
})

test.run()
