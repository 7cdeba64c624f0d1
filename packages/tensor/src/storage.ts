// Memory of a device, counted on this side alone: tensors, views, tape nodes and scopes are all JavaScript objects, and
// giving memory back is ordered by the stream, so native code keeps no count (ARCHITECTURE-DETAILS.md, 0.14).
import { commandBuffer, isNativeLoaded, native, takeNativeError } from './native/binding.js'
import {
  getDefaultDevice,
  openDevices,
  placeOf,
  resolveDevice,
  type DeviceName,
} from './native/places.js'
import { ShapeError } from './errors.js'

const flushCount = 64
const flushBytes = 1 << 20

// Handles of a device's dead storages wait here and cross the border together.
class Dead {
  readonly handles: number[] = []
  bytes = 0

  flush(place: number): void {
    const { handles } = this
    if (handles.length === 0) return
    for (let i = 0; i < handles.length; i++) commandBuffer[i] = handles[i]!
    native().release(handles.length, place)
    handles.length = 0
    this.bytes = 0
  }
}
const dead: Dead[] = []

/** Gives the memory of all dead storages back to the allocators. */
export function flushReleases(): void {
  for (let place = 0; place < dead.length; place++) dead[place]?.flush(place)
}

/** Gives a native handle of the device at `place` back, soon. */
export function releaseHandle(handle: number, bytes: number, place: number): void {
  const there = (dead[place] ??= new Dead())
  there.handles.push(handle)
  there.bytes += bytes
  if (there.handles.length >= flushCount || there.bytes >= flushBytes) there.flush(place)
}

// What outlives a scope for the tape's sake, and gradients, wait here for their weak handles: one costs as much as a small
// command, and most of them are released by the tape or by hand before their turn comes.
let unguarded: Storage[] = []
let unguardedBytes = 0

function guardWaiting(): void {
  const waiting = unguarded
  unguarded = []
  unguardedBytes = 0
  for (const s of waiting) s.guard()
}

export class Storage {
  /** Native handle; 0 on `meta` and after release. */
  handle: number
  readonly bytes: number
  readonly device: DeviceName
  /** Owners: tensors, views and saved operands. */
  refs = 0
  /** Counts writes, so that the tape notices when a saved operand was overwritten. */
  version = 0
  #guarded = false

  constructor(handle: number, bytes: number, device: DeviceName) {
    this.handle = handle
    this.bytes = bytes
    this.device = device
  }

  release(): void {
    if (--this.refs > 0) return
    const { handle } = this
    if (handle === 0) return
    this.handle = 0
    releaseHandle(handle, this.bytes, placeOf(this.device))
  }

  /**
   * Lets the garbage collector release the memory, for storages that no scope owns. A weak handle set in native code,
   * because a FinalizationRegistry never runs in a loop that does not yield.
   */
  guard(): void {
    if (this.#guarded || this.handle === 0) return
    this.#guarded = true
    native().guard(this, this.handle, this.bytes, placeOf(this.device))
  }

  /** `guard`, unless it is released first; for what is likely to be. */
  guardSoon(): void {
    unguarded.push(this)
    unguardedBytes += this.bytes
    if (unguarded.length >= flushCount || unguardedBytes >= flushBytes) guardWaiting()
  }
}

/** New memory with undefined content. */
export function allocate(op: string, bytes: number, device: DeviceName): Storage {
  if (device === 'meta') return new Storage(0, bytes, device)
  flushReleases()
  const handle = native().alloc(bytes, placeOf(device))
  if (handle < 0) throw takeNativeError(op)
  return new Storage(handle, bytes, device)
}

/**
 * A part of a file as memory: mapped, not read, so that it costs nothing until it is touched. Writes stay private.
 * @param offset of the first byte; any value, the caller sees to the alignment of the elements
 */
export function storageFromFile(path: string, offset: number, bytes: number): Storage {
  if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(bytes) || bytes < 0) {
    throw new ShapeError(
      'storageFromFile',
      `cannot map ${bytes} bytes at offset ${offset} of ${path}.`,
    )
  }
  const handle = native().mapFile(path, offset, bytes)
  if (handle < 0) throw takeNativeError('storageFromFile')
  return new Storage(handle, bytes, 'cpu')
}

/**
 * Bytes of the block that the CPU's allocator takes for a tensor of so many bytes: powers of two split in four, and
 * multiples of 64 up to 256 (kernels/src/runtime/allocator.cc). For budgets.
 */
