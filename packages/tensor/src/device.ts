// What devices there are, and what can be asked of one as a whole.
import { DeviceError } from './errors.js'
import { native, nativeInfo, takeNativeError } from './native/binding.js'
import {
  getDefaultDevice,
  openDevices,
  placeOf,
  resolveDevice,
  type DeviceName,
} from './native/places.js'
import { refuseInCapture } from './recording.js'

export interface CpuInfo {
  readonly device: 'cpu'
  readonly cpu: string
  /** Instruction set whose kernels run. */
  readonly isa: string
  /** Instruction sets that this machine could run. */
  readonly isas: readonly string[]
  readonly threads: number
}

export interface CudaInfo {
  readonly device: DeviceName
  readonly name: string
  /** Compute capability, as '9.0'. */
  readonly compute: string
  readonly bytes: number
  readonly multiprocessors: number
}

export type DeviceInfo = CpuInfo | CudaInfo

/** What the CPU device is and uses. */
export function deviceInfo(device?: 'cpu'): CpuInfo
/**
 * What a GPU is.
 * @throws DeviceError when there is none of that name
 */
export function deviceInfo(device: DeviceName): DeviceInfo
export function deviceInfo(device: DeviceName = 'cpu'): DeviceInfo {
  if (device === 'cpu') {
    const { cpu, isa, isas, threads } = nativeInfo()
    return { device: 'cpu', cpu, isa, isas, threads }
  }
  const name = resolveDevice('deviceInfo', device)
  const info = cudaDevices().find((d) => d.device === name)
  if (!info) throw new DeviceError('deviceInfo', `'${device}' is no device that has properties.`)
  return info
}

/**
 * The GPUs that the NVIDIA driver of this machine has; empty where there is no driver or no GPU. The driver is looked for under
 * SHAKTI_LIBCUDA, then as libcuda.so.1.
 */
export function cudaDevices(): CudaInfo[] {
  nativeInfo()
  const found = native().cudaDevices()
  return typeof found === 'string' ? [] : found.map((d, i) => ({ device: `cuda:${i}`, ...d }))
}

/** Whether `device: 'cuda'` would work. */
export function isCudaAvailable(): boolean {
  return cudaDevices().length > 0
}

/** How many threads kernels of the CPU use from now on. The results do not depend on it. */
export function setNumThreads(threads: number): void {
  refuseInCapture('setNumThreads')
  if (!Number.isInteger(threads) || threads < 1) {
    throw new DeviceError('setNumThreads', `needs an integer from 1, got ${threads}.`)
  }
  if (native().configure({ threads }) < 0) throw takeNativeError('setNumThreads')
}

function devicesOf(op: string, device: DeviceName | undefined): readonly DeviceName[] {
  return device === undefined ? openDevices() : [resolveDevice(op, device)]
}

/**
 * Waits until everything issued so far is done. The event loop goes on.
 * @param device default: all that are in use
 */
export function synchronize(device?: DeviceName): Promise<void> {
  refuseInCapture('synchronize')
  const waits = devicesOf('synchronize', device).map(
    (name) =>
      new Promise<void>((resolve, reject) => {
        const done = (code: number): void => {
          if (code < 0) reject(takeNativeError('synchronize'))
          else resolve()
        }
        if (native().flush(done, placeOf(name)) < 0) reject(takeNativeError('synchronize'))
      }),
  )
  return Promise.all(waits).then(() => undefined)
}

/**
 * After a command failed while it ran, its device takes no more commands until this is called.
 * @param device default: all that are in use
 */
export function resetDevice(device?: DeviceName): void {
  refuseInCapture('resetDevice')
  for (const name of devicesOf('resetDevice', device)) native().resetError(placeOf(name))
}

export interface OpProfile {
  readonly op: string
  readonly calls: number
  readonly milliseconds: number
}

/** Measures every op that runs on the default device during `fn`; the slowest first. On a GPU each op is waited for. */
export function profile(fn: () => void | Promise<void>): Promise<OpProfile[]> {
  refuseInCapture('profile')
  return measure(fn)
}

async function measure(fn: () => void | Promise<void>): Promise<OpProfile[]> {
  const place = placeOf(getDefaultDevice())
  native().configure({ profile: true }, place)
  try {
    await fn()
    await synchronize()
    return Object.entries(native().profile(place))
      .map(([op, p]) => ({ op, ...p }))
      .sort((a, b) => b.milliseconds - a.milliseconds)
  } finally {
    native().configure({ profile: false }, place)
  }
}
