// npm run parity -w @shakti/vlm: exported decoders and tokenizers in llama.cpp, imported checkpoints beside transformers, exported
// files as Python's gguf reads them; a line each. A peer that is not installed is skipped, which is said; without any it fails.
// --full takes the real decoder of Shakti-VLM-1B (0.5 B parameters: 2.3 GB in f32 here, the file beside it in /tmp) in llama.cpp.
// --peer NAME: one of them; --type TYPE: one type; --name PART: what has it in its name.
import { parseArgs } from 'node:util'
import { shaktiVlm1B, type GgufType } from '../../src/index.js'
import { bounds, decoderFor, decoders } from './cases.js'
import { compare } from './compare.js'
import { findLlamaCpp, type Binding } from './llamaCpp.js'
import { differsInGguf, hasGguf } from './readGguf.js'
import { compareTokenizer, patterns, sample } from './tokenizer.js'
import { bound, compareTransformers, findTransformers } from './transformers.js'

const { values } = parseArgs({
  options: {
    full: { type: 'boolean', default: false },
    peer: { type: 'string' },
    type: { type: 'string' },
    name: { type: 'string', default: '' },
  },
})
const python = process.env['SHAKTI_PYTHON']
const types = (Object.keys(bounds) as GgufType[]).filter(
  (type) => values.type === undefined || type === values.type,
)
let failed = 0
let ran = 0
const say = (good: boolean, line: string): void => {
  ran++
  if (!good) failed++
  console.log(`${good ? 'ok  ' : 'FAIL'} ${line}`)
}
const wanted = (name: string): boolean => name.includes(values.name)

async function llamaCpp(binding: Binding): Promise<void> {
  const cases = values.full
    ? [
        ['llama, the decoder of Shakti-VLM-1B', { ...shaktiVlm1B.decoder, tied: false }] as const,
        [
          'qwen3, the same with head norms',
          { ...shaktiVlm1B.decoder, tied: false, qkNorm: 'head' },
        ] as const,
      ]
    : Object.entries(decoders)
  for (const [name, config] of cases)
    for (const type of wanted(name) ? types : []) {
      const m = decoderFor(config, type)
      const { off, most, ours, theirs } = await compare(binding, m, type)
      for (const p of m.parameters()) p.dispose()
      const same = ours.filter((id, i) => id === theirs[i]).length
      // A tied decoder's tokens have no likely successors: where numbers are rounded, nearly equal logits change places.
      const chosen = same === 64 || (config.tied === true && type !== 'f32')
      say(
        chosen && off < bounds[type],
        `${name}, ${type}: greedy ${same} of 64, logits off by ${off.toExponential(1)} (rms), ${most.toExponential(1)} at most`,
      )
    }
  for (const name of Object.keys(patterns) as (keyof typeof patterns)[]) {
    if (values.full || values.type !== undefined || !wanted(`tokenizer ${name}`)) continue
    const { pre, ours, theirs, back } = await compareTokenizer(binding, name)
    const same = ours.filter((id, i) => id === theirs[i]).length
    say(
      pre === name && same === ours.length && same === theirs.length && back === sample,
      `tokenizer ${name}: ${same} of ${ours.length} ids, ${theirs.length} by llama.cpp${back === sample ? '' : ', the text comes back changed'}`,
    )
  }
}

async function gguf(python: string): Promise<void> {
  for (const [name, config] of Object.entries(decoders))
    for (const type of name.startsWith('qwen') && wanted(name) ? types : []) {
      const wrong = await differsInGguf(python, decoderFor(config, type), type)
      say(
        wrong.length === 0,
        `${name}, ${type}, read by Python's gguf: ${wrong.length === 0 ? 'all fields and values' : `not ${wrong.join(', ')}`}`,
      )
    }
}

async function transformers(python: string): Promise<void> {
  for await (const { name, off, same } of compareTransformers(python))
    if (wanted(name))
      say(
        off < bound && (same ?? 64) === 64,
        `${name}: off by ${off.toExponential(1)} (rms)${same === undefined ? '' : `, greedy ${same} of 64`}`,
      )
}

const peers: Record<string, () => Promise<boolean>> = {
  'llama.cpp': async () => {
    const binding = await findLlamaCpp()
    if (binding) await llamaCpp(binding)
    return binding !== undefined
  },
  gguf: async () => {
    if (python === undefined || values.full || !(await hasGguf(python))) return values.full
    await gguf(python)
    return true
  },
  transformers: async () => {
    if (values.full) return true
    const found = python === undefined ? undefined : await findTransformers(python)
    if (found === undefined) return false
    console.log(found)
    await transformers(python!)
    return true
  },
}
const how: Record<string, string> = {
  'llama.cpp':
    'npm install --ignore-scripts --prefix FOLDER node-llama-cpp (no dependency: 700 MB of binaries of every platform), then SHAKTI_LLAMA_CPP=FOLDER',
  gguf: 'SHAKTI_PYTHON=PYTHON, one with gguf and safetensors',
  transformers: 'SHAKTI_PYTHON=PYTHON, one with transformers and torch',
}
for (const [name, run] of Object.entries(peers)) {
  if (values.peer !== undefined && values.peer !== name) continue
  if (!(await run())) console.log(`skipped: ${name} is not here. ${how[name]}`)
}
if (ran === 0) console.error('Nothing was compared.')
process.exit(failed > 0 || ran === 0 ? 1 : 0)
