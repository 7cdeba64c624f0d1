// What a forward pass holds: without gradients no more than one block makes.
import {
  manualSeed,
  memory,
  noGrad,
  randn,
  resetPeakMemoryStats,
  synchronize,
  tidy,
  type Tensor,
} from '@shakti/tensor'
import {
  KVCache,
  MLP,
  RotaryEmbedding,
  SwiGLU,
  throughBlocks,
  TransformerBlock,
  type NormScheme,
} from '../src/index.js'
import { assert, assertClose, counts, test } from './assert.js'

const blocks = (n: number, norm: NormScheme): TransformerBlock[] =>
  Array.from(
    { length: n },
    () =>
      new TransformerBlock({
        norm,
        attention: { width: 64, heads: 4, kvHeads: 2, causal: true, qkNorm: 'head' },
        mlp: () => (norm === 'pre-rms' ? new SwiGLU(64, 128) : new MLP(64, 128)),
      }),
  )

for (const norm of ['pre-layer', 'pre-rms', 'branch', 'classic'] as const) {
  test(`nine ${norm} blocks hold what three hold, and give what they give with a tape`, async () => {
    manualSeed(1)
    const all = blocks(9, norm)
    const x = randn([1, 512, 64])
    const rotary = new RotaryEmbedding(16, 1e4).range(0, 512)
    const run = (n: number): Tensor => throughBlocks(x, all.slice(0, n), () => ({ rotary }))
    const peak = async (n: number): Promise<number> => {
      await synchronize()
      const before = counts().liveBytes
      resetPeakMemoryStats()
      tidy(() => noGrad(() => run(n))).dispose()
      await synchronize()
      return memory().peakBytes - before
    }
    await peak(3)
    // Freed tensors go back in lots of up to 1 MiB.
    assert.ok((await peak(9)) <= (await peak(3)) + (1 << 20))
    const without = tidy(() => noGrad(() => run(9)))
    assertClose(without.dataSync(), tidy(() => run(9).detach()).dataSync(), 1e-6)
    assert.not.ok(x.disposed)
  })
}

test('outside of any scope nothing stays behind but the result, and a cache keeps what it took', () => {
  manualSeed(2)
  const all = blocks(2, 'pre-rms')
  const x = randn([1, 8, 64])
  const cache = new KVCache(16)
  const before = counts().tensors
  const y = noGrad(() => throughBlocks(x, all, (layer) => ({ cache, layer })))
  // Keys and values of two layers, and y.
  assert.is(memory().tensors, before + 5)
  cache.advance(8)
  const more = noGrad(() => throughBlocks(randn([1, 1, 64]), all, (layer) => ({ cache, layer })))
  assert.ok(more.dataSync().every(Number.isFinite))
  assert.ok(y.dataSync().every(Number.isFinite))
})

test.run()
