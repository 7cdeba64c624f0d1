// Ops that fold dimensions. `dims` undefined means all; `keepDim` leaves a size of 1 where a dimension was.
import { DTypeError, ShapeError } from '../errors.js'
import { isFloating, toFloating, type DType } from '../dtype.js'
import { filled, type CommandName } from '../native/encode.js'
import { formatShape, normalizeDim, normalizeDims } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { op } from './table.js'

export type Dims = number | readonly number[]
export interface KeepDim {
  keepDim?: boolean
}

export interface ValuesAndIndices {
  values: Tensor
  /** i32 */
  indices: Tensor
}

export interface ReduceOps {
  /** Sum; integers and bool give i32. */
  sum(dims?: Dims, options?: KeepDim): Tensor
  mean(dims?: Dims, options?: KeepDim): Tensor
  /** Product. No gradient rule where an element is 0 (NaN there). */
  prod(dims?: Dims, options?: KeepDim): Tensor
  /** Largest value; equal ones share the gradient. */
  amax(dims?: Dims, options?: KeepDim): Tensor
  /** Smallest value; equal ones share the gradient. */
  amin(dims?: Dims, options?: KeepDim): Tensor
  /** Largest along `dim` and where it was (the first of equals). */
  max(dim: number, options?: KeepDim): ValuesAndIndices
  max(): Tensor
  min(dim: number, options?: KeepDim): ValuesAndIndices
  min(): Tensor
  /** Index of the largest, i32; over the flattened tensor when `dim` is left out. */
  argmax(dim?: number, options?: KeepDim): Tensor
  argmin(dim?: number, options?: KeepDim): Tensor
  any(dims?: Dims, options?: KeepDim): Tensor
  all(dims?: Dims, options?: KeepDim): Tensor
  /** Variance, divided by n - 1 unless `unbiased` is false. */
  var(dims?: Dims, options?: KeepDim & { unbiased?: boolean }): Tensor
  std(dims?: Dims, options?: KeepDim & { unbiased?: boolean }): Tensor
  /** log(sum(exp(x))), without overflow. */
  logsumexp(dims: Dims, options?: KeepDim): Tensor
  /** Running sum along `dim`. */
  cumsum(dim: number): Tensor
  /** Euclidean length. */
  norm(dims?: Dims, options?: KeepDim): Tensor
}

interface FoldAttrs {
  readonly dims: readonly number[]
  readonly dtype: DType
}

const foldShape = ({ x }: { readonly x: Tensor }, { dims, dtype }: FoldAttrs) => ({
  out: { shape: x.shape.map((s, d) => (dims.includes(d) ? 1 : s)), dtype },
})

const sumRow = op({
  command: 'sum',
  inputs: ['x'],
  outputs: ['out'],
  check: foldShape,
  saves: [],
  grad: (g, _, { metas }) => ({ x: g.expand(metas.x.shape) }),
})

function extreme(command: CommandName) {
  const row = op({
    command,
    inputs: ['x'],
    outputs: ['out'],
    check: ({ x }, attrs: FoldAttrs) => {
      for (const d of attrs.dims) {
        if (x.shape[d] === 0) {
          throw new ShapeError(
            command,
            `dim ${d} of ${formatShape(x.shape)} is empty, and nothing has no extreme.`,
            [x.shape],
          )
        }
      }
      return foldShape({ x }, attrs)
    },
    saves: ['x', 'out'],
    grad: (g, { x, out }, { attrs: { dims } }) => {
      const hit = x.eq(out).to(g.dtype)
      return { x: g.mul(hit).div(hit.sum(dims, { keepDim: true })) }
    },
  })
  return (x: Tensor, dims?: Dims, { keepDim = false }: KeepDim = {}): Tensor => {
    const list = normalizeDims(command, dims, x.ndim)
    const source = x.dtype === 'bool' ? x.to('u8') : x
    return drop(row({ x: source }, { dims: list, dtype: source.dtype }).out, list, keepDim)
  }
}

const prodRow = op({
  command: 'prod',
  inputs: ['x'],
  outputs: ['out'],
  check: foldShape,
  saves: ['x', 'out'],
  grad: (g, { x, out }) => ({ x: g.mul(out).div(x) }),
})

/** Takes the folded dimensions of size 1 away unless they were asked for. */
function drop(t: Tensor, dims: readonly number[], keepDim: boolean): Tensor {
  return keepDim || dims.length === 0 ? t : t.reshape(t.shape.filter((_, d) => !dims.includes(d)))
}

function indexed(command: 'max_index' | 'min_index') {
  const name = command === 'max_index' ? 'max' : 'min'
  const row = op({
    command,
    inputs: ['x'],
    outputs: ['values', 'indices'],
    check: ({ x }, _: Record<never, never>) => {
      if (x.shape[x.ndim - 1] === 0) {
        throw new ShapeError(name, `the dimension to search in ${formatShape(x.shape)} is empty.`, [
          x.shape,
        ])
      }
      const shape = [...x.shape.slice(0, -1), 1]
      return { values: { shape, dtype: x.dtype }, indices: { shape, dtype: 'i32' as const } }
    },
    saves: ['indices'],
    grad: (g, { indices }, { metas }) => ({
      x: filled(metas.x, 0, g).scatterAdd(-1, indices, g),
    }),
  })
  return (x: Tensor, dim: number, { keepDim = false }: KeepDim = {}): ValuesAndIndices => {
    const d = normalizeDim(name, dim, x.ndim)
    const source = x.ndim === 0 ? x.reshape([1]) : x.movedim(d, -1)
    const { values, indices } = row({ x: source.dtype === 'bool' ? source.to('u8') : source }, {})
    const put = (t: Tensor): Tensor => {
      if (x.ndim === 0) return t.reshape([])
      return keepDim ? t.movedim(-1, d) : t.reshape(t.shape.slice(0, -1))
    }
    return { values: put(values), indices: put(indices) }
  }
}

