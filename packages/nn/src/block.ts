// A Transformer block in the paper's two norm schemes, and a third for comparison (PAPER.md 6.1).
import { checkpoint, isGradEnabled, type Tensor } from '@shakti/tensor'
import { Attention, type AttentionConfig, type AttentionInputs } from './attention.js'
import { frugal } from './frugal.js'
import { LayerNorm, RMSNorm, type MLP, type SwiGLU } from './layers.js'
import { Module } from './module.js'

/**
 * Where the norms stand:
 * 'pre-layer'  x + F(LayerNorm(x))   the paper's early layers
 * 'pre-rms'    x + F(RMSNorm(x))     the decoder
 * 'branch'     x + RMSNorm(F(x))     the paper's later layers, our reading (Swin V2's res-post-norm, OLMo 2)
 * 'classic'    RMSNorm(x + F(x))     the later layers, the other reading
 */
export type NormScheme = 'pre-layer' | 'pre-rms' | 'branch' | 'classic'

export interface BlockConfig {
  attention: AttentionConfig
  norm: NormScheme
  /** Default 1e-6. */
  eps?: number
  mlp: () => MLP | SwiGLU
}

export class TransformerBlock extends Module {
  static override names = {
    attn: 'self_attn',
    norm1: 'input_layernorm',
    norm2: 'post_attention_layernorm',
  }
  readonly norm1: LayerNorm | RMSNorm
  readonly attn: Attention
  readonly norm2: LayerNorm | RMSNorm
  readonly mlp: MLP | SwiGLU
  readonly scheme: NormScheme

  constructor(config: BlockConfig) {
    super()
    const { norm, eps = 1e-6, attention } = config
    const make = (): LayerNorm | RMSNorm =>
      norm === 'pre-layer' ? new LayerNorm(attention.width, eps) : new RMSNorm(attention.width, eps)
    this.scheme = norm
    this.norm1 = make()
    this.attn = new Attention(attention)
    this.norm2 = make()
    this.mlp = config.mlp()
  }

  /** @param f adds its second argument to its result, in the pass that writes it */
  #residual(
    x: Tensor,
    norm: LayerNorm | RMSNorm,
    f: (x: Tensor, residual?: Tensor) => Tensor,
  ): Tensor {
    const { scheme } = this
    return frugal(() => {
      if (scheme === 'branch') return x.add(norm.forward(f(x)))
      if (scheme === 'classic') return norm.forward(f(x, x))
      return f(norm.forward(x), x)
    })
  }

  /**
   * [batch, length, width] to the same. Inside `noGrad` what is made on the way goes when the block ends, not with the
   * whole pass: a pass over many blocks takes the memory of one.
   */
  forward(x: Tensor, inputs: AttentionInputs = {}): Tensor {
    return frugal(() => {
      const y = this.#residual(x, this.norm1, (t, r) => this.attn.forward(t, inputs, r))
      return this.#residual(y, this.norm2, (t, r) => this.mlp.forward(t, r))
    })
  }
}

/**
 * x [batch, length, width] through blocks, one after the other. Under `noGrad` no more is held at once than one block makes.
 * @param inputs of the block with this number
 * @param activationCheckpointing with gradients: activations inside blocks are made again in backward (default false)
 */
export function throughBlocks(
  x: Tensor,
  blocks: Iterable<TransformerBlock>,
  inputs: (layer: number) => AttentionInputs,
  activationCheckpointing = false,
): Tensor {
  let y = x
  let layer = 0
  for (const block of blocks) {
    const given = inputs(layer++)
    const before = y
    y =
      activationCheckpointing && before.requiresGrad && isGradEnabled()
        ? checkpoint((t) => block.forward(t!, given), before)
        : block.forward(before, given)
    if (before !== x && !isGradEnabled()) before.dispose()
  }
  return y
}
