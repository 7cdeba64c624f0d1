// The tokenizer with what only Node has: files, training from files and streams, worker threads.

import { readdir, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { FileFormatError, TokenizerError, brief } from '../errors.js'
import { parseJson, readBytes, readText, writeAtomic } from '../files.js'
import { Tokenizer as CoreTokenizer } from '../tokenizer.js'
import type { EncodeOptions, TiktokenOptions, TokenizerFileNames } from '../tokenizer.js'
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

  /** @internal */
  protected static override fromBytes(
    tokenizerJson: Uint8Array,
    tokenizerConfig: unknown,
    files: TokenizerFileNames,
  ): Tokenizer {
    return super.fromBytes(tokenizerJson, tokenizerConfig, files) as Tokenizer
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
   * Reads tokenizer.json and, where they are there, tokenizer_config.json, chat_template.jinja and
   * additional_chat_templates/*.jinja from a folder. A path of a file is that of tokenizer.json itself.
   */
  static async fromPretrained(path: string): Promise<Tokenizer> {
    const found = await stat(path).catch(() => undefined)
    const dir = found?.isFile() === true ? dirname(path) : path
    const tokenizer = found?.isFile() === true ? path : join(path, 'tokenizer.json')
    const bytes = await readBytes(tokenizer)
    if (bytes === undefined) {
      const why = found === undefined ? 'the folder does not exist' : 'the folder has no such file'
      throw new FileFormatError(tokenizer, 'file', `is missing: ${why}.`)
    }
    const config = join(dir, 'tokenizer_config.json')
    const configText = await readText(config, 2 ** 24)
    return this.fromBytes(bytes, configText === undefined ? {} : parseJson(configText, config), {
      tokenizer,
      config,
      chatTemplates: await readChatTemplates(dir),
    })
  }

  /** Writes tokenizer.json and tokenizer_config.json into the folder, each atomically; makes the folder. */
  async save(dir: string): Promise<void> {
    const text = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`
    await writeAtomic(join(dir, 'tokenizer.json'), text(this.toJSON()))
    await writeAtomic(join(dir, 'tokenizer_config.json'), text(this.configJSON()))
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

async function readChatTemplates(dir: string): Promise<Record<string, string>> {
  const found: [string, string][] = []
  const read = async (name: string, path: string): Promise<void> => {
    const text = await readText(path, 2 ** 20)
    if (text !== undefined) found.push([name, text])
  }
  await read('default', join(dir, 'chat_template.jinja'))
  const more = join(dir, 'additional_chat_templates')
  for (const file of (await readdir(more).catch((): string[] => [])).sort()) {
    if (file.endsWith('.jinja')) await read(basename(file, '.jinja'), join(more, file))
  }
  return Object.fromEntries(found)
}
