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
  type Tensor,
} from '@shakti/tensor'
import type { Optimizer } from './adamw.js'
import type { Loss, TrainableModel } from './types.js'

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
  /** `values` of the step before. If they are not finite this step changes nothing either. Default: none. */
  previous?: Tensor
}

export interface StepOutput {
  /** f32 [2 + metrics]: loss, gradient length before clipping, then the metrics. The caller reads and disposes it. */
  values: Tensor
  metrics: readonly string[]
  tokens: number
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
  const scale = 1 / countItems(loss, batches)
  let metrics: string[] | undefined
  const parts: Tensor[] = []
  for (const batch of batches) {
    // An empty micro-batch adds nothing, and some kernels have nothing to say about no rows.
    if (loss.count(batch) === 0) continue
    parts.push(
      tidy(() => {
        const terms = loss.terms(model, batch)
        terms.sum.mul(scale).backward()
        const entries = Object.entries(terms.metrics ?? {})
        metrics ??= entries.map(([name]) => name)
        return noGrad(() =>
          stack([terms.sum.detach().float(), ...entries.map(([, t]) => t.detach().float())]),
        )
      }),
    )
  }
  const values = tidy(() => parts.reduce((a, b) => a.add(b)).mul(scale))
  return { values, metrics: metrics ?? [] }
}

export function clearGradients(parameters: readonly Tensor[]): void {
  for (const p of parameters) p.grad = undefined
}

export function trainStep<M extends TrainableModel, B>(inputs: StepInputs<M, B>): StepOutput {
  const { model, loss, batches, parameters, optimizer, lrFactor, clip, previous } = inputs
  const tokens = batches.reduce((n, b) => n + (loss.tokens ?? loss.count)(b), 0)
  return tidy(() => {
    const { values, metrics } = accumulate(loss, model, batches)
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
      const poison = (measured: Tensor): Tensor => measured.mul(0).sum()
      const own = poison(stack([norm, mean]))
      const guard = previous ? own.add(poison(previous.narrow(0, 0, 2))) : own
      optimizer.step(lrFactor, clipScale(norm, Math.min(clip, 3e38)).add(guard))
      return stack([mean, norm, ...metrics.map((_, i) => values.select(0, i + 1))])
    })
    clearGradients(parameters)
    return { values: keep(out), metrics, tokens }
  })
}
