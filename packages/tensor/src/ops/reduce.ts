// Ops that fold dimensions. `dims` undefined means all; `keepDim` leaves a size of 1 where a dimension was.
import { DTypeError, ShapeError } from '../errors.js'
import { isFloating, toFloating, type DType } from '../dtype.js'
import { filled, type CommandName } from '../native/encode.js'
import { formatShape, normalizeDim, normalizeDims, type Shape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { where } from './elementwise.js'
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
  /** Sum; integers and bool give i32 (i64 stays), and one that does not fit makes the next read fail. */
  sum(dims?: Dims, options?: KeepDim): Tensor
  mean(dims?: Dims, options?: KeepDim): Tensor
  /** Product; dtypes as `sum`. */
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
  /** Running sum along `dim`; dtypes as `sum`. */
  cumsum(dim: number): Tensor
  /** Euclidean length. */
  norm(dims?: Dims, options?: KeepDim): Tensor
}

interface FoldAttrs {
  readonly dims: readonly number[]
  readonly dtype: DType
}

const folded = (shape: Shape, dims: readonly number[]): Shape =>
  dims.length === shape.length
    ? new Array<number>(shape.length).fill(1)
    : shape.map((s, d) => (dims.includes(d) ? 1 : s))

const dropped = (shape: Shape, dims: readonly number[]): Shape =>
  dims.length === shape.length ? [] : shape.filter((_, d) => !dims.includes(d))

const foldShape = ({ x }: { readonly x: Tensor }, { dims, dtype }: FoldAttrs) => ({
  out: { shape: folded(x.shape, dims), dtype },
})

// Its result comes without the folded dimensions at once: losses end in a sum, and a view more is a node more.
const sumRow = op({
  command: 'sum',
  inputs: ['x'],
  outputs: ['out'],
  check: ({ x }, { dims, dtype, keepDim }: FoldAttrs & { keepDim: boolean }) => {
    const shape = folded(x.shape, dims)
    return { out: { shape, dtype, as: keepDim ? shape : dropped(shape, dims) } }
  },
  saves: [],
  grad: (g, _, { attrs: { dims }, metas }) => {
    const { shape } = metas.x
    // What has no dimensions stretches to any.
    const kept = g.ndim === 0 || g.ndim === shape.length
    return { x: (kept ? g : g.reshape(folded(shape, dims))).expand(shape) }
  },
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
  saves: ['x'],
  // The product of all others. A single 0 leaves it to that element alone, two leave nothing to anybody.
  grad: (g, { x }, { attrs: { dims } }) => {
    const zero = x.eq(0)
    const zeros = zero.sum(dims, { keepDim: true })
    const others = x.maskedFill(zero, 1)
    const product = others.prod(dims, { keepDim: true })
    const atZero = product.maskedFill(zeros.ne(1), 0)
    return { x: g.mul(where(zero, atZero, product.div(others).maskedFill(zeros.ne(0), 0))) }
  },
})

