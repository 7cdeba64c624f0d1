// Matrix products.
import { DTypeError, ShapeError, ShaktiError } from '../errors.js'
import { tracks } from '../autograd/tape.js'
import { dtypeSize, isFloating, promote, type DType } from '../dtype.js'
import { issueOne } from '../native/encode.js'
import { broadcastShapes, formatShape, numel, sameShape, type Shape } from '../shape.js'
import type { Tensor } from '../tensor.js'
import { wantBias, wantNumber, wantTensors } from './checks.js'
import { swiglu } from './nn.js'
import { op } from './table.js'

export interface MatmulOps {
  /**
   * Matrix product over the last two dimensions; the others broadcast. A 1-D operand counts as a row (left) or a column
   * (right), as in PyTorch. Transposed views are read as they lie. Both dtypes must be equal and floating. With options,
   * scale · a @ b + residual in one pass.
   */
  matmul(b: Tensor, options?: MatmulOptions): Tensor
  /**
   * x @ weightᵀ + bias over the last dimension; with options, activation(scale · x @ weightᵀ + bias) · silu(swiglu) + residual in
   * one pass. Where a gradient will be wanted, activation and SwiGLU are ops of their own, since their gradients read what
   * went into them.
   * @param weight [out, in]
   * @param bias [out]
   * @throws ShapeError, DTypeError when the operands do not fit each other
   */
  linear(weight: Tensor, bias?: Tensor, options?: LinearOptions): Tensor
}

/** What becomes of a product before it is written: activation(product) · silu(swiglu) + residual. */
export interface Epilogue {
  /** 'geluTanh': by the tanh formula. Default: none. */
  readonly activation?: 'gelu' | 'geluTanh' | 'silu' | undefined
  /** The gate of a SwiGLU whose other half is the product, as in `swiglu(gate, product)`. Of the result's shape. */
  readonly swiglu?: Tensor | undefined
  /** Of the result's shape. The result has the dtype to which it, the gate and the residual promote, as after `add`. */
  readonly residual?: Tensor | undefined
}

export interface MatmulOptions {
  /** Factor of the product. Default 1. */
  readonly scale?: number
  /** Of the result's shape and dtype. */
  readonly residual?: Tensor | undefined
}

