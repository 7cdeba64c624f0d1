// One optimiser step: forward and backward of every micro-batch, clipping, the update. All of it is issued without
// waiting for a result; what the step measured is read later, by who wants it.
import {
  clipScale,
  globalNorm,
  keep,
  noGrad,
  ShaktiError,
  stack,
  tidy,
  type DType,
  type Tensor,
} from '@shakti/tensor'
import type { Optimizer } from './adamw.js'
import type { Loss, LossTerms, PlacedTerms, TrainableModel } from './types.js'

export interface StepInputs<M extends TrainableModel, B> {
  model: M
  loss: Loss<M, B>
  /** Micro-batches; together they are the batch. */
  batches: readonly B[]
  /** The parameters in training. */
  parameters: readonly Tensor[]
  optimizer: Optimizer
  /** Factor on the learning rates, from the schedule; f64 with one element for a step that is captured. */
  lrFactor: number | Tensor
  /** Largest length of the gradient; Infinity for none. */
  clip: number
  /**
   * f32, one element, kept from step to step: 0, and NaN from the first step on whose loss or gradient is not finite. No
   * step that finds NaN changes anything. Default: each step looks at itself alone.
   */
  guard?: Tensor
}

export interface StepOutput {
  /** f32 [2 + metrics]: loss, gradient length before clipping, then the metrics. The caller reads and disposes it. */
  values: Tensor
  metrics: readonly string[]
  tokens: number
}

/** A loss in two halves, from its halves: `run` can capture its steps. */
export const placedLoss = <M, B, P>(
  loss: Omit<Loss<M, B>, 'terms' | 'placed'> & PlacedTerms<M, B, P>,
): Loss<M, B> => {
  const { place, terms, ...rest } = loss
  return { ...rest, placed: { place, terms }, terms: (m, batch) => terms(m, place(m, batch)) }
}

/** Items in the whole batch, over all its micro-batches: what every sum of the step is divided by. */
export function countItems<M, B>(loss: Loss<M, B>, batches: readonly B[]): number {
  const count = batches.reduce((n, b) => n + loss.count(b), 0)
  if (count === 0) {
    throw new ShaktiError(
      `loss ${loss.name}`,
      'the batch has nothing to learn from: no supervised token in any micro-batch. Drop such samples from the data.',
    )
  }
  return count
}

/** Tokens that the model reads in a step. */
export const countTokens = <M, B>(loss: Loss<M, B>, batches: readonly B[]): number =>
  batches.reduce((n, b) => n + (loss.tokens ?? loss.count)(b), 0)

/** What a step computes its gradient from. */
export interface Work {
  /** The terms of each micro-batch. */
  readonly parts: readonly (() => LossTerms)[]
  /** What every sum is multiplied by: one over the count of the whole batch. A tensor is f64 with one element. */
  readonly scale: number | Tensor
}

/** Micro-batches with something to learn: an empty one adds nothing, and some kernels have nothing to say about no rows. */
export const worthwhile = <M, B>(loss: Loss<M, B>, batches: readonly B[]): B[] =>
  batches.filter((b) => loss.count(b) > 0)

function workOn<M, B>(loss: Loss<M, B>, model: M, batches: readonly B[]): Work {
  const scale = 1 / countItems(loss, batches)
  return { scale, parts: worthwhile(loss, batches).map((b) => () => loss.terms(model, b)) }
}

const inDType = (scale: number | Tensor, dtype: DType): number | Tensor =>
  typeof scale === 'number' ? scale : scale.to(dtype)

function accumulateWork({ parts, scale }: Work): { values: Tensor; metrics: string[] } {
  let metrics: string[] | undefined
  const measured = parts.map((part) =>
    tidy(() => {
      const terms = part()
      // In f32 at least, and the number as it would be there.
      const dtype = terms.sum.dtype === 'f64' ? 'f64' : 'f32'
      terms.sum.to(dtype).mul(inDType(scale, dtype)).backward()
      const entries = Object.entries(terms.metrics ?? {})
      metrics ??= entries.map(([name]) => name)
      return noGrad(() =>
        stack([terms.sum.detach().float(), ...entries.map(([, t]) => t.detach().float())]),
      )
    }),
  )
  const values = tidy(() => measured.reduce((a, b) => a.add(b)).mul(inDType(scale, 'f32')))
  return { values, metrics: metrics ?? [] }
}

/**
 * Adds the gradients of the whole batch to `.grad`, normalised by the count over all micro-batches, so that k
 * micro-batches give what one batch gives.
 * @returns the loss and the metrics, f32 [1 + metrics]
 */
export function accumulate<M, B>(
  loss: Loss<M, B>,
  model: M,
  batches: readonly B[],
): { values: Tensor; metrics: string[] } {
  return accumulateWork(workOn(loss, model, batches))
}

export function clearGradients(parameters: readonly Tensor[]): void {
  for (const p of parameters) p.grad = undefined
}

/** The step whose gradient comes from `work`: what is captured, or runs as it is called. */
export function stepOn<M extends TrainableModel, B>(
  inputs: Omit<StepInputs<M, B>, 'model' | 'batches'>,
  work: Work,
): Omit<StepOutput, 'tokens'> {
  const { loss, parameters, optimizer, lrFactor, clip, guard } = inputs
  return tidy(() => {
    const { values, metrics } = accumulateWork(work)
    const grads = parameters.flatMap((p) => (p.grad ? [p.grad] : []))
    if (grads.length === 0)
      throw new ShaktiError(
        `loss ${loss.name}`,
        'reaches none of the parameters in training. Is everything that it depends on frozen?',
      )
    const out = noGrad(() => {
      const norm = globalNorm(grads)
      const mean = values.select(0, 0)
      // NaN where loss or gradient are not finite, and adamw_ then leaves everything as it was: no bad step is taken,
      // though its numbers are read only after the next one was issued; nor is that next one.
      const own = stack([norm, mean]).mul(0).sum()
      const poison = guard ? guard.add_(own) : own
      optimizer.step(lrFactor, clipScale(norm, Math.min(clip, 3e38)).add(poison))
      return stack([mean, norm, ...metrics.map((_, i) => values.select(0, i + 1))])
    })
    clearGradients(parameters)
    return { values: keep(out), metrics }
  })
}

/** One optimiser step, issued without waiting for any of it. */
export function trainStep<M extends TrainableModel, B>(inputs: StepInputs<M, B>): StepOutput {
  const { model, loss, batches } = inputs
  const tokens = countTokens(loss, batches)
  return { ...stepOn(inputs, workOn(loss, model, batches)), tokens }
}
