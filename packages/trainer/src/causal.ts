// Next-token loss on the supervised positions alone.
import { crossEntropy, tensor, type Tensor } from '@shakti/tensor'
import { ignoreIndex, supervisedPositions, type TokenBatch } from './samples.js'
import type { Loss } from './types.js'

export interface CausalOptions<M, B extends TokenBatch = TokenBatch> {
  /** Hidden states of every position, [..., d], or their logits when `head` is left out. */
  hidden: (model: M, batch: B) => Tensor
  /** Logits of the chosen hidden states: [n, d] to [n, vocabulary]. */
  head?: (model: M, hidden: Tensor) => Tensor
  /**
   * Cross-entropy of labels [n] under the logits of the chosen hidden states, for models that need not hold all logits to
   * compute it (`ShaktiVlm.loss`). `causal` takes it before `head`.
   */
  headLoss?: (
    model: M,
    hidden: Tensor,
    labels: Tensor,
    options: { reduction: 'sum'; labelSmoothing: number },
  ) => Tensor
  /** Default 0. */
  labelSmoothing?: number
}

/** Hidden states where the batch has labels: [n, d]. */
function supervisedStates<M, B extends TokenBatch>(
  options: CausalOptions<M, B>,
  model: M,
  batch: B,
  index: Int32Array,
): Tensor {
  const states = options.hidden(model, batch)
  return states.reshape([-1, states.shape.at(-1)!]).indexSelect(0, tensor(index))
}

/** Logits where the batch has labels: [n, vocabulary]; the head runs on no other position. */
export function supervisedLogits<M, B extends TokenBatch>(
  options: CausalOptions<M, B>,
  model: M,
  batch: B,
  index: Int32Array,
): Tensor {
  const chosen = supervisedStates(options, model, batch, index)
  return options.head ? options.head(model, chosen) : chosen
}

/** Real tokens in a batch. */
export const tokensOf = (batch: TokenBatch): number => batch.lengths.reduce((a, b) => a + b, 0)

/** Cross-entropy of the next token, summed over the labels; in nats a token after the step's division. */
export function causal<M, B extends TokenBatch = TokenBatch>(
  options: CausalOptions<M, B>,
): Loss<M, B> {
  return {
    name: 'causal',
    count: (batch) => batch.labels.reduce((n, label) => n + (label === ignoreIndex ? 0 : 1), 0),
    tokens: tokensOf,
    terms(model, batch) {
      const { index, labels } = supervisedPositions(batch)
      const target = tensor(labels)
      const settings = { reduction: 'sum', labelSmoothing: options.labelSmoothing ?? 0 } as const
      if (options.headLoss) {
        const states = supervisedStates(options, model, batch, index)
        return { sum: options.headLoss(model, states, target, settings) }
      }
      return { sum: crossEntropy(supervisedLogits(options, model, batch, index), target, settings) }
    },
  }
}
