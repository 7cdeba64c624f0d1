// Element types: sizes, arrays on the JavaScript side, promotion. The codes cross the native border
// (kernels/src/runtime/dtype.h has the same list).
import { DTypeError } from './errors.js'

export const dtypes = ['f32', 'bf16', 'f16', 'f64', 'i32', 'i64', 'u8', 'bool'] as const
export type DType = (typeof dtypes)[number]

export const dtypeCode: Readonly<Record<DType, number>> = {
  f32: 0,
  bf16: 1,
  f16: 2,
  f64: 3,
  i32: 4,
  i64: 5,
  u8: 6,
  bool: 7,
}

const sizes: Readonly<Record<DType, number>> = {
  f32: 4,
  bf16: 2,
  f16: 2,
  f64: 8,
  i32: 4,
  i64: 8,
  u8: 1,
  bool: 1,
}

/** Bytes of one element. */
export function dtypeSize(dtype: DType): number {
  return sizes[dtype]
}

const ranges: Readonly<Partial<Record<DType, readonly [number, number]>>> = {
  i32: [-(2 ** 31), 2 ** 31 - 1],
  // What JavaScript's numbers hold exactly.
  i64: [-(2 ** 53) + 1, 2 ** 53 - 1],
  u8: [0, 255],
}

/** Smallest and largest number of an integer dtype; floats and bool take any. */
export function dtypeRange(dtype: DType): readonly [number, number] {
  return ranges[dtype] ?? [-Infinity, Infinity]
}

export function isFloating(dtype: DType): boolean {
  return dtypeCode[dtype] <= 3
}

/** What `data()` returns: bf16 and f16 come as f32, i64 as doubles (an error beyond 2^53), bool as 0 and 1. */
export type NumberArray = Float32Array | Float64Array | Int32Array | Uint8Array

/** What `tensor()` takes besides nested lists. */
export type DataArray = NumberArray | BigInt64Array | Uint8ClampedArray

// A category's rank decides first, then the wider type; as PyTorch's promotion table for these types.
const category = (d: DType): number => (isFloating(d) ? 2 : d === 'bool' ? 0 : 1)
const width: Readonly<Record<DType, number>> = {
  bool: 0,
  u8: 1,
  i32: 2,
  i64: 3,
  bf16: 4,
  f16: 4,
  f32: 5,
  f64: 6,
}

/** The dtype in which an elementwise op on `a` and `b` works. bf16 with f16 gives f32. */
export function promote(a: DType, b: DType): DType {
  if (a === b) return a
  if (category(a) !== category(b)) return category(a) > category(b) ? a : b
  if (width[a] === width[b]) return 'f32'
  return width[a] > width[b] ? a : b
}

/**
 * `promote` for operands of which one may be a single number (no dimensions): that one decides the dtype only when it is
 * of a higher kind (bool, integer, float) than the other. As in PyTorch.
 */
export function promoteOperands(
  a: { readonly dtype: DType; readonly ndim: number },
  b: { readonly dtype: DType; readonly ndim: number },
): DType {
  if ((a.ndim === 0) === (b.ndim === 0)) return promote(a.dtype, b.dtype)
  const [many, one] = a.ndim === 0 ? [b, a] : [a, b]
  return category(many.dtype) >= category(one.dtype) ? many.dtype : promote(a.dtype, b.dtype)
}

/** dtype for an op whose result is a fraction: floats stay, everything else becomes f32. */
export function toFloating(dtype: DType): DType {
  return isFloating(dtype) ? dtype : 'f32'
}

export function checkDType(op: string, dtype: string): asserts dtype is DType {
  if (!(dtypes as readonly string[]).includes(dtype)) {
    throw new DTypeError(op, `unknown dtype '${dtype}'. Use one of ${dtypes.join(', ')}.`)
  }
}
