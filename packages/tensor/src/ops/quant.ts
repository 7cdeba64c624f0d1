// Weights of linear layers in 8 or 4 bits, for inference: quantised once, kept packed, multiplied as they lie.
import { tracks } from '../autograd/tape.js'
import { DTypeError, ShaktiError } from '../errors.js'
import type { DType } from '../dtype.js'
import type { Tensor } from '../tensor.js'
import { wantTensors } from './checks.js'
import { applyEpilogue, asRows, type Epilogue } from './matmul.js'
import {
  matrixShape,
  packedShape,
  panelRows,
  PanelWeight,
  rowsFor,
  wantOneOf,
} from './panel-weight.js'
import { op } from './table.js'

export type QuantBits = 8 | 4
export type QuantGroup = 32 | 64 | 128

export interface QuantizeOptions {
  /** 8 (default) or 4 */
  bits?: QuantBits
  /** How many neighbours of a row share a scale. Default 64 for 8 bits, 32 for 4. */
  group?: QuantGroup
  /**
   * Whether a group has, beside its scale, a zero point: its steps then need not lie evenly around 0. A byte more for each group,
   * a tenth off the error in 4 bits, more where a group's weights lie to one side of 0. Default false.
   */
  zeroPoint?: boolean
}

type Format = Readonly<Required<QuantizeOptions>>

const floats: readonly DType[] = ['f32', 'bf16', 'f16']

/** Of the packed bytes, for files that hold them: alike on every machine, and counted up when they come to lie otherwise. */
export const quantLayoutVersion = 1

// As kernels/src/ops/quant/layout.h has it: panels of 32 rows, a bf16 scale a row and group, zero points, then the weights.
function panelBytes(k: number, { bits, group, zeroPoint }: Format): number {
  const groups = Math.ceil(k / group)
  const zeroBytes = zeroPoint ? 64 * Math.ceil(groups / 2) : 0
  return 32 * groups * (2 + (group * bits) / 8) + zeroBytes
}

function checkFormat(
  name: string,
  { bits = 8, group = bits === 8 ? 64 : 32, zeroPoint = false }: QuantizeOptions,
): Format {
  if (bits !== 8 && bits !== 4)
    throw new ShaktiError(name, `bits must be 8 or 4, got ${String(bits)}.`)
  if (group !== 32 && group !== 64 && group !== 128)
    throw new ShaktiError(name, `group must be 32, 64 or 128, got ${String(group)}.`)
  if (typeof zeroPoint !== 'boolean')
    throw new ShaktiError(name, `zeroPoint must be true or false, got ${String(zeroPoint)}.`)
  return { bits, group, zeroPoint }
}

const encode = ({ bits, group, zeroPoint }: Format): number[] => [bits, group, Number(zeroPoint)]

const quantize = op({
  command: 'quantize_weight',
  inputs: ['w'],
  outputs: ['packed'],
  check: ({ w }, format: Format) => ({
    packed: {
      shape: packedShape([w.shape[0]!, w.shape[1]!], panelBytes(w.shape[1]!, format)),
      dtype: 'u8',
    },
  }),
  encode,
  saves: [],
  grad: 'none',
})

interface Expanded extends Format {
  readonly shape: readonly [number, number]
  readonly dtype: DType
}

const dequantize = op({
  command: 'dequantize_weight',
  inputs: ['packed'],
  outputs: ['w'],
  check: (_, { shape, dtype }: Expanded) => ({ w: { shape, dtype } }),
  encode,
  saves: [],
  grad: 'none',
})

interface Product extends Format {
  readonly shape: readonly [number, number]
  readonly gated: boolean
}

