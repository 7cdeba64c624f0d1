// Changing dtype, device and layout.
import { DTypeError } from '../errors.js'
import { checkDType, type DType } from '../dtype.js'
import { resolveDevice, type DeviceName } from '../native/places.js'
import type { Tensor } from '../tensor.js'
import { op } from './table.js'
import { transfer } from './transfer.js'

export interface CastOps {
  /**
   * This tensor with another dtype, on another device, or both; itself when it is so already. Floats become integers by truncation
   * (saturating, NaN gives 0). To another device goes a contiguous copy, in the order of both devices' work; the gradient comes back
   * the same way.
   * @example x.to('cuda'), x.to({ device: 'cpu', dtype: 'f32' })
   */
  to(target: DType | DeviceName | { dtype?: DType; device?: string }): Tensor
  /** `to('f32')` */
  float(): Tensor
  /** `to('f64')` */
  double(): Tensor
  /** `to('f16')` */
  half(): Tensor
  /** `to('bf16')` */
  bfloat16(): Tensor
  /** `to('i32')` */
  int(): Tensor
  /** `to('i64')` */
  long(): Tensor
  /** `to('bool')`: whether it differs from 0. */
  bool(): Tensor
  /** Row-major without gaps: itself, or a copy. */
  contiguous(): Tensor
  /** A copy, on the tape. */
  clone(): Tensor
}

const copy = op({
  command: 'copy',
  inputs: ['x'],
  outputs: ['out'],
  check: ({ x }, { dtype }: { dtype: DType }) => ({ out: { shape: x.shape, dtype } }),
  saves: [],
  grad: (g) => ({ x: g }),
})

/** A name alone is a dtype, unless it looks like a device. */
function wish(target: Parameters<CastOps['to']>[0]): { dtype?: DType; device?: string } {
  if (typeof target === 'string')
    return /^(cpu|cuda|meta)(:|$)/.test(target) ? { device: target } : { dtype: target as DType }
  if (typeof target !== 'object' || target === null)
    throw new DTypeError('to', `takes a dtype, a device or both, got ${String(target)}.`)
  return target
}

export const cast: {
  [K in keyof CastOps]: (x: Tensor, ...args: Parameters<CastOps[K]>) => Tensor
} = {
  to: (x, target) => {
    const { dtype = x.dtype, device = x.device } = wish(target)
    checkDType('to', dtype)
    const place = resolveDevice('to', device)
    const there = place === x.device ? x : transfer(x, place)
    return dtype === there.dtype ? there : copy({ x: there }, { dtype }).out
  },
  float: (x) => cast.to(x, 'f32'),
  double: (x) => cast.to(x, 'f64'),
  half: (x) => cast.to(x, 'f16'),
  bfloat16: (x) => cast.to(x, 'bf16'),
  int: (x) => cast.to(x, 'i32'),
  long: (x) => cast.to(x, 'i64'),
  bool: (x) => cast.to(x, 'bool'),
  contiguous: (x) => (x.isContiguous() ? x : copy({ x }, { dtype: x.dtype }).out),
  clone: (x) => copy({ x }, { dtype: x.dtype }).out,
}
