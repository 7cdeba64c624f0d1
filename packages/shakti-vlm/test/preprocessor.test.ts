// preprocessor_config.json, there and back.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FileFormatError } from '@shakti/tensor'
import {
  fromHfPreprocessor,
  nano,
  processorFromPretrained,
  savePretrained,
  shaktiVlm1B,
  ShaktiVlm,
  toHfPreprocessor,
} from '../src/index.js'
import { assert, assertThrows, rejects, test } from './assert.js'

const { vision } = shaktiVlm1B
const { patchSizes, maxPatches } = vision

test('a config comes back as it was written, bounds, means and deviations included', () => {
  const config = {
    vision: { patchSizes, maxPatches },
    merge: 2,
    minPixels: 3136,
    maxPixels: 802_816,
    mean: [0.48, 0.46, 0.41],
    std: [0.27, 0.26, 0.28],
  } as const
  assert.equal(fromHfPreprocessor(JSON.parse(JSON.stringify(toHfPreprocessor(config)))), config)
})

test('defaults are written out, and bounds only where there are some', () => {
  assert.equal(toHfPreprocessor({ vision, merge: 2 }), {
    image_processor_type: 'ShaktiImageProcessor',
    patch_sizes: patchSizes,
    max_patches: 4096,
    merge_size: 2,
    image_mean: [0.5, 0.5, 0.5],
    image_std: [0.5, 0.5, 0.5],
    resample: 3,
  })
})

test('a file is refused by the field that does not fit', () => {
  const good = toHfPreprocessor({ vision, merge: 2 })
  const refused = (change: Record<string, unknown>, ...parts: string[]): void => {
    assertThrows(
      () => fromHfPreprocessor({ ...good, ...change }, 'p.json'),
      FileFormatError,
      'p.json',
      ...parts,
    )
  }
  refused({ image_processor_type: 'CLIPImageProcessor' }, 'image_processor_type')
  refused({ resample: 2 }, 'resample')
  refused({ do_center_crop: true }, 'do_center_crop')
  refused({ patch_sizes: [] }, 'patch_sizes')
  refused({ patch_sizes: [16, 14] }, 'ascend')
  refused({ merge_size: 5 }, 'merge_size')
  refused({ max_patches: undefined }, 'max_patches')
  refused({ image_mean: [0.5] }, 'image_mean')
  refused({ image_std: [0, 1, 1] }, 'std')
  refused({ min_pixels: 1.5 }, 'min_pixels')
  refused({ min_pixels: 9000, max_pixels: 8000 }, '9000', '8000')
  assertThrows(() => fromHfPreprocessor(null), FileFormatError, 'preprocessor_config.json')
})

test('a model is saved with its processor, which is read back and compared with the model', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'shakti-preprocessor-'))
  const model = new ShaktiVlm(nano)
  try {
    const processor = { vision: nano.vision, merge: 2, minPixels: 64, maxPixels: 512 }
    await savePretrained(model, folder, { processor })
    const read = await processorFromPretrained(folder)
    assert.is(read.config.maxPixels, 512)
    assert.is(await read.count({ height: 100, width: 100 }), 1)

    const file = join(folder, 'preprocessor_config.json')
    const json = JSON.parse(await readFile(file, 'utf8')) as object
    const refused = async (change: object, ...parts: string[]): Promise<void> => {
      await writeFile(file, JSON.stringify({ ...json, ...change }))
      await rejects(processorFromPretrained(folder), FileFormatError, file, ...parts)
    }
    await refused({ patch_sizes: [4, 6] }, 'patch_sizes', '6')
    await refused({ max_patches: 17 }, 'max_patches', '17', '16')
    await refused({ merge_size: 1, max_pixels: 5000 }, 'merge_size')
    await rm(file)
    await rejects(processorFromPretrained(folder), FileFormatError, 'ENOENT')
  } finally {
    await rm(folder, { recursive: true })
  }
})

test.run()
