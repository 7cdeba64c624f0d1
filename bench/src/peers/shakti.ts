// The 1B at full size in bf16, matrices laid out for products once: its decoder as `shakti bench --packed` times it, by
// `generate`, and its vision encoder. Random weights: speed does not depend on them.
import { noGrad, packWeight, randint, randn, type Tensor } from '@shakti/tensor'
import { pack_, PackedLinear } from '@shakti/nn'
import {
  countDecoder,
  derive,
  generateText,
  nano,
  ShaktiVlm,
  shaktiVlm1B,
  VisionEncoder,
  type Timing,
} from '@shakti/vlm'

const { decoder, vision } = shaktiVlm1B
const { kvHeads, decoderHeadDim: headDim } = derive(shaktiVlm1B)

const parameters = countDecoder(decoder)
/** Looked up in as the embedding, a matrix of the product behind the last layer. */
const table = decoder.vocab * decoder.width

/** Of a prompt of which the last position alone becomes logits; half of attention is masked. */
export const prefillFlops = (prompt: number): number =>
  2 * ((parameters - table) * prompt + table) +
  2 * decoder.layers * decoder.heads * headDim * prompt * prompt

/** That `written` tokens read in bf16: weights, and keys and values of `prompt` and of half of what is written. */
export function decodeBytes(prompt: number, written: number): number {
  const numbersAPosition = 2 * headDim * kvHeads.reduce((sum, kv) => sum + kv, 0)
  return 2 * written * (parameters + numbersAPosition * (prompt + written / 2))
}

/**
 * A run reads a prompt and writes `written` tokens behind the first one, greedily.
 * @param pick the milliseconds that count
 */
export function makeDecoder(
  prompt: number,
  written: number,
  pick: (timing: Timing) => number,
): () => Promise<number> {
  // `generate` never looks through the encoder here: a small one stands for it.
  const model = new ShaktiVlm({ ...shaktiVlm1B, vision: nano.vision }).to({ dtype: 'bf16' })
  pack_(model)
  const { weight } = model.decoder.model.embedTokens
  model.decoder.lmHead = new PackedLinear(noGrad(() => packWeight(weight)))
  const ids = [...randint(0, decoder.vocab, [prompt]).dataSync()]
  return async () => pick((await generateText(model, { ids }, { maxTokens: written + 1 })).timing)
}

/** The encoder's forward of a square image. */
export function makeVisionEncoder(side: number, patch: number): () => Tensor {
  const encoder = pack_(new VisionEncoder(vision).to({ dtype: 'bf16' }).eval())
  const pixels = randn([1, side, side, 3])
  return () => noGrad(() => encoder.forward(pixels, patch))
}

/** Its products, with weights and in attention. */
export function visionEncoderFlops(side: number, patch: number): number {
  const { layers, width, mlp } = vision
  const patches = (side / patch) ** 2
  const layer = 4 * width * width + 2 * width * mlp + 2 * patches * width
  return 2 * patches * (3 * patch * patch * width + layers * layer)
}
