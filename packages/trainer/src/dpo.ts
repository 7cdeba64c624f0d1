// Direct preference optimisation (Rafailov et al., arXiv 2305.18290, equation 7) with the variants that are one line
// each. The reference model is the one that training starts from; its log-probabilities are computed once, before.
import { crossEntropy, noGrad, ShaktiError, tensor, tidy, zeros, type Tensor } from '@shakti/tensor'
import {
  placeSupervised,
  splitLoss,
  supervisedLogits,
  tokensOf,
  type CausalOptions,
  type SupervisedInputs,
} from './causal.js'
import { deviceOf } from './device.js'
import { inEvaluation } from './evaluate.js'
import {
  collate,
  supervised,
  supervisedPositions,
  type Sample,
  type TokenBatch,
} from './samples.js'
import type { Loss, LossTerms, TrainableModel } from './types.js'

/** Two answers to one prompt; the masks of both mark the answers. */
export interface Preference<Image = unknown> {
  chosen: Sample<Image>
  rejected: Sample<Image>
  /** Log-probability of each answer under the reference, from `withReference`. */
  reference?: { chosen: number; rejected: number }
}

/** 2n sequences: first the chosen ones, then the rejected ones in the same order. */
export interface PreferenceBatch<Image = unknown> extends TokenBatch<Image> {
  pairs: number
  /** 2n numbers; NaN before `withReference`. */
  reference: Float32Array
}

/**
 * One batch of pairs, so that one forward pass serves both answers.
 * @throws ShaktiError for an answer without a supervised token: the loss would compare with nothing
 */
export function collatePreferences<I>(
  pairs: readonly Preference<I>[],
  options: { padId?: number; multipleOf?: number } = {},
): PreferenceBatch<I> {
  pairs.forEach((pair, i) => {
    for (const side of ['chosen', 'rejected'] as const) {
      if (supervised(pair[side]) === 0)
        throw new ShaktiError(
          'collatePreferences',
          `pair ${i}: the ${side} answer has no token to learn. Its mask must be 1 on the answer.`,
        )
    }
  })
  return {
    ...collate([...pairs.map((p) => p.chosen), ...pairs.map((p) => p.rejected)], options),
    pairs: pairs.length,
    reference: Float32Array.from([
      ...pairs.map((p) => p.reference?.chosen ?? NaN),
      ...pairs.map((p) => p.reference?.rejected ?? NaN),
    ]),
  }
}

interface SequenceInputs<I> extends SupervisedInputs<I> {
  readonly sequences: number
  /** Of each supervised position: i32 [n]. */
  readonly sequence: Tensor
}

function placeSequences<M, B extends TokenBatch, I>(
  options: CausalOptions<M, B, I>,
  model: M,
  batch: B,
): SequenceInputs<I> {
  const placed = placeSupervised(options, model, batch)
  // Ignored positions add zero, to any sequence.
  const sequence = new Int32Array(placed.labels.numel)
  sequence.set(supervisedPositions(batch).sequence)
  const { device } = placed.labels
  return { ...placed, sequences: batch.lengths.length, sequence: tensor(sequence, { device }) }
}

function logProbs<M, B extends TokenBatch, I>(
  options: CausalOptions<M, B, I>,
  model: M,
  placed: SequenceInputs<I>,
): Tensor {
  const logits = supervisedLogits(options, model, placed)
  const nll = crossEntropy(logits, placed.labels, { reduction: 'none' })
  const { dtype, device } = nll
  return zeros([placed.sequences], { dtype, device }).indexAdd(0, placed.sequence, nll.neg())
}

/** Log-probability of each sequence's supervised tokens, summed: [sequences]. */
export function sequenceLogProbs<M, B extends TokenBatch, I = B>(
  options: CausalOptions<M, B, I>,
  model: M,
  batch: B,
): Tensor {
  return logProbs(options, model, placeSequences(options, model, batch))
}

export type DpoVariant = 'sigmoid' | 'ipo' | 'hinge' | 'robust'

export interface DpoOptions<
  M,
  B extends PreferenceBatch = PreferenceBatch,
  I = B,
> extends CausalOptions<M, B, I> {
  /** Default 'sigmoid'. */
  variant?: DpoVariant
  /** Default 0.1. */
  beta?: number
  /**
   * Probability that a preference is the wrong way round; default 0. With 'sigmoid' the conservative loss of
   * arXiv 2305.18290's authors (cDPO), with 'robust' the unbiased one (arXiv 2403.00409, equation 12).
   */
  labelSmoothing?: number
}

/**
 * The loss of each pair.
 * @param policy [2n] and reference [2n]: log-probabilities, chosen first
 * @param counts [2n] supervised tokens; 'ipo' averages over them (arXiv 2310.12036, equation 17, as TRL applies it)
 */
