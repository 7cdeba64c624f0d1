// Trains byte-level BPE: words are counted, then merged. The result depends on the counts alone, not on the order of
// the texts.

import { TokenBytes } from '../models/byte-bpe/token-bytes.js'
import { countWords } from './count.js'
import { MergeLoop } from './merge-loop.js'
import type { MergeOptions } from './merge-loop.js'
import type { TrainOptions, TrainPlan } from './options.js'
import { wordSplitter } from './patterns.js'
import { ProgressMeter } from './progress.js'
import type { WordCounts } from './word-counts.js'

/** Ids 0 to 255 are the bytes, then one id a merge in the order they were made. */
export interface TrainedBpe {
  readonly vocab: TokenBytes
  /** Flat triples of ids (left, right, merged), best first. */
  readonly merges: Int32Array
  readonly ignoreMerges: false
}

/** Counts and merges on this thread, in one go. */
export function trainOnTexts(
  texts: Iterable<string | Uint8Array>,
  plan: TrainPlan,
  options: Pick<TrainOptions, 'onProgress' | 'onPruned'>,
): TrainedBpe {
  const meter = new ProgressMeter(options.onProgress)
  const words = countWords(texts, wordSplitter(plan.regex), plan, (bytes) =>
    meter.update('count', bytes, null),
  )
  reportPruned(words, options)
  const loop = new MergeLoop(words.columns(), mergeOptions(plan))
  while (loop.step()) meter.update('merge', loop.tokens.length - 256, plan.tokens - 256)
  return trained(loop)
}

export function trained(loop: MergeLoop): TrainedBpe {
  const vocab = new TokenBytes()
  loop.tokens.forEach((latin1, id) => {
    vocab.set(
      id,
      Uint8Array.from(latin1, (char) => char.charCodeAt(0)),
    )
  })
  return { vocab: vocab.trim(), merges: Int32Array.from(loop.merges), ignoreMerges: false }
}

export function mergeOptions(plan: TrainPlan): MergeOptions {
  const { tokens, minFrequency, maxTokenLength, specialTokens } = plan
  return { tokens, minFrequency, maxTokenLength, forbidden: specialTokens }
}

export function reportPruned(
  words: WordCounts,
  { onPruned }: Pick<TrainOptions, 'onPruned'>,
): void {
  if (words.pruned.words > 0) onPruned?.(words.pruned)
}
