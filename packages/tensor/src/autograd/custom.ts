// Functions with a gradient of the user's own, and recomputation in place of saving.
import { AutogradError } from '../errors.js'
import { record } from '../ops/table.js'
import { getRngState, restoreRng } from '../random.js'
import { inScope } from '../scope.js'
import type { Tensor } from '../tensor.js'
import { backward } from './backward.js'
import { noGrad, tracks, withGrad } from './tape.js'

/**
 * A function with its own gradient rule.
 * @param forward computes the result; not recorded
 * @param grad the gradients of the inputs from that of the result; gets the inputs and the result
 */
export function customFunction<I extends readonly Tensor[]>(
  name: string,
  forward: (...inputs: I) => Tensor,
  grad: (g: Tensor, saved: { inputs: I; out: Tensor }) => readonly (Tensor | undefined)[],
): (...inputs: I) => Tensor {
  return (...inputs) => {
    const out = noGrad(() => forward(...inputs))
    if (!tracks(inputs)) return out
    const result = out.detach()
    const saved = [...inputs, result].map((t) => ({
      tensor: t.alias(),
      version: t.storage.version,
    }))
    record(
      name,
      result,
      inputs,
      (g, node) => {
        const tensors = saved.map((_, i) => node.saved(i))
        return grad(g, { inputs: tensors.slice(0, -1) as unknown as I, out: tensors.at(-1)! })
      },
      saved,
    )
    return result
  }
}

/**
 * Runs `fn` without keeping what its gradient needs; `backward` runs it again. Memory for time. Random numbers are
 * the same in both runs. Gradients flow to `inputs` and to every leaf that `fn` uses.
 */
export function checkpoint(fn: (...inputs: Tensor[]) => Tensor, ...inputs: Tensor[]): Tensor {
  const rng = getRngState()
  const out = noGrad(() => fn(...inputs))
  const anchor = inputs.find((t) => t.requiresGrad)
  if (!tracks(inputs) || !anchor) {
    throw new AutogradError(
      'checkpoint',
      'needs at least one input that requires a gradient, or nothing would be trained. Call the function directly.',
    )
  }
  const result = out.detach()
  const saved = inputs.map((t) => ({ tensor: t.alias(), version: t.storage.version }))
  record(
    'checkpoint',
    result,
    inputs,
    (g, node) =>
      inScope(() => {
        const now = getRngState()
        restoreRng(rng)
        const again = inputs.map((t, i) => {
          const copy = node.saved(i).detach()
          if (t.requiresGrad) copy.requiresGrad = true
          return copy
        })
        try {
          const y = withGrad(true, () => fn(...again))
          backward(y, g.dtype === y.dtype ? g : g.to(y.dtype))
        } finally {
          restoreRng(now)
        }
        return again.map((t) => t.grad)
      }),
    saved,
  )
  return result
}
