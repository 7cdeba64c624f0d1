// A tiny language model out of tensor ops alone, with dropout so that the random state matters.
import {
  dropout,
  embedding,
  manualSeed,
  normal,
  tidy,
  zeros,
  keep,
  type Tensor,
} from '@shakti/tensor'
import { causal, type TokenBatch } from '../src/index.js'
import { tensor } from '@shakti/tensor'

export const vocabulary = 13
const width = 8

export class TinyModel {
  training = true
  readonly p: number
  readonly weights: Record<string, Tensor>

  constructor(seed = 1, p = 0) {
    manualSeed(seed)
    this.p = p
    const make = (shape: number[], std: number): Tensor =>
      keep(normal(shape, 0, std, { requiresGrad: true }))
    this.weights = {
      'embed.weight': make([vocabulary, width], 0.5),
      'vision.fc.weight': make([width, width], 0.4),
      'vision.fc.bias': keep(zeros([width], { requiresGrad: true })),
      'decoder.head.weight': make([vocabulary, width], 0.4),
    }
  }

  *namedParameters(): Generator<[string, Tensor]> {
    for (const entry of Object.entries(this.weights)) yield entry
  }

  train(on = true): void {
    this.training = on
  }

  eval(): void {
    this.training = false
  }

  hidden(batch: TokenBatch): Tensor {
    let x = embedding(tensor(batch.ids), this.weights['embed.weight']!)
    x = x.linear(this.weights['vision.fc.weight']!, this.weights['vision.fc.bias']).tanh()
    return this.training && this.p > 0 ? dropout(x, this.p) : x
  }

  head(hidden: Tensor): Tensor {
    return hidden.linear(this.weights['decoder.head.weight']!)
  }

  values(): Record<string, number[]> {
    return Object.fromEntries(
      Object.entries(this.weights).map(([k, t]) => [
        k,
        Array.from(tidy(() => t.detach()).dataSync()),
      ]),
    )
  }
}

export const options = {
  hidden: (m: TinyModel, b: TokenBatch): Tensor => m.hidden(b),
  head: (m: TinyModel, h: Tensor): Tensor => m.head(h),
}

export const loss = causal<TinyModel, TokenBatch>(options)

export { assertClose } from '../../tensor/test/assert.js'

/** A parameter of its own, for what needs no model. */
export const leaf = (values: number[], shape: number[]): Tensor =>
  tensor(Float32Array.from(values), { shape, requiresGrad: true })
export const values = (t: Tensor): number[] => Array.from(tidy(() => t.detach()).dataSync())
