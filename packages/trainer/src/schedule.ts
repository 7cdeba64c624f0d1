// Learning-rate schedules: the factor on the peak rate, as a pure function of the step.
import { ShaktiError } from '@shakti/tensor'

/** @param step from 0 */
export type Schedule = (step: number, steps: number) => number

export interface WarmUp {
  /** Steps of linear rise from 0; below 1 a share of all steps. Default 0. */
  warmup?: number
}

function share(name: string, value: number, steps: number): number {
  if (!Number.isFinite(value) || value < 0)
    throw new ShaktiError(
      'schedule',
      `${name} is ${value}. It must be a number from 0: a share below 1, or steps.`,
    )
  return value < 1 ? Math.ceil(value * steps) : value
}

// The first step is not wasted on a rate of zero: step s of w runs at (s + 1) / w.
function warmed(options: WarmUp, after: (progress: number) => number): Schedule {
  const { warmup = 0 } = options
  share('warmup', warmup, 1)
  return (step, steps) => {
    const w = Math.min(share('warmup', warmup, steps), steps)
    if (step < w) return (step + 1) / w
    return after(steps - w <= 1 ? 0 : Math.min(1, (step - w) / (steps - w - 1)))
  }
}

export function constant(options: WarmUp = {}): Schedule {
  return warmed(options, () => 1)
}

/** Falls in a straight line from 1 to `final` (default 0) at the last step. */
export function linear(options: WarmUp & { final?: number } = {}): Schedule {
  const { final = 0 } = options
  return warmed(options, (t) => 1 + (final - 1) * t)
}

/** Half a cosine from 1 to `final` (default 0.1, PAPER.md 6.8) at the last step. arXiv 1608.03983, equation 5. */
export function cosine(options: WarmUp & { final?: number } = {}): Schedule {
  const { final = 0.1 } = options
  return warmed(options, (t) => final + (1 - final) * 0.5 * (1 + Math.cos(Math.PI * t)))
}

/**
 * Warm-up, stable, decay: 1 until the last `decay` steps (default 0.2; below 1 a share of all steps), which fall in a
 * straight line to `final` (default 0). arXiv 2404.06395, section 4.
 */
export function wsd(options: WarmUp & { decay?: number; final?: number } = {}): Schedule {
  const { decay = 0.2, final = 0 } = options
  const rise = constant(options)
  share('decay', decay, 1)
  return (step, steps) => {
    const d = share('decay', decay, steps)
    const into = step - (steps - d)
    const fall = into < 0 ? 1 : 1 + (final - 1) * Math.min(1, (into + 1) / d)
    return Math.min(rise(step, steps), fall)
  }
}
