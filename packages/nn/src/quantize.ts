// Linear layers whose weights are held in 8 or 4 bits, for inference.
import {
  quantizedLinear,
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
import { replaceLinears, type WhichLinears } from './replace.js'

/** A Linear with W in 8 or 4 bits: [..., in] to [..., out], in x's dtype. Made from a Linear. */
export class QuantizedLinear extends Module {
  /** u8: scales and weights, packed as products read them. */
  readonly weight: Parameter
  readonly bias: Parameter | undefined
  readonly inWidth: number
  readonly outWidth: number
  readonly bits: QuantBits
  readonly group: QuantGroup
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
    const { weight, outWidth, inWidth, bits, group } = this
    return new QuantizedWeight(weight, [outWidth, inWidth], { bits, group })
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
    // The epilogue is ops of its own: without gradients the product alone is not kept beside its result.
    return frugal(() =>
      quantizedLinear(x.to(dtype), this.packedWeight, this.bias?.as(dtype), epilogue),
    )
  }

  override setCompute(dtype: DType): void {
    this.compute = dtype
  }
}

export interface QuantizeModuleOptions extends QuantizeOptions, WhichLinears {}

/**
 * Puts QuantizedLinears in the place of the Linears of a module, and frees the weights that it then no longer holds. A
 * weight that several Linears share is quantised once. To read a quantised module from a file, build it the same way
 * without values, `meta(() => quantize_(new Net(), options))`, and load its state dict.
 * @example quantize_(model, { bits: 4, except: ['*.lmHead'] })
 * @returns the module
 * @throws ShaktiError when no Linear fits
 */
export function quantize_<M extends Module>(module: M, options: QuantizeModuleOptions = {}): M {
  replaceLinears('quantize_', module, options, (linear, like?: QuantizedLinear) =>
    QuantizedLinear.from(linear, options, like),
  )
  return module
}
