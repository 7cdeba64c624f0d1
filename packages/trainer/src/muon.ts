// Muon: the update of a matrix is its momentum made orthogonal, so that every direction of it moves alike, the rare ones
// too. Small decoders learn to look things up several times sooner than with AdamW (docs/log.md, 2026-11-25).
import {
  keep,
  noGrad,
  ShaktiError,
  stack,
  tensor,
  tidy,
  where,
  zerosLike,
  type Tensor,
} from '@shakti/tensor'
import {
  AdamW,
  copyInto,
  times,
  type AdamWSettings,
  type Optimizer,
  type ParameterGroup,
} from './adamw.js'
import { decays } from './patterns.js'

export interface MuonSettings extends AdamWSettings {
  /** Of the matrices, with Nesterov's look ahead. Default 0.95. */
  momentum?: number
  /** Newton-Schulz steps; more come closer to orthogonal. Default 5. */
  iterations?: number
  /** Which parameters are Muon's; the others are AdamW's. Default: `isHiddenMatrix`. */
  matrices?: (name: string, parameter: Tensor) => boolean
}

/** Matrices that map hidden states to hidden states: embeddings, output matrices, kernels and tables are not. */
export const isHiddenMatrix = (name: string, parameter: Tensor): boolean =>
  parameter.ndim === 2 &&
  decays(name, parameter) &&
  !/embed|head/i.test(name.split('.').slice(-2).join('.'))

// Of the odd polynomial a x + b x^3 + c x^5 that sends all singular values in (0, 1] to about 1 (Keller Jordan, 2024).
const [a, b, c] = [3.4445, -4.775, 2.0315]

/**
 * The orthogonal matrix nearest to each of [n, rows, columns], roughly: its singular values come to lie between 0.7 and 1.2.
 * A matrix of zeros stays zero.
 */
export function orthogonalise(matrices: Tensor, iterations = 5): Tensor {
  const tall = matrices.shape[1]! > matrices.shape[2]!
  const wide = tall ? matrices.transpose(1, 2) : matrices
  let x = wide.div(wide.square().sum([1, 2], { keepDim: true }).sqrt().add(1e-7))
  // The iterate is grown x, so that the products do all of it: with even = b (grown x)(grown x)ᵀ + ..., the next is
  // even (grown x) + a (grown x) = a grown (even x / a + x).
  let grown = 1
  for (let i = 0; i < iterations; i++) {
    const gram = x.matmul(x.transpose(1, 2), { scale: b * grown * grown })
    const even = gram.matmul(gram, { scale: c / (b * b), residual: gram })
    x = even.matmul(x, { scale: 1 / a, residual: x })
    grown *= a
  }
  const out = x.mul(grown)
  return tall ? out.transpose(1, 2) : out
}

interface Slot {
  readonly name: string
  readonly parameter: Tensor
  readonly copy: Tensor | undefined
  readonly momentum: Tensor
}

/** Matrices of one shape, which go through the products together. */
interface Bundle {
  readonly lr: number
  readonly weightDecay: number
  readonly slots: Slot[]
}

/** As a factor of f32: f64 would make the product one. */
const narrow = (x: number | Tensor): number | Tensor => (typeof x === 'number' ? x : x.float())

/**
 * Muon for the hidden matrices, AdamW for everything else (Jordan 2024; arXiv 2502.16982, whose factor
 * 0.2 sqrt(max(rows, columns)) gives updates of AdamW's size, so that both share one learning rate).
 */
export class Muon implements Optimizer {
  readonly capturable = true
  readonly #adamw: AdamW
  readonly #bundles: Bundle[] = []
  readonly #momentum: number
  readonly #iterations: number

