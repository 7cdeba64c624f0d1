// What ops ask of their arguments before they look at shapes. TypeScript has said it already; plain JavaScript and data
// that came from a file have not been told.
import { dtypeRange, type DType } from '../dtype.js'
import { DTypeError, ShaktiError, ShapeError } from '../errors.js'
import { formatShape } from '../shape.js'
import { Tensor } from '../tensor.js'

function kind(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`
}

/** Refuses whatever is not a tensor; the optional ones may be undefined. */
export function wantTensors(
  op: string,
  required: Readonly<Record<string, unknown>>,
  optional: Readonly<Record<string, unknown>> = {},
): void {
  for (const name in required) {
    if (!(required[name] instanceof Tensor))
      throw new DTypeError(op, `${name} must be a tensor, got ${kind(required[name])}.`)
  }
  for (const name in optional) {
    if (optional[name] !== undefined && !(optional[name] instanceof Tensor))
      throw new DTypeError(op, `${name} must be a tensor or left out, got ${kind(optional[name])}.`)
  }
}

/** Refuses a list with something in it that is not a tensor. The name is made for the message alone: lists are long. */
export function wantTensorList(
  op: string,
  list: readonly unknown[],
  name: (i: number) => string = (i) => `tensor ${i}`,
): void {
  list.forEach((t, i) => {
    if (!(t instanceof Tensor)) wantTensors(op, { [name(i)]: t })
  })
}

export function wantNumber(op: string, name: string, value: unknown): asserts value is number {
  if (typeof value !== 'number')
    throw new DTypeError(op, `${name} must be a number, got ${kind(value)}.`)
}

/** The bias of a layer with `out` outputs on x. */
export function wantBias(op: string, bias: Tensor | undefined, out: number, x: Tensor): void {
  if (!bias || (bias.ndim === 1 && bias.shape[0] === out && bias.dtype === x.dtype)) return
  throw new ShapeError(
    op,
    `bias must be ${x.dtype}${formatShape([out])}, got ${bias.describe()}.`,
    [bias.shape],
  )
}

export function wantInteger(op: string, name: string, value: unknown): asserts value is number {
  if (!Number.isSafeInteger(value))
    throw new ShaktiError(op, `${name} must be an integer, got ${String(value)}.`)
}

/** Refuses a number that an integer dtype cannot hold, where a conversion would quietly give another one. */
export function wantInRange(op: string, value: number, dtype: DType): void {
  const [low, high] = dtypeRange(dtype)
  if (low !== -Infinity && !(value >= low && value <= high))
    throw new DTypeError(op, `${value} does not fit into ${dtype} (${low} .. ${high}).`)
}

/** What every element of a tensor is to become. */
export function checkFill(op: string, value: unknown, dtype: DType): void {
  wantNumber(op, 'the value', value)
  wantInRange(op, value, dtype)
}
