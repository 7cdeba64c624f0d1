// Devices. Today the CPU, and `meta`, which has sizes and no elements; the same seam takes CUDA.
import { DeviceError } from './errors.js'
import { native, nativeInfo, takeNativeError } from './native/binding.js'
import { refuseInCapture } from './recording.js'
import type { DeviceName } from './storage.js'

export interface DeviceInfo {
  readonly device: 'cpu'
  readonly cpu: string
  /** Instruction set whose kernels run. */
  readonly isa: string
  /** Instruction sets that this machine could run. */
  readonly isas: readonly string[]
  readonly threads: number
}

/** What the CPU device is and uses. */
export function deviceInfo(): DeviceInfo {
  const { cpu, isa, isas, threads } = nativeInfo()
  return { device: 'cpu', cpu, isa, isas, threads }
}

/** How many threads kernels use from now on. The results do not depend on it. */
export function setNumThreads(threads: number): void {
  refuseInCapture('setNumThreads')
  if (!Number.isInteger(threads) || threads < 1) {
    throw new DeviceError('setNumThreads', `needs an integer from 1, got ${threads}.`)
  }
  if (native().configure({ threads }) < 0) throw takeNativeError('setNumThreads')
}

export function checkDevice(op: string, device: string): asserts device is DeviceName {
  if (device !== 'cpu' && device !== 'meta') {
    throw new DeviceError(op, `no device '${device}': this build has 'cpu' and 'meta'.`)
  }
}

/** Waits until everything issued so far has run. The event loop goes on. */
export function synchronize(): Promise<void> {
  refuseInCapture('synchronize')
  return new Promise((resolve, reject) => {
    const done = (code: number): void => {
      if (code < 0) reject(takeNativeError('synchronize'))
      else resolve()
    }
    if (native().flush(done) < 0) reject(takeNativeError('synchronize'))
  })
}

/** After a command failed while it ran, the stream takes no more commands until this is called. */
export function resetDevice(): void {
  refuseInCapture('resetDevice')
  native().resetError()
}

export interface OpProfile {
  readonly op: string
  readonly calls: number
  readonly milliseconds: number
}

/** Measures every op that runs during `fn`; the slowest first. Waits for the stream. */
export function profile(fn: () => void | Promise<void>): Promise<OpProfile[]> {
  refuseInCapture('profile')
  return measure(fn)
}

async function measure(fn: () => void | Promise<void>): Promise<OpProfile[]> {
  native().configure({ profile: true })
  try {
    await fn()
    await synchronize()
    return Object.entries(native().profile())
      .map(([op, p]) => ({ op, ...p }))
      .sort((a, b) => b.milliseconds - a.milliseconds)
  } finally {
    native().configure({ profile: false })
  }
}
