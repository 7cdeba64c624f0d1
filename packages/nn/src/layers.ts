// The plain layers.
import {
  conv2d,
  dropout,
  DTypeError,
  embedding,
  layerNorm,
  rmsNorm,
  ShaktiError,
  ShapeError,
  type Conv2dOptions,
  type DType,
  type Epilogue,
  type Tensor,
} from '@shakti/tensor'
import { initFanIn, initOnes, initZeros, type Initializer } from './init.js'
import { Module } from './module.js'
import { parameter, type Parameter } from './parameter.js'
import { swigluOf } from './quantizedLinear.js'

function checkWidth(layer: string, x: Tensor, width: number): void {
  if (x.shape.at(-1) !== width) {
    throw new ShapeError(layer, `x must end in ${width}, got ${x.describe()}.`, [x.shape])
  }
}

export interface LinearOptions {
  /** Default true. */
  bias?: boolean
  /** Default: normal, deviation 1 / sqrt(in): 0.022 at the 1B decoder's width. */
  init?: Initializer
  /** dtype of the product; the weight stays f32 and is converted on the way. Default: the weight's. */
  compute?: DType
}

/** y = activation(x Wᵀ + b) · silu(gate) + residual: [..., in] to [..., out]. Without an epilogue the product alone. */
export class Linear extends Module {
  readonly weight: Parameter
  readonly bias: Parameter | undefined
  compute: DType | undefined

  constructor(inWidth: number, outWidth: number, options: LinearOptions = {}) {
    super()
    const { bias = true, init = initFanIn() } = options
    this.weight = parameter([outWidth, inWidth], init, ['out', 'in'])
    this.bias = bias ? parameter([outWidth], initZeros, ['out']) : undefined
    this.compute = options.compute
  }

  forward(x: Tensor, epilogue?: Epilogue): Tensor {
    if (x.shape.at(-1) !== this.weight.shape[1]) {
      throw new ShapeError(
        'Linear',
        `weight is (out ${this.weight.shape[0]}, in ${this.weight.shape[1]}) but x is ${x.describe()}.`,
        [x.shape, this.weight.shape],
      )
    }
    const weight = this.weight.ready(x.device)
    const dtype = this.compute ?? weight.dtype
    if (dtype === weight.dtype && dtype === x.dtype) return x.linear(weight, this.bias, epilogue)
    return x.to(dtype).linear(weight.as(dtype), this.bias?.as(dtype), epilogue)
  }

  override setCompute(dtype: DType): void {
    this.compute = dtype === this.weight.dtype ? undefined : dtype
    this.weight.setWorkingCopy(this.compute)
  }
}

/** Rows of a table: ids (i32, any shape) to [..., width]. */
export class Embedding extends Module {
  readonly weight: Parameter

  constructor(vocabulary: number, width: number, init: Initializer = initFanIn()) {
    super()
    this.weight = parameter([vocabulary, width], init, ['vocabulary', 'width'])
  }

  forward(ids: Tensor): Tensor {
    if (ids.dtype !== 'i32' && ids.dtype !== 'i64')
      throw new DTypeError('Embedding', `ids must be i32 or i64, got ${ids.describe()}.`)
    return embedding(ids, this.weight.ready(ids.device))
  }
}

export class LayerNorm extends Module {
  readonly weight: Parameter
  readonly bias: Parameter

  constructor(
    readonly width: number,
    readonly eps = 1e-6,
  ) {
    super()
    this.weight = parameter([width], initOnes)
    this.bias = parameter([width], initZeros)
  }

  forward(x: Tensor): Tensor {
    checkWidth('LayerNorm', x, this.width)
    return layerNorm(x, this.weight.ready(x.device), this.bias, this.eps)
  }
}

export class RMSNorm extends Module {
  readonly weight: Parameter

  constructor(
    readonly width: number,
    readonly eps = 1e-6,
  ) {
    super()
    this.weight = parameter([width], initOnes)
  }

  forward(x: Tensor): Tensor {
    checkWidth('RMSNorm', x, this.width)
    return rmsNorm(x, this.weight.ready(x.device), this.eps)
  }
}

export class Dropout extends Module {
  /** @param p probability of 0, from 0 to below 1 */
  constructor(readonly p: number) {
    super()
    if (!(p >= 0 && p < 1)) throw new ShaktiError('Dropout', `p must lie in [0, 1), got ${p}.`)
  }

  forward(x: Tensor): Tensor {
    return this.training ? dropout(x, this.p) : x
  }
}

export class Conv2d extends Module {
  readonly weight: Parameter
  readonly bias: Parameter | undefined

  /** @param kernel height and width of the kernel */
  constructor(
    inChannels: number,
    outChannels: number,
    kernel: number,
    readonly options: Conv2dOptions & { bias?: boolean } = {},
  ) {
    super()
    this.weight = parameter(
      [outChannels, inChannels / (options.groups ?? 1), kernel, kernel],
      initFanIn(),
    )
    this.bias = (options.bias ?? true) ? parameter([outChannels], initZeros) : undefined
  }

  /** [n, in, h, w] to [n, out, h', w']. */
  forward(x: Tensor): Tensor {
    if (x.dtype !== this.weight.dtype)
      throw new DTypeError('Conv2d', `weight is ${this.weight.dtype}, x ${x.describe()}.`)
    return conv2d(x, this.weight.ready(x.device), this.bias, this.options)
  }
}

export class GELU extends Module {
  constructor(readonly approximate: 'none' | 'tanh' = 'none') {
    super()
  }
  forward(x: Tensor): Tensor {
    return x.gelu({ approximate: this.approximate })
  }
}

export class SiLU extends Module {
  forward(x: Tensor): Tensor {
    return x.silu()
  }
}

/** Two products with GELU between them (the encoder's). */
export class MLP extends Module {
  readonly fc1: Linear
  readonly fc2: Linear

  constructor(width: number, hidden: number, options: { outInit?: Initializer } = {}) {
    super()
    this.fc1 = new Linear(width, hidden)
    this.fc2 = new Linear(hidden, width, options.outInit ? { init: options.outInit } : {})
  }

  /** @param residual added to the result */
  forward(x: Tensor, residual?: Tensor): Tensor {
    return this.fc2.forward(this.fc1.forward(x, { activation: 'gelu' }), { residual })
  }
}

/** down(silu(gate(x)) * up(x)), without biases (arXiv 2002.05202; the decoder's). */
export class SwiGLU extends Module {
  readonly gateProj: Linear
  readonly upProj: Linear
  readonly downProj: Linear

  constructor(width: number, hidden: number, options: { outInit?: Initializer } = {}) {
    super()
    this.gateProj = new Linear(width, hidden, { bias: false })
    this.upProj = new Linear(width, hidden, { bias: false })
    this.downProj = new Linear(hidden, width, {
      bias: false,
      ...(options.outInit ? { init: options.outInit } : {}),
    })
  }

  /** @param residual added to the result */
  forward(x: Tensor, residual?: Tensor): Tensor {
    return this.downProj.forward(swigluOf(x, this.gateProj, this.upProj), { residual })
  }
}
