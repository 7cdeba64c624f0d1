// Decoders with random weights of which every part shows in the logits: norms that are not 1, biases that are not 0.
import { manualSeed, noGrad, randn, type DType } from '@shakti/tensor'
import { parseDecoderConfig, type DecoderConfigInput } from '../src/config.js'
import { Decoder } from '../src/decoder.js'

export function randomDecoder(
  config: Partial<DecoderConfigInput>,
  options: { seed?: number; dtype?: DType } = {},
): Decoder {
  const { seed = 1, dtype = 'f32' } = options
  manualSeed(seed)
  const decoder = new Decoder(
    parseDecoderConfig({
      layers: 2,
      width: 64,
      heads: 4,
      kvHeads: 2,
      ffn: 96,
      vocab: 100,
      tied: false,
      context: 256,
      ...config,
    }),
  )
  noGrad(() => {
    for (const [name, p] of Object.entries(decoder.stateDict()))
      if (name.includes('norm') || name.endsWith('bias')) p.add_(randn(p.shape).mul(0.3))
  })
  return decoder.to({ dtype }).eval() as Decoder
}
