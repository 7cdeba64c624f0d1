// Where new parameters are made. On `meta` a model of any size has its shapes and takes no memory.
import { getDefaultDevice, type DeviceName } from '@shakti/tensor'

let device: DeviceName | undefined

export function creationDevice(): DeviceName {
  return device ?? getDefaultDevice()
}

/** What `meta` needs of a module to give its parameters their names. */
interface Named {
  namedParameters(): Iterable<readonly [string, { path: string | undefined }]>
}

/**
 * Builds a module whose parameters have shapes and no values: to count them, to read their names, or to be filled by
 * `loadStateDict` without having been initialised first. Using one before that throws UninitialisedError.
 * @example meta(() => new Linear(4096, 4096)).numParameters()
 */
export function meta<T>(build: () => T): T {
  const before = device
  device = 'meta'
  try {
    const made = build()
    const named = made as T & Partial<Named>
    if (
      typeof named === 'object' &&
      named !== null &&
      typeof named.namedParameters === 'function'
    ) {
      for (const [path, p] of named.namedParameters()) p.path = path
    }
    return made
  } finally {
    device = before
  }
}
