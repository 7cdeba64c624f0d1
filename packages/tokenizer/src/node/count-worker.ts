// Counts the words of one chunk after the other.

import { workerData } from 'node:worker_threads'
import type { Chunk } from '../train/chunks.js'
import { countChunk } from '../train/count.js'
import { wordSplitter } from '../train/patterns.js'
import { WordCounts } from '../train/word-counts.js'
import type { WordColumns } from '../train/word-counts.js'
import { serve } from './pool.js'

const { regex } = workerData as { readonly regex: string }
const splitter = wordSplitter(regex)

serve((chunk: Chunk) => {
  const words = new WordCounts()
  countChunk(chunk, splitter, words)
  const result: WordColumns = words.columns()
  const buffers = [result.bytes, result.lengths, result.counts].map((column) => column.buffer)
  return { result, transfer: buffers as ArrayBuffer[] }
})
