// A vision encoder's forward in plain ops: patches, pre-norm blocks with biases and GELU, a last norm.
import {
  layerNorm,
  ones,
  randn,
  scaledDotProductAttention,
  zeros,
  type DType,
  type Tensor,
} from '@shakti/tensor'

export interface EncoderSizes {
  readonly batch: number
  readonly tokens: number
  /** Numbers of one patch. */
  readonly patch: number
  readonly width: number
  readonly heads: number
  readonly layers: number
}

/** The forward to be timed. Weights and activations are of `dtype`; the hidden layer is four times as wide. */
export function makeEncoder(sizes: EncoderSizes, dtype: DType): () => Tensor {
  const { batch, tokens, patch, width, heads, layers } = sizes
  const param = (...shape: number[]): Tensor => randn(shape).mul(0.05).to(dtype)
  const dense = (n: number, k: number): [Tensor, Tensor] => [param(n, k), param(n)]
  const norm = (): [Tensor, Tensor] => [ones([width], { dtype }), zeros([width], { dtype })]
  const [embed, places, last] = [dense(width, patch), param(tokens, width), norm()]
  const blocks = Array.from({ length: layers }, () => ({
    norm1: norm(),
    qkv: dense(3 * width, width),
    out: dense(width, width),
    norm2: norm(),
    up: dense(4 * width, width),
    down: dense(width, 4 * width),
  }))
  const patches = randn([batch, tokens, patch]).to(dtype)

  return () => {
    let x = patches.linear(...embed).add(places)
    for (const b of blocks) {
      const parts = layerNorm(x, ...b.norm1)
        .linear(...b.qkv)
        .reshape([batch, tokens, 3, heads, width / heads])
      const [q, k, v] = [0, 1, 2].map((i) => parts.select(2, i)) as [Tensor, Tensor, Tensor]
      const y = scaledDotProductAttention(q, k, v, { layout: 'blhd' })
      x = y.reshape([batch, tokens, width]).linear(...b.out, { residual: x })
      const h = layerNorm(x, ...b.norm2).linear(...b.up, { activation: 'gelu' })
      x = h.linear(...b.down, { residual: x })
    }
    return layerNorm(x, ...last)
  }
}

/** Floating-point operations of the products, with weights and in attention. */
export const encoderFlops = ({ batch, tokens, patch, width, layers }: EncoderSizes): number =>
  2 * batch * tokens * (patch * width + layers * (12 * width * width + 2 * tokens * width))
