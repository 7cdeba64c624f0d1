// Steps that are recorded once and replayed give what issued ones give.
import { manualSeed, memory, noGrad, tensor, tidy } from '@shakti/tensor'
import { KVCache, type KVDType } from '@shakti/nn'
import { generate, nano, ShaktiVlm, type ShaktiVlmConfigInput } from '@shakti/vlm'
import { Reader } from '../src/generate/reader.js'
import { RecordedStep } from '../src/generate/recordedStep.js'
import { assert, assertClose, counts, test } from './assert.js'

const decoder = { ...nano.decoder, context: 512 }

function make(change: Partial<ShaktiVlmConfigInput['decoder']> = {}): ShaktiVlm {
  manualSeed(3)
  return new ShaktiVlm({ ...nano, decoder: { ...decoder, ...change } }).eval() as ShaktiVlm
}

/** Logits of each token after the first ones, issued step by step. */
function issued(
  model: ShaktiVlm,
  ids: readonly number[],
  prefix: number,
  dtype: KVDType = 'f32',
): Float32Array[] {
  const cache = new KVCache({ capacity: 4, dtype })
  const read = (part: readonly number[]): Float32Array =>
    tidy(() =>
      noGrad(() => {
        const x = model.decoder.embed(tensor(Int32Array.from(part), { shape: [1, part.length] }))
        const hidden = model.decoder.forward(x, { cache })
        return model.logits(hidden.narrow(1, part.length - 1, 1)).dataSync() as Float32Array
      }),
    )
  read(ids.slice(0, prefix))
  const out = ids.slice(prefix).map((id) => read([id]))
  cache.dispose()
  return out
}

const ids = Array.from({ length: 90 }, (_, i) => (i * 37 + 11) % 300)

test('replayed steps give the logits of issued ones while the cache grows past its room', () => {
  for (const [change, dtype] of [
    [{}, 'f32'],
    [{ kvHeads: 3 }, 'f32'],
    [{ qkNorm: 'head' }, 'f32'],
    [{}, 'i8'],
  ] as const) {
    const model = make(change)
    const want = issued(model, ids, 5, dtype)
    const reader = new Reader(model, { capacity: 8, dtype })
    const got: Float32Array[] = []
    for (const [i, id] of ids.entries()) {
      const logits = reader.step(Int32Array.of(id))
      if (i >= 5) got.push(logits.dataSync() as Float32Array)
      logits.dispose()
    }
    got.forEach((row, i) => assertClose(row, want[i]!, 1e-4))
    assert.ok(reader.cache.room > ids.length)
    reader.dispose()
  }
})

test('a cache that was cut or read by others is read on from where it is', () => {
  const model = make()
  const want = issued(model, ids, 5)
  const reader = new Reader(model, { capacity: 64 })
  const feed = (from: number, to: number): Float32Array => {
    let last: Float32Array = new Float32Array(0)
    for (let i = from; i < to; i++) {
      const logits = reader.step(Int32Array.of(ids[i]!))
      last = logits.dataSync() as Float32Array
      logits.dispose()
    }
    return last
  }
  feed(0, 30)
  reader.cache.truncate(12)
  assertClose(feed(12, 20), want[14]!, 1e-4)
  // Several at once are issued, and the next one is replayed behind them.
  reader.step(Int32Array.from(ids.slice(20, 24)), 1).dispose()
  assertClose(feed(24, 26), want[20]!, 1e-4)
  reader.dispose()
})

test('windows are not recorded, and right all the same', () => {
  const windowed = make({ slidingWindow: 7 })
  const reader = new Reader(windowed, { capacity: 8 })
  const want = issued(windowed, ids, 5)
  for (const [i, id] of ids.entries()) {
    const logits = reader.step(Int32Array.of(id))
    if (i >= 5) assertClose(logits.dataSync(), want[i - 5]!, 1e-4)
    logits.dispose()
  }
  assert.is(reader.cache.room, 0)
  reader.dispose()
})

test('a recorded step gives its memory back', async () => {
  const model = make()
  const run = async (): Promise<void> => {
    for await (const _ of generate(model, { ids: [1, 2, 3] }, { maxTokens: 40 })) void _
  }
  await run()
  globalThis.gc?.()
  const before = counts().liveBytes
  await run()
  globalThis.gc?.()
  assert.is(memory().liveBytes, before)
})

test('a longer text read meanwhile, by which rotary tables grow, changes nothing', async () => {
  const model = make()
  const run = async (length: number, after = (_: number): Promise<void> => Promise.resolve()) => {
    const out: number[] = []
    const prompt = { ids: ids.slice(0, length) }
    for await (const { id } of generate(model, prompt, { maxTokens: 40 })) {
      out.push(id)
      await after(out.length)
    }
    return out
  }
  const want = await run(3)
  const longer = Array.from({ length: 400 }, (_, i) => i % 300)
  const got = await run(3, async (n) => {
    if (n !== 20) return
    for await (const _ of generate(model, { ids: longer }, { maxTokens: 5 })) void _
  })
  assert.equal(got, want)
})

test('a recording is used again as long as nothing moves', () => {
  const model = make()
  const cache = new KVCache(32)
  tidy(() =>
    noGrad(() =>
      model.decoder.forward(model.decoder.embed(tensor([[1, 2]], { dtype: 'i32' })), { cache }),
    ),
  )
  const step = new RecordedStep(model, cache)
  for (let i = 2; i < 32; i++) {
    assert.ok(step.fits)
    step.read(Int32Array.of(i)).dispose()
  }
  assert.is(cache.length, 32)
  assert.not(step.fits)
  step.dispose()
  cache.dispose()
})

test.run()
