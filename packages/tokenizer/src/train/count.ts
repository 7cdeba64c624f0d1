// Counts the words of texts: cuts chunks, counts each, adds the counts up in order. Workers do the middle part.

import { TokenizerError, brief } from '../errors.js'
import { Chunker } from './chunks.js'
import type { Chunk } from './chunks.js'
import type { Splitter } from '../split/splitter.js'
import { WordCounts } from './word-counts.js'

/** Adds the words of a chunk. A word of one byte has nothing to merge. */
export function countChunk(
  { bytes, ends }: Pick<Chunk, 'bytes' | 'ends'>,
  splitter: Splitter,
  words: WordCounts,
): void {
  let start = 0
  for (const textEnd of ends) {
    while (start < textEnd) {
      const end = splitter.next(bytes, start, textEnd)
      if (end - start > 1) words.add(bytes, start, end, 1)
      start = end
    }
  }
}

const encoder = new TextEncoder()

/** The UTF-8 of a text, which may also be given as bytes. */
export function textBytes(text: string | Uint8Array): Uint8Array {
  if (typeof text === 'string') return encoder.encode(text)
  if (text instanceof Uint8Array) return text
  throw new TokenizerError(
    'Tokenizer.train',
    `a text is ${brief(text)}. Strings or UTF-8 bytes are expected.`,
  )
}

/** Counts on this thread. */
export function countWords(
  texts: Iterable<string | Uint8Array>,
  splitter: Splitter,
  { cutsAtBlanks, positions }: { readonly cutsAtBlanks: boolean; readonly positions: number },
  onProgress: (bytes: number) => void = () => {},
): WordCounts {
  const chunker = new Chunker(cutsAtBlanks)
  const words = new WordCounts()
  const count = (): void => {
    for (let chunk = chunker.take(); chunk !== undefined; chunk = chunker.take()) {
      countChunk(chunk, splitter, words)
      words.prune(positions)
      onProgress(chunk.through)
    }
  }
  for (const text of texts) {
    chunker.push(textBytes(text))
    chunker.endText()
    count()
  }
  chunker.finish()
  count()
  return words
}
