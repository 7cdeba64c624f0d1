// The tokenizer with what only Node has: files, training from files and streams, worker threads.

import { readdir, rm, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { TEMPLATE_FOLDER, templateName } from '../chat/templates.js'
import { FileFormatError, TokenizerError, brief } from '../errors.js'
import { readBytes, writeAtomic } from './files.js'
import { FILE_NAMES } from '../files/folder.js'
import { Tokenizer as CoreTokenizer } from '../tokenizer.js'
import type { TiktokenOptions } from '../read.js'
import type { EncodeOptions } from '../options.js'
import type { Ranks } from '../files/tiktoken.js'
import { planTraining } from '../train/options.js'
import type { TrainOptions, TrainPlan } from '../train/options.js'
import type { TrainedBpe } from '../train/train.js'
import { encodeInParallel, encodePool } from './encode.js'
import type { EncodePool } from './encode.js'
import { fileChunks, listFiles, textChunks } from './sources.js'
import { trainOnChunks } from './train.js'
import type { TrainFilesOptions } from './train.js'

export interface ParallelOptions extends EncodeOptions {
  /** Worker threads; default one a core. Fewer than two encode here. */
  readonly workers?: number
}

/**
 * Text to ids and back, special tokens, chats. It does not change after it was made.
 *
 * ```ts
 * const tokenizer = Tokenizer.train(['low lower lowest'], { vocabSize: 300 })
 * tokenizer.decode(tokenizer.encode('lower')) // 'lower'
 * await tokenizer.save('runs/tokenizer')
 * ```
 */
export class Tokenizer extends CoreTokenizer {
  private pool: EncodePool | undefined

  static override train(texts: Iterable<string | Uint8Array>, options: TrainOptions): Tokenizer {
    return super.train(texts, options) as Tokenizer
  }

  static override fromJSON(...files: Parameters<typeof CoreTokenizer.fromJSON>): Tokenizer {
    return super.fromJSON(...files) as Tokenizer
  }

  static override fromTiktoken(ranks: Ranks, options: TiktokenOptions): Tokenizer {
    return super.fromTiktoken(ranks, options) as Tokenizer
  }

  static override fromFiles(...files: Parameters<typeof CoreTokenizer.fromFiles>): Tokenizer {
    return super.fromFiles(...files) as Tokenizer
  }

  /** @internal */
  protected static override fromTraining(trained: TrainedBpe, plan: TrainPlan): Tokenizer {
    return super.fromTraining(trained, plan) as Tokenizer
  }

  /**
   * Trains as `train` does, on files and on all files in folders (sorted by name; each is one text), with worker
   * threads, bounded memory and, where asked for, checkpoints. Any number of workers gives the same tokenizer.
   *
   * ```ts
   * const tokenizer = await Tokenizer.trainFromFiles(['corpus/'], {
   *   vocabSize: 32_768,
   *   checkpoint: 'runs/tokenizer-training',
   *   onProgress: ({ phase, done, secondsLeft }) => console.log(phase, done, secondsLeft),
   * })
   * ```
   */
  static async trainFromFiles(
    paths: string | readonly string[],
    options: TrainFilesOptions,
  ): Promise<Tokenizer> {
    const plan = planTraining(options)
    const files = await listFiles(typeof paths === 'string' ? [paths] : paths)
    if (files.length === 0) {
      throw new TokenizerError('Tokenizer.train', `there is no file in ${brief(String(paths))}.`)
    }
    const total = files.reduce((sum, { size }) => sum + size, 0)
    const chunks = fileChunks(files, plan.cutsAtBlanks)
    const source = { chunks, total: total > 0 ? total : null, identity: files }
    return this.fromTraining(await trainOnChunks(source, plan, options), plan)
  }

  /** As `trainFromFiles`, on texts that come one after the other. A checkpoint needs the same texts again. */
  static async trainFromStream(
    texts: AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>,
    options: TrainFilesOptions,
  ): Promise<Tokenizer> {
    const plan = planTraining(options)
    const chunks = textChunks(texts, plan.cutsAtBlanks)
    const source = { chunks, total: null, identity: 'stream' }
    return this.fromTraining(await trainOnChunks(source, plan, options), plan)
  }

  /**
   * Reads a folder, see `fromFiles`. A path of a file is that of tokenizer.json itself; the other files are beside it.
   */
  static async fromPretrained(path: string): Promise<Tokenizer> {
    const found = await stat(path).catch(() => undefined)
    if (found === undefined) {
      const file = join(path, 'tokenizer.json')
      throw new FileFormatError(file, 'file', 'is missing: the folder does not exist.')
    }
    const dir = found.isDirectory() ? path : dirname(path)
    const pathOf = (name: string): string =>
      name === 'tokenizer.json' && !found.isDirectory() ? path : join(dir, name)
    const files: [string, Uint8Array][] = []
    for (const name of await namesIn(dir)) {
      const bytes = await readBytes(pathOf(name), mostBytes(name))
      if (bytes !== undefined) files.push([name, bytes])
    }
    return this.fromFiles(Object.fromEntries(files), pathOf)
  }

  /**
   * Writes what `toFiles` gives into the folder, each file atomically; makes the folder. Files of a tokenizer that was
   * there before and that this one does not have (a chat template, added_tokens.json, vocab.json and merges.txt) go.
   */
  async save(dir: string): Promise<void> {
    const files = this.toFiles()
    for (const [name, text] of Object.entries(files)) await writeAtomic(join(dir, name), text)
    for (const name of await namesIn(dir)) {
      if (!Object.hasOwn(files, name)) await rm(join(dir, name), { force: true })
    }
  }

  /**
   * `encodeBatch` over worker threads: the same ids in the same order. A batch that is too small to pay for it is
   * encoded here. The workers stay for the next batch and do not keep the process alive; `close` ends them.
   */
  async encodeBatchParallel(
    texts: readonly string[],
    { workers = this.pool?.size ?? availableParallelism(), ...options }: ParallelOptions = {},
  ): Promise<number[][]> {
    if (!Number.isInteger(workers) || workers < 0 || workers > 256) {
      throw new TokenizerError(
        'encodeBatchParallel',
        `workers is ${brief(workers)}. An integer from 0 to 256 is expected.`,
      )
    }
    if (this.pool !== undefined && this.pool.size !== workers && workers >= 2) await this.close()
    return encodeInParallel(this, texts, options, workers, () => {
      return (this.pool ??= encodePool(this.recipe(), workers))
    })
  }

  /** Ends the worker threads of `encodeBatchParallel`, if there are any; the tokenizer works on. */
  async close(): Promise<void> {
    const { pool } = this
    this.pool = undefined
    await pool?.close()
  }
}

/** What a file may have; undefined for the usual limit. */
function mostBytes(name: string): number | undefined {
  if (templateName(name) !== undefined) return 2 ** 20
  return /_(config|map|tokens)\.json$/.test(name) ? 2 ** 24 : undefined
}

/** The files that a tokenizer's folder may have, and the chat templates with names of their own that it has. */
async function namesIn(dir: string): Promise<string[]> {
  const found = await readdir(join(dir, TEMPLATE_FOLDER)).catch((): string[] => [])
  const templates = found.sort().map((file) => TEMPLATE_FOLDER + file)
  return [...FILE_NAMES, ...templates.filter((file) => templateName(file) !== undefined)]
}
