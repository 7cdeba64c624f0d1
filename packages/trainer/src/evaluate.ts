// Mean loss over data that is not trained on.
import { getRngState, noGrad, setRngState, stack, tidy, type Tensor } from '@shakti/tensor'
import { countItems } from './step.js'
import type { DataSource, Loss, TrainableModel } from './types.js'

export interface Evaluation {
  /** Sum of losses over the count of items. */
  loss: number
  /** The loss's metrics, likewise. */
  metrics: Record<string, number>
  items: number
}

/** Runs something with the model in evaluation, and puts it back as it was. */
export async function inEvaluation<T>(model: TrainableModel, fn: () => Promise<T>): Promise<T> {
  const { training = true } = model
  model.eval?.()
  try {
    return await fn()
  } finally {
    if (training) model.train?.()
  }
}

/**
 * The mean over the first `steps` batches of `data` (default: one epoch), item by item and not batch by batch. Without
 * gradients, in evaluation mode, and without moving the random numbers of the training.
 */
export async function evaluate<M extends TrainableModel, B>(
  model: M,
  options: { loss: Loss<M, B>; data: DataSource<B>; steps?: number },
): Promise<Evaluation> {
  const { loss, data } = options
  const steps = options.steps ?? data.stepsPerEpoch ?? 1
  const rng = getRngState()
  let items = 0
  let names: string[] = ['loss']
  let sums: number[] = []
  try {
    await inEvaluation(model, async () => {
      for (let step = 0; step < steps; step++) {
        const batches = await data.batch(step)
        items += countItems(loss, batches)
        const parts = batches.filter((b) => loss.count(b) > 0)
        const total = tidy(() =>
          noGrad(() =>
            parts
              .map((batch): Tensor => {
                const { sum, metrics = {} } = loss.terms(model, batch)
                names = ['loss', ...Object.keys(metrics)]
                return stack([sum, ...Object.values(metrics)].map((t) => t.float()))
              })
              .reduce((a, b) => a.add(b)),
          ),
        )
        const values = Array.from(await total.data())
        total.dispose()
        sums = values.map((v, i) => v + (sums[i] ?? 0))
      }
    })
  } finally {
    setRngState(rng)
  }
  const means = Object.fromEntries(names.map((name, i) => [name, sums[i]! / items]))
  const { loss: mean = NaN, ...metrics } = means
  return { loss: mean, metrics, items }
}
