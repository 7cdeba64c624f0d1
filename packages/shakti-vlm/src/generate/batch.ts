// Continuing many prompts at once, over one cache. Prompts are padded on the left; rows that have ended leave the batch.
import { keep, ShaktiError, synchronize, tensor, tidy, type Tensor } from '@shakti/tensor'
import type { ShaktiVlm } from '../vlm.js'
import { checkWriting, Continuation, type WritingOptions } from './continuation.js'
import type { GeneratedToken } from './generate.js'
import { checkReading, type ReadingOptions } from './open.js'
import { checkPrompt, type Prompt } from './prompt.js'
import { timingOf, visualCount } from './result.js'
import { encodeEach, readLikeliest, Reader, readRows, together, type Sequences } from './reader.js'

export interface BatchOptions extends WritingOptions, ReadingOptions {
  /** Default 32. The longest prompt and these must fit into the context. */
  maxTokens?: number
  /** Fills shorter prompts on the left; hidden from attention. Default 0. */
  padId?: number
}

export interface BatchToken extends GeneratedToken {
  /** Which prompt it continues. */
  readonly row: number
}

interface Padded extends Sequences {
  readonly positions: Int32Array
  /** rows * total: 1 where something stands. */
  readonly visible: Uint8Array
}

/** @param sources of each prompt, its visual tokens counted from 0 */
function pad(
  prompts: readonly Prompt[],
  sources: readonly Int32Array[],
  total: number,
  padId: number,
): Padded {
  const rows = prompts.length
  const length = Math.max(...prompts.map((p) => p.ids.length))
  const ids = new Int32Array(rows * length).fill(padId)
  const source = new Int32Array(rows * length).fill(-1)
  const positions = new Int32Array(rows * length)
  const visible = new Uint8Array(rows * total)
  let visual = 0
  prompts.forEach((p, r) => {
    const before = length - p.ids.length
    const at = r * length + before
    let n = 0
    for (let i = 0; i < p.ids.length; i++) {
      ids[at + i] = p.ids[i]!
      positions[at + i] = i
      const s = sources[r]![i]!
      if (s >= 0) source[at + i] = visual + s
      if (s >= 0) n++
    }
    visual += n
    visible.fill(1, r * total + before, (r + 1) * total)
  })
  return { rows, length, ids, source, positions, visible }
}

/**
 * Continues many prompts of any lengths at once: tokens of all rows as they come, each row's last with `finish`, `usage` and
 * `timing`. Row r draws with the seed + r.
 * @throws ShaktiError for what cannot be, before any work
 */
export async function* streamBatch(
  model: ShaktiVlm,
  prompts: readonly Prompt[],
  options: BatchOptions = {},
): AsyncGenerator<BatchToken, void> {
  const what = 'generateBatch'
  const start = performance.now()
  const { maxTokens = 32, padId = 0, prefillChunk = 512, kvDtype, signal, onProgress } = options
  checkWriting(what, model, { ...options, maxTokens })
  checkReading(what, options)
  if (prompts.length === 0) return
  const { decoder, imageToken } = model.config
  const sources = prompts.map((p) => checkPrompt(what, model, p))
  const longest = Math.max(...prompts.map((p) => p.ids.length))
  const total = longest + maxTokens
  if (total > decoder.context)
    throw new ShaktiError(
      what,
      `${longest} + ${maxTokens} tokens exceed the context of ${decoder.context}.`,
    )
  if (!Number.isInteger(padId) || padId < 0 || padId >= decoder.vocab)
    throw new ShaktiError(what, `padId is ${padId}. It must be an id below ${decoder.vocab}.`)
  if (padId === imageToken) throw new ShaktiError(what, 'the padding must not be the image token.')
  const texts = prompts.map(
    (p, r) => new Continuation(what, model, p.ids, { ...options, maxTokens }, r),
  )
  const padded = pad(prompts, sources, total, padId)
  const padding = prompts.some((p) => p.ids.length < longest)
  const { device } = model
  const wasTraining = model.training
  model.eval()
  const reader = new Reader(
    model,
    { capacity: total, limit: total, ...(kvDtype ? { dtype: kvDtype } : {}) },
    padding
      ? keep(
          tidy(() =>
            tensor(padded.visible, { shape: [prompts.length, 1, 1, total], device }).to('bool'),
          ),
        )
      : undefined,
  )
  const parts: Tensor[] = []
  let visual: Tensor | undefined
  let logits: Tensor | undefined
  // The prompts whose rows are still in the batch, in the order of the rows.
  let active = prompts.map((_, r) => r)
  try {
    signal?.throwIfAborted()
    const images = prompts.flatMap((p) => p.images ?? [])
    if (images.length > 0) {
      parts.push(...(await encodeEach(model, images, { signal, onProgress })))
      visual = together(parts)
    }
    const encoded = performance.now()
    onProgress?.(0, longest, 'prompt')
    logits = await reader.prefill(padded, visual, {
      chunk: prefillChunk,
      signal,
      onChunk: () => onProgress?.(reader.cache.length, longest, 'prompt'),
    })
    await synchronize(device)
    const spent = {
      encode: images.length > 0 ? encoded - start : 0,
      prefill: performance.now() - encoded,
    }
    const first = performance.now()
    const greedy = texts.every((t) => t.greedy)
    for (;;) {
      const rows: number = logits.shape[0]!
      const said: Tensor = logits
      logits = undefined
      const choices = greedy
        ? Array.from(await readLikeliest(reader.likeliest(said)), (id) => () => ({ id }))
        : (await readRows(said)).map((row) => (text: Continuation) => text.choose(row))
      const ids = new Int32Array(rows)
      const staying: number[] = []
      for (const [i, row] of active.entries()) {
        const text = texts[row]!
        if (text.done) continue
        const written = text.push(choices[i]!(text))
        ids[i] = written.id
        if (!written.finish) {
          staying.push(i)
          yield { row, ...written }
          continue
        }
        const generated = text.ids.length
        const prompt = prompts[row]!.ids.length
        const at = { start, first, last: performance.now() }
        yield {
          row,
          ...written,
          usage: { prompt, cached: 0, visual: visualCount(sources[row]!), generated },
          timing: timingOf(spent, at, generated),
        }
      }
      if (staying.length === 0) return
      signal?.throwIfAborted()
      let kept = ids
      // Copying the cache is worth it when it halves what every further step reads.
      if (staying.length <= rows / 2) {
        reader.select(staying, rows)
        active = staying.map((i) => active[i]!)
        kept = Int32Array.from(staying, (i) => ids[i]!)
      }
      const positions = Int32Array.from(active, (r) =>
        Math.min(prompts[r]!.ids.length - 1 + texts[r]!.ids.length, decoder.context - 1),
      )
      logits = reader.step(kept, active.length, positions)
      for (const row of active) texts[row]!.prepare()
    }
  } finally {
    logits?.dispose()
    visual?.dispose()
    for (const t of parts) t.dispose()
    reader.dispose()
    model.train(wasTraining)
  }
}

/**
 * The continuations of many prompts, by default the likeliest.
 * @returns the new tokens of each, without the stop token
 */
export async function generateBatch(
  model: ShaktiVlm,
  prompts: readonly Prompt[],
  options: BatchOptions = {},
): Promise<number[][]> {
  const { stopTokens = [] } = options
  const out: number[][] = prompts.map(() => [])
  for await (const { row, id, finish } of streamBatch(model, prompts, options))
    if (!finish || !stopTokens.includes(id)) out[row]!.push(id)
  return out
}
