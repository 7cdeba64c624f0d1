// Training over worker threads, from files or streams, with checkpoints. Workers count chunks; this thread adds the
// counts up in the order of the chunks, so that their number changes nothing, and merges.

import { setImmediate } from 'node:timers/promises'
import type { Chunk } from '../train/chunks.js'
import { countChunk } from '../train/count.js'
import { MergeLoop } from '../train/merge-loop.js'
import { wordSplitter } from '../train/patterns.js'
import type { TrainOptions, TrainPlan } from '../train/options.js'
import { ProgressMeter } from '../train/progress.js'
import { mergeOptions, reportPruned, trained } from '../train/train.js'
import type { TrainedBpe } from '../train/train.js'
import { WordCounts } from '../train/word-counts.js'
import type { WordColumns } from '../train/word-counts.js'
import { TokenizerError, brief } from '../errors.js'
import { Checkpoint } from './checkpoint.js'
import { WorkerPool, defaultWorkers } from './pool.js'

export interface TrainFilesOptions extends TrainOptions {
  /** Worker threads that count; 0 counts on this thread. Default one less than the machine's cores. */
  readonly workers?: number
  /**
   * Folder for checkpoints. Where it holds one of the same training (same options, same files or stream), that goes
   * on. It is left as it is at the end; training again then returns at once.
   */
  readonly checkpoint?: string
  /** Seconds between checkpoints; default 30. */
  readonly checkpointSeconds?: number
  /** Stops the training, after a last checkpoint, with the signal's reason as the error. */
  readonly signal?: AbortSignal
}

/** Where the chunks come from. */
export interface ChunkSource {
  readonly chunks: AsyncIterable<Chunk>
  /** Bytes of all chunks, null where nobody knows. */
  readonly total: number | null
  /** What tells this source from another in a checkpoint. */
  readonly identity: unknown
}

const MERGE_SLICE_MS = 40

export async function trainOnChunks(
  source: ChunkSource,
  plan: TrainPlan,
  options: TrainFilesOptions,
): Promise<TrainedBpe> {
  const { checkpoint: folder, checkpointSeconds = 30, signal } = options
  const { tokens, minFrequency, maxTokenLength, specialTokens, regex, positions } = plan
  const training = [
    ...[source.identity, tokens, minFrequency, String(maxTokenLength), specialTokens],
    ...[regex, positions],
  ]
  const checkpoint = folder === undefined ? undefined : new Checkpoint(folder, training)
  const meter = new ProgressMeter(options.onProgress)
  let saved = performance.now()
  /** Saves when it is time to, and stops where that is asked for. */
  const mayStop = async (save: (checkpoint: Checkpoint) => Promise<void>): Promise<void> => {
    const due = performance.now() - saved > checkpointSeconds * 1000
    if (checkpoint !== undefined && (due || signal?.aborted === true)) {
      await save(checkpoint)
      saved = performance.now()
    }
    signal?.throwIfAborted()
  }

  const before = await checkpoint?.loadCounts()
  const words = before?.words ?? new WordCounts()
  if (before?.complete !== true) {
    let chunks = before?.chunks ?? 0
    const counted = countInOrder(source.chunks, before, plan.regex, workersOf(options), words)
    let through = 0
    for await (through of counted) {
      words.prune(positions)
      chunks++
      const state = { words, chunks, through, complete: false }
      meter.update('count', through, source.total)
      await mayStop((to) => to.saveCounts(state))
    }
    await checkpoint?.saveCounts({ words, chunks, through, complete: true })
  }
  reportPruned(words, options)

  const state = await checkpoint?.loadMerges(words.positions + 1)
  const loop = new MergeLoop(words.columns(), mergeOptions(plan), state)
  for (let more = true; more;) {
    const stop = performance.now() + MERGE_SLICE_MS
    while (more && performance.now() < stop) more = loop.step()
    meter.update('merge', loop.tokens.length - 256, plan.tokens - 256)
    await setImmediate()
    await mayStop((to) => to.saveMerges(loop.state()))
  }
  await checkpoint?.saveMerges(loop.state())
  return trained(loop)
}

function workersOf({ workers = defaultWorkers() }: TrainFilesOptions): number {
  if (Number.isInteger(workers) && workers >= 0 && workers <= 256) return workers
  throw new TokenizerError(
    'Tokenizer.train',
    `workers is ${brief(workers)}. An integer from 0 to 256 is expected.`,
  )
}

/** Adds chunk after chunk to `words`, those that are in it already left out; yields the bytes up to each one's end. */
async function* countInOrder(
  chunks: AsyncIterable<Chunk>,
  before: { readonly chunks: number; readonly through: number } | undefined,
  regex: string,
  workers: number,
  words: WordCounts,
): AsyncGenerator<number> {
  const splitter = wordSplitter(regex)
  const pool = new WorkerPool<Chunk, WordColumns>('count-worker', { regex }, workers)
  const ahead: { readonly through: number; readonly columns: Promise<WordColumns> }[] = []
  let skip = before?.chunks ?? 0
  let held: Chunk | undefined
  try {
    for await (const chunk of chunks) {
      if (skip > 0) {
        if (--skip === 0 && chunk.through !== before!.through) throw otherTexts()
        continue
      }
      if (workers === 0) {
        countChunk(chunk, splitter, words)
        yield chunk.through
        continue
      }
      // A single chunk is counted here before a worker would have started.
      if (held === undefined) {
        held = chunk
        continue
      }
      for (const next of ahead.length === 0 ? [held, chunk] : [chunk]) {
        const columns = pool.run(next, [next.bytes.buffer as ArrayBuffer])
        columns.catch(() => {}) // it is awaited in its turn
        ahead.push({ through: next.through, columns })
      }
      if (ahead.length <= 2 * workers) continue
      const { through, columns } = ahead.shift()!
      words.addAll(await columns)
      yield through
    }
    if (skip > 0) throw otherTexts()
    if (ahead.length === 0 && held !== undefined) {
      countChunk(held, splitter, words)
      yield held.through
    }
    for (const { through, columns } of ahead) {
      words.addAll(await columns)
      yield through
    }
  } finally {
    await pool.close()
  }
}

function otherTexts(): TokenizerError {
  return new TokenizerError('Tokenizer.train', 'the checkpoint is of other texts.')
}
