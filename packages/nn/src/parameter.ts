// A tensor that a module trains. Its identity is what ties weights: two fields that hold the same Parameter share it.
import { isFloating, Tensor } from '@shakti/tensor'
import type { Initializer } from './init.js'
import { creationDevice } from './meta.js'

export class Parameter extends Tensor {
  /** Names of the dimensions, for messages: `['out', 'in']`. */
  readonly dims: readonly string[] | undefined

  constructor(data: Tensor, options: { requiresGrad?: boolean; dims?: readonly string[] } = {}) {
    super(data.storage, data.dtype, data.shape, data.strides, data.offset)
    this.dims = options.dims
    this.kept = true
    if ((options.requiresGrad ?? true) && isFloating(data.dtype)) this.requiresGrad = true
  }
}

/** A parameter of `shape` with the values of `init`. Inside `meta()` it has a shape and no values. */
export function parameter(shape: readonly number[], init: Initializer, dims?: readonly string[]): Parameter {
  const data = init(shape, creationDevice())
  return new Parameter(data, dims ? { dims } : {})
}
