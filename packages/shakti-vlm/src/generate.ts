// Writing text: one token after the other over a KV cache, for one prompt as a stream or for many prompts at once.
import { keep, noGrad, ShaktiError, tensor, tidy, type Tensor } from '@shakti/tensor'
import { KVCache } from '@shakti/nn'
import { checkSampling, sample, seededRandom, type SamplingOptions } from './sampling.js'
import type { EncodedImage, ShaktiVlm } from './vlm.js'

/** What generation asks of a tokenizer. */
export interface TextDecoder {
  /** Text of the tokens given one by one; never half a character. */
  decodeStream(options?: { skipSpecialTokens?: boolean }): {
    step(id: number): string
    flush(): string
  }
}

export interface Prompt {
  readonly ids: ArrayLike<number>
  readonly images?: readonly EncodedImage[]
}

export interface GenerateOptions extends SamplingOptions {
  /** Default 256, and never beyond the context. */
  maxTokens?: number
  /** Tokens that end the text (not part of it). */
  stopTokens?: readonly number[]
  /** Texts that end it; needs `tokenizer`. The text before the stop is kept. */
  stop?: readonly string[]
  tokenizer?: TextDecoder
  /** Default 0. */
  seed?: number
  /** Ends generation between two tokens, with an AbortError. */
  signal?: AbortSignal
}

export interface GeneratedToken {
  readonly id: number
  /** New text, empty while a character is incomplete or may become a stop text; always empty without a tokenizer. */
  readonly text: string
  /** Set on the last one. */
  readonly finish?: 'stop' | 'length'
}

const lastLogits = (model: ShaktiVlm, hidden: Tensor): Tensor =>
  model.logits(hidden.narrow(1, hidden.shape[1]! - 1, 1).reshape([hidden.shape[0]!, -1]))

/** Holds back text that may turn out to be the beginning of a stop text. */
class StopFilter {
  #held = ''
  constructor(readonly stops: readonly string[]) {}