const product = op({
  command: 'quantized_linear',
  inputs: ['x', 'packed', 'second?', 'third?', 'bias?', 'residual?'],
  outputs: ['out'],
  check: ({ x }, { shape }: Product) => ({
    out: { shape: [x.shape[0]!, shape[0]], dtype: x.dtype },
  }),
  encode: ({ gated, ...format }) => [...encode(format), Number(gated)],
  saves: ['packed'],
  // Of the product with the weight that the bytes stand for; that x is rounded too is left out. Several weights at once
  // are for calls without a gradient.
  grad: (g, { packed }, { attrs, need }) => ({
    x: need.x ? g.matmul(dequantize({ packed }, { ...attrs, dtype: g.dtype }).w) : undefined,
    bias: need.bias ? g.sum(0) : undefined,
    residual: need.residual ? g : undefined,
  }),
})

const formatName = ({ bits, group, zeroPoint }: Format): string =>
  `${bits} bits and groups of ${group}${zeroPoint ? ' with zero points' : ''}`

const formatOf = ({ bits, group, zeroPoint }: QuantizedWeight): Format => ({
  bits,
  group,
  zeroPoint,
})

/**
 * A weight [out, in] in 8 or 4 bits. Its bytes lie in one tensor, scales and weights together, in the order in which a
 * product reads them; what they mean is said by shape, bits, group and zeroPoint alone.
 */
export class QuantizedWeight extends PanelWeight {
  readonly bits: QuantBits
  readonly group: QuantGroup
  readonly zeroPoint: boolean

  /**
   * @param packed as `quantizeWeight` or a file gave it; any bytes are some weight
   * @throws ShapeError when it is not u8 of the size that shape and options ask for
   */
  constructor(packed: Tensor, shape: readonly [number, number], options: QuantizeOptions = {}) {
    const format = checkFormat('QuantizedWeight', options)
    super('QuantizedWeight', packed, shape, panelBytes(shape[1], format), formatName(format))
    this.bits = format.bits
    this.group = format.group
    this.zeroPoint = format.zeroPoint
  }

  /** The weight that the bytes stand for: [out, in] in f32 (default), bf16 or f16. */
  dequantize(dtype: DType = 'f32'): Tensor {
    wantOneOf('dequantize', 'the dtype', dtype, floats)
    const { packed, shape } = this
    return dequantize({ packed: packed.contiguous() }, { ...formatOf(this), shape, dtype }).w
  }
}

/**
 * Rounds a weight [out, in] (f32, bf16 or f16, any strides) to 8 or 4 bits with a scale for each group of neighbours in a
 * row. 8 bits: the scale is the largest magnitude over 127, or with `zeroPoint` the range over 255. 4 bits: of several ranges, the
 * one of least squared error. Relative error of a product with normal numbers: 0.9 % in 8 bits, 8 % in 4, 7 % with zero points
 * (kernels/src/ops/quant/README.md).
 * No scope frees the result: it lives until `dispose()` or until it is collected.
 * @throws when the result is read, if a weight is not finite
 */
export function quantizeWeight(w: Tensor, options: QuantizeOptions = {}): QuantizedWeight {
  const shape = matrixShape('quantizeWeight', w, floats)
  const format = checkFormat('quantizeWeight', options)
  const packed = quantize({ w }, format).packed
  packed.kept = true
  return new QuantizedWeight(packed, shape, format)
}

/**
 * x @ weightᵀ + bias over the last dimension, with the weight as it is packed. x is rounded to 8 bits on the way, with a
 * scale for each row and group; sums within a group are exact, the rest is f32. A row's result does not depend on the
 * rows beside it, on the number of threads or on the instruction set. A row of x that is not finite gives NaN.
 *
 * For inference: the weight has no gradient. x and bias have, as if x had not been rounded, by a product with the
 * weight made whole again.
 * @param x [..., in], f32, bf16 or f16
 * @param bias [out], of x's dtype
 * @param epilogue as of `linear`; here ops of their own, but for a residual of x's dtype alone on a CPU, which is added before rounding
 * @returns [..., out] in x's dtype, or what it and the residual promote to
 */
