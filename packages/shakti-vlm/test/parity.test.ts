import { assert, test } from './assert.js'
import { bounds, decoderFor, decoders } from './parity/cases.js'
import { compare } from './parity/compare.js'
import { findLlamaCpp } from './parity/llamaCpp.js'
import type { GgufType } from '../src/index.js'

const binding = await findLlamaCpp()

for (const [name, config] of Object.entries(decoders)) {
  // Two architectures in every type; the others show in f32 what they compute.
  const all = name.includes('16 heads') || name.startsWith('qwen3')
  for (const type of (all ? Object.keys(bounds) : ['f32']) as GgufType[]) {
    const title = `llama.cpp gives the same logits and 64 greedy tokens: ${name}, ${type}`
    if (!binding) {
      test.skip(`${title} (node-llama-cpp is not installed; npm run parity says how)`, () =>
        undefined)
      continue
    }
    test(title, async () => {
      const m = decoderFor(config, type)
      const { off, ours, theirs, architecture } = await compare(binding, m, type)
      assert.is(architecture, name.split(',')[0])
      assert.equal(theirs, ours)
      assert.ok(new Set(ours).size > 8, 'the greedy text does not go round in circles')
      assert.ok(off < bounds[type], `${off}`)
    })
  }
}

test.run()