  /** Text that is safe to give out, and whether a stop text came. */
  push(text: string, end: boolean): { text: string; stopped: boolean } {
    this.#held += text
    for (const stop of this.stops) {
      const at = this.#held.indexOf(stop)
      if (at >= 0) return { text: this.#held.slice(0, at), stopped: true }
    }
    let keep = 0
    if (!end) {
      for (const stop of this.stops) {
        for (let n = Math.min(stop.length - 1, this.#held.length); n > keep; n--) {
          if (this.#held.endsWith(stop.slice(0, n))) keep = n
        }
      }
    }
    const out = this.#held.slice(0, this.#held.length - keep)
    this.#held = this.#held.slice(this.#held.length - keep)
    return { text: out, stopped: false }
  }
}

/**
 * Continues a prompt, token by token.
 * @example for await (const { text } of generate(model, { ids, images }, { tokenizer, stopTokens: [eot] })) process.stdout.write(text)
 */
export async function* generate(
  model: ShaktiVlm,
  prompt: Prompt,
  options: GenerateOptions = {},
): AsyncGenerator<GeneratedToken, void> {
  checkSampling(options)
  const { maxTokens = 256, stopTokens = [], stop = [], tokenizer, seed = 0, signal } = options
  if (prompt.ids.length === 0) throw new ShaktiError('generate', 'the prompt is empty.')
  if (!Number.isInteger(maxTokens) || maxTokens < 1)
    throw new ShaktiError('generate', `maxTokens is ${maxTokens}. It must be an integer from 1.`)
  if (stop.length > 0 && !tokenizer)
    throw new ShaktiError('generate', 'stop texts need a tokenizer.')
  if (stop.includes('')) throw new ShaktiError('generate', 'an empty stop text would stop at once.')
  const limit = Math.min(maxTokens, model.config.decoder.context - prompt.ids.length)
  if (limit < 1) {
    throw new ShaktiError(
      'generate',
      `the prompt of ${prompt.ids.length} tokens leaves no room in a context of ${model.config.decoder.context}.`,
    )
  }
  const { imageToken } = model.config
  const random = seededRandom(seed)
  const stream = tokenizer?.decodeStream({ skipSpecialTokens: true })
  const filter = new StopFilter(stop)
  const cache = new KVCache(prompt.ids.length + Math.min(limit, 64))
  const seen = new Set<number>(Array.from(prompt.ids))
  const wasTraining = model.training
  model.eval()
  try {
    let ids = Int32Array.from(prompt.ids)
    let images = prompt.images
    for (let n = 1; ; n++) {
      signal?.throwIfAborted()
      const logits = tidy(() =>
        noGrad(() =>
          lastLogits(
            model,
            model.forward({
              ids,
              rows: 1,
              length: ids.length,
              cache,
              ...(images ? { images } : {}),
            }),
          ).float(),
        ),
      )
      const scores = await logits.data()
      logits.dispose()
      // A placeholder without an image means nothing: the model may not write one.
      if (imageToken !== undefined) scores[imageToken] = -Infinity
      const id = sample(scores, seen, random, options)
      const ended = stopTokens.includes(id)
      const last = ended || n >= limit
      let text = ended ? '' : (stream?.step(id) ?? '')
      if (last) text += stream?.flush() ?? ''
      const out = filter.push(text, last)
      if (out.stopped || last) {
        yield { id, text: out.text, finish: out.stopped || ended ? 'stop' : 'length' }
        return
      }
      yield { id, text: out.text }
      seen.add(id)
      ids = Int32Array.of(id)
      images = undefined
    }
  } finally {
    cache.dispose()
    model.train(wasTraining)
  }
}

export interface BatchOptions {
  /** Default 32. */
  maxTokens?: number
  stopTokens: readonly number[]
  /** Fills shorter prompts on the left; hidden from attention. Default 0. */
  padId?: number
}

/**
 * The likeliest continuation of many prompts at once. Prompts are padded on the left.
 * @returns the new tokens of each, without the stop token
 */
export async function generateBatch(
  model: ShaktiVlm,
  prompts: readonly Prompt[],
  options: BatchOptions,
): Promise<number[][]> {
  const { maxTokens = 32, stopTokens, padId = 0 } = options
  const rows = prompts.length
  if (rows === 0) return []
  if (prompts.some((p) => p.ids.length === 0))
    throw new ShaktiError('generateBatch', 'a prompt is empty.')
  if (!Number.isInteger(maxTokens) || maxTokens < 1)
    throw new ShaktiError(
      'generateBatch',
      `maxTokens is ${maxTokens}. It must be an integer from 1.`,
    )
  const longest = Math.max(...prompts.map((p) => p.ids.length))
  const context = model.config.decoder.context
  if (longest + maxTokens > context) {
    throw new ShaktiError(
      'generateBatch',
      `${longest} + ${maxTokens} tokens exceed the context of ${context}.`,
    )
  }
  if (padId === model.config.imageToken)
    throw new ShaktiError('generateBatch', 'the padding must not be the image token.')
  const pads = prompts.map((p) => longest - p.ids.length)
  const total = longest + maxTokens
  const visible = new Uint8Array(rows * total)
  let ids = new Int32Array(rows * longest).fill(padId)
  let positions = new Int32Array(rows * longest)
  prompts.forEach((p, r) => {
    for (let i = 0; i < p.ids.length; i++) {
      ids[r * longest + pads[r]! + i] = p.ids[i]!
      positions[r * longest + pads[r]! + i] = i
    }
    visible.fill(1, r * total + pads[r]!, (r + 1) * total)
  })
  const flags = (data: Uint8Array, shape: number[]): Tensor =>
    keep(tidy(() => tensor(data, { shape, device: model.device }).to('bool')))
  const mask = flags(visible, [rows, 1, 1, total])
  const { imageToken, decoder } = model.config
  const isImage = Uint8Array.from({ length: decoder.vocab }, (_, i) => (i === imageToken ? 1 : 0))
  const forbidden = imageToken === undefined ? undefined : flags(isImage, [decoder.vocab])
  const cache = new KVCache(total)
  const out: number[][] = prompts.map(() => [])
  const done = prompts.map(() => false)
  const wasTraining = model.training
  model.eval()
  try {
    let images: readonly EncodedImage[] | undefined = prompts.flatMap((p) => p.images ?? [])
    for (let n = 0; n < maxTokens && done.includes(false); n++) {
      const length = ids.length / rows
      const next = tidy(() =>
        noGrad(() => {
          const seen = mask.narrow(3, 0, cache.length + length)
          const hidden = model.forward({
            ids,
            rows,
            length,
            positions,
            mask: seen,
            cache,
            ...(images?.length ? { images } : {}),
          })
          const logits = lastLogits(model, hidden)
          return (forbidden ? logits.maskedFill(forbidden, -Infinity) : logits).argmax(1)
        }),
      )
      const chosen = await next.data()
      next.dispose()
      chosen.forEach((id, r) => {
        if (done[r]) return
        if (stopTokens.includes(id)) done[r] = true
        else out[r]!.push(id)
      })
      ids = Int32Array.from(chosen)
      positions = Int32Array.from(prompts, (p) => p.ids.length + n)
      images = undefined
    }
    return out
  } finally {
    mask.dispose()
    forbidden?.dispose()
    cache.dispose()
    model.train(wasTraining)
  }
}
