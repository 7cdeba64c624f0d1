// The addon as a hostile caller sees it: raw records, raw handles.
import { createRequire } from 'node:module'
import type { NativeErrorInfo, NativeModule } from '@shakti/kernels'

export { test } from 'uvu'
export * as assert from 'uvu/assert'

export const native = createRequire(import.meta.url)('@shakti/kernels') as NativeModule
/** The command buffer. */
export const b = new Float64Array(65536)
export const info = native.init(b.buffer)
const opNames = native.opNames()

export const f32 = 0
export const i32 = 4
export const bool = 7

/** Codes of src/runtime/status.h */
export const shape = 1
export const disposed = 3
export const outOfMemory = 4
export const value = 5
export const internal = 6

export interface View {
  readonly handle: number
  readonly shape: readonly number[]
  readonly strides?: readonly number[]
  readonly offset?: number
  readonly dtype?: number
}

export function rowMajor(sizes: readonly number[]): number[] {
  const strides = sizes.map(() => 1)
  for (let i = sizes.length - 2; i >= 0; i--) strides[i] = strides[i + 1]! * sizes[i + 1]!
  return strides
}

export const absent: View = { handle: 0, shape: [], dtype: -1 }

/** Writes a record into the buffer; returns its length and where the handles of the outputs stand. */
export function write(
  op: string | number,
  inputs: readonly View[],
  outputs: readonly View[],
  attrs: readonly number[] = [],
): { length: number; places: number[] } {
  const code = typeof op === 'number' ? op : opNames.indexOf(op)
  const words = [code, inputs.length, outputs.length, attrs.length]
  const places: number[] = []
  for (const [i, v] of [...inputs, ...outputs].entries()) {
    if (i >= inputs.length) places.push(words.length)
    words.push(
      v.handle,
      v.dtype ?? f32,
      v.offset ?? 0,
      v.shape.length,
      ...v.shape,
      ...(v.strides ?? rowMajor(v.shape)),
    )
  }
  words.push(...attrs)
  b.set(words)
  return { length: words.length, places }
}

/** Submits; returns the handles of the outputs, or throws the error of the native side. */
export function run(
  op: string | number,
  inputs: readonly View[],
  outputs: readonly View[],
  attrs: readonly number[] = [],
): number[] {
  const { length, places } = write(op, inputs, outputs, attrs)
  if (native.submit(length) < 0) throw new Refused(native.lastError())
  return places.map((p) => b[p]!)
}

export class Refused extends Error {
  constructor(readonly info: NativeErrorInfo) {
    super(info.message)
  }
}

/** The error that `work` is refused with. */
export function refused(work: () => unknown): NativeErrorInfo {
  try {
    work()
  } catch (error) {
    if (error instanceof Refused) return error.info
    throw error
  }
  throw new Error('it was accepted')
}

export function release(...handles: number[]): void {
  b.set(handles)
  native.release(handles.length)
}

/** A storage with these numbers. */
export function floats(data: readonly number[]): number {
  return withBytes(new Float32Array(data))
}
export function ints(data: readonly number[]): number {
  return withBytes(new Int32Array(data))
}
function withBytes(data: Float32Array | Int32Array): number {
  const handle = native.alloc(data.byteLength)
  if (handle < 0 || native.upload(handle, 0, data) < 0) throw new Refused(native.lastError())
  return handle
}

export function read(handle: number, n: number): number[] {
  const into = new ArrayBuffer(n * 4)
  if (native.readSync(handle, 0, into) < 0) throw new Refused(native.lastError())
  return [...new Float32Array(into)]
}

/** mulberry32: the same numbers on every run. */
export function generator(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
