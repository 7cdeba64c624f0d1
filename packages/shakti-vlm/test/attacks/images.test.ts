import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateSync } from 'node:zlib'
import sharp from 'sharp'
import { ImageError, ImageProcessor, tiny1B } from '../../src/index.js'
import { assert, test } from '../assert.js'

const processor = new ImageProcessor({ vision: tiny1B.vision, merge: 2 })

async function refused(source: string | Uint8Array, parts: string[], p = processor): Promise<void> {
  let error: unknown
  try {
    await p.encode(source)
  } catch (e) {
    error = e
  }
  assert.ok(error instanceof ImageError, `expected ImageError, got ${String(error)}`)
  for (const part of parts)
    assert.ok(error.message.includes(part), `'${error.message}' does not name '${part}'`)
}

/** A PNG whose header claims a size that its few bytes do not fill. */
function bomb(width: number, height: number): Buffer {
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type), data])
    const out = Buffer.alloc(body.length + 8)
    out.writeUInt32BE(data.length)
    body.copy(out, 4)
    out.writeUInt32BE(crc(body), body.length + 4)
    return out
  }
  const head = Buffer.alloc(13)
  head.writeUInt32BE(width)
  head.writeUInt32BE(height, 4)
  head.set([8, 2, 0, 0, 0], 8)
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', head),
    chunk('IDAT', deflateSync(Buffer.alloc(1000))),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

function crc(data: Buffer): number {
  let c = ~0
  for (const byte of data) {
    c ^= byte
    for (let k = 0; k < 8; k++) c = (c >>> 1) ^ (c & 1 ? 0xedb88320 : 0)
  }
  return ~c >>> 0
}

test('a bomb is refused by its header, before anything is decoded', async () => {
  const before = process.memoryUsage().rss
  await refused(bomb(30_000, 30_000), [])
  await refused(bomb(2 ** 31 - 1, 2 ** 31 - 1), [])
  assert.ok(process.memoryUsage().rss - before < 100e6)
})

test('the pixel limit and the byte limit name both values', async () => {
  const png = await sharp({ create: { width: 60, height: 50, channels: 3, background: 'red' } })
    .png()
    .toBuffer()
  const config = { vision: tiny1B.vision, merge: 2 }
  await refused(png, ['2999'], new ImageProcessor(config, { maxDecodedPixels: 2999 }))
  await refused(
    png,
    [`${png.length} bytes`, 'limit of 10'],
    new ImageProcessor(config, { maxBytes: 10 }),
  )
  assert.is((await new ImageProcessor(config, { maxDecodedPixels: 3000 }).encode(png)).width, 60)
})

test('truncated and damaged files are errors, at every place of the cut', async () => {
  const noise = sharp(
    Buffer.from(Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7919) % 251)),
    { raw: { width: 64, height: 64, channels: 3 } },
  )
  for (const bytes of [
    await noise.clone().png().toBuffer(),
    await noise.clone().jpeg().toBuffer(),
    await noise.clone().webp().toBuffer(),
  ]) {
    for (const share of [0.02, 0.3, 0.7, 0.95])
      await refused(bytes.subarray(0, Math.floor(bytes.length * share)), ['cannot be read'])
  }
})

test('what is no image is refused: nothing, text, random bytes', async () => {
  await refused(new Uint8Array(0), [])
  await refused(Buffer.from('<html>'), ['cannot be read'])
  await refused(
    Uint8Array.from({ length: 5000 }, (_, i) => (i * 31 + (i >> 3)) & 255),
    ['cannot be read'],
  )
})

test('what is neither a path nor bytes is refused', async () => {
  for (const source of [null, undefined, 5, {}, [1, 2], new Float32Array(4)])
    await refused(source as never, ['a path or the bytes'])
})

test('formats that can reach for other files are not read', async () => {
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" width="50" height="50"><image href="file:///etc/passwd" width="50" height="50"/></svg>'
  await refused(Buffer.from(svg), ['svg'])
})

test('an extreme shape is refused, not resized to nothing', async () => {
  await refused(
    await sharp({ create: { width: 1000, height: 4, channels: 3, background: 'red' } })
      .png()
      .toBuffer(),
    ['200 times'],
  )
})

test('a path that is missing, a folder, or too large a file says so', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'shakti-image-'))
  try {
    await refused(join(folder, 'none.png'), ['none.png', 'ENOENT'])
    await mkdir(join(folder, 'folder.png'))
    await refused(join(folder, 'folder.png'), ['not a file'])
    await writeFile(join(folder, 'large.png'), Buffer.alloc(5000))
    await refused(
      join(folder, 'large.png'),
      ['5000 bytes'],
      new ImageProcessor({ vision: tiny1B.vision, merge: 2 }, { maxBytes: 4999 }),
    )
  } finally {
    await rm(folder, { recursive: true })
  }
})

test.run()
