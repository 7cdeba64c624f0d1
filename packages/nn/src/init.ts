// Initial values: matrices from a normal distribution with deviation 1 / sqrt(fan in), which is the usual 0.02 at the paper's
// widths and keeps narrow models alive; tables 0.02 (PAPER.md 6.3), all cut at two deviations; biases 0; norms 1.
import { ones, truncatedNormal, zeros, type DeviceName, type Tensor } from '@shakti/tensor'

export type Initializer = (shape: readonly number[], device: DeviceName) => Tensor

export const initZeros: Initializer = (shape, device) => zeros(shape, { device })
export const initOnes: Initializer = (shape, device) => ones(shape, { device })

/** Normal with mean 0, cut at two deviations. */
export const initNormal =
  (std = 0.02): Initializer =>
  (shape, device) =>
    truncatedNormal(shape, { std, low: -2 * std, high: 2 * std }, { device })

/** Deviation 1 / sqrt(fan in), of a matrix [out, in]: keeps the size of activations in narrow models. */
export const initFanIn = (): Initializer => (shape, device) =>
  initNormal(1 / Math.sqrt(shape.slice(1).reduce((a, b) => a * b, 1)))(shape, device)
