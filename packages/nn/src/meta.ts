// Where new parameters are made. On `meta` a model of any size has its shapes and takes no memory.
import type { DeviceName } from '@shakti/tensor'

let device: DeviceName = 'cpu'

export function creationDevice(): DeviceName {
  return device
}

/**
 * Builds a module whose parameters have shapes and no values: to count them, or to read their names.
 * @example meta(() => new Linear(4096, 4096)).numParameters()
 */
export function meta<T>(build: () => T): T {
  const before = device
  device = 'meta'
  try {
    return build()
  } finally {
    device = before
  }
}
