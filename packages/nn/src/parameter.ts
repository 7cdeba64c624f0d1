// A tensor that a module trains. Its identity is what ties weights: two fields that hold the same Parameter share it.
import {
  customFunction,
  empty,
  isFloating,
  noGrad,
  ShaktiError,
  ShapeError,
  Tensor,
  tidy,
  type DeviceName,
  type DType,
} from '@shakti/tensor'
import type { Initializer } from './init.js'
import { creationDevice } from './meta.js'

/** A parameter that was built inside `meta()` and has had no values loaded. */
export class UninitialisedError extends ShaktiError {
  override name = 'UninitialisedError'
}

export interface ParameterOptions {
  /** Default true, for floating data. */
  requiresGrad?: boolean
  /** Names of the dimensions, for messages. */
  dims?: readonly string[]
}

export class Parameter extends Tensor {
  /** Names of the dimensions, for messages: `['out', 'in']`. */
  readonly dims: readonly string[] | undefined
  /** Where it stands in the model; known for those built inside `meta()`. */
  path: string | undefined
  /** What would have given it its values; known for those built inside `meta()`. */
  init: Initializer | undefined
  #copy: Tensor | undefined

  /** @param data shared, not copied */
  constructor(data: Tensor, options: ParameterOptions = {}) {
    super(data.storage, data.dtype, data.shape, data.strides, data.offset)
    this.dims = options.dims
    this.kept = true
    if ((options.requiresGrad ?? true) && isFloating(data.dtype)) this.requiresGrad = true
  }

  /** A parameter like this one with other data, owned by no scope. */
  with(data: Tensor): Parameter {
    const p = new Parameter(data, {
      requiresGrad: this.requiresGrad,
      ...(this.dims ? { dims: this.dims } : {}),
    })
    data.dispose()
    return p
  }

  /** These values in a low dtype, beside the master: forward reads it, the optimiser writes both. */
  get workingCopy(): Tensor | undefined {
    return this.#copy
  }

  /** Makes the working copy, or drops it. */
  setWorkingCopy(dtype: DType | undefined): void {
    this.#copy?.dispose()
    this.#copy = undefined
    if (dtype === undefined || dtype === this.dtype || this.device === 'meta') return
    this.#copy = noGrad(() => this.detach().to(dtype))
    this.#copy.kept = true
  }

  /** Copies values in, and into the working copy. */
  override copy_(source: Tensor): this {
    super.copy_(source)
    this.#copy?.copy_(this.detach())
    return this
  }

  /** The values in `dtype`, from the working copy when it has that; gradients reach this parameter either way. */
  as(dtype: DType): Tensor {
    if (dtype === this.dtype) return this
    const copy = this.#copy
    if (copy?.dtype !== dtype) return this.to(dtype)
    return customFunction<[Tensor]>(
      'workingCopy',
      () => copy.detach(),
      (g) => [g.to(this.dtype)],
    )(this)
  }

  /**
   * This parameter, for use with an input on `device`.
   * @throws UninitialisedError naming its path when it has no values
   */
  ready(device: DeviceName): this {
    if (this.device === 'meta' && device !== 'meta') {
      throw new UninitialisedError(
        this.path ?? 'parameter',
        `${this.describe()} was built inside meta() and never filled. Load a state dict first.`,
      )
    }
    return this
  }
}

/** A parameter of `shape` with the values of `init`. Inside `meta()` it has a shape and no values. */
export function parameter(
  shape: readonly number[],
  init: Initializer,
  dims?: readonly string[],
): Parameter {
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0))
    throw new ShapeError('parameter', `sizes are integers from 0, got [${shape.join(', ')}].`, [
      shape,
    ])
  const device = creationDevice()
  // In a scope, so that the parameter alone holds its memory and gives it back when it is disposed.
  return tidy(() => {
    const meta = device === 'meta'
    const p = new Parameter(
      meta ? empty(shape, { device }) : init(shape, device),
      dims ? { dims } : {},
    )
    if (meta) p.init = init
    return p
  })
}
