// What an optimiser does to many tensors at once: one command, one pass over memory.
import { zeros } from './creation.js'
import { DTypeError, ShaktiError, ShapeError } from './errors.js'
import { issue, issueOne } from './native/encode.js'
import { wantTensorList } from './ops/checks.js'
import { sameShape } from './shape.js'
import type { Tensor } from './tensor.js'

export interface AdamWOptions {
  /** A number, or f64 with one element on the device, which a replay of a capture reads anew. */
  lr: number | Tensor
  /** Default 0.9 */
  beta1?: number
  /** Default 0.95 */
  beta2?: number
  /** Default 1e-8 */
  eps?: number
  /** Default 0 */
  weightDecay?: number
  /** Counts from 1. A number, or f64 with one element on the device, as `lr`. */
  step: number | Tensor
  /** f32 with one element that multiplies every gradient, from `clipScale`. */
  scale?: Tensor
  /** bf16 copies of the parameters to write beside them. */
  copies?: readonly Tensor[]
}

// A command holds so many tensors; longer lists are cut.
const perCommand = 200

/** A scalar option that lies on the device; undefined for a number. */
function heldScalar(name: string, value: number | Tensor): Tensor | undefined {
  if (typeof value === 'number') return undefined
  wantTensorList('adamw', [value], () => name)
  if (value.dtype !== 'f64' || value.numel !== 1) {
    throw new ShapeError(
      'adamw',
      `${name} is a number or f64 with one element, got ${value.describe()}.`,
      [value.shape],
    )
  }
  return value
}

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
  const { isFinite } = Number
  const rate = heldScalar('lr', lr)
  const count = heldScalar('step', step)
  const sane =
    (typeof lr !== 'number' || (lr >= 0 && isFinite(lr))) &&
    eps >= 0 &&
    isFinite(eps) &&
    weightDecay >= 0 &&
    isFinite(weightDecay)
  if (!sane || !(beta1 >= 0 && beta1 < 1) || !(beta2 >= 0 && beta2 < 1)) {
    throw new ShaktiError(
      'adamw',
      `lr, eps and weightDecay are finite numbers from 0, beta1 and beta2 lie in [0, 1); got ${String(lr)}, ${eps}, ${weightDecay}, ${beta1}, ${beta2}.`,
    )
  }
  const n = params.length
  for (const [name, list] of Object.entries({
    grads,
    expAvgs,
    expAvgSqs,
    ...(copies ? { copies } : {}),
  })) {
    if (list.length !== n) throw new ShapeError('adamw', `${n} params, but ${list.length} ${name}.`)
    wantTensorList('adamw', list, (i) => `${name}[${i}]`)
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
      [scale, rate, count, ...part(grads).map((g) => g.contiguous())],
      [...part(params), ...part(expAvgs), ...part(expAvgSqs), ...(copies ? part(copies) : [])],
      [rate ? 0 : lr, beta1, beta2, eps, weightDecay, count ? 1 : step] as number[],
    )
  }
}

/** Euclidean length of all tensors taken together: f32, no dimensions. */
export function globalNorm(tensors: readonly Tensor[]): Tensor {
  if (tensors.length === 0) throw new ShapeError('globalNorm', 'needs at least one tensor.')
  const parts: Tensor[] = []
  for (let i = 0; i < tensors.length; i += 1000) {
    const list = tensors.slice(i, i + 1000)
    wantTensorList('globalNorm', list, (k) => `tensors[${i + k}]`)
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
  if (!(maxNorm >= 0))
    throw new ShaktiError('clipScale', `maxNorm must be a number from 0, got ${maxNorm}.`)
  return norm.add(1e-6).reciprocal().mul(maxNorm).clamp(0, 1)
}

/**
 * Scales the gradients of `params` in place so that their length taken together is at most `maxNorm`, as
 * torch.nn.utils.clip_grad_norm_. Parameters without a gradient do not count.
 * @returns the length before, f32
 */
export function clipGradNorm_(params: readonly Tensor[], maxNorm: number): Tensor {
  const grads = params.flatMap((p) => p.grad ?? [])
  if (grads.length === 0) return zeros([])
  const norm = globalNorm(grads)
  const scale = clipScale(norm, maxNorm)
  for (const g of grads) g.mul_(scale)
  scale.dispose()
  return norm
}
