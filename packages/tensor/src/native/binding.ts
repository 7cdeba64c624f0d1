// The typed face of the addon. Everything that enters or leaves native code passes through this file and encode.ts.
import { createRequire } from 'node:module'
import type { NativeInfo, NativeModule } from '@shakti/kernels'
import {
  CaptureError,
  DisposedError,
  DTypeError,
  NativeError,
  OutOfMemoryError,
  ShapeError,
} from '../errors.js'
import { abi } from './commands.gen.js'

const bufferBytes = 512 * 1024

let loaded: { native: NativeModule; info: NativeInfo } | undefined

/** The command buffer, shared with native code for the life of the thread. */
export const commandBuffer = new Float64Array(bufferBytes / 8)

function load(): { native: NativeModule; info: NativeInfo } {
  const require = createRequire(import.meta.url)
  const native = require('@shakti/kernels') as NativeModule
  const info = native.init(commandBuffer.buffer)
  if (info.abi !== abi) {
    throw new NativeError(
      'load',
      `@shakti/tensor speaks command layout ${abi}, the installed @shakti/kernels ${info.abi}. Update both packages, or run 'npm run build'.`,
    )
  }
  return { native, info }
}

/** The addon; loaded on first use, so that shape-only work on `meta` needs no native code. */
export function native(): NativeModule {
  return (loaded ??= load()).native
}

export function nativeInfo(): NativeInfo {
  return (loaded ??= load()).info
}

/** Whether anything has asked for the addon yet. */
export function isNativeLoaded(): boolean {
  return loaded !== undefined
}

/** The error of the last native call that returned a negative code, made here so that the stack is the caller's. */
export function takeNativeError(op: string): Error {
  const { code, message, op: nativeOp, late } = native().lastError()
  const where = nativeOp || op
  // Status::Code of kernels/src/runtime/status.h
  switch (code) {
    case 1:
      return new ShapeError(where, message)
    case 2:
      return new DTypeError(where, message)
    case 3:
      return new DisposedError(where, message)
    case 4:
      return new OutOfMemoryError(where, message)
    case 7:
      return new CaptureError(where, message)
    default:
      return new NativeError(where, late ? `${message} (found while the stream ran)` : message)
  }
}
