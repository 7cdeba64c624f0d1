// A training that can go on: counts.bin and merges.bin in a folder, each written whole or not at all.

import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FileFormatError } from '../errors.js'
import { parseJson, writeAtomic } from './files.js'
import type { MergeState } from '../train/merge-loop.js'
import { WordCounts } from '../train/word-counts.js'
import type { Pruned } from '../train/word-counts.js'

/** How far counting is. */
export interface CountState {
  readonly words: WordCounts
  /** Chunks that are in `words`, and their bytes. */
  readonly chunks: number
  readonly through: number
  readonly complete: boolean
}

type Column = Uint8Array | Int32Array | Float64Array

const MAGIC = 'shakti-train-1\n'

export class Checkpoint {
  private readonly counts: string
  private readonly merges: string
  private readonly fingerprint: string

  /** `training` is all that the result depends on; a checkpoint of another training is refused. */
  constructor(folder: string, training: unknown) {
    this.counts = join(folder, 'counts.bin')
    this.merges = join(folder, 'merges.bin')
    this.fingerprint = createHash('sha256').update(JSON.stringify(training)).digest('hex')
  }

  async saveCounts({ words, chunks, through, complete }: CountState): Promise<void> {
    const { bytes, lengths, counts } = words.columns()
    const header = { chunks, through, complete, pruned: words.pruned }
    await this.write(this.counts, header, [bytes, lengths, counts])
  }

  async loadCounts(): Promise<CountState | undefined> {
    const file = await this.read<Omit<CountState, 'words'> & { pruned: Pruned }>(this.counts)
    if (file === undefined) return undefined
    const [bytes, lengths, counts] = file.columns as [Uint8Array, Int32Array, Float64Array]
    const words = WordCounts.from({ bytes, lengths, counts }, file.header.pruned)
    return { ...file.header, words }
  }

  async saveMerges({ merges, ids }: MergeState): Promise<void> {
    await this.write(this.merges, {}, [merges, ids])
  }

  async loadMerges(positions: number): Promise<MergeState | undefined> {
    const file = await this.read(this.merges)
    if (file === undefined) return undefined
    const [merges, ids] = file.columns as [Int32Array, Int32Array]
    if (ids.length !== positions) {
      throw new FileFormatError(this.merges, 'ids', `are ${ids.length}, not ${positions}.`)
    }
    return { merges, ids }
  }

  private async write(path: string, header: object, columns: readonly Column[]): Promise<void> {
    const fields = columns.map((column) => [column.BYTES_PER_ELEMENT, column.length])
    const { fingerprint } = this
    const text = `${MAGIC}${JSON.stringify({ fingerprint, fields, ...header })}\n`
    // Padded, so that every column begins at a multiple of 8.
    const head = Buffer.from(text.slice(0, -1).padEnd(Math.ceil(text.length / 8) * 8 - 1) + '\n')
    const parts: Uint8Array[] = [head]
    for (const column of columns) {
      parts.push(new Uint8Array(column.buffer, column.byteOffset, column.byteLength))
      parts.push(new Uint8Array(-column.byteLength & 7))
    }
    await writeAtomic(path, Buffer.concat(parts))
  }

  private async read<Header>(
    path: string,
  ): Promise<{ header: Header; columns: Column[] } | undefined> {
    const file = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    if (file === undefined) return undefined
    if (file.toString('latin1', 0, MAGIC.length) !== MAGIC) {
      throw new FileFormatError(path, 'file', 'is no checkpoint of a training.')
    }
    const end = file.indexOf(0x0a, MAGIC.length) + 1
    const header = parseJson(file.toString('utf8', MAGIC.length, end), path) as Header & {
      fingerprint: string
      fields: [number, number][]
    }
    if (header.fingerprint !== this.fingerprint) {
      throw new FileFormatError(
        path,
        'fingerprint',
        'is that of a training with other texts or options. Give another folder, or delete this one.',
      )
    }
    let at = end
    const columns = header.fields.map(([size, length]): Column => {
      const stop = at + size * length
      if (stop > file.length) throw new FileFormatError(path, 'file', 'is cut off.')
      const { buffer } = new Uint8Array(file.subarray(at, stop))
      at = stop + (-(size * length) & 7)
      return size === 1
        ? new Uint8Array(buffer)
        : size === 4
          ? new Int32Array(buffer)
          : new Float64Array(buffer)
    })
    return { header, columns }
  }
}
