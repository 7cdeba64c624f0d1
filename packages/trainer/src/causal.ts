// Next-token loss on the supervised positions alone.
import { crossEntropy, ShaktiError, tensor, type Tensor } from '@shakti/tensor'
import { deviceOf } from './device.js'
import { ignoreIndex, supervisedPositions, type TokenBatch } from './samples.js'
import { placedLoss } from './step.js'
import type { Loss, LossTerms } from './types.js'

/** `I`: what `hidden` reads; the batch itself unless there is a `place`. */
export interface CausalOptions<M, B extends TokenBatch = TokenBatch, I = B> {
  /**
   * Brings a batch to the device (see PlacedTerms): with it `run` can capture the steps. Default: `hidden` gets the batch.
   */
  place?: (model: M, batch: B) => I
  /** Hidden states of every position, [..., d], or their logits when `head` is left out. */
  hidden: (model: M, inputs: I) => Tensor
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
  /**
   * The supervised positions are filled up with ignored ones to a multiple of it, so that fewer different shapes occur.
   * Default 1.
   */
  labelsMultipleOf?: number
}

/** What a loss over supervised positions reads of a batch. */
export interface SupervisedInputs<I> {
  readonly inputs: I
  /** Where there are labels, i32 [n], and the labels. */
  readonly index: Tensor
  readonly labels: Tensor
}

/** Brings a batch, and where it has labels, to the device. */
export function placeSupervised<M, B extends TokenBatch, I>(
  { place, labelsMultipleOf = 1 }: CausalOptions<M, B, I>,
  model: M,
  batch: B,
): SupervisedInputs<I> {
  const found = supervisedPositions(batch)
  const n = Math.ceil(found.labels.length / labelsMultipleOf) * labelsMultipleOf
  const index = new Int32Array(n)
  const labels = new Int32Array(n).fill(ignoreIndex)
  index.set(found.index)
  labels.set(found.labels)
  const device = deviceOf(model)
  return {
    inputs: place ? place(model, batch) : (batch as unknown as I),
    index: tensor(index, { device }),
    labels: tensor(labels, { device }),
  }
}

/** Hidden states where the batch has labels: [n, d]. */
function supervisedStates<M, B extends TokenBatch, I>(
  options: CausalOptions<M, B, I>,
  model: M,
  { inputs, index }: SupervisedInputs<I>,
): Tensor {
  const states = options.hidden(model, inputs)
  return states.reshape([-1, states.shape.at(-1)!]).indexSelect(0, index)
}

/** Logits where the batch has labels: [n, vocabulary]; the head runs on no other position. */
export function supervisedLogits<M, B extends TokenBatch, I>(
  options: CausalOptions<M, B, I>,
  model: M,
  placed: SupervisedInputs<I>,
): Tensor {
  const chosen = supervisedStates(options, model, placed)
  return options.head ? options.head(model, chosen) : chosen
}

/** A loss of whatever halves the options allow: without `place` what `hidden` reads is unknown, and it stays whole. */
export function splitLoss<M, B extends TokenBatch, I, P>(
  options: CausalOptions<M, B, I>,
  loss: Parameters<typeof placedLoss<M, B, P>>[0],
): Loss<M, B> {
  const { placed, ...whole } = placedLoss(loss)
  return options.place && placed ? { ...whole, placed } : whole
}

/** Real tokens in a batch. */
export const tokensOf = (batch: TokenBatch): number => batch.lengths.reduce((a, b) => a + b, 0)

/** Cross-entropy of the next token, summed over the labels; in nats a token after the step's division. */
export function causal<M, B extends TokenBatch = TokenBatch, I = B>(
  options: CausalOptions<M, B, I>,
): Loss<M, B> {
  const { labelsMultipleOf = 1 } = options
  if (!Number.isInteger(labelsMultipleOf) || labelsMultipleOf < 1)
    throw new ShaktiError(
      'causal',
      `labelsMultipleOf is ${labelsMultipleOf}. It must be an integer from 1.`,
    )
  return splitLoss(options, {
    name: 'causal',
    count: (batch) => batch.labels.reduce((n, label) => n + (label === ignoreIndex ? 0 : 1), 0),
    tokens: tokensOf,
    place: (model: M, batch: B) => placeSupervised(options, model, batch),
    terms(model: M, placed: SupervisedInputs<I>): LossTerms {
      const settings = { reduction: 'sum', labelSmoothing: options.labelSmoothing ?? 0 } as const
      const { labels } = placed
      if (options.headLoss) {
        const states = supervisedStates(options, model, placed)
        return { sum: options.headLoss(model, states, labels, settings) }
      }
      return { sum: crossEntropy(supervisedLogits(options, model, placed), labels, settings) }
    },
  })
}