export function quantizedLinear(
  x: Tensor,
  weight: QuantizedWeight,
  bias?: Tensor,
  epilogue: Epilogue = {},
): Tensor {
  wantTensors('quantizedLinear', { x }, { bias })
  const { packed, shape } = wantQuantized('quantizedLinear', weight)
  wantOneOf('quantizedLinear', 'x', x.dtype, floats)
  const { rows, whole } = rowsFor('quantizedLinear', x, weight, bias, epilogue)
  const { activation, swiglu: gate, residual } = epilogue
  const inPass =
    x.device === 'cpu' && activation === undefined && !gate && residual?.dtype === x.dtype
  const given = {
    x: rows,
    packed: packed.contiguous(),
    bias,
    residual: inPass ? asRows(residual) : undefined,
  }
  const y = product(given, { ...formatOf(weight), shape, gated: false }).out.reshape(whole)
  return inPass ? y : applyEpilogue(y, epilogue)
}

function wantQuantized(name: string, weight: QuantizedWeight): QuantizedWeight {
  if (weight instanceof QuantizedWeight) return weight
  throw new DTypeError(name, 'weight must come from quantizeWeight.')
}

/** Whether one pass can multiply x with all of them: on a CPU, without a gradient, alike in depth and format. */
function together(x: Tensor, weights: readonly QuantizedWeight[]): boolean {
  const [first] = weights
  return (
    x.device === 'cpu' &&
    !tracks([x]) &&
    weights.every((w) => w.shape[1] === first!.shape[1] && formatName(w) === formatName(first!))
  )
}

/**
 * The products of x with two or three weights: `weights.map((w) => quantizedLinear(x, w))`, the same numbers. On a CPU, without a
 * gradient, they are one pass, which rounds x once, if the weights are alike in format and depth and all but the last have
 * a multiple of 32 rows.
 * @param x [..., in], f32, bf16 or f16
 * @returns for each weight [..., out]; of one pass, parts of one tensor
 */
export function quantizedLinears(x: Tensor, weights: readonly QuantizedWeight[]): Tensor[] {
  const name = 'quantizedLinears'
  wantTensors(name, { x })
  for (const w of weights) wantQuantized(name, w)
  const [first, second, third] = weights
  const whole = weights.every((w, i) => i === weights.length - 1 || w.shape[0] % panelRows === 0)
  if (!second || weights.length > 3 || !whole || !together(x, weights))
    return weights.map((w) => quantizedLinear(x, w))
  wantOneOf(name, 'x', x.dtype, floats)
  const { rows } = rowsFor(name, x, first!, undefined, {})
  const out = weights.reduce((n, w) => n + w.shape[0], 0)
  const given = {
    x: rows,
    packed: first!.packed.contiguous(),
    second: second.packed.contiguous(),
    third: third?.packed.contiguous(),
  }
  const attrs = { ...formatOf(first!), shape: [out, first!.shape[1]] as const, gated: false }
  const y = product(given, attrs).out
  const all = y.reshape([...x.shape.slice(0, -1), out])
  let at = 0
  return weights.map(({ shape: [n] }) => all.narrow(all.ndim - 1, (at += n) - n, n))
}

/**
 * silu(x @ gateᵀ) * (x @ upᵀ) (arXiv 2002.05202), the hidden layer of a SwiGLU: on a CPU, without a gradient, one pass when the weights are
 * alike in shape and format; else `quantizedLinear` twice.
 * @param x [..., in], f32, bf16 or f16
 * @returns [..., out] in x's dtype
 */
export function quantizedSwiglu(x: Tensor, gate: QuantizedWeight, up: QuantizedWeight): Tensor {
  const name = 'quantizedSwiglu'
  wantTensors(name, { x })
  wantQuantized(name, gate)
  wantQuantized(name, up)
  if (gate.shape[0] !== up.shape[0] || !together(x, [gate, up]))
    return quantizedLinear(x, up, undefined, { swiglu: quantizedLinear(x, gate) })
  wantOneOf(name, 'x', x.dtype, floats)
  const { rows, whole } = rowsFor(name, x, gate, undefined, {})
  const given = { x: rows, packed: gate.packed.contiguous(), second: up.packed.contiguous() }
  const attrs = { ...formatOf(gate), shape: gate.shape, gated: true }
  return product(given, attrs).out.reshape(whole)
}
