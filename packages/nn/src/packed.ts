// Linear layers whose weights are laid out for products once, for inference.
import {
  noGrad,
  packedLinear,
  packWeight,
  ShaktiError,
  ShapeError,
  type DType,
  type Epilogue,
  type PackedWeight,
  type Tensor,
} from '@shakti/tensor'
import { Linear } from './layers.js'
import { Module } from './module.js'
import type { Parameter } from './parameter.js'
import { replaceLayers, replaceLinears, type WhichLinears } from './replace.js'

/** A Linear with W packed: [..., in] to [..., out], the same numbers faster, for inference. Made from a Linear. */
export class PackedLinear extends Module {
  /** No parameter: nothing trains it and no state dict holds it. */
  readonly weight: PackedWeight
  readonly bias: Parameter | undefined

  /** @param weight its memory is shared, not copied */
  constructor(weight: PackedWeight, bias?: Parameter) {
    super()
    this.weight = weight
    this.bias = bias
  }

  /**
   * Packs the weight of a Linear, which stays as it is, in the dtype that it multiplies in; its bias is shared.
   * @param like a layer made of the same weight, which is then shared
   * @throws ShaktiError when the weight was built inside `meta()` and never filled
   */
  static from(linear: Linear, like?: PackedLinear): PackedLinear {
    const { weight, compute, bias } = linear
    const dtype = compute ?? weight.dtype
    const packed =
      like?.weight.dtype === dtype
        ? like.weight
        : noGrad(() => packWeight(weight.ready('cpu').as(dtype)))
    const layer = new PackedLinear(packed, bias)
    layer.training = linear.training
    return layer
  }

  get inWidth(): number {
    return this.weight.shape[1]
  }

  get outWidth(): number {
    return this.weight.shape[0]
  }

  /** A Linear with the weight unpacked, in the dtype in which it was packed. */
  toLinear(like?: Linear): Linear {
    const linear = new Linear(this.inWidth, this.outWidth, {
      bias: false,
      init: () => this.weight.unpack(),
    })
    const fields = linear as { weight: Parameter; bias: Parameter | undefined }
    if (like) fields.weight = like.weight
    fields.bias = this.bias
    linear.training = this.training
    return linear
  }

  forward(x: Tensor, epilogue?: Epilogue): Tensor {
    if (x.shape.at(-1) !== this.inWidth) {
      throw new ShapeError(
        'PackedLinear',
        `weight is (out ${this.outWidth}, in ${this.inWidth}) but x is ${x.describe()}.`,
        [x.shape],
      )
    }
    const { dtype } = this.weight
    return packedLinear(x.to(dtype), this.weight, this.bias?.as(dtype), epilogue)
  }

  override setCompute(dtype: DType): void {
    if (dtype === this.weight.dtype) return
    throw new ShaktiError(
      'PackedLinear',
      `its weight was packed in ${this.weight.dtype} and cannot multiply in ${dtype}. Use unpack_ first.`,
    )
  }

  override get noState(): string {
    return 'its weight is packed, which is no format of files. Use unpack_ first.'
  }
}

/**
 * Puts PackedLinears in the place of the Linears of a module, and frees the weights that it then no longer holds: for
 * inference, with the same numbers. A weight that several Linears share is packed once; one that an embedding shares stays
 * beside its packed form. Change dtypes before. `stateDict` and `loadStateDict` refuse a module that holds one: load, then
 * pack; `unpack_`, then save.
 * @example pack_(model.to({ dtype: 'bf16' }))
 * @returns the module
 * @throws ShaktiError when no Linear fits; DTypeError when a weight is not f32 or bf16
 */
export function pack_<M extends Module>(module: M, which: WhichLinears = {}): M {
  replaceLinears('pack_', module, which, (linear, like?: PackedLinear) =>
    PackedLinear.from(linear, like),
  )
  return module
}

/**
 * Puts Linears in the place of all PackedLinears of a module, in the dtype in which they were packed, and frees the packed
 * weights.
 * @returns the module
 */
export function unpack_<M extends Module>(module: M): M {
  const made = replaceLayers(
    module,
    (layer): layer is PackedLinear => layer instanceof PackedLinear,
    (layer) => layer.weight,
    (layer, like?: Linear) => layer.toLinear(like),
  )
  for (const weight of made.keys()) weight.dispose()
  return module
}
