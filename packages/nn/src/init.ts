// Initial values: matrices from a normal distribution with deviation 1 / sqrt(fan in), which is the usual 0.02 at the paper's
// widths and keeps narrow models alive; tables 0.02 (PAPER.md 6.3), all cut at two deviations; biases 0; norms 1.
import {
  ones,
  truncatedNormal,
  zeros,
  type DeviceName,
  type DType,
  type Tensor,
} from '@shakti/tensor'

/** @param dtype default f32 */
export type Initializer = (shape: readonly number[], device: DeviceName, dtype?: DType) => Tensor

const where = (device: DeviceName, dtype: DType = 'f32') => ({ device, dtype })

export const initZeros: Initializer = (shape, device, dtype) => zeros(shape, where(device, dtype))
export const initOnes: Initializer = (shape, device, dtype) => ones(shape, where(device, dtype))

/** Normal with mean 0, cut at two deviations. */
export const initNormal =
  (std = 0.02): Initializer =>
  (shape, device, dtype) =>
    truncatedNormal(shape, { std, low: -2 * std, high: 2 * std }, where(device, dtype))

/** Deviation 1 / sqrt(fan in), of a matrix [out, in]: keeps the size of activations in narrow models. */
export const initFanIn = (): Initializer => (shape, device, dtype) =>
  initNormal(1 / Math.sqrt(shape.slice(1).reduce((a, b) => a * b, 1)))(shape, device, dtype)
