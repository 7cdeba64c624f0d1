// What an optimiser does to many tensors at once: one command, one pass over memory.
import { DTypeError, ShapeError } from './errors.js'
import { issue, issueOne } from './native/encode.js'
import { sameShape } from './shape.js'
import type { Tensor } from './tensor.js'

export interface AdamWOptions {
  lr: number
  /** Default 0.9 */
  beta1?: number
  /** Default 0.95 */
  beta2?: number
  /** Default 1e-8 */
  eps?: number
  /** Default 0 */
  weightDecay?: number
  /** Counts from 1. */
  step: number
  /** f32 with one element that multiplies every gradient, from `clipScale`. */
  scale?: Tensor
  /** bf16 copies of the parameters to write beside them. */
  copies?: readonly Tensor[]
}

// A command holds so many tensors; longer lists are cut.
const perCommand = 200

/**
 * AdamW with decoupled weight decay (arXiv 1711.05101, algorithm 2), in place, over lists of equal length.
 * @param params f32, contiguous, as are expAvgs and expAvgSqs
 * @param grads f32 or bf16, of the parameters' shapes
 */
export function adamw_(
  params: readonly Tensor[],
  grads: readonly Tensor[],
  expAvgs: readonly Tensor[],
  expAvgSqs: readonly Tensor[],
  options: AdamWOptions,
): void {
  const {
    lr,
    beta1 = 0.9,
    beta2 = 0.95,
    eps = 1e-8,
    weightDecay = 0,
    step,
    scale,
    copies,
  } = options
  const n = params.length
  for (const [name, list] of Object.entries({
    grads,
    expAvgs,
    expAvgSqs,
    ...(copies ? { copies } : {}),
  })) {
    if (list.length !== n) throw new ShapeError('adamw', `${n} params, but ${list.length} ${name}.`)
    list.forEach((t, i) => {
      if (!sameShape(t.shape, params[i]!.shape)) {
        throw new ShapeError(
          'adamw',
          `${name}[${i}] is ${t.describe()}, its parameter ${params[i]!.describe()}.`,
          [t.shape, params[i]!.shape],
        )
      }
    })
  }
  for (let i = 0; i < n; i += perCommand) {
    const part = (list: readonly Tensor[]): readonly Tensor[] => list.slice(i, i + perCommand)
    issue(
      'adamw',
      [scale, ...part(grads).map((g) => g.contiguous())],
      [...part(params), ...part(expAvgs), ...part(expAvgSqs), ...(copies ? part(copies) : [])],
      [lr, beta1, beta2, eps, weightDecay, step],
    )
  }
}

/** Euclidean length of all tensors taken together: f32, no dimensions. */
export function globalNorm(tensors: readonly Tensor[]): Tensor {
  if (tensors.length === 0) throw new ShapeError('globalNorm', 'needs at least one tensor.')
  const parts: Tensor[] = []
  for (let i = 0; i < tensors.length; i += 1000) {
    const list = tensors.slice(i, i + 1000)
    const bad = list.find((t) => !['f32', 'bf16', 'f16', 'f64'].includes(t.dtype))
    if (bad) throw new DTypeError('globalNorm', `needs floating tensors, got ${bad.describe()}.`)
    parts.push(
      issueOne(
        'global_norm',
        list.map((t) => t.contiguous()),
        { shape: [], dtype: 'f32' },
      ),
    )
  }
  return parts.length === 1
    ? parts[0]!
    : issueOne('global_norm', parts, { shape: [], dtype: 'f32' })
}

/** The factor that brings a gradient of length `norm` down to `maxNorm`: min(1, maxNorm / norm). One f32, on the device. */
export function clipScale(norm: Tensor, maxNorm: number): Tensor {
  return norm.add(1e-6).reciprocal().mul(maxNorm).clamp(0, 1)
}
