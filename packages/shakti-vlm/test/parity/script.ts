// npm run parity -w @shakti/vlm: decoders here and in llama.cpp, as a table. Unlike the test it fails without node-llama-cpp, and
// with --full it takes the real decoder of Shakti-VLM-1B (0.5 B parameters: 2.3 GB in f32 here, the file beside it in /tmp).
// --type TYPE: one type; --name PART: decoders whose name holds it.
import { parseArgs } from 'node:util'
import { shaktiVlm1B, type GgufType } from '../../src/index.js'
import { bounds, decoderFor, decoders } from './cases.js'
import { compare } from './compare.js'
import { findLlamaCpp } from './llamaCpp.js'

const { values } = parseArgs({
  options: {
    full: { type: 'boolean', default: false },
    type: { type: 'string' },
    name: { type: 'string', default: '' },
  },
})
const binding = await findLlamaCpp()
if (!binding) {
  console.error(
    'node-llama-cpp is not installed. It is no dependency of this package, for it brings binaries of every platform (700 MB):\n' +
      '  npm install --ignore-scripts --prefix FOLDER node-llama-cpp\n' +
      '  SHAKTI_LLAMA_CPP=FOLDER npm run parity -w @shakti/vlm',
  )
  process.exit(1)
}
const cases = values.full
  ? [
      ['llama, the decoder of Shakti-VLM-1B', { ...shaktiVlm1B.decoder, tied: false }] as const,
      [
        'qwen3, the same with head norms',
        { ...shaktiVlm1B.decoder, tied: false, qkNorm: 'head' },
      ] as const,
    ]
  : Object.entries(decoders)
let failed = 0
let ran = 0
for (const [name, config] of cases) {
  if (!name.includes(values.name)) continue
  for (const type of Object.keys(bounds) as GgufType[]) {
    if (values.type !== undefined && type !== values.type) continue
    ran++
    const m = decoderFor(config, type)
    const { off, most, ours, theirs } = await compare(binding, m, type)
    for (const p of m.parameters()) p.dispose()
    const same = ours.filter((id, i) => id === theirs[i]).length
    const good = same === 64 && off < bounds[type]
    if (!good) failed++
    console.log(
      `${good ? 'ok  ' : 'FAIL'} ${name}, ${type}: greedy ${same} of 64, logits off by ${off.toExponential(1)} (rms), ${most.toExponential(1)} at most`,
    )
  }
}
if (ran === 0) console.error(`There is no type ${values.type} for a decoder named ${values.name}.`)
process.exit(failed > 0 || ran === 0 ? 1 : 0)
