// Compares gradients with central differences, in f64.
import { AutogradError } from '../errors.js'
import { tensor } from '../creation.js'
import { tidy } from '../scope.js'
import type { Tensor } from '../tensor.js'
import { noGrad } from './tape.js'

export interface GradcheckOptions {
  /** Step of the difference. Default 1e-6. */
  eps?: number
  /** Default 1e-6. */
  atol?: number
  /** Default 1e-4. */
  rtol?: number
}

/**
 * Checks the gradient of sum(fn(inputs) * w), w fixed pseudo-random weights, against central differences for every
 * element of every input that requires a gradient.
 * @param inputs f64 tensors
 * @throws AutogradError naming the worst element
 */
export function gradcheck(
  fn: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  options: GradcheckOptions = {},
): void {
  const { eps = 1e-6, atol = 1e-6, rtol = 1e-4 } = options
  for (const t of inputs) {
    if (t.requiresGrad && t.dtype !== 'f64') {
      throw new AutogradError(
        'gradcheck',
        `needs f64 inputs, got ${t.describe()}: a difference in f32 has too few digits.`,
      )
    }
  }
  tidy(() => {
    const score = (...args: Tensor[]): Tensor => {
      const y = fn(...args)
      // Weights that differ by element, so that errors cannot cancel; sin(1), sin(2), ... are as good as any.
      const weights = Float64Array.from({ length: y.numel }, (_, i) => Math.sin(i + 1) + 0.5)
      return y.mul(tensor(weights, { shape: y.shape })).sum()
    }
    const leaves = inputs.map((t) => (t.requiresGrad ? t.detach().clone().requiresGrad_() : t))
    score(...leaves).backward()
    leaves.forEach((leaf, k) => {
      if (!inputs[k]!.requiresGrad) return
      const got = leaf.grad?.dataSync() ?? new Float64Array(leaf.numel)
      const base = Float64Array.from(leaf.detach().dataSync())
      for (let i = 0; i < base.length; i++) {
        const at = (delta: number): number =>
          tidy(() => {
            const moved = Float64Array.from(base)
            moved[i]! += delta
            const args = inputs.map((t, j) =>
              j === k ? tensor(moved, { shape: t.shape }) : t.detach(),
            )
            return noGrad(() => score(...args).itemSync())
          })
        const want = (at(eps) - at(-eps)) / (2 * eps)
        const error = Math.abs(got[i]! - want)
        if (!(error <= atol + rtol * Math.abs(want))) {
          throw new AutogradError(
            'gradcheck',
            `input ${k}, element ${i}: the rule gives ${got[i]}, the difference ${want} (off by ${error}).`,
          )
        }
      }
      leaf.grad = undefined
    })
  })
}
