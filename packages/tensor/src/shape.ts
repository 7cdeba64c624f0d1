// Shape rules: pure functions over sizes and strides, no native code, so that they run on `meta` tensors too.
import { ShapeError } from './errors.js'

export type Shape = readonly number[]

export const maxDims = 8

export function numel(shape: Shape): number {
  let n = 1
  for (let i = 0; i < shape.length; i++) n *= shape[i]!
  return n
}

export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length)
  let step = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step
    step *= shape[i]!
  }
  return strides
}

export function isContiguous(shape: Shape, strides: Shape): boolean {
  if (numel(shape) === 0) return true
  let step = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== step) return false
    step *= shape[i]!
  }
  return true
}

export function sameShape(a: Shape, b: Shape): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

export function formatShape(shape: Shape): string {
  return `[${shape.join(', ')}]`
}

/** Refuses a shape that no tensor can have. */
export function checkShape(op: string, shape: Shape): void {
  if (!Array.isArray(shape))
    throw new ShapeError(op, `a shape is a list of sizes, got ${String(shape)}.`)
  if (shape.length > maxDims) {
    throw new ShapeError(op, `at most ${maxDims} dimensions, got ${formatShape(shape)}.`, [shape])
  }
  let n = 1
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new ShapeError(op, `sizes are integers from 0, got ${formatShape(shape)}.`, [shape])
    }
    n *= size === 0 ? 1 : size
    if (n > Number.MAX_SAFE_INTEGER / 8) {
      throw new ShapeError(op, `${formatShape(shape)} has more elements than can be addressed.`, [
        shape,
      ])
    }
  }
}

/** Refuses what is not a list, as a method called in PyTorch's other way: `x.permute(1, 0)`. */
export function checkList(op: string, what: string, list: unknown): void {
  if (!Array.isArray(list))
    throw new ShapeError(op, `takes a list of ${what}, as in ${op}([...]); got ${String(list)}.`)
}

/** `dim` counted from the front; negative ones count from the end. */
export function normalizeDim(op: string, dim: number, ndim: number): number {
  // A single number counts as having one dimension, as in PyTorch.
  const d = dim < 0 ? dim + Math.max(ndim, 1) : dim
  if (!Number.isInteger(dim) || d < 0 || d >= Math.max(ndim, 1)) {
    throw new ShapeError(
      op,
      `dim ${dim} does not exist in a tensor of ${ndim} dimensions (${-Math.max(ndim, 1)} .. ${Math.max(ndim, 1) - 1}).`,
    )
  }
  return d
}

/** A list of dims, each once, counted from the front; undefined means all. */
export function normalizeDims(
  op: string,
  dims: number | readonly number[] | undefined,
  ndim: number,
): number[] {
  if (dims === undefined) {
    const all = new Array<number>(ndim)
    for (let d = 0; d < ndim; d++) all[d] = d
    return all
  }
  if (typeof dims !== 'number') checkList(op, 'dims', dims)
  const list = (typeof dims === 'number' ? [dims] : dims).map((d) => normalizeDim(op, d, ndim))
  if (new Set(list).size !== list.length) {
    throw new ShapeError(op, `a dim is named twice in [${String(dims)}].`)
  }
  return ndim === 0 ? [] : list
}

/** The common shape of `a` and `b`, aligned at the last dimension; sizes of 1 stretch. */
export function broadcastShapes(op: string, a: Shape, b: Shape): Shape {
  if (sameShape(a, b)) return a
  const n = Math.max(a.length, b.length)
  const out = new Array<number>(n)
  for (let i = 1; i <= n; i++) {
    const x = i <= a.length ? a[a.length - i]! : 1
    const y = i <= b.length ? b[b.length - i]! : 1
    if (x !== y && x !== 1 && y !== 1) {
      throw new ShapeError(
        op,
        `${formatShape(a)} and ${formatShape(b)} do not broadcast: ${x} ≠ ${y} at dim ${n - i}, and neither is 1.`,
        [a, b],
      )
    }
    out[n - i] = x === 1 ? y : x
  }
  return out
}

/** `strides` of a tensor of `shape` seen as `target`: 0 where a size of 1 stretches. Assumes that it does broadcast. */
export function broadcastStrides(shape: Shape, strides: Shape, target: Shape): number[] {
  const lead = target.length - shape.length
  const out = new Array<number>(target.length)
  for (let i = 0; i < target.length; i++) {
    out[i] = i < lead || (shape[i - lead] === 1 && target[i] !== 1) ? 0 : strides[i - lead]!
  }
  return out
}

/** `shape` with its one -1 replaced, checked against the number of elements. */
export function inferShape(op: string, shape: Shape, from: Shape): number[] {
  checkList(op, 'sizes', shape)
  const total = numel(from)
  const out = [...shape]
  const unknown = out.indexOf(-1)
  if (unknown >= 0) {
    let known = 1
    for (let i = 0; i < out.length; i++) if (i !== unknown) known *= out[i]!
    if (out.indexOf(-1, unknown + 1) >= 0 || known === 0 || total % known !== 0) {
      throw new ShapeError(
        op,
        `-1 in ${formatShape(shape)} cannot be worked out from ${formatShape(from)} (${total} elements).`,
        [from, shape],
      )
    }
    out[unknown] = total / known
  }
  checkShape(op, out)
  if (numel(out) !== total) {
    throw new ShapeError(
      op,
      `${formatShape(from)} has ${total} elements, ${formatShape(out)} has ${numel(out)}.`,
      [from, out],
    )
  }
  return out
}

/**
 * Strides that show a tensor of `shape` and `strides` as `target` without a copy, or undefined when there are none.
 * Groups of source dimensions that lie gap-free in memory are split or merged into groups of target dimensions.
 */
export function viewStrides(shape: Shape, strides: Shape, target: Shape): number[] | undefined {
  if (numel(shape) === 0) return contiguousStrides(target)
  const out = new Array<number>(target.length).fill(1)
  let t = target.length - 1
  let run = 1 // elements of the gap-free run of source dimensions seen so far
  let base = strides[strides.length - 1] ?? 1 // the run's innermost stride
  for (let s = shape.length - 1; s >= 0; s--) {
    run *= shape[s]!
    if (s > 0 && (shape[s - 1] === 1 || strides[s - 1] === run * base)) continue
    // The run ends here: hand it out to target dimensions, innermost first.
    let given = 1
    while (t >= 0 && (given < run || target[t] === 1)) {
      out[t] = base * given
      given *= target[t]!
      t--
    }
    if (given !== run) return undefined
    if (s > 0) base = strides[s - 1]!
    run = 1
  }
  return out
}
