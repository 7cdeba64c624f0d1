// AdamW over groups of parameters. The arithmetic is one fused command a group (tensor's adamw_); this file holds the
// moments, and hands them to checkpoints.
import {
  adamw_,
  keep,
  noGrad,
  ShaktiError,
  tidy,
  zeros,
  zerosLike,
  type Tensor,
} from '@shakti/tensor'

export interface ParameterGroup {
  lr: number
  weightDecay: number
  /** All with a bf16 working copy, or none. */
  entries: { name: string; parameter: Tensor; copy?: Tensor }[]
}

export interface Optimizer {
  /**
   * One update from the gradients in `.grad`. Parameters without one are left alone.
   * @param lrFactor from the schedule: a number, or f64 with one element, which a captured step reads anew at each replay
   * @param gradScale f32, one element: multiplies every gradient, on the device
   */
  step(lrFactor: number | Tensor, gradScale?: Tensor): void
  /**
   * True where a step issues the same commands as the last, with all that changes from step to step on the device: then it
   * can be captured. Default false.
   */
  readonly capturable?: boolean
  /** Updates done, replays of a captured step among them. Reading waits for the stream. */
  readonly steps: number
  /** Tensors to save, by name; the optimiser still owns them. */
  state(): Record<string, Tensor>
  /** Takes over the values of `state()` of an equal optimiser. */
  load(tensors: Readonly<Record<string, Tensor>>, steps: number): void
  dispose(): void
}

export interface AdamWSettings {
  /** Default [0.9, 0.95]. */
  betas?: readonly [number, number]
  /** Default 1e-8. */
  eps?: number
}

interface Slot {
  name: string
  parameter: Tensor
  copy: Tensor | undefined
  expAvg: Tensor
  expAvgSq: Tensor
}

interface Group {
  lr: number
  weightDecay: number
  slots: Slot[]
}

/** The product with a number that may lie on the device: in f64 there as here. */
export const times = (x: number | Tensor, y: number): number | Tensor =>
  typeof x === 'number' ? x * y : x.mul(y)

/** AdamW with decoupled weight decay (arXiv 1711.05101, algorithm 2). */
export class AdamW implements Optimizer {
  readonly capturable = true
  // On the device, so that a replay counts on.
  readonly #count: Tensor
  readonly #groups: Group[]
  readonly #beta1: number
  readonly #beta2: number
  readonly #eps: number

  constructor(groups: readonly ParameterGroup[], settings: AdamWSettings = {}) {
    const { betas = [0.9, 0.95], eps = 1e-8 } = settings
    if (!betas.every((b) => b >= 0 && b < 1) || !(eps > 0))
      throw new ShaktiError(
        'AdamW',
        `betas are [${betas.join(', ')}], eps is ${eps}. Betas must be in [0, 1), eps above 0.`,
      )
    ;[this.#beta1, this.#beta2] = betas
    this.#eps = eps
    const device = groups[0]?.entries[0]?.parameter.device
    this.#count = keep(zeros([], { dtype: 'f64', ...(device ? { device } : {}) }))
    this.#groups = groups.map(({ lr, weightDecay, entries }) => ({
      lr,
      weightDecay,
      slots: entries.map(({ name, parameter, copy }) => ({
        name,
        parameter,
        copy,
        expAvg: keep(zerosLike(parameter, { dtype: 'f32' })),
        expAvgSq: keep(zerosLike(parameter, { dtype: 'f32' })),
      })),
    }))
  }

  get steps(): number {
    return this.#count.itemSync()
  }

  set steps(steps: number) {
    this.#count.fill_(steps)
  }

  step(lrFactor: number | Tensor, gradScale?: Tensor): void {
    noGrad(() =>
      tidy(() => {
        this.#count.add_(1)
        for (const group of this.#groups) this.#update(group, lrFactor, gradScale)
      }),
    )
  }

  #update({ lr, weightDecay, slots }: Group, lrFactor: number | Tensor, scale?: Tensor): void {
    const live = slots.filter((s) => s.parameter.grad)
    if (live.length === 0) return
    const copies = live.map((s) => s.copy).filter((c) => c !== undefined)
    adamw_(
      live.map((s) => s.parameter),
      live.map((s) => s.parameter.grad!),
      live.map((s) => s.expAvg),
      live.map((s) => s.expAvgSq),
      {
        lr: times(lrFactor, lr),
        beta1: this.#beta1,
        beta2: this.#beta2,
        eps: this.#eps,
        weightDecay,
        step: this.#count,
        ...(scale ? { scale } : {}),
        ...(copies.length > 0 ? { copies } : {}),
      },
    )
  }

  state(): Record<string, Tensor> {
    const out: Record<string, Tensor> = {}
    for (const { slots } of this.#groups) {
      for (const s of slots) {
        out[`${s.name}.exp_avg`] = s.expAvg
        out[`${s.name}.exp_avg_sq`] = s.expAvgSq
      }
    }
    return out
  }

  load(tensors: Readonly<Record<string, Tensor>>, steps: number): void {
    const own = this.state()
    copyInto('optimizer', own, tensors)
    this.steps = steps
  }

  dispose(): void {
    for (const t of [this.#count, ...Object.values(this.state())]) t.dispose()
  }
}

/** Copies tensors by name; all names and shapes must agree, and nothing is changed when they do not. */
export function copyInto(
  what: string,
  target: Readonly<Record<string, Tensor>>,
  source: Readonly<Record<string, Tensor>>,
): void {
  const missing = Object.keys(target).filter((k) => !Object.hasOwn(source, k))
  const unexpected = Object.keys(source).filter((k) => !Object.hasOwn(target, k))
  const different = Object.entries(target).flatMap(([k, t]) => {
    const s = source[k]
    return s && s.describe() !== t.describe()
      ? [`${k} is ${s.describe()}, here ${t.describe()}`]
      : []
  })
  const list = (title: string, names: string[]): string =>
    names.length === 0
      ? ''
      : ` ${title}: ${names.slice(0, 8).join(', ')}${names.length > 8 ? `, and ${names.length - 8} more` : ''}.`
  if (missing.length + unexpected.length + different.length > 0) {
    throw new ShaktiError(
      `checkpoint ${what}`,
      `does not fit.${list('Missing', missing)}${list('Unexpected', unexpected)}${list('Different', different)}`,
    )
  }
  for (const [k, t] of Object.entries(target)) t.detach().copy_(source[k]!)
}