export function dpoLosses(
  policy: Tensor,
  reference: Tensor,
  counts: Tensor,
  options: { variant?: DpoVariant; beta?: number; labelSmoothing?: number } = {},
): { losses: Tensor; chosenRewards: Tensor; rejectedRewards: Tensor } {
  const { variant = 'sigmoid', beta = 0.1, labelSmoothing: eps = 0 } = options
  const n = policy.shape[0]! / 2
  const ratios = policy.sub(reference)
  const chosen = ratios.narrow(0, 0, n)
  const rejected = ratios.narrow(0, n, n)
  // -log sigmoid(x) = softplus(-x), which does not overflow.
  const wrong = (x: Tensor): Tensor => x.neg().softplus()
  const delta = chosen.sub(rejected).mul(beta)
  let losses: Tensor
  switch (variant) {
    case 'sigmoid':
      losses =
        eps === 0
          ? wrong(delta)
          : wrong(delta)
              .mul(1 - eps)
              .add(wrong(delta.neg()).mul(eps))
      break
    case 'robust':
      losses = wrong(delta)
        .mul(1 - eps)
        .sub(wrong(delta.neg()).mul(eps))
        .div(1 - 2 * eps)
      break
    case 'hinge':
      losses = delta.neg().add(1).relu()
      break
    case 'ipo': {
      const mean = ratios.div(counts)
      losses = mean
        .narrow(0, 0, n)
        .sub(mean.narrow(0, n, n))
        .sub(1 / (2 * beta))
        .square()
      break
    }
  }
  return {
    losses,
    chosenRewards: chosen.detach().mul(beta),
    rejectedRewards: rejected.detach().mul(beta),
  }
}

/** DPO as a loss of a stage. Logs rewardsChosen, rewardsRejected, margin and accuracy, means over the pairs. */
export function dpo<M, B extends PreferenceBatch = PreferenceBatch, I = B>(
  options: DpoOptions<M, B, I>,
): Loss<M, B> {
  const { variant = 'sigmoid', beta = 0.1, labelSmoothing = 0 } = options
  if (!(beta > 0)) throw new ShaktiError('dpo', `beta is ${beta}. It must be above 0.`)
  if (!(labelSmoothing >= 0 && labelSmoothing < 0.5))
    throw new ShaktiError('dpo', `labelSmoothing is ${labelSmoothing}. It must be in [0, 0.5).`)
  if (labelSmoothing > 0 && (variant === 'ipo' || variant === 'hinge')) {
    throw new ShaktiError(
      'dpo',
      `labelSmoothing is ${labelSmoothing}, but '${variant}' has none. Use 'sigmoid' or 'robust', or 0.`,
    )
  }
  return splitLoss(options, {
    name: `dpo-${variant}`,
    count: (batch) => batch.pairs,
    tokens: tokensOf,
    place(model: M, batch: B) {
      if (batch.reference.some(Number.isNaN)) {
        throw new ShaktiError(
          'dpo',
          'the batch has no reference log-probabilities. Pass the pairs through withReference before training.',
        )
      }
      const counts = new Float32Array(batch.lengths.length)
      for (const s of supervisedPositions(batch).sequence) counts[s]!++
      const device = deviceOf(model)
      return {
        ...placeSequences(options, model, batch),
        reference: tensor(batch.reference, { device }),
        counts: tensor(counts, { device }),
      }
    },
    terms(model: M, placed: SequenceInputs<I> & { reference: Tensor; counts: Tensor }): LossTerms {
      const policy = logProbs(options, model, placed)
      const { losses, chosenRewards, rejectedRewards } = dpoLosses(
        policy,
        placed.reference,
        placed.counts,
        { variant, beta, labelSmoothing },
      )
      return {
        sum: losses.sum(),
        metrics: {
          rewardsChosen: chosenRewards.sum(),
          rewardsRejected: rejectedRewards.sum(),
          margin: chosenRewards.sub(rejectedRewards).sum(),
          accuracy: chosenRewards.gt(rejectedRewards).to('f32').sum(),
        },
      }
    },
  })
}

/**
 * The pairs with the log-probabilities of the model as it is now: call it before the stage, with the model that
 * fine-tuning left. Dropout is off meanwhile.
 */
export async function withReference<M extends TrainableModel, Image, I = PreferenceBatch<Image>>(
  pairs: readonly Preference<Image>[],
  model: M,
  options: CausalOptions<M, PreferenceBatch<Image>, I> & {
    /** Pairs at once; default 16. */
    batchSize?: number
    collate?: (pairs: Preference<Image>[]) => PreferenceBatch<Image>
  },
): Promise<Preference<Image>[]> {
  const { batchSize = 16, collate: make = (p: Preference<Image>[]) => collatePreferences(p) } =
    options
  const out: Preference<Image>[] = []
  await inEvaluation(model, async () => {
    for (let i = 0; i < pairs.length; i += batchSize) {
      const part = pairs.slice(i, i + batchSize)
      const sums = tidy(() => noGrad(() => sequenceLogProbs(options, model, make(part))))
      const values = await sums.data()
      sums.dispose()
      part.forEach((p, k) =>
        out.push({ ...p, reference: { chosen: values[k]!, rejected: values[part.length + k]! } }),
      )
    }
  })
  return out
}
