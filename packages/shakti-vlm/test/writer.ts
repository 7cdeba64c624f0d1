// What the tests of generation share: small models that say different things at different places, and the plain way to read.
import { manualSeed, noGrad, tidy } from '@shakti/tensor'
import {
  generate,
  nano,
  ShaktiVlm,
  type EncodedImage,
  type GeneratedToken,
  type GenerateOptions,
  type Prompt,
  type ShaktiVlmConfigInput,
} from '../src/index.js'
import { fill } from './assert.js'

export const imageToken = 5

/** Larger weights than the initial ones, so that the likeliest token changes from place to place. */
export function writer(
  seed = 11,
  decoder: Partial<ShaktiVlmConfigInput['decoder']> = {},
): ShaktiVlm {
  manualSeed(seed)
  const config = { ...nano, decoder: { ...nano.decoder, tied: false, ...decoder }, imageToken }
  const model = new ShaktiVlm(config)
  noGrad(() => {
    for (const p of model.parameters()) if (p.ndim > 1) p.mul_(6)
  })
  return model
}

/** A model of few tokens, whose probabilities can be counted. */
export const few = (seed: number): ShaktiVlm => writer(seed, { vocab: 8 })

export const image = (k = 1): EncodedImage => ({
  pixels: fill(k, 16 * 16 * 3).map((v) => 5 * v),
  height: 16,
  width: 16,
  patch: 4,
})

export const withImage = (k = 1): Prompt => ({ ids: [9, 5, 5, 5, 5, 8], images: [image(k)] })

/** `n` ids that are no image tokens. */
export const text = (n: number, k = 1): number[] =>
  Array.from({ length: n }, (_, i) => 6 + ((i * 37 + k * 11 + i * i) % 300))

/** Logits of every position of a prompt, read at once without a cache: [positions][vocab], the image token left out. */
export function plainLogits(model: ShaktiVlm, prompt: Prompt): number[][] {
  const { vocab } = model.config.decoder
  return tidy(() => {
    const logits = noGrad(() =>
      model.logits(
        model.forward({
          ids: Int32Array.from(prompt.ids),
          rows: 1,
          length: prompt.ids.length,
          ...(prompt.images ? { images: prompt.images } : {}),
        }),
      ),
    ).dataSync()
    return Array.from({ length: prompt.ids.length }, (_, i) => {
      const row = Array.from(logits.slice(i * vocab, (i + 1) * vocab))
      row[imageToken] = -Infinity
      return row
    })
  })
}

export const argmax = (row: readonly number[]): number => row.indexOf(Math.max(...row))

/** The likeliest next tokens, each from the whole text so far. */
export function slow(model: ShaktiVlm, prompt: Prompt, n: number): number[] {
  const all = Array.from(prompt.ids)
  return Array.from({ length: n }, () => {
    all.push(argmax(plainLogits(model, { ...prompt, ids: all }).at(-1)!))
    return all.at(-1)!
  })
}

export async function tokens(
  model: ShaktiVlm,
  prompt: Prompt,
  options: GenerateOptions,
): Promise<GeneratedToken[]> {
  const out: GeneratedToken[] = []
  for await (const token of generate(model, prompt, options)) out.push(token)
  return out
}

export const ids = async (
  model: ShaktiVlm,
  prompt: Prompt,
  options: GenerateOptions,
): Promise<number[]> => (await tokens(model, prompt, options)).map((t) => t.id)

/** log(softmax(row)) */
export function logSoftmax(row: readonly number[]): number[] {
  const top = Math.max(...row)
  const log = top + Math.log(row.reduce((n, v) => n + Math.exp(v - top), 0))
  return row.map((v) => v - log)
}
