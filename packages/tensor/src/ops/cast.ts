// Changing dtype, device and layout.
import { DeviceError } from '../errors.js'
import { checkDType, type DType } from '../dtype.js'
import type { Tensor } from '../tensor.js'
import { op } from './table.js'

export interface CastOps {
  /**
   * This tensor with another dtype; itself when it has that already. Floats become integers by truncation (saturating,
   * NaN gives 0).
   */
  to(dtype: DType | { dtype?: DType; device?: string }): Tensor
  /** `to('f32')` */
  float(): Tensor
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

export const cast: {
  [K in keyof CastOps]: (x: Tensor, ...args: Parameters<CastOps[K]>) => Tensor
} = {
  to: (x, target) => {
    const { dtype = x.dtype, device = x.device } =
      typeof target === 'string' ? { dtype: target } : target
    checkDType('to', dtype)
    if (device !== x.device) {
      throw new DeviceError(
        'to',
        `cannot move from ${x.device} to ${device}: this build has the cpu device alone.`,
      )
    }
    return dtype === x.dtype ? x : copy({ x }, { dtype }).out
  },
  float: (x) => cast.to(x, 'f32'),
  contiguous: (x) => (x.isContiguous() ? x : copy({ x }, { dtype: x.dtype }).out),
  clone: (x) => copy({ x }, { dtype: x.dtype }).out,
}
