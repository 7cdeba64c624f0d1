// Batches over worker threads.

import type { EncodeOptions, Tokenizer } from '../tokenizer.js'
import type { EncodeResult, EncodeTask } from './encode-worker.js'
import { WorkerPool } from './pool.js'

export type EncodePool = WorkerPool<EncodeTask, EncodeResult>

export function encodePool(json: unknown, config: unknown, workers: number): EncodePool {
  return new WorkerPool('encode-worker', { json, config }, workers)
}

/** UTF-16 units of a batch from which workers pay, and of one task. */
const WORTHWHILE = 1 << 20
const TASK = 1 << 18

export async function encodeInParallel(
  tokenizer: Tokenizer,
  texts: readonly string[],
  options: EncodeOptions,
  workers: number,
  pool: () => EncodePool,
): Promise<number[][]> {
  const total = texts.reduce((sum, text) => sum + text.length, 0)
  if (workers === 0 || total < WORTHWHILE) return tokenizer.encodeBatch(texts, options)
  const tasks: string[][] = []
  let room = 0
  for (const text of texts) {
    if (room <= 0) {
      tasks.push([])
      room = TASK
    }
    tasks.at(-1)!.push(text)
    room -= text.length
  }
  const running = pool()
  const results = await Promise.all(tasks.map((task) => running.run({ texts: task, options })))
  return results.flatMap(({ ids, ends }) =>
    Array.from(ends, (end, i) => Array.from(ids.subarray(i === 0 ? 0 : ends[i - 1]!, end))),
  )
}