/** Takes the folded dimensions of size 1 away unless they were asked for. */
function drop(t: Tensor, dims: readonly number[], keepDim: boolean): Tensor {
  return keepDim || dims.length === 0 ? t : t.reshape(dropped(t.shape, dims))
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

const foldedDType = (x: Tensor): DType =>
  isFloating(x.dtype) || x.dtype === 'i64' ? x.dtype : 'i32'

const sum = (x: Tensor, dims?: Dims, { keepDim = false }: KeepDim = {}, dtype?: DType): Tensor => {
  const list = normalizeDims('sum', dims, x.ndim)
  return sumRow({ x }, { dims: list, dtype: dtype ?? foldedDType(x), keepDim }).out
}

const count = (name: string, x: Tensor, dims: Dims | undefined): number =>
  normalizeDims(name, dims, x.ndim).reduce((n, d) => n * x.shape[d]!, 1)

/** The dtype of what lies between operand and result: a sum or a square of 16-bit numbers may not fit into 16 bits. */
const between = (x: Tensor): DType => (x.dtype === 'f64' ? 'f64' : 'f32')

const mean = (x: Tensor, dims?: Dims, options?: KeepDim): Tensor => {
  const n = count('mean', x, dims)
  const source = isFloating(x.dtype) ? x : x.to('f32')
  return sum(source, dims, options, between(x))
    .mul(1 / n)
    .to(source.dtype)
}

/** Variance in f32 (f64 for f64). */
function variance(
  name: 'var' | 'std',
  x: Tensor,
  dims: Dims | undefined,
  { keepDim = false, unbiased = true }: KeepDim & { unbiased?: boolean } = {},
): Tensor {
  const n = count(name, x, dims)
  const f = x.to(between(x))
  const squares = f.sub(mean(f, dims, { keepDim: true })).square()
  return sum(squares, dims, { keepDim }).mul(1 / Math.max(unbiased ? n - 1 : n, 0))
}

/** Square root with gradient 0 at 0, as PyTorch has it for lengths and deviations: of all slopes there the flat one. */
function root(x: Tensor): Tensor {
  const zero = x.eq(0)
  return x.maskedFill(zero, 1).sqrt().maskedFill(zero, 0)
}

function index(find: typeof maxIndex) {
  return (x: Tensor, dim?: number, options?: KeepDim): Tensor => {
    if (dim !== undefined) return find(x, dim, options).indices
    const place = find(x.reshape([x.numel]), 0).indices
    return options?.keepDim ? place.reshape(x.shape.map(() => 1)) : place
  }
}

export const reduce = {
  sum,
  mean,
  prod: (x: Tensor, dims?: Dims, { keepDim = false }: KeepDim = {}): Tensor => {
    const list = normalizeDims('prod', dims, x.ndim)
    const dtype = foldedDType(x)
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
  any: (x: Tensor, dims?: Dims, options?: KeepDim): Tensor => sum(x.ne(0), dims, options).ne(0),
  all: (x: Tensor, dims?: Dims, options?: KeepDim): Tensor => sum(x.eq(0), dims, options).eq(0),
  var: (x: Tensor, dims?: Dims, options?: KeepDim & { unbiased?: boolean }): Tensor =>
    variance('var', x, dims, options).to(toFloating(x.dtype)),
  std: (x: Tensor, dims?: Dims, options?: KeepDim & { unbiased?: boolean }): Tensor =>
    root(variance('std', x, dims, options)).to(toFloating(x.dtype)),
  logsumexp: (x: Tensor, dims: Dims, { keepDim = false }: KeepDim = {}): Tensor => {
    if (!isFloating(x.dtype))
      throw new DTypeError('logsumexp', `needs a floating tensor, got ${x.describe()}.`)
    const f = x.to(between(x))
    if (count('logsumexp', x, dims) === 0) return sum(f.exp(), dims, { keepDim }).log().to(x.dtype)
    // The largest is only a shift: it has no share in the gradient. -inf would turn into NaN by -inf - -inf.
    const top = amax(f.detach(), dims, { keepDim: true })
    const shift = top.isfinite().to(f.dtype).mul(top.clamp(-1e38, 1e38))
    const out = sum(f.sub(shift).exp(), dims, { keepDim: true }).log().add(shift)
    return drop(out, normalizeDims('logsumexp', dims, x.ndim), keepDim).to(x.dtype)
  },
  cumsum: (x: Tensor, dim: number): Tensor => {
    const d = normalizeDim('cumsum', dim, x.ndim)
    const source = x.to(foldedDType(x))
    return x.ndim === 0 ? source : accumulate(source.movedim(d, -1), false).movedim(-1, d)
  },
  norm: (x: Tensor, dims?: Dims, options?: KeepDim): Tensor =>
    root(sum(x.to(between(x)).square(), dims, options)).to(toFloating(x.dtype)),
}
