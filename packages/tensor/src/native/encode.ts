// Writes one command into the shared buffer and submits it. The record:
//   [opcode, inputs, outputs, attrs] then operands [handle, dtype, offset, ndim, sizes, strides], then the attributes.
// Native code checks all of it again; this side only has to be quick.
import { dtypeCode, dtypeSize, type DType } from '../dtype.js'
import { CaptureError, DeviceError, DisposedError, NativeError } from '../errors.js'
import { broadcastStrides, contiguousStrides, numel, sameShape, type Shape } from '../shape.js'
import { recording } from '../recording.js'
import { Storage, flushReleases } from '../storage.js'
import { Tensor } from '../tensor.js'
import { commandBuffer as b, native, takeNativeError } from './binding.js'
import { commands } from './commands.gen.js'
import { placeOf, type DeviceName } from './places.js'

export type CommandName = keyof typeof commands

/** Shape and dtype of an output still to be made. */
export interface Meta {
  readonly shape: Shape
  readonly dtype: DType
  /** Shape of the tensor, of as many elements, when the command is to see another. */
  readonly as?: Shape
}

export type Output = Meta | Tensor | undefined

function writeAbsent(at: number): number {
  b[at] = 0
  b[at + 1] = -1
  b[at + 2] = 0
  b[at + 3] = 0
  return at + 4
}

function writeOperand(
  at: number,
  handle: number,
  dtype: DType,
  offset: number,
  shape: Shape,
  strides: Shape,
): number {
  const n = shape.length
  b[at] = handle
  b[at + 1] = dtypeCode[dtype]
  b[at + 2] = offset
  b[at + 3] = n
  at += 4
  for (let i = 0; i < n; i++) {
    b[at + i] = shape[i]!
    b[at + n + i] = strides[i]!
  }
  return at + 2 * n
}

function deviceOf(
  name: string,
  inputs: readonly (Tensor | undefined)[],
  outputs: readonly Output[],
): DeviceName {
  let device: DeviceName | undefined
  for (const list of [inputs, outputs] as const) {
    for (const t of list) {
      if (!(t instanceof Tensor)) continue
      if (device === undefined) device = t.storage.device
      else if (device !== t.storage.device) {
        throw new DeviceError(
          name,
          `tensors are on ${device} and ${t.storage.device}. Move one with .to().`,
        )
      }
    }
  }
  return device ?? 'cpu'
}

function disposed(name: string): never {
  throw new DisposedError(
    name,
    'a tensor was used after it was disposed (by dispose(), or by the end of the tidy() that made it). Return it from the scope, or keep() it.',
  )
}

/**
 * Submits a command. Outputs given as shape and dtype are allocated; outputs given as tensors are written in place.
 * @param broadcast shape to which every input is stretched by strides of 0
 * @param device where to make the outputs when no tensor says it
 * @returns one tensor an output, in order; undefined where the output was
 */
export function issue(
  command: CommandName,
  inputs: readonly (Tensor | undefined)[],
  outputs: readonly Output[],
  attrs: readonly number[] = [],
  broadcast?: Shape,
  device: DeviceName = deviceOf(command, inputs, outputs),
): (Tensor | undefined)[] {
  if (recording && device !== recording.device && device !== 'meta') {
    throw new CaptureError(
      command,
      `runs on ${device}, and the capture records what runs on ${recording.device}. Name the device: capture(fn, { device: '${device}' }).`,
    )
  }
  if (device === 'meta') return outputs.map((o) => (o && !(o instanceof Tensor) ? onMeta(o) : o))

  b[0] = commands[command].code
  b[1] = inputs.length
  b[2] = outputs.length
  b[3] = attrs.length
  let at = 4
  for (let i = 0; i < inputs.length; i++) {
    const t = inputs[i]
    if (t === undefined) {
      at = writeAbsent(at)
      continue
    }
    if (t.disposed || t.storage.handle === 0) disposed(command)
    const stretch = broadcast !== undefined && !sameShape(t.shape, broadcast)
    at = stretch
      ? writeOperand(
          at,
          t.storage.handle,
          t.dtype,
          t.offset,
          broadcast,
          broadcastStrides(t.shape, t.strides, broadcast),
        )
      : writeOperand(at, t.storage.handle, t.dtype, t.offset, t.shape, t.strides)
    if (at > b.length - 64)
      throw new NativeError(command, `too many operands for one command (${inputs.length}).`)
  }
  const firstOutput = at
  for (let i = 0; i < outputs.length; i++) {
    const o = outputs[i]
    if (o === undefined) at = writeAbsent(at)
    else if (o instanceof Tensor) {
      if (o.disposed || o.storage.handle === 0) disposed(command)
      at = writeOperand(at, o.storage.handle, o.dtype, o.offset, o.shape, o.strides)
    } else {
      at = writeOperand(at, 0, o.dtype, 0, o.shape, contiguousStrides(o.shape))
    }
    if (at > b.length - 64)
      throw new NativeError(command, `too many operands for one command (${outputs.length}).`)
  }
  for (let i = 0; i < attrs.length; i++) b[at + i] = attrs[i]!

  const place = placeOf(device)
  let code = native().submit(at + attrs.length, place)
  if (code < 0) {
    // Memory that is free on this side but not yet given back may be what is missing.
    const error = takeNativeError(command)
    if (error.name !== 'OutOfMemoryError') throw error
    const record = b.slice(0, at + attrs.length)
    flushReleases()
    b.set(record)
    code = native().submit(record.length, place)
    if (code < 0) throw takeNativeError(command)
  }

  const results = new Array<Tensor | undefined>(outputs.length)
  at = firstOutput
  for (let i = 0; i < outputs.length; i++) {
    const o = outputs[i]
    if (o === undefined) {
      at += 4
      continue
    }
    if (o instanceof Tensor) {
      o.storage.version++
      results[i] = o
    } else {
      const storage = new Storage(b[at]!, numel(o.shape) * dtypeSize(o.dtype), device)
      results[i] = new Tensor(storage, o.dtype, o.as ?? o.shape)
    }
    at += 4 + 2 * o.shape.length
  }
  if (recording) for (const t of results) if (t) recording.written.add(t.storage)
  return results
}

function onMeta(o: Meta): Tensor {
  const storage = new Storage(0, numel(o.shape) * dtypeSize(o.dtype), 'meta')
  return new Tensor(storage, o.dtype, o.as ?? o.shape)
}

/** `issue` for a command with one output. */
export function issueOne(
  command: CommandName,
  inputs: readonly (Tensor | undefined)[],
  output: Meta | Tensor,
  attrs?: readonly number[],
  broadcast?: Shape,
): Tensor {
  return issue(command, inputs, [output], attrs, broadcast)[0]!
}

/** A new tensor with every element `value`, on the device of `like`. */
export function filled(meta: Meta, value: number, like: Tensor): Tensor {
  return issue(
    'fill',
    [],
    [{ shape: meta.shape, dtype: meta.dtype }],
    [value],
    undefined,
    like.device,
  )[0]!
}
