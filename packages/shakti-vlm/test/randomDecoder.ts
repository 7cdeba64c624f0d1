// Decoders with random weights of which every part shows in the logits: norms that are not 1, biases that are not 0.
import { manualSeed, noGrad, randn, tensor, type DType } from '@shakti/tensor'
import { Linear } from '@shakti/nn'
import { parseDecoderConfig, type DecoderConfigInput } from '../src/config.js'
import { Decoder } from '../src/decoder.js'

export interface RandomOptions {
  /** Default 1. */
  seed?: number
  /** Default 'f32'. */
  dtype?: DType
  /**
   * Gives each token a likely successor, (t + 171) mod vocab, by embeddings so many times the size of what a layer adds: greedy
   * text then walks through the vocabulary instead of repeating itself, at 2 with steps that hang on no rounding. Default 0: none.
   * For untied decoders.
   */
  successors?: number
}

/** Where a test does not care. */
export const small: DecoderConfigInput = {
  layers: 2,
  width: 64,
  heads: 4,
  kvHeads: 2,
  ffn: 96,
  vocab: 100,
  tied: false,
  context: 256,
}

export function randomDecoder(
  config: Partial<DecoderConfigInput>,
  options: RandomOptions = {},
): Decoder {
  const { seed = 1, dtype = 'f32', successors = 0 } = options
  manualSeed(seed)
  const decoder = new Decoder(
    parseDecoderConfig({
      ...small,
      ...config,
    }),
  )
  noGrad(() => {
    for (const [name, p] of Object.entries(decoder.stateDict()))
      if (name.includes('norm') || name.endsWith('bias')) p.add_(randn(p.shape).mul(0.3))
    const { lmHead } = decoder
    if (successors === 0 || !(lmHead instanceof Linear)) return
    const { vocab, width } = decoder.config
    const embedding = decoder.model.embedTokens.weight
    embedding.mul_(successors * Math.sqrt(width))
    const before = new Int32Array(vocab)
    for (let t = 0; t < vocab; t++) before[(t + 171) % vocab] = t
    lmHead.weight.add_(
      embedding.indexSelect(0, tensor(before)).mul(1 / (successors * Math.sqrt(width))),
    )
  })
  return decoder.to({ dtype }).eval() as Decoder
}
