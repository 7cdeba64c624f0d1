// Encodes lists of texts.

import { workerData } from 'node:worker_threads'
import { Tokenizer } from '../tokenizer.js'
import type { EncodeOptions } from '../options.js'
import type { TokenizerRecipe } from '../tokenizer.js'
import { serve } from './pool.js'

export interface EncodeTask {
  readonly texts: readonly string[]
  readonly options: EncodeOptions
}

/** The ids of all texts, one text behind the other, and where each ends. */
export interface EncodeResult {
  readonly ids: Int32Array
  readonly ends: Int32Array
}

const tokenizer = Tokenizer.fromRecipe(workerData as TokenizerRecipe)

serve(({ texts, options }: EncodeTask) => {
  const lists = texts.map((text) => tokenizer.encode(text, options))
  const ends = new Int32Array(lists.length)
  let total = 0
  lists.forEach((ids, i) => (ends[i] = total += ids.length))
  const ids = new Int32Array(total)
  lists.forEach((list, i) => ids.set(list, ends[i]! - list.length))
  const result: EncodeResult = { ids, ends }
  return { result, transfer: [ids.buffer, ends.buffer] as ArrayBuffer[] }
})
