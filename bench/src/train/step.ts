// One step of a small transformer block in plain ops: forward, backward, clipping, AdamW.
import {
  adamw_,
  clipScale,
  crossEntropy,
  embedding,
  globalNorm,
  randint,
  randn,
  rmsNorm,
  scaledDotProductAttention,
  setFloat32MatmulPrecision,
  swiglu,
  zerosLike,
  type MatmulPrecision,
  type Tensor,
} from '@shakti/tensor'
import type { Bench } from '../lib/metabench.js'

export interface StepSizes {
  readonly batch: number
  readonly length: number
  readonly width: number
  readonly heads: number
  readonly ffn: number
  readonly vocab: number
  readonly layers: number
}

function param(...shape: number[]): Tensor {
  return randn(shape).mul(0.05).requiresGrad_()
}

/**
 * Forward, backward, clipping and AdamW of a decoder: what is to be timed.
 * @param precision 'medium': products of bf16 factors, summed in f32; the rest, weights and moments too, stays f32
 */
export function makeStep(sizes: StepSizes, precision: MatmulPrecision = 'highest'): () => void {
  const { batch, length, width, heads, ffn, vocab, layers } = sizes
  const tokens = batch * length
  const table = param(vocab, width)
  const blocks = Array.from({ length: layers }, () => ({
    qkv: param(3 * width, width),
    out: param(width, width),
    gate: param(ffn, width),
    up: param(ffn, width),
    down: param(width, ffn),
  }))
  const params = [table, ...blocks.flatMap((b) => Object.values(b))]
  const moments = params.map((p) => [zerosLike(p), zerosLike(p)] as const)
  const ids = randint(0, vocab, [batch, length])
  const target = randint(0, vocab, [tokens])
  let step = 0

  const forward = (): Tensor => {
    let x = embedding(ids, table)
    for (const b of blocks) {
      const parts = rmsNorm(x)
        .linear(b.qkv)
        .reshape([batch, length, 3, heads, width / heads])
      const [q, k, v] = [0, 1, 2].map((i) => parts.select(2, i)) as [Tensor, Tensor, Tensor]
      const y = scaledDotProductAttention(q, k, v, { isCausal: true, layout: 'blhd' })
      x = y.reshape([batch, length, width]).linear(b.out, undefined, { residual: x })
      const h = rmsNorm(x)
      x = swiglu(h.linear(b.gate), h.linear(b.up)).linear(b.down, undefined, { residual: x })
    }
    return crossEntropy(rmsNorm(x).linear(table).reshape([tokens, vocab]), target)
  }

  return () => {
    setFloat32MatmulPrecision(precision)
    forward().backward()
    setFloat32MatmulPrecision('highest')
    const grads = params.map((p) => p.grad!)
    const scale = clipScale(globalNorm(grads), 1)
    adamw_(
      params,
      grads,
      moments.map((m) => m[0]),
      moments.map((m) => m[1]),
      { lr: 1e-3, step: ++step, scale },
    )
    for (const p of params) p.grad = undefined
  }
}

/** Floating-point operations of the products with weights. */
export const stepFlops = ({ batch, length, width, ffn, vocab, layers }: StepSizes): number =>
  6 * batch * length * (vocab * width + layers * (4 * width * width + 3 * width * ffn))

const small: StepSizes = {
  batch: 8,
  length: 64,
  width: 128,
  heads: 4,
  ffn: 256,
  vocab: 1024,
  layers: 2,
}

export const trainStep: Bench[] = [
  {
    name: `train step, ${small.layers} layers of ${small.width}, ${small.batch * small.length} tokens`,
    flops: stepFlops(small),
    setup: () => makeStep(small),
  },
]
