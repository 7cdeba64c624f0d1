// Devices by name, and their places in native calls: 0 is the CPU, then come the GPUs. A GPU is opened when it is first named.
import { DeviceError } from '../errors.js'
import { native } from './binding.js'

/** `cuda` in an argument means `cuda:0`; tensors always name the number. `meta` has sizes and no elements. */
export type DeviceName = 'cpu' | 'meta' | 'cuda' | `cuda:${number}`

const open = new Map<DeviceName, number>([['cpu', 0]])

/** The devices that native code has for this thread. */
export function openDevices(): readonly DeviceName[] {
  return [...open.keys()]
}

/** Of a tensor's device; never `meta`. */
export function placeOf(device: DeviceName): number {
  return device === 'cpu' ? 0 : open.get(device)!
}

/**
 * The device of that name, ready for use.
 * @throws DeviceError when there is none, saying why
 */
export function resolveDevice(op: string, name: string): DeviceName {
  if (name === 'cpu' || name === 'meta') return name
  const canonical = name === 'cuda' ? 'cuda:0' : (name as DeviceName)
  if (open.has(canonical)) return canonical
  const ordinal = /^cuda:(\d{1,3})$/.exec(canonical)?.[1]
  if (ordinal === undefined) {
    throw new DeviceError(
      op,
      `no device '${name}': there are 'cpu', 'cuda', 'cuda:1', ... and 'meta'.`,
    )
  }
  const place = native().openCuda(Number(ordinal), native().cudaModules)
  if (typeof place === 'string') throw new DeviceError(op, `no device '${name}': ${place}.`)
  open.set(`cuda:${Number(ordinal)}`, place)
  return `cuda:${Number(ordinal)}`
}

let chosen: DeviceName | undefined

/** Where tensors are made when nothing says it: SHAKTI_DEVICE or the CPU, until `setDefaultDevice`. */
export function getDefaultDevice(): DeviceName {
  return (chosen ??= resolveDevice('SHAKTI_DEVICE', native().defaultDevice))
}

/**
 * Where tensors are made from now on when nothing says it.
 * @param device 'cpu', 'cuda', 'cuda:1', ...
 * @throws DeviceError when there is no such device
 */
export function setDefaultDevice(device: DeviceName): void {
  if (device === 'meta')
    throw new DeviceError('setDefaultDevice', `'meta' has no elements; name a device that has.`)
  chosen = resolveDevice('setDefaultDevice', device)
}
