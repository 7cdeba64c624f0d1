// A model that reads: token ids and images into a KV cache, a chunk at a time, so that memory stays bounded; then token by token.
import { cat, keep, noGrad, synchronize, tensor, tidy, type Tensor } from '@shakti/tensor'
import { KVCache, type KVCacheOptions } from '@shakti/nn'
import { visualTokens, type EncodedImage, type ShaktiVlm } from '../vlm.js'
import { refuseLogit } from './candidates.js'
import { RecordedStep } from './recordedStep.js'

/** Prompts of one length side by side. */
export interface Sequences {
  readonly rows: number
  readonly length: number
  /** rows * length */
  readonly ids: Int32Array
  /** rows * length: the number of the visual token that stands there, or -1. */
  readonly source: Int32Array
  /** rows * length; default 0, 1, 2, ... */
  readonly positions?: Int32Array
}

/**
 * How much was handed to the device: of the images that are not known yet, then of the prompt's positions. The first call of each
 * kind comes before its work, at what is known.
 */
export type ReadingProgress = (done: number, total: number, what: 'images' | 'prompt') => void

export interface PrefillOptions {
  /** Positions read at once. Default 512. */
  chunk?: number
  signal?: AbortSignal | undefined
  /** Called after each chunk, when the cache holds it. */
  onChunk?: () => void
}

/** The likeliest token of each row, on the device. */
export interface Likeliest {
  /** i32 [rows] */
  readonly ids: Tensor
  readonly values: Tensor
}

/**
 * Visual tokens of each image, [tokens, decoder width], kept until they are disposed. As many images go through the encoder at
 * once as have the patches of the largest one that it takes; in between the event loop goes on, and a signal may end it.
 */
export async function encodeEach(
  model: ShaktiVlm,
  images: readonly EncodedImage[],
  {
    signal,
    onProgress,
  }: { signal?: AbortSignal | undefined; onProgress?: ReadingProgress | undefined } = {},
): Promise<Tensor[]> {
  const { vision, projector } = model.config
  const most = Math.max(vision.maxPatches, 4096)
  const out: Tensor[] = []
  try {
    for (let at = 0; at < images.length;) {
      onProgress?.(at, images.length, 'images')
      signal?.throwIfAborted()
      let patches = 0
      let end = at
      for (; end < images.length; end++) {
        const { height, width, patch } = images[end]!
        patches += (height / patch) * (width / patch)
        if (end > at && patches > most) break
      }
      const part = images.slice(at, end)
      const sizes = part.map((image) => visualTokens(image, projector.merge))
      out.push(
        ...tidy(() =>
          noGrad(() => {
            const all = model.encodeImages(part)
            return part.length === 1 ? [keep(all)] : all.split(sizes, 0).map((t) => keep(t.clone()))
          }),
        ),
      )
      await synchronize(model.device)
      at = end
    }
    onProgress?.(images.length, images.length, 'images')
    return out
  } catch (error) {
    for (const t of out) t.dispose()
    throw error
  }
}

export class Reader {
  readonly cache: KVCache
  #forbidden: Tensor | undefined
  #recorded: RecordedStep | undefined
  /** One by one, without a recording. */
  #steps = 0

  /**
   * @param mask bool [rows, 1, 1, positions]: which positions of a row are there at all; default all. Freed by `dispose`.
   */
  constructor(
    readonly model: ShaktiVlm,
    options: KVCacheOptions,
    private mask?: Tensor,
  ) {
    this.cache = new KVCache(options)
    const { imageToken, decoder } = model.config
    if (imageToken === undefined) return
    const flags = new Uint8Array(decoder.vocab)
    flags[imageToken] = 1
    this.#forbidden = keep(tidy(() => tensor(flags, { device: model.device }).to('bool')))
  }

  /**
   * Reads what the cache does not hold yet of some prompts, chunk by chunk.
   * @param visual [tokens, decoder width] of all images in their order
   * @returns logits [rows, vocab] of the last position; the caller disposes them
   */
  async prefill(
    prompt: Sequences,
    visual: Tensor | undefined,
    options: PrefillOptions = {},
  ): Promise<Tensor> {
    const { chunk = 512, signal, onChunk } = options
    const { length } = prompt
    for (;;) {
      signal?.throwIfAborted()
      const start = this.cache.length
      const n = Math.min(chunk, length - start)
      const last = start + n === length
      const logits = tidy(() =>
        noGrad(() => {
          const { x, positions } = this.#embed(prompt, start, n, visual)
          const hidden = this.#forward(x, positions)
          return last ? this.#logits(hidden.narrow(1, n - 1, 1)) : undefined
        }),
      )
      onChunk?.()
      if (logits) return logits
      // One chunk's activations at a time; the event loop goes on.
      await synchronize(this.model.device)
    }
  }

