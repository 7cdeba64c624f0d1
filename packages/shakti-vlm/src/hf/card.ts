// README.md of a model's folder, as the Hub shows it: what the model is and how to load it. It claims nothing.
import { countParameters, type ShaktiVlmConfig } from '../config.js'
import { dtypeSize, type DType } from '@shakti/tensor'

/** By which a card is known that may be written anew. */
export const cardMark =
  '<!-- Written by @shakti/vlm, and anew with the model: remove this line to keep your own text. -->'

const count = (n: number): string => n.toLocaleString('en-US')

/** @param json config.json */
export function modelCard(
  config: ShaktiVlmConfig,
  json: Readonly<Record<string, unknown>>,
  tensors: Readonly<Record<string, { readonly dtype: DType; readonly shape: readonly number[] }>>,
  license?: string,
): string {
  const { encoder, projector, decoder, total } = countParameters(config)
  const bytes = Object.values(tensors).reduce(
    (n, t) => n + t.shape.reduce((a, b) => a * b, dtypeSize(t.dtype)),
    0,
  )
  const { vision: v, decoder: d } = config
  const q = json['quantization_config'] as
    { bits: number; group_size: number; zero_point: boolean } | undefined
  const precision = q
    ? `matrices in ${q.bits} bits with a scale${q.zero_point ? ' and a zero point' : ''} for each ${q.group_size} weights, all else in ${String(json['torch_dtype'])}`
    : String(json['torch_dtype'])
  return `---
library_name: shakti
pipeline_tag: image-text-to-text
${license === undefined ? '' : `license: ${license}\n`}---

${cardMark}

# Shakti-VLM, ${count(total)} parameters

A vision-language model of the architecture of arXiv 2502.17092: images and text in, text out.

| part      | parameters | shape |
| --------- | ---------- | ----- |
| encoder   | ${count(encoder)} | ${v.layers} layers, width ${v.width}, ${v.heads} heads; patches of ${v.patchSizes.join(', ')} pixels, at most ${count(v.maxPatches)} |
| projector | ${count(projector)} | ${config.projector.merge} x ${config.projector.merge} patches to a token |
| decoder   | ${count(decoder)} | ${d.layers} layers, width ${d.width}, ${d.heads} heads; vocabulary ${count(d.vocab)}, context ${count(d.context)} |

Weights: ${precision}; ${count(bytes)} bytes.

\`\`\`ts
import { fromPretrained } from '@shakti/vlm'

const model = await fromPretrained('path/to/this/folder')
\`\`\`

${license === undefined ? 'No licence is stated for these weights.' : `Licence of the weights: ${license}.`} Nothing is said here of what the model can do: that depends on its training and is for its author to add.
`
}