const cumsumRow = op({
  command: 'cumsum',
  inputs: ['x'],
  outputs: ['out'],
  check: ({ x }, _: { reverse: boolean }) => ({ out: { shape: x.shape, dtype: x.dtype } }),
  encode: ({ reverse }) => [reverse ? 1 : 0],
  saves: [],
  grad: (g, _, { attrs: { reverse } }) => ({ x: accumulate(g, !reverse) }),
})

function accumulate(x: Tensor, reverse: boolean): Tensor {
  return cumsumRow({ x }, { reverse }).out
}

const amax = extreme('amax')
const amin = extreme('amin')
const maxIndex = indexed('max_index')
const minIndex = indexed('min_index')

const sum = (x: Tensor, dims?: Dims, { keepDim = false }: KeepDim = {}): Tensor => {
  const list = normalizeDims('sum', dims, x.ndim)
  const dtype = isFloating(x.dtype) || x.dtype === 'i64' ? x.dtype : 'i32'
  return drop(sumRow({ x }, { dims: list, dtype }).out, list, keepDim)
}

const count = (x: Tensor, dims: Dims | undefined): number =>
  normalizeDims('mean', dims, x.ndim).reduce((n, d) => n * x.shape[d]!, 1)

const mean = (x: Tensor, dims?: Dims, options?: KeepDim): Tensor =>
  sum(x.to(toFloating(x.dtype)), dims, options).mul(1 / count(x, dims))

const variance = (
  x: Tensor,
  dims?: Dims,
  { keepDim = false, unbiased = true }: KeepDim & { unbiased?: boolean } = {},
): Tensor => {
  const f = x.to(toFloating(x.dtype))
  const n = count(f, dims)
  return sum(f.sub(mean(f, dims, { keepDim: true })).square(), dims, { keepDim }).mul(
    1 / (unbiased ? n - 1 : n),
  )
}

function index(find: typeof maxIndex) {
  return (x: Tensor, dim?: number, options?: KeepDim): Tensor =>
    dim === undefined ? find(x.reshape([-1]), 0).indices : find(x, dim, options).indices
}

export const reduce = {
  sum,
  mean,
  prod: (x: Tensor, dims?: Dims, { keepDim = false }: KeepDim = {}): Tensor => {
    const list = normalizeDims('prod', dims, x.ndim)
    const dtype = isFloating(x.dtype) || x.dtype === 'i64' ? x.dtype : 'i32'
    return drop(prodRow({ x: x.to(dtype) }, { dims: list, dtype }).out, list, keepDim)
  },
  amax,
  amin,
  max: (x: Tensor, dim?: number, options?: KeepDim): Tensor | ValuesAndIndices =>
    dim === undefined ? amax(x) : maxIndex(x, dim, options),
  min: (x: Tensor, dim?: number, options?: KeepDim): Tensor | ValuesAndIndices =>
    dim === undefined ? amin(x) : minIndex(x, dim, options),
  argmax: index(maxIndex),
  argmin: index(minIndex),
  any: (x: Tensor, dims?: Dims, options?: KeepDim): Tensor =>
    amax(x.ne(0), dims, options).to('bool'),
  all: (x: Tensor, dims?: Dims, options?: KeepDim): Tensor =>
    amin(x.ne(0), dims, options).to('bool'),
  var: variance,
  std: (x: Tensor, dims?: Dims, options?: KeepDim & { unbiased?: boolean }): Tensor =>
    variance(x, dims, options).sqrt(),
  logsumexp: (x: Tensor, dims: Dims, { keepDim = false }: KeepDim = {}): Tensor => {
    if (!isFloating(x.dtype))
      throw new DTypeError('logsumexp', `needs a floating tensor, got ${x.describe()}.`)
    // The largest is only a shift: it has no share in the gradient. -inf would turn into NaN by -inf - -inf.
    const top = amax(x.detach(), dims, { keepDim: true })
    const shift = top.isfinite().to(x.dtype).mul(top.clamp(-1e38, 1e38))
    const out = sum(x.sub(shift).exp(), dims, { keepDim: true }).log().add(shift)
    return drop(out, normalizeDims('logsumexp', dims, x.ndim), keepDim)
  },
  cumsum: (x: Tensor, dim: number): Tensor => {
    const d = normalizeDim('cumsum', dim, x.ndim)
    const dtype = isFloating(x.dtype) || x.dtype === 'i64' ? x.dtype : 'i32'
    if (x.ndim === 0) return x
    return accumulate(x.to(dtype).movedim(d, -1), false).movedim(-1, d)
  },
  norm: (x: Tensor, dims?: Dims, options?: KeepDim): Tensor =>
    sum(x.square(), dims, options).sqrt(),
}
