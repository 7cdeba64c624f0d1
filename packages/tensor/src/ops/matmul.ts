// Matrix products.
import { DTypeError, ShapeError, ShaktiError } from '../errors.js'
import { isFloating } from '../dtype.js'
import { broadcastShapes, formatShape, numel, type Shape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { wantTensors } from './checks.js'
import { op } from './table.js'

export interface MatmulOps {
  /**
   * Matrix product over the last two dimensions; the others broadcast. A 1-D operand counts as a row (left) or a column
   * (right), as in PyTorch. Transposed views are read as they lie. Both dtypes must be equal and floating.
   */
  matmul(b: Tensor): Tensor
  /**
   * x @ weightᵀ + bias over the last dimension.
   * @param weight [out, in]
   * @param bias [out]
   */
  linear(weight: Tensor, bias?: Tensor): Tensor
}

function checkFloats(name: string, a: Tensor, b: Tensor): void {
  if (a.dtype !== b.dtype || !isFloating(a.dtype)) {
    throw new DTypeError(
      name,
      `needs two equal floating dtypes, got ${a.describe()} and ${b.describe()}. Convert one with .to('${isFloating(a.dtype) ? a.dtype : 'f32'}').`,
    )
  }
}

function productShape(a: Tensor, b: Tensor): Shape {
  const k = a.shape[a.ndim - 1]
  const kb = b.shape[b.ndim - 2]
  if (k !== kb) {
    const hint = k === b.shape[b.ndim - 1] ? ' Transpose b?' : ''
    throw new ShapeError(
      'matmul',
      `inner sizes differ: a is ${a.describe()}, b is ${b.describe()} (${k} ≠ ${kb}).${hint}`,
      [a.shape, b.shape],
    )
  }
  return [...batchShape(a, b), a.shape[a.ndim - 2]!, b.shape[b.ndim - 1]!]
}

function batchShape(a: Tensor, b: Tensor): Shape {
  try {
    return broadcastShapes('matmul', a.shape.slice(0, -2), b.shape.slice(0, -2))
  } catch {
    throw new ShapeError(
      'matmul',
      `the dimensions before the last two do not broadcast: a is ${a.describe()}, b is ${b.describe()}.`,
      [a.shape, b.shape],
    )
  }
}

/** 'highest': f32 products are f32. 'medium': their factors may be rounded to bf16, the sums stay f32. */
export type MatmulPrecision = 'highest' | 'medium'
let precision: MatmulPrecision = 'highest'

/**
 * How exactly f32 matrix products, those of attention included, are formed from here on: PyTorch's function of this name.
 * 'medium' is up to twice as fast where the CPU multiplies bf16 (AVX512-BF16) and changes nothing elsewhere. Default 'highest'.
 */
export function setFloat32MatmulPrecision(value: MatmulPrecision): void {
  if (value !== 'highest' && value !== 'medium') {
    throw new ShaktiError(
      'setFloat32MatmulPrecision',
      `must be 'highest' or 'medium', got '${String(value)}'.`,
    )
  }
  precision = value
}

export function getFloat32MatmulPrecision(): MatmulPrecision {
  return precision
}

const product = op({
  command: 'matmul',
  inputs: ['a', 'b', 'bias?'],
  outputs: ['out'],
  check: ({ a, b }, _: Record<never, never>) => ({
    out: { shape: productShape(a, b), dtype: a.dtype },
  }),
  encode: () => [0, precision === 'medium' ? 1 : 0],
  saves: ['a', 'b'],
  grad: (g, { a, b }, { need }) => ({
    a: need.a ? matmul(g, b.mT()) : undefined,
    b: need.b ? matmul(a.mT(), g) : undefined,
    bias: need.bias ? g.sum(Array.from({ length: g.ndim - 1 }, (_, d) => d)) : undefined,
  }),
})

/** Both operands with the batch dimensions of the result, as views. */
function batched(a: Tensor, b: Tensor): [Tensor, Tensor] {
  if (a.ndim === 2 && b.ndim === 2) return [a, b]
  const batch = batchShape(a, b)
  return [a.expand([...batch, ...a.shape.slice(-2)]), b.expand([...batch, ...b.shape.slice(-2)])]
}

/** All but the last dimension as one. Its size is counted, since -1 cannot be worked out of nothing. */
export const asRows = (x: Tensor): Tensor =>
  x.reshape([numel(x.shape.slice(0, -1)), x.shape[x.ndim - 1]!])

function matmul(a: Tensor, b: Tensor): Tensor {
  wantTensors('matmul', { b })
  checkFloats('matmul', a, b)
  if (a.ndim === 0 || b.ndim === 0) {
    throw new ShapeError(
      'matmul',
      `needs at least one dimension each, got ${a.describe()} and ${b.describe()}.`,
      [a.shape, b.shape],
    )
  }
  if (a.ndim === 1) return matmul(a.unsqueeze(0), b).squeeze(b.ndim === 1 ? 0 : -2)
  if (b.ndim === 1) return matmul(a, b.unsqueeze(1)).squeeze(-1)
  // One matrix for many left sides is one tall product.
  if (b.ndim === 2 && a.ndim > 2) {
    productShape(a, b)
    const rows = asRows(a)
    return product({ a: rows, b }, {}).out.reshape([...a.shape.slice(0, -1), b.shape[1]!])
  }
  productShape(a, b)
  const [x, y] = batched(a, b)
  return product({ a: x, b: y }, {}).out
}

function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  wantTensors('linear', { weight }, { bias })
  checkFloats('linear', x, weight)
  const width = x.shape[x.ndim - 1] ?? 0
  if (weight.ndim !== 2 || x.ndim === 0 || width !== weight.shape[1]) {
    throw new ShapeError(
      'linear',
      `weight must be [out, ${width}] for x ${x.describe()}, got ${weight.describe()}.`,
      [x.shape, weight.shape],
    )
  }
  const out = weight.shape[0]!
  if (bias && (bias.ndim !== 1 || bias.shape[0] !== out || bias.dtype !== x.dtype)) {
    throw new ShapeError(
      'linear',
      `bias must be ${x.dtype}${formatShape([out])}, got ${bias.describe()}.`,
      [bias.shape],
    )
  }
  const rows = x.ndim === 2 ? x : asRows(x)
  const y = product({ a: rows, b: weight.mT(), bias }, {}).out
  return x.ndim === 2 ? y : y.reshape([...x.shape.slice(0, -1), out])
}

export const matmulOps = { matmul, linear }