  #embed(
    { rows, length, ids, source, positions }: Sequences,
    start: number,
    n: number,
    visual: Tensor | undefined,
  ): { x: Tensor; positions: Tensor | undefined } {
    const { device, decoder } = this.model
    const columns = (from: Int32Array): Int32Array => {
      if (rows === 1) return from.subarray(start, start + n)
      const part = new Int32Array(rows * n)
      for (let r = 0; r < rows; r++)
        part.set(from.subarray(r * length + start, r * length + start + n), r * n)
      return part
    }
    const shape = [rows, n]
    const text = decoder.embed(tensor(columns(ids), { shape, device }))
    const places = columns(source)
    let [least, most] = [Infinity, -1]
    for (const s of places) {
      if (s < 0) continue
      if (s < least) least = s
      if (s > most) most = s
    }
    let x = text
    if (most >= 0 && visual) {
      const from = places.map((s, i) => (s < 0 ? i : rows * n + s - least))
      const pictured = visual.narrow(0, least, most - least + 1).to(text.dtype)
      x = cat([text.reshape([rows * n, -1]), pictured], 0)
        .indexSelect(0, tensor(from, { device }))
        .reshape(text.shape)
    }
    return { x, positions: positions && tensor(columns(positions), { shape, device }) }
  }

  #forward(x: Tensor, positions: Tensor | undefined): Tensor {
    const { cache, mask } = this
    return this.model.decoder.forward(x, {
      cache,
      ...(positions ? { positions } : {}),
      ...(mask ? { mask: mask.narrow(3, 0, cache.length + x.shape[1]!) } : {}),
    })
  }

  /** hidden [rows, n, width] to [rows * n, vocab]. */
  #logits(hidden: Tensor): Tensor {
    return this.model.logits(hidden.reshape([-1, hidden.shape[2]!]))
  }

  /**
   * Reads further tokens, on the device or not.
   * @param ids i32 [rows * n]
   * @param positions rows; default: behind what the cache holds
   * @returns logits [rows * n, vocab] of each; the caller disposes them
   */
  step(ids: Tensor | Int32Array, rows = 1, positions?: Int32Array): Tensor {
    const one = rows === 1 && (ids instanceof Int32Array ? ids.length : ids.numel) === 1
    return (
      (one && !positions ? this.#replay(ids) : undefined) ?? this.#step(ids, rows, positions, false)
    )
  }

  /** One token by a recorded step, where there can be one. The first is issued as it is: few may follow, and buffers grow in it. */
  #replay(ids: Tensor | Int32Array): Tensor | undefined {
    if (this.#recorded?.fits) return this.#recorded.read(ids)
    this.#recorded?.dispose()
    this.#recorded = undefined
    const { cache } = this
    const before = this.#steps++
    if (this.mask || before === 0 || cache.length >= cache.room) return undefined
    this.#recorded = new RecordedStep(this.model, cache)
    return this.#recorded.read(ids)
  }

  /** As `step`, but the logits [1, vocab] of the last token alone. */
  stepToLast(ids: Tensor | Int32Array): Tensor {
    const one = (ids instanceof Int32Array ? ids.length : ids.numel) === 1
    return one ? this.step(ids) : this.#step(ids, 1, undefined, true)
  }

  #step(
    ids: Tensor | Int32Array,
    rows: number,
    positions: Int32Array | undefined,
    last: boolean,
  ): Tensor {
    const { device, decoder } = this.model
    return tidy(() =>
      noGrad(() => {
        const given = ids instanceof Int32Array ? tensor(ids, { device }) : ids
        const shape = [rows, given.numel / rows]
        const x = decoder.embed(given.reshape(shape))
        const at = positions && tensor(positions, { shape: [rows, 1], device })
        const hidden = this.#forward(x, at)
        return this.#logits(last ? hidden.narrow(1, shape[1]! - 1, 1) : hidden)
      }),
    )
  }

  /** Logits in which the image token cannot be. */
  withoutImage(logits: Tensor): Tensor {
    return this.#forbidden ? logits.maskedFill(this.#forbidden, -Infinity) : logits
  }

  /**
   * The likeliest token of each row of logits, the image token aside. Consumes the logits.
   * @param tokens the first so many of the vocabulary; default all
   */
  likeliest(logits: Tensor, tokens = logits.shape[1]!): Likeliest {
    const found = tidy(() => noGrad(() => this.withoutImage(logits).narrow(1, 0, tokens).max(1)))
    logits.dispose()
    return { ids: found.indices, values: found.values }
  }

  /** Makes row i of the batch what row `rows[i]` was. @param of rows there were */
  select(rows: readonly number[], of: number): void {
    if (rows.length === of && rows.every((r, i) => r === i)) return
    const index = tensor(Int32Array.from(rows), { device: this.model.device })
    this.cache.select(index)
    const { mask } = this
    if (mask) {
      this.mask = keep(tidy(() => mask.to('u8').indexSelect(0, index).to('bool')))
      mask.dispose()
    }
    index.dispose()
  }

  dispose(): void {
    this.#recorded?.dispose()
    this.cache.dispose()
    this.mask?.dispose()
    this.#forbidden?.dispose()
  }
}

/** Brings the likeliest tokens here and gives their memory back. @throws ShaktiError when a logit was not finite */
export async function readLikeliest({ ids, values }: Likeliest): Promise<ArrayLike<number>> {
  const reading = Promise.all([ids.data(), values.data()])
  ids.dispose()
  values.dispose()
  const [id, value] = await reading
  for (let r = 0; r < id.length; r++)
    if (!Number.isFinite(value[r]!)) refuseLogit(id[r]!, value[r]!)
  return id
}

/** Rows of logits [n, vocab], read; gives their memory back. */
export async function readRows(logits: Tensor): Promise<Float32Array[]> {
  const [n, vocab] = logits.shape as [number, number]
  const reading = logits.data()
  logits.dispose()
  const all = (await reading) as Float32Array
  return Array.from({ length: n }, (_, i) => all.subarray(i * vocab, (i + 1) * vocab))
}

/** Visual tokens of several images as one tensor; undefined for none. Views of `parts` or a copy. */
export function together(parts: readonly Tensor[]): Tensor | undefined {
  if (parts.length === 0) return undefined
  return parts.length === 1 ? parts[0]!.detach() : noGrad(() => cat([...parts], 0))
}