export interface LinearOptions extends Epilogue {
  /** Factor of the product, before the bias. Default 1. */
  readonly scale?: number
  /** The result's: x's, or f32 where x has 16 bits. Default: x's, or what it, the gate and the residual promote to. */
  readonly dtype?: DType
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

/**
 * 'highest': f32 products are f32. 'high': their factors may be rounded to tf32, an f32 with 10 bits of fraction; 'medium': to bf16,
 * with 7. The sums stay f32.
 */
export type MatmulPrecision = 'highest' | 'high' | 'medium'
const precisions: readonly MatmulPrecision[] = ['highest', 'high', 'medium']
let precision: MatmulPrecision = 'highest'

/**
 * How exactly f32 matrix products, those of attention included, are formed from here on: PyTorch's function of this name.
 * 'medium' is up to twice as fast where the CPU multiplies bf16 (AVX512-BF16). A GPU's tensor cores take tf32 for both 'high' and 'medium'
 * (matmul and linear; attention stays f32). Neither changes anything elsewhere. Default 'highest'.
 */
export function setFloat32MatmulPrecision(value: MatmulPrecision): void {
  if (!precisions.includes(value)) {
    throw new ShaktiError(
      'setFloat32MatmulPrecision',
      `must be 'highest', 'high' or 'medium', got '${String(value)}'.`,
    )
  }
  precision = value
}

export function getFloat32MatmulPrecision(): MatmulPrecision {
  return precision
}

interface Product {
  readonly dtype: DType
  readonly scale: number
  /** A code of kernels/src/ops/matmul/ops.inc; 0, none, where a gradient will be wanted. Then there is no gate either. */
  readonly activation: number
}
const activations = { gelu: 1, geluTanh: 2, silu: 3 } as const

const attributes = (accumulate: boolean, activation: number, scale: number): number[] => [
  accumulate ? 1 : 0,
  precision === 'medium' ? 1 : 0,
  activation,
  scale,
  precision === 'highest' ? 0 : 1,
]

/** y = a b, or y += a b, without a gradient. The operands fit. */
export function productInto(y: Tensor, a: Tensor, b: Tensor, { accumulate = false } = {}): Tensor {
  return issueOne(
    'matmul',
    [a, b, undefined, undefined, undefined],
    y,
    attributes(accumulate, 0, 1),
  )
}

const product = op({
  command: 'matmul',
  inputs: ['a', 'b', 'bias?', 'residual?', 'gate?'],
  outputs: ['out'],
  check: ({ a, b }, { dtype }: Product) => ({ out: { shape: productShape(a, b), dtype } }),
  encode: ({ activation, scale }) => attributes(false, activation, scale),
  saves: ['a', 'b'],
  grad: (g, { a, b }, { need, attrs: { scale } }) => {
    const whole = g.to(a.dtype)
    const scaled = scale === 1 ? whole : whole.mul(scale)
    return {
      a: need.a ? matmul(scaled, b.mT()) : undefined,
      // Laid out as b is: that of a linear layer's weight, which is b transposed, need not be copied to become its gradient.
      b: !need.b
        ? undefined
        : b.strides[b.ndim - 2] === 1
          ? matmul(scaled.mT(), a).mT()
          : matmul(a.mT(), scaled),
      bias: need.bias ? whole.sum(Array.from({ length: g.ndim - 1 }, (_, d) => d)) : undefined,
      residual: need.residual ? g : undefined,
    }
  },
})
const plain = (a: Tensor, b: Tensor, { scale = 1, residual }: MatmulOptions = {}): Tensor =>
  product({ a, b, residual }, { dtype: a.dtype, scale, activation: 0 }).out

/** Both operands with the batch dimensions of the result, as views. */
function batched(a: Tensor, b: Tensor): [Tensor, Tensor] {
  if (a.ndim === 2 && b.ndim === 2) return [a, b]
  const batch = batchShape(a, b)
  return [a.expand([...batch, ...a.shape.slice(-2)]), b.expand([...batch, ...b.shape.slice(-2)])]
}

/** All but the last dimension as one. Its size is counted, since -1 cannot be worked out of nothing. */
export const asRows = (x: Tensor): Tensor =>
  x.reshape([numel(x.shape.slice(0, -1)), x.shape[x.ndim - 1]!])

function checkOptions(shape: Shape, a: Tensor, { scale = 1, residual }: MatmulOptions): void {
  wantNumber('matmul', 'scale', scale)
  checkEpilogue('matmul', shape, { residual })
  if (residual && residual.dtype !== a.dtype)
    throw new DTypeError(
      'matmul',
      `residual must be ${a.dtype}, as the operands, got ${residual.describe()}. Convert it with .to('${a.dtype}').`,
    )
}

function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  wantTensors('matmul', { b }, { residual: options.residual })
  checkFloats('matmul', a, b)
  if (a.ndim === 0 || b.ndim === 0) {
    throw new ShapeError(
      'matmul',
      `needs at least one dimension each, got ${a.describe()} and ${b.describe()}.`,
      [a.shape, b.shape],
    )
  }
  const { residual } = options
  const as = (shaped: Tensor | undefined): MatmulOptions =>
    shaped ? { ...options, residual: shaped } : options
  if (a.ndim === 1) {
    const at = b.ndim === 1 ? 0 : -2
    return matmul(a.unsqueeze(0), b, as(residual?.unsqueeze(at))).squeeze(at)
  }
  if (b.ndim === 1) return matmul(a, b.unsqueeze(1), as(residual?.unsqueeze(-1))).squeeze(-1)
  // One matrix for many left sides is one tall product.
  if (b.ndim === 2 && a.ndim > 2) {
    const shape = productShape(a, b)
    checkOptions(shape, a, options)
    return plain(asRows(a), b, as(residual && asRows(residual))).reshape(shape)
  }
  checkOptions(productShape(a, b), a, options)
  const [x, y] = batched(a, b)
  return plain(x, y, options)
}

