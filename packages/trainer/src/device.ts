// Where a stage's tensors belong: beside the model's parameters, whatever the default device is.
import { getDefaultDevice, type DeviceName } from '@shakti/tensor'
import type { TrainableModel } from './types.js'

/** The device of a model's first parameter; the default device for what has none. */
export function deviceOf(model: unknown): DeviceName {
  const { namedParameters } = model as Partial<TrainableModel>
  for (const [, p] of namedParameters?.call(model) ?? []) return p.device
  return getDefaultDevice()
}
