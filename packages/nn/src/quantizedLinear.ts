// A linear layer whose weight is held in 8 or 4 bits, for inference, and products of several at once.
import {
  quantizedLinear,
  quantizedLinears,
  quantizedSwiglu,
  QuantizedWeight,
  quantizeWeight,
  ShapeError,
  type DType,
  type Epilogue,
  type QuantBits,
  type QuantGroup,
  type QuantizeOptions,
  type Tensor,
} from '@shakti/tensor'
import { frugal } from './frugal.js'
import type { Linear } from './layers.js'
import { Module } from './module.js'
import { Parameter } from './parameter.js'

/** A Linear with W in 8 or 4 bits: [..., in] to [..., out], in x's dtype. Made from a Linear. */
export class QuantizedLinear extends Module {
  /** u8: scales, zero points and weights, packed as products read them. */
  readonly weight: Parameter
  readonly bias: Parameter | undefined
  readonly inWidth: number
  readonly outWidth: number
  readonly bits: QuantBits
  readonly group: QuantGroup
  readonly zeroPoint: boolean
  compute: DType | undefined

  /** @param weight its memory is shared, not copied; one held by a parameter ties the two layers */
  constructor(weight: QuantizedWeight, bias?: Parameter) {
    super()
    const { packed } = weight
    this.weight =
      packed instanceof Parameter ? packed : new Parameter(packed, { dims: ['panels', 'bytes'] })
    this.bias = bias
    ;[this.outWidth, this.inWidth] = weight.shape
    this.bits = weight.bits
    this.group = weight.group
    this.zeroPoint = weight.zeroPoint
  }

  /**
   * Rounds the weight of a Linear, which stays as it is; its bias is shared.
   * @param like a layer made of the same weight, whose bytes are then shared
   */
  static from(
    linear: Linear,
    options: QuantizeOptions = {},
    like?: QuantizedLinear,
  ): QuantizedLinear {
    const weight = like?.packedWeight ?? quantizeWeight(linear.weight, options)
    const layer = new QuantizedLinear(weight, linear.bias)
    if (!like) weight.dispose()
    layer.compute = linear.compute
    layer.training = linear.training
    return layer
  }

  /** The weight with what its bytes mean: `packedWeight.dequantize()`. */
  get packedWeight(): QuantizedWeight {
    const { weight, outWidth, inWidth, bits, group, zeroPoint } = this
    return new QuantizedWeight(weight, [outWidth, inWidth], { bits, group, zeroPoint })
  }

  forward(x: Tensor, epilogue?: Epilogue): Tensor {
    if (x.shape.at(-1) !== this.inWidth) {
      throw new ShapeError(
        'QuantizedLinear',
        `weight is (out ${this.outWidth}, in ${this.inWidth}) but x is ${x.describe()}.`,
        [x.shape],
      )
    }
    this.weight.ready(x.device)
    const dtype = this.compute ?? x.dtype
    // Where the epilogue is ops of its own, the product alone is not kept beside its result.
    return frugal(() =>
      quantizedLinear(x.to(dtype), this.packedWeight, this.bias?.as(dtype), epilogue),
    )
  }

  override setCompute(dtype: DType): void {
    this.compute = dtype
  }
}

/** Whether layers can take part in one product: quantised, without biases, in one dtype. */
function alike(layers: readonly Module[]): layers is QuantizedLinear[] {
  return layers.every(
    (l) =>
      l instanceof QuantizedLinear &&
      !l.bias &&
      l.compute === (layers[0] as QuantizedLinear).compute,
  )
}

const inputOf = (x: Tensor, layers: readonly QuantizedLinear[]): Tensor => {
  for (const l of layers) l.weight.ready(x.device)
  return x.to(layers[0]!.compute ?? x.dtype)
}

/**
 * What layers give from the same input, in one pass over it (`quantizedLinears`): parts of one tensor. Undefined where they are not
 * quantised alike.
 */
export function jointly(
  x: Tensor,
  layers: readonly (Linear | QuantizedLinear)[],
): Tensor[] | undefined {
  if (!alike(layers)) return undefined
  return quantizedLinears(
    inputOf(x, layers),
    layers.map((l) => l.packedWeight),
  )
}

/** silu(gate(x)) * up(x), in one pass when both are quantised (`quantizedSwiglu`). */
export function swigluOf(
  x: Tensor,
  gate: Linear | QuantizedLinear,
  up: Linear | QuantizedLinear,
): Tensor {
  const layers = [gate, up]
  if (!alike(layers)) return up.forward(x, { swiglu: gate.forward(x) })
  return quantizedSwiglu(inputOf(x, layers), layers[0]!.packedWeight, layers[1]!.packedWeight)
}