export function blockBytes(bytes: number): number {
  if (bytes <= 256) return Math.max(64, Math.ceil(bytes / 64) * 64)
  const step = 2 ** (Math.floor(Math.log2(bytes - 1)) - 2)
  return Math.ceil(bytes / step) * step
}

export interface MemoryStats {
  /** Storages that hold memory. */
  tensors: number
  /** Handed out to tensors; blocks come in size classes, at most a quarter above what was asked for. */
  liveBytes: number
  /** Of the live ones, those that captures keep to themselves for their replays. */
  capturedBytes: number
  /** Free blocks kept for reuse, each for tensors of its own size class. */
  cachedBytes: number
  /** The most that was live at once, since the start or `resetPeakMemoryStats()`. */
  peakBytes: number
  /** What the process took from the system for tensors, as addresses: pages count before they are touched. */
  reservedBytes: number
  /**
   * Of the reserved bytes, those that are not live and that `clearCache()` could not give back: small tensors (under 1 MiB)
   * lie in slabs of 8 MiB, and one that lives keeps the whole slab. `reservedBytes` is `liveBytes + fragmentedBytes` after
   * `clearCache()`. To lower it, release the small tensors that were made amid many short-lived ones, or make them first.
   */
  fragmentedBytes: number
}

export interface PageStats {
  /** Of the reserved bytes, those with physical memory behind them. */
  residentBytes: number
  /** Of the resident bytes, those in huge pages (Linux: transparent huge pages; asked for in blocks from 2 MiB on). */
  hugePageBytes: number
}

/**
 * What the engine's memory holds now on a device, for this thread, and what the kernel has put behind it. Asking it takes
 * milliseconds; its figures are 0 where the system has no such report (/proc/self/smaps), and on a GPU.
 * @param options.device default: the default device
 */
export function memory(options: { device?: DeviceName; pages: true }): MemoryStats & PageStats
/** What the engine's memory holds now on a device (default: the default device), for this thread. */
export function memory(options?: { device?: DeviceName; pages?: false }): MemoryStats
export function memory(options?: {
  device?: DeviceName
  pages?: boolean
}): MemoryStats & Partial<PageStats> {
  const pages = options?.pages === true
  if (!isNativeLoaded()) {
    return {
      tensors: 0,
      liveBytes: 0,
      capturedBytes: 0,
      cachedBytes: 0,
      peakBytes: 0,
      reservedBytes: 0,
      fragmentedBytes: 0,
      ...(pages && { residentBytes: 0, hugePageBytes: 0 }),
    }
  }
  flushReleases()
  guardWaiting()
  const place = askedPlace('memory', options?.device)
  const s = native().stats(place)
  return {
    tensors: s.handles,
    liveBytes: s.liveBytes,
    capturedBytes: s.capturedBytes,
    cachedBytes: s.cachedBytes,
    peakBytes: s.peakBytes,
    reservedBytes: s.reservedBytes,
    fragmentedBytes: s.fragmentedBytes,
    ...(pages && native().pages(place)),
  }
}

// The place of the device that a caller named, or of the default one.
function askedPlace(op: string, device: DeviceName | undefined): number {
  return placeOf(device === undefined ? getDefaultDevice() : resolveDevice(op, device))
}

/** From here on `memory().peakBytes` is the most that is live at once from now, on all devices. */
export function resetPeakMemoryStats(): void {
  if (!isNativeLoaded()) return
  flushReleases()
  for (const device of openDevices()) native().resetPeak(placeOf(device))
}

/** Gives cached blocks of all devices back to the system. */
export function clearCache(): void {
  if (!isNativeLoaded()) return
  flushReleases()
  for (const device of openDevices()) native().clearCache(placeOf(device))
}

/**
 * The most bytes that tensors may take on a device; 0 for no limit. The default is 90 % of what the process may use, or of what the
 * GPU has. Tensors that nobody holds any more, made outside of a scope, count until they are collected: V8 sees to it, and when they
 * outrun it by 512 MiB, or an eighth of the limit if that is less, the engine calls for a collection itself.
 * @param device default: the default device
 */
export function setMemoryLimit(bytes: number, device?: DeviceName): void {
  native().setMemoryLimit(bytes, askedPlace('setMemoryLimit', device))
}
