// From a prompt to its logits: images through the encoder, ids and visual tokens into a cache, what is known left out.
import { ShaktiError, synchronize, type Tensor } from '@shakti/tensor'
import type { ShaktiVlm } from '../vlm.js'
import { prefixKeys, type PrefixCache } from './prefixCache.js'
import { checkCount, type Prompt } from './prompt.js'
import { encodeEach, Reader, together, type ReadingProgress } from './reader.js'
import { visualCount } from './result.js'

export interface ReadingOptions {
  /** Positions read at once, which bounds the memory of activations. Default 512. */
  prefillChunk?: number
  /** How keys and values are held. Default: in the dtype of the activations. */
  kvDtype?: 'f32' | 'bf16' | 'i8'
  /** Ends generation between two chunks or tokens, with the signal's reason (an AbortError). */
  signal?: AbortSignal
  onProgress?: ReadingProgress
}

/** Checks reading options before any work. */
export function checkReading(what: string, { prefillChunk = 512, kvDtype }: ReadingOptions): void {
  checkCount(what, 'prefillChunk', prefillChunk)
  if (kvDtype !== undefined && !['f32', 'bf16', 'i8'].includes(kvDtype))
    throw new ShaktiError(
      what,
      `kvDtype is '${String(kvDtype)}'. It must be 'f32', 'bf16' or 'i8'.`,
    )
}

/** A prompt in a cache: its reader, and the logits of its last position. */
export interface Opened {
  readonly reader: Reader
  readonly logits: Tensor
  /** Of every position, for the prefix cache; empty without one. */
  readonly keys: number[]
  readonly cached: number
  readonly visual: number
  readonly encode: number
  readonly prefill: number
}

export interface OpenOptions extends ReadingOptions {
  readonly prefixCache?: PrefixCache | undefined
  /** Tokens that will be written. */
  readonly limit: number
  /** Tokens that may be taken back. */
  readonly rewind?: number
}

/** Reads one prompt, which was checked, with what is known of it. */
export async function open(
  model: ShaktiVlm,
  prompt: Prompt,
  source: Int32Array,
  { prefixCache, limit, rewind = 0, prefillChunk = 512, kvDtype, signal, onProgress }: OpenOptions,
): Promise<Opened> {
  const { ids, images = [] } = prompt
  const start = performance.now()
  prefixCache?.check(model)
  const hashes = prefixCache ? await Promise.all(images.map((i) => prefixCache.hash(i))) : []
  signal?.throwIfAborted()
  const known = hashes.map((h) => prefixCache?.image(h))
  const tokens: Tensor[] = []
  let visual: Tensor | undefined
  const reader = new Reader(model, {
    capacity: ids.length + rewind + Math.min(limit, 256),
    limit: ids.length + rewind + limit,
    rewind,
    ...(kvDtype ? { dtype: kvDtype } : {}),
  })
  try {
    const missing = images.filter((_, i) => !known[i])
    if (missing.length > 0) {
      const fresh = await encodeEach(model, missing, { signal, onProgress })
      images.forEach((_, i) => tokens.push(known[i]?.tokens ?? fresh.shift()!))
    } else tokens.push(...known.map((k) => k!.tokens))
    const encode = missing.length > 0 ? performance.now() - start : 0
    const read = performance.now()
    const keys = prefixCache
      ? prefixKeys(
          ids,
          source,
          tokens.map((t, i) => ({
            tokens: t,
            number: known[i]?.number ?? prefixCache.addImage(hashes[i]!, t),
          })),
        )
      : []
    // The last position is always read: its logits are wanted.
    const cached = prefixCache?.load(reader.cache, kvDtype, keys, ids.length - 1) ?? 0
    visual = together(tokens)
    onProgress?.(cached, ids.length, 'prompt')
    const logits = await reader.prefill(
      { rows: 1, length: ids.length, ids: Int32Array.from(ids), source },
      visual,
      {
        chunk: prefillChunk,
        signal,
        onChunk: () => {
          const { cache } = reader
          prefixCache?.add(cache, kvDtype, keys.slice(0, cache.length))
          onProgress?.(cache.length, ids.length, 'prompt')
        },
      },
    )
    await synchronize(model.device)
    return {
      reader,
      logits,
      keys,
      cached,
      visual: visualCount(source),
      encode,
      prefill: performance.now() - read,
    }
  } catch (error) {
    reader.dispose()
    throw error
  } finally {
    visual?.dispose()
    for (const t of tokens.length > 0 ? tokens : known.map((k) => k?.tokens)) t?.dispose()
  }
}
