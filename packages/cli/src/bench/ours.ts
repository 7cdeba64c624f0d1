// A round of our own: one call of `generate`, as a user makes it, greedy.

import { dtypeSize } from '@shakti/tensor'
import { derive, generate } from '@shakti/vlm'
import type {
  EncodedImage,
  InspectedModule,
  ReadingProgress,
  ShaktiVlm,
  ShaktiVlmConfig,
} from '@shakti/vlm'
import { tokensOf } from '../imageSize.js'
import type { ImageSize } from '../imageSize.js'

/** What a round of anyone gives. */
export interface Round {
  /** Tokens a second. */
  readonly prefill: number
  readonly decode: number
}

export interface OurRound extends Round {
  /** Milliseconds from the call to the first token, encoder and prefill among them. */
  readonly firstToken: number
  /** Milliseconds of the vision encoder; 0 without an image. */
  readonly encode: number
}

export interface Work {
  /** Tokens of text read, and tokens written behind the first. */
  readonly prefill: number
  readonly decode: number
}

/** Ids of a text that means nothing, the same each time, without the image token. */
export function textIds(n: number, { decoder, imageToken }: ShaktiVlmConfig): number[] {
  return Array.from({ length: n }, (_, i) => {
    const id = (i * 7919 + 13) % decoder.vocab
    return id === imageToken ? (id + 1) % decoder.vocab : id
  })
}

/** Pixels of noise: the encoder's time does not depend on them. */
export function noise({ width, height, patch }: ImageSize): EncodedImage {
  const pixels = Float32Array.from({ length: width * height * 3 }, (_, i) =>
    Math.sin(i * 12.9898 + (i % 7)),
  )
  return { width, height, patch, pixels }
}

export async function ourRound(
  model: ShaktiVlm,
  { prefill, decode }: Work,
  options: {
    readonly image?: { readonly size: ImageSize; readonly encoded: EncodedImage } | undefined
    readonly kvDtype?: 'f32' | 'bf16' | 'i8' | undefined
    readonly signal: AbortSignal
    readonly onProgress?: ReadingProgress
  },
): Promise<OurRound> {
  const { image, kvDtype, signal, onProgress } = options
  const text = textIds(prefill, model.config)
  const placeholders = image
    ? new Array<number>(tokensOf(image.size, model.config)).fill(model.config.imageToken!)
    : []
  const prompt = { ids: [...placeholders, ...text], images: image ? [image.encoded] : [] }
  // The first token is the prefill's.
  const tokens = generate(model, prompt, {
    maxTokens: decode + 1,
    signal,
    ...(kvDtype ? { kvDtype } : {}),
    ...(onProgress ? { onProgress } : {}),
  })
  for await (const { timing } of tokens) {
    if (!timing) continue
    return {
      prefill: (1000 * prompt.ids.length) / timing.prefill,
      decode: timing.tokensPerSecond,
      firstToken: timing.firstToken,
      encode: timing.encode,
    }
  }
  throw new Error('generate ended without its last token')
}

/** Bytes of keys and values that a token reads, on the average of a round's decoding. */
export function cacheBytes(
  config: ShaktiVlmConfig,
  { prompt, decode }: { prompt: number; decode: number },
  kvDtype: 'f32' | 'bf16' | 'i8',
): number {
  const { kvHeads, decoderHeadDim } = derive(config)
  // A byte a number and an f32 scale a head in i8.
  const head = kvDtype === 'i8' ? decoderHeadDim + 4 : decoderHeadDim * dtypeSize(kvDtype)
  const { slidingWindow, globalEvery } = config.decoder
  const seen = (layer: number): number =>
    slidingWindow === null || (globalEvery !== null && (layer + 1) % globalEvery === 0)
      ? prompt + decode / 2
      : Math.min(prompt + decode / 2, slidingWindow)
  return Math.round(kvHeads.reduce((sum, n, layer) => sum + 2 * head * n * seen(layer), 0))
}

/** Bytes of weights that a token of the decoder reads; a table that is looked up in is not among them. */
export function weightBytes(model: InspectedModule): number {
  const find = (m: InspectedModule, name: RegExp): InspectedModule | undefined =>
    name.test(m.name) ? m : m.modules.map((below) => find(below, name)).find(Boolean)
  const decoder = find(model, /^language_model$/)
  if (!decoder) throw new Error('the model has no language_model')
  const head = find(decoder, /\.lm_head$/)
  const table = find(decoder, /\.embed_tokens$/)
  return decoder.bytes - (head && table ? table.bytes : 0)
}