  constructor(groups: readonly ParameterGroup[], settings: MuonSettings = {}) {
    const { momentum = 0.95, iterations = 5, matrices = isHiddenMatrix, ...adamw } = settings
    if (!(momentum >= 0 && momentum < 1) || !Number.isInteger(iterations) || iterations < 1)
      throw new ShaktiError(
        'Muon',
        `momentum is ${momentum}, iterations is ${iterations}. Momentum must be in [0, 1), iterations an integer from 1.`,
      )
    this.#momentum = momentum
    this.#iterations = iterations
    const rest: ParameterGroup[] = []
    for (const group of groups) {
      const { lr, weightDecay, entries } = group
      const bundles = new Map<string, Bundle>()
      const others = entries.filter(({ name, parameter, copy }) => {
        if (!matrices(name, parameter)) return true
        if (parameter.ndim !== 2)
          throw new ShaktiError(
            'Muon',
            `${name} is ${parameter.describe()}, not a matrix. \`matrices\` must leave it to AdamW.`,
          )
        const key = parameter.shape.join(' ')
        const bundle = bundles.get(key) ?? { lr, weightDecay, slots: [] }
        bundles.set(key, bundle)
        const momentum = keep(zerosLike(parameter, { dtype: 'f32' }))
        bundle.slots.push({ name, parameter, copy, momentum })
        return false
      })
      if (others.length > 0) rest.push({ ...group, entries: others })
      this.#bundles.push(...bundles.values())
    }
    this.#adamw = new AdamW(rest, adamw)
  }

  get steps(): number {
    return this.#adamw.steps
  }

  step(lrFactor: number | Tensor, gradScale?: Tensor): void {
    this.#adamw.step(lrFactor, gradScale)
    for (const bundle of this.#bundles)
      noGrad(() => tidy(() => this.#update(bundle, lrFactor, gradScale)))
  }

  #update(
    { lr, weightDecay, slots }: Bundle,
    lrFactor: number | Tensor,
    scale: Tensor | undefined,
  ): void {
    const live = slots.filter(({ parameter }) => parameter.grad)
    if (live.length === 0) return
    const gradient = stack(live.map(({ parameter }) => parameter.grad!.float()))
    const own = 1 - this.#momentum
    const share = gradient.mul(scale ? scale.mul(own) : own)
    const before = stack(live.map(({ momentum }) => momentum))
    const averages = before.mul(this.#momentum).add(share)
    const ahead = averages.mul(this.#momentum).add(share)
    const [rows, columns] = live[0]!.parameter.shape as [number, number]
    const rate = times(lrFactor, lr)
    const size = times(times(rate, 0.2), Math.sqrt(Math.max(rows, columns)))
    const updates = orthogonalise(ahead, this.#iterations).mul(narrow(size))
    const decay = times(rate, -weightDecay)
    const remaining =
      typeof decay === 'number'
        ? tensor(1 + decay, { device: gradient.device })
        : decay.add(1).float()
    // A scale that is not finite says that the step is not to be taken, as it does to adamw_.
    const go = scale?.isfinite()
    const ifTaken = (value: Tensor, otherwise: Tensor | number): Tensor =>
      go ? where(go, value, otherwise) : value
    const momenta = ifTaken(averages, before)
    const weights = stack(live.map(({ parameter }) => parameter.detach()))
      .mul(ifTaken(remaining, 1))
      .sub(ifTaken(updates, 0))
    live.forEach(({ parameter, copy, momentum }, i) => {
      momentum.copy_(momenta.select(0, i))
      parameter.detach().copy_(weights.select(0, i))
      copy?.copy_(parameter.detach())
    })
  }

  state(): Record<string, Tensor> {
    const out = this.#adamw.state()
    for (const { slots } of this.#bundles)
      for (const { name, momentum } of slots) out[`${name}.momentum`] = momentum
    return out
  }

  load(tensors: Readonly<Record<string, Tensor>>, steps: number): void {
    copyInto('optimizer', this.state(), tensors)
    this.#adamw.steps = steps
  }

  dispose(): void {
    this.#adamw.dispose()
    for (const { slots } of this.#bundles) for (const { momentum } of slots) momentum.dispose()
  }
}
