// How well a model foretells a text: for comparing a quantised model with the one it came from.
import { crossEntropy, noGrad, ShaktiError, tensor, tidy } from '@shakti/tensor'
import { KVCache } from '@shakti/nn'
import type { ShaktiVlm } from './vlm.js'

export interface PerplexityOptions {
  /** Tokens read at a time; it bounds memory, not the result. Default 512. */
  chunk?: number
}

export interface Perplexity {
  /** exp(loss) */
  readonly perplexity: number
  /** Mean cross-entropy of a token under what stands before it, in nats. */
  readonly loss: number
  /** How many were foretold: all but the first. */
  readonly tokens: number
}

// Logits of so many rows in f32 are held at once: 131 MB with a vocabulary of 128,256.
const logitRows = 128

/**
 * Perplexity of a sequence of tokens, each foretold from all before it.
 * @param ids at least 2, at most the context; no image tokens
 */
export async function perplexity(
  model: ShaktiVlm,
  ids: ArrayLike<number>,
  { chunk = 512 }: PerplexityOptions = {},
): Promise<Perplexity> {
  const { context, vocab } = model.config.decoder
  const refuse = (message: string): never => {
    throw new ShaktiError('perplexity', message)
  }
  if (!Number.isInteger(chunk) || chunk < 1)
    refuse(`chunk is ${String(chunk)}. It must be an integer from 1.`)
  if (ids.length < 2 || ids.length > context)
    refuse(`${ids.length} tokens: 2 are needed, and the context holds ${context}.`)
  const all = Int32Array.from(ids)
  const bad = all.findIndex((id, i) => id !== ids[i] || id < 0 || id >= vocab)
  if (bad >= 0) refuse(`token ${bad} is ${ids[bad]}, not one of the ${vocab} of the vocabulary.`)
  const tokens = all.length - 1
  const cache = new KVCache(tokens)
  const wasTraining = model.training
  model.eval()
  try {
    let sum = 0
    for (let at = 0; at < tokens; at += chunk) {
      const length = Math.min(chunk, tokens - at)
      const losses = tidy(() =>
        noGrad(() => {
          const given = all.subarray(at, at + length)
          const hidden = model.forward({ ids: given, rows: 1, length, cache }).select(0, 0)
          return Array.from({ length: Math.ceil(length / logitRows) }, (_, i) => {
            const first = i * logitRows
            const n = Math.min(logitRows, length - first)
            const labels = tensor(all.subarray(at + first + 1, at + first + 1 + n), {
              device: model.device,
            })
            return tidy(() =>
              crossEntropy(model.logits(hidden.narrow(0, first, n)).float(), labels, {
                reduction: 'sum',
              }),
            )
          })
        }),
      )
      for (const loss of losses) {
        sum += await loss.item()
        loss.dispose()
      }
    }
    const loss = sum / tokens
    return { perplexity: Math.exp(loss), loss, tokens }
  } finally {
    cache.dispose()
    model.train(wasTraining)
  }
}
