// Budgets beside what the allocator saw in real runs.
import {
  manualSeed,
  memory,
  noGrad,
  resetPeakMemoryStats,
  ShaktiError,
  synchronize,
  tidy,
  type Tensor,
} from '@shakti/tensor'
import { KVCache } from '@shakti/nn'
import {
  countParameters,
  inspectConfig,
  memoryBudget,
  nano,
  quantizeModel_,
  shaktiVlm1B,
  shaktiVlm4B,
  ShaktiVlm,
} from '../src/index.js'
import { assert, assertThrows, counts, test } from './assert.js'

/** Most that was live at once in `f`, beyond what was before. */
async function peakOf(f: () => Tensor): Promise<number> {
  await synchronize()
  const before = counts().liveBytes
  resetPeakMemoryStats()
  const out = tidy(() => noGrad(f))
  await synchronize()
  const { peakBytes } = memory()
  out.dispose()
  return peakBytes - before
}

/** Within a tenth; what is freed goes back in lots of up to 1 MiB, which is let pass besides. */
function near(budget: number, seen: number, what: string): void {
  assert.ok(
    budget >= seen / 1.1 - (1 << 20) && budget <= seen * 1.1,
    `${what}: budget ${budget}, seen ${seen}`,
  )
}

// The real attention at a third or quarter of the width, few layers.
const cut = {
  '1B': {
    ...shaktiVlm1B,
    vision: { ...shaktiVlm1B.vision, layers: 4, preNormLayers: 2, width: 384, heads: 4, mlp: 384 },
    decoder: { ...shaktiVlm1B.decoder, layers: 3, width: 1024, heads: 8, kvHeads: 2, vocab: 8192 },
  },
  '4B': {
    ...shaktiVlm4B,
    vision: { ...shaktiVlm4B.vision, layers: 4, preNormLayers: 2, width: 480, heads: 6, mlp: 960 },
    decoder: {
      ...shaktiVlm4B.decoder,
      layers: 3,
      width: 1024,
      heads: 8,
      kvHeads: 2,
      ffn: 1024,
      vocab: 16_384,
    },
  },
}

for (const [name, config] of Object.entries(cut)) {
  for (const dtype of name === '1B' ? (['f32', 'int4'] as const) : (['bf16', 'int8'] as const)) {
    test(`the ${name}'s shapes in ${dtype}: decode, prefill and encoder within a tenth of the budget`, async () => {
      manualSeed(1)
      const model = new ShaktiVlm(config).to({ dtype: dtype === 'f32' ? 'f32' : 'bf16' })
      if (dtype === 'int8') quantizeModel_(model, { bits: 8 })
      if (dtype === 'int4') quantizeModel_(model, { bits: 4 })
      model.eval()
      const [positions, chunk, patch] = [1024, 512, 20]
      const image = { height: 24 * patch, width: 32 * patch, patch }
      const budget = memoryBudget(config, { dtype, positions, chunk, image })

      let cache = new KVCache(positions)
      const read = (length: number): Tensor => {
        const ids = new Int32Array(length).fill(7)
        const hidden = model.forward({ ids, rows: 1, length, cache })
        return model.logits(hidden.narrow(1, length - 1, 1).reshape([1, -1])).float()
      }
      const skip = (length: number): void => tidy(() => noGrad(() => read(length))).dispose()
      // Tables of the models before this one.
      globalThis.gc!()
      await new Promise((resolve) => setImmediate(resolve))
      const before = counts().liveBytes
      skip(chunk)
      near(budget.activations.prefill, await peakOf(() => read(chunk)), 'prefill')
      await synchronize()
      // The image's table is not among those made so far.
      const { tables } = memoryBudget(config, { positions, chunk })
      near(budget.kvCache + tables, memory().liveBytes - before, 'cache and tables')
      cache.dispose()
      cache = new KVCache(positions)
      skip(chunk)
      skip(chunk - 1)
      near(budget.activations.decode, await peakOf(() => read(1)), 'decode')
      cache.dispose()

      const pixels = new Float32Array(image.height * image.width * 3)
      const encode = (): Tensor => model.encodeImages([{ ...image, pixels }])
      tidy(() => noGrad(encode)).dispose()
      near(budget.activations.vision, await peakOf(encode), 'vision')
      for (const p of model.parameters()) p.dispose()
    })
  }
}

test('weights are the bytes that inspectConfig counts; a packed tied head is there twice', () => {
  const { bytesAt } = inspectConfig(shaktiVlm1B)
  for (const dtype of ['f32', 'bf16', 'int8', 'int4'] as const)
    assert.is(memoryBudget(shaktiVlm1B, { dtype }).weights, bytesAt[dtype])
  const packed = memoryBudget(shaktiVlm1B, { dtype: 'bf16', packed: true })
  assert.is(packed.weights, bytesAt.bf16 + 2 * 2048 * 32_768)
  const untied = memoryBudget(shaktiVlm4B, { dtype: 'bf16', packed: true })
  assert.is(untied.weights, 2 * countParameters(shaktiVlm4B).total)
})

test('the cache follows positions, batch, dtype and the heads of each layer', () => {
  const cacheOf = (options: object): number =>
    memoryBudget(shaktiVlm1B, { chunk: 256, positions: 16_384, ...options }).kvCache
  // 24 layers, keys and values, 4 heads of 128.
  assert.is(cacheOf({}), 24 * 2 * 16_384 * 4 * 128 * 2)
  assert.is(cacheOf({ dtype: 'f32' }), 2 * cacheOf({}))
  assert.is(cacheOf({ dtype: 'int4', batch: 4 }), 4 * cacheOf({}))
  assert.is(cacheOf({ kvDtype: 'f32' }), 2 * cacheOf({}))
  assert.ok(cacheOf({ kvDtype: 'i8' }) < 0.65 * cacheOf({}))
  const list = memoryBudget(nano, { dtype: 'f32', positions: 128 })
  assert.is(list.kvCache, 2 * 128 * (3 + 1) * 16 * 4)
  const { weights, kvCache, tables, activations, total } = memoryBudget(shaktiVlm4B, {
    image: { height: 448, width: 448, patch: 14 },
  })
  const { decode, prefill, vision } = activations
  assert.is(total, weights + kvCache + tables + Math.max(decode, prefill, vision))
})

test('numbers that do not fit are refused by field', () => {
  const refuse = (options: object, ...parts: string[]): void => {
    assertThrows(() => memoryBudget(nano, options), ShaktiError, ...parts)
  }
  refuse({ positions: 129 }, 'positions', '129', '128')
  refuse({ positions: 0 }, 'positions')
  refuse({ batch: 1.5 }, 'batch')
  refuse({ positions: 8, chunk: 9 }, 'chunk', '8')
  refuse({ image: { height: 16, width: 16, patch: 5 } }, 'image.patch', '4, 8')
  refuse({ image: { height: 12, width: 16, patch: 4 } }, 'image.height', 'multiple of 8')
  refuse({ dtype: 'int3' }, 'dtype')
  refuse({ kvDtype: 'int3' }, 'kvDtype')
})

test.run()
