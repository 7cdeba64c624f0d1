// The language decoder (PAPER.md 5 and 6.6): pre-norm RMSNorm, variable grouped-query attention, RoPE, SwiGLU, no biases.
import {
  checkpoint,
  crossEntropy,
  isGradEnabled,
  linearCrossEntropy,
  ShapeError,
  type LinearCrossEntropyOptions,
  type Tensor,
} from '@shakti/tensor'
import {
  Embedding,
  Linear,
  Module,
  ModuleList,
  RMSNorm,
  RotaryEmbedding,
  SwiGLU,
  TransformerBlock,
  type KVCache,
  type RopeScaling,
} from '@shakti/nn'
import { ropeScalingSchema, type DecoderConfig } from './config.js'

export interface DecoderInputs {
  /** i32 [rows, length]; default: 0, 1, 2, ... behind what the cache holds. */
  positions?: Tensor
  /** Borders of packed sequences, i32; one row. Goes with `positions`. */
  cuSeqlens?: Tensor
  /** bool, broadcast to [rows, heads, length, keys]: padding and the like. Causality is added. */
  mask?: Tensor
  cache?: KVCache
}

class DecoderModel extends Module {
  readonly embedTokens: Embedding
  readonly layers: ModuleList<TransformerBlock>
  readonly norm: RMSNorm

  constructor(config: DecoderConfig, kvHeads: readonly number[]) {
    super()
    const { width, heads, ffn, normEps, slidingWindow, globalEvery } = config
    this.embedTokens = new Embedding(config.vocab, width)
    this.layers = new ModuleList(
      kvHeads.map(
        (kv, i) =>
          new TransformerBlock({
            norm: 'pre-rms',
            eps: normEps,
            attention: {
              width,
              heads,
              kvHeads: kv,
              bias: false,
              causal: true,
              ...(slidingWindow === null || (globalEvery !== null && (i + 1) % globalEvery === 0)
                ? {}
                : { window: slidingWindow }),
            },
            mlp: () => new SwiGLU(width, ffn),
          }),
      ),
    )
    this.norm = new RMSNorm(width, normEps)
  }
}

export class Decoder extends Module {
  static override names = { lmHead: 'lm_head' }
  readonly model: DecoderModel
  /** Undefined when the embedding serves as the output matrix. */
  readonly lmHead: Linear | undefined
  rope: RotaryEmbedding
  activationCheckpointing = false

  constructor(
    readonly config: DecoderConfig,
    kvHeads: readonly number[],
  ) {
    super()
    this.model = new DecoderModel(config, kvHeads)
    this.lmHead = config.tied ? undefined : new Linear(config.width, config.vocab, { bias: false })
    this.rope = new RotaryEmbedding(
      config.width / config.heads,
      config.ropeTheta,
      config.ropeScaling ?? undefined,
    )
  }

  /** Changes the rotary base or its scaling: context extension. The config follows, and is saved with the model. */
  setRope(theta: number, scaling?: RopeScaling): void {
    const rope = new RotaryEmbedding(this.rope.headDim, theta, scaling)
    this.config.ropeTheta = theta
    this.config.ropeScaling = scaling ? ropeScalingSchema.parse(scaling) : null
    this.rope = rope
  }

  /** ids i32 [rows, length] to [rows, length, width]. */
  embed(ids: Tensor): Tensor {
    return this.model.embedTokens.forward(ids)
  }

  /** Embeddings [rows, length, width] to hidden states of the same shape, after the last norm. */
  forward(x: Tensor, inputs: DecoderInputs = {}): Tensor {
    const { positions, cuSeqlens, mask, cache } = inputs
    const past = cache?.length ?? 0
    const length = x.shape[1]!
    if (past + length > this.config.context && !cuSeqlens) {
      throw new ShapeError(
        'Decoder',
        `${past + length} positions exceed the context of ${this.config.context}. Shorten the prompt, or extend the context.`,
      )
    }
    const rotary = positions
      ? this.rope.gather(positions, this.config.context)
      : this.rope.range(past, length, x.device)
    let y = x
    let i = 0
    for (const block of this.model.layers) {
      const given = {
        rotary,
        layer: i++,
        ...(mask ? { mask } : {}),
        ...(cuSeqlens ? { cuSeqlens } : {}),
        ...(cache ? { cache } : {}),
      }
      const next: Tensor =
        this.activationCheckpointing && y.requiresGrad
          ? checkpoint((t) => block.forward(t!, given), y)
          : block.forward(y, given)
      // Without gradients no one reads this again.
      if (y !== x && !isGradEnabled()) y.dispose()
      y = next
    }
    cache?.advance(length)
    return this.model.norm.forward(y)
  }

  /** Hidden states [..., width] to logits [..., vocab]. */
  logits(hidden: Tensor): Tensor {
    return this.lmHead
      ? this.lmHead.forward(hidden)
      : hidden.linear(this.model.embedTokens.weight.ready(hidden.device))
  }

  /**
   * Cross-entropy of labels under the logits of hidden states, which never exist all at once (`linearCrossEntropy`).
   * @param hidden [n, width]
   * @param labels i32 [n]
   */
  loss(hidden: Tensor, labels: Tensor, options: LinearCrossEntropyOptions = {}): Tensor {
    if (!this.lmHead) {
      const { weight } = this.model.embedTokens
      return linearCrossEntropy(hidden, weight.ready(hidden.device), labels, options)
    }
    // An adapter in its place (LoRA) has more than one product.
    if (!(this.lmHead instanceof Linear)) return crossEntropy(this.logits(hidden), labels, options)
    const weight = this.lmHead.weight.ready(hidden.device)
    const dtype = this.lmHead.compute ?? weight.dtype
    return linearCrossEntropy(hidden.to(dtype), weight.as(dtype), labels, options)
  }
}
