// Anomaly mode: every result is read back and searched for NaN and infinity. Slow by design, for finding the first bad op.
import { AutogradError } from '../errors.js'
import { isFloating } from '../dtype.js'
import { issueOne } from '../native/encode.js'
import { refuseInCapture } from '../recording.js'
import type { Tensor } from '../tensor.js'

function allFinite(t: Tensor): boolean {
  const finite = issueOne('isfinite', [t], { shape: t.shape, dtype: 'bool' })
  return (finite.dataSync() as Uint8Array).every((v) => v === 1)
}

export const anomaly = {
  on: false,
  check(op: string, results: readonly Tensor[]): void {
    const first = results[0]
    if (!first || !isFloating(first.dtype) || first.storage.device === 'meta' || first.numel === 0)
      return
    anomaly.on = false
    try {
      if (!allFinite(first)) {
        throw new AutogradError(op, `produced NaN or infinity in its result ${first.describe()}.`)
      }
    } finally {
      anomaly.on = true
    }
  },
}

/** Runs `fn`, checking every result, forward and backward; throws at the first that is not finite, naming the op. */
export function detectAnomaly<T>(fn: () => T): T {
  refuseInCapture('detectAnomaly')
  const before = anomaly.on
  anomaly.on = true
  try {
    return fn()
  } finally {
    anomaly.on = before
  }
}