/** The epilogue in ops of its own: for products that do not have it built in, and for gradients. */
export function applyEpilogue(y: Tensor, { activation, swiglu: gate, residual }: Epilogue): Tensor {
  if (activation !== undefined)
    y =
      activation === 'silu'
        ? y.silu()
        : y.gelu({ approximate: activation === 'gelu' ? 'none' : 'tanh' })
  if (gate) {
    const dtype = promote(gate.dtype, y.dtype)
    y = swiglu(gate.to(dtype), y.to(dtype))
  }
  return residual ? y.add(residual) : y
}

/** Refuses what is no epilogue of a result of this shape. */
export function checkEpilogue(
  name: string,
  shape: Shape,
  { activation, swiglu, residual }: Epilogue,
): void {
  wantTensors(name, {}, { swiglu, residual })
  if (activation !== undefined && !Object.hasOwn(activations, activation)) {
    throw new ShaktiError(
      name,
      `activation must be one of ${Object.keys(activations).join(', ')}, got ${String(activation)}.`,
    )
  }
  const wantShape = (what: string, t: Tensor | undefined): void => {
    if (!t || sameShape(t.shape, shape)) return
    throw new ShapeError(
      name,
      `${what} must be ${formatShape(shape)}, as the result, got ${t.describe()}.`,
      [t.shape, shape],
    )
  }
  wantShape('swiglu', swiglu)
  wantShape('residual', residual)
}

/** What the kernels are told of a layer's options: the result's dtype, what is added and the gate in it, the activation's code. */
export function outputOf(
  name: string,
  x: Tensor,
  { activation, swiglu: gate, residual, scale = 1, dtype: wanted }: LinearOptions,
): {
  dtype: DType
  scale: number
  activation: number
  residual: Tensor | undefined
  gate: Tensor | undefined
} {
  wantNumber(name, 'scale', scale)
  let dtype = wanted ?? x.dtype
  if (!wanted && gate) dtype = promote(dtype, gate.dtype)
  if (!wanted && residual) dtype = promote(dtype, residual.dtype)
  if (dtype !== x.dtype && !(dtype === 'f32' && dtypeSize(x.dtype) === 2)) {
    throw new DTypeError(
      name,
      `the result of ${x.describe()} can be ${dtypeSize(x.dtype) === 2 ? `f32 or ${x.dtype}` : x.dtype}, not ${dtype}.`,
    )
  }
  const code = activation === undefined ? 0 : activations[activation]
  return {
    dtype,
    scale,
    activation: code,
    residual: residual?.to(dtype),
    gate: gate?.to(dtype),
  }
}

function linear(x: Tensor, weight: Tensor, bias?: Tensor, options: LinearOptions = {}): Tensor {
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
  wantBias('linear', bias, out, x)
  const shape = [...x.shape.slice(0, -1), out]
  checkEpilogue('linear', shape, options)
  const { dtype, scale, activation, residual, gate } = outputOf('linear', x, options)
  if ((activation !== 0 || gate) && tracks([x, weight, bias, gate])) {
    const y = linear(x, weight, bias, { scale, dtype })
    return applyEpilogue(y, { activation: options.activation, swiglu: gate, residual })
  }
  const given = {
    a: x.ndim === 2 ? x : asRows(x),
    b: weight.mT(),
    bias,
    residual: residual && asRows(residual),
    gate: gate && asRows(gate),
  }
  const y = product(given, { dtype, scale, activation }).out
  return x.ndim === 2 ? y : y.reshape(shape)
}

export const matmulOps = { matmul, linear }
