// Reading a prompt: in chunks, over caches of several kinds, and not twice.
import { manualSeed, memory, noGrad, tidy } from '@shakti/tensor'
import { addLora, pack_, quantize_ } from '@shakti/nn'
import {
  beamSearch,
  generate,
  generateBatch,
  generateText,
  PrefixCache,
  type Prompt,
} from '../src/index.js'
import { encodeEach } from '../src/generate/reader.js'
import { assert, assertClose, counts, test } from './assert.js'
import {
  ids,
  image,
  logSoftmax,
  plainLogits,
  slow,
  text,
  tokens,
  withImage,
  writer,
} from './writer.js'

const model = writer()
/** Two images amid text: 4 + 4 visual tokens. */
const dialogue: Prompt = {
  ids: [...text(7), 5, 5, 5, 5, ...text(9, 2), 5, 5, 5, 5, ...text(5, 3)],
  images: [image(1), image(2)],
}

/** Log-probabilities of the first token written, of all tokens by id. */
async function first(prompt: Prompt, options: object, of = model): Promise<number[]> {
  const { vocab } = of.config.decoder
  const [token] = await tokens(of, prompt, { maxTokens: 1, logprobs: vocab - 1, ...options })
  const out = new Array<number>(vocab).fill(-Infinity)
  for (const { id, logprob } of token!.top!) out[id] = logprob
  return out
}
const finite = (row: readonly number[]): number[] => row.filter((v) => v > -Infinity)

test('a prompt read in chunks of any size gives the logits of reading it at once, images cut in two or not', async () => {
  const want = finite(logSoftmax(plainLogits(model, dialogue).at(-1)!))
  for (const prefillChunk of [1, 3, 8, 9, 28, 29, 500])
    assertClose(
      finite(await first(dialogue, { prefillChunk })),
      want,
      1e-4,
      `chunk ${prefillChunk}`,
    )
  assert.equal(
    await ids(model, dialogue, { maxTokens: 10, prefillChunk: 5 }),
    slow(model, dialogue, 10),
  )
})

test('keys and values in bf16 or 8 bits give nearly the same', async () => {
  const want = await first(dialogue, {})
  for (const [kvDtype, most] of [
    ['f32', 1e-4],
    ['bf16', 0.1],
    ['i8', 0.25],
  ] as const) {
    const got = await first(dialogue, { kvDtype, prefillChunk: 4 })
    const off = Math.max(...finite(got.map((v, i) => Math.abs(v - want[i]!))))
    assert.ok(off < most, `${kvDtype}: ${off}`)
    if (kvDtype !== 'f32') assert.ok(off > 1e-4, `${kvDtype} changed nothing`)
  }
})

for (const globalEvery of [null, 2])
  test(`layers with a window${globalEvery ? ' between global ones' : ''} over a rolling cache give what reading at once gives`, async () => {
    const sliding = writer(3, {
      layers: 4,
      kvHeads: [3, 1, 3, 1],
      slidingWindow: 5,
      globalEvery,
      context: 1024,
    })
    const long: Prompt = { ids: text(200) }
    const want = finite(logSoftmax(plainLogits(sliding, long).at(-1)!))
    for (const prefillChunk of [7, 64, 200])
      assertClose(finite(await first(long, { prefillChunk }, sliding)), want, 1e-4)
    assert.equal(
      await ids(sliding, { ids: text(40) }, { maxTokens: 90 }),
      slow(sliding, { ids: text(40) }, 90),
    )
  })

/** How many times the encoder runs during `fn`. */
async function encoderRuns(fn: () => Promise<unknown>, of = model): Promise<number> {
  const { encodeImages } = of
  let n = 0
  of.encodeImages = (images) => {
    n++
    return encodeImages.call(of, images)
  }
  try {
    await fn()
  } finally {
    of.encodeImages = encodeImages
  }
  return n
}

test('reading tells how far it is, from what is known on', async () => {
  const prefixCache = new PrefixCache(model)
  const prompt: Prompt = { ids: [5, 5, 5, 5, ...text(6)], images: [image(1)] }
  const told = async (): Promise<unknown[]> => {
    const calls: unknown[] = []
    const onProgress = (...call: unknown[]): unknown => calls.push(call)
    await generateText(model, prompt, { maxTokens: 2, prefillChunk: 4, prefixCache, onProgress })
    return calls
  }
  const positions = [0, 4, 8, 10].map((n) => [n, 10, 'prompt'])
  assert.equal(await told(), [[0, 1, 'images'], [1, 1, 'images'], ...positions])
  assert.equal(await told(), [
    [9, 10, 'prompt'],
    [10, 10, 'prompt'],
  ])
})

test('a prompt that begins as another did is not read again, its images not encoded, and the text is the same', async () => {
  const prefixCache = new PrefixCache(model)
  const idsOf = (k: number): number[] => [...text(3), 5, 5, 5, 5, ...text(6, k)]
  const question = (k: number): Prompt => ({ ids: idsOf(k), images: [image(1)] })
  const cold = await generateText(model, question(1), { maxTokens: 6, prefixCache })
  assert.is(cold.usage.cached, 0)
  assert.is(cold.usage.visual, 4)
  assert.equal(cold.ids, slow(model, question(1), 6))
  const dialogue = { ...question(1), ids: [...idsOf(1), ...cold.ids, ...text(4, 9)] }
  const [wantOther, wantNext] = [slow(model, question(2), 6), slow(model, dialogue, 6)]
  const runs = await encoderRuns(async () => {
    const again = await generateText(model, question(1), { maxTokens: 6, prefixCache })
    assert.equal(again.ids, cold.ids)
    assert.is(again.usage.cached, question(1).ids.length - 1)
    assert.is(again.timing.encode, 0)
    const other = await generateText(model, question(2), { maxTokens: 6, prefixCache })
    assert.is(other.usage.cached, 7, 'text and image')
    assert.equal(other.ids, wantOther)
    const next = await generateText(model, dialogue, { maxTokens: 6, prefixCache })
    assert.is(next.usage.cached, 13 + 5, 'the answer as far as it was read')
    assert.equal(next.ids, wantNext)
  })
  assert.is(runs, 0)
  // Another image in the same place is another beginning.
  const differs = { ...question(1), images: [image(2)] }
  const seen = await generateText(model, differs, { maxTokens: 6, prefixCache })
  assert.is(seen.usage.cached, 3)
  assert.equal(seen.ids, slow(model, differs, 6))
  prefixCache.dispose()
})

test('a prefix cache works for rolling windows and 8-bit keys, each dtype for itself', async () => {
  const sliding = writer(3, { slidingWindow: 4, globalEvery: 2 })
  const prefixCache = new PrefixCache(sliding)
  const prompt = { ids: text(60) }
  for (const kvDtype of ['i8', 'f32'] as const) {
    const options = { maxTokens: 8, prefixCache, kvDtype, prefillChunk: 16 }
    const cold = await generateText(sliding, prompt, options)
    assert.is(cold.usage.cached, 0)
    const warm = await generateText(sliding, prompt, options)
    assert.is(warm.usage.cached, 59)
    assert.equal(warm.ids, cold.ids)
    const cut = { ids: [...text(30), ...text(9, 4)] }
    const branch = await generateText(sliding, cut, options)
    assert.is(branch.usage.cached, 30)
    if (kvDtype === 'f32') assert.equal(branch.ids, slow(sliding, cut, 8))
  }
  prefixCache.dispose()
})

test('a prefix cache forgets what other weights made', async () => {
  for (const [name, change] of [
    ['a weight written', (m: typeof model) => noGrad(() => m.decoder.model.norm.weight.mul_(1.5))],
    ['another rotary base', (m: typeof model) => m.decoder.setRope(1000)],
    ['weights quantised', (m: typeof model) => quantize_(m, { only: ['decoder.*'] })],
    ['weights packed', (m: typeof model) => pack_(m)],
    ['an adapter', (m: typeof model) => addLora(m.freeze(), ['*.qProj'], 2)],
  ] as const) {
    const changing = writer(4)
    const prefixCache = new PrefixCache(changing)
    const options = { maxTokens: 2, prefixCache }
    await generateText(changing, withImage(), options)
    assert.is((await generateText(changing, withImage(), options)).usage.cached, 5)
    change(changing)
    const runs = await encoderRuns(async () => {
      assert.is((await generateText(changing, withImage(), options)).usage.cached, 0, name)
    }, changing)
    assert.is(runs, 1, name)
    assert.is((await generateText(changing, withImage(), options)).usage.cached, 5, name)
    prefixCache.dispose()
  }
})

test('a prefix cache keeps to its budgets: what was used longest ago goes first', async () => {
  const one = new PrefixCache(model)
  await generateText(model, { ids: text(20, 1) }, { maxTokens: 1, prefixCache: one })
  const perPrompt = one.stats.kvBytes
  assert.is(one.stats.positions, 20)
  one.dispose()
  assert.equal(one.stats, { kvBytes: 0, imageBytes: 0, positions: 0, images: 0 })
  const small = new PrefixCache(model, { kvBytes: Math.floor(2.5 * perPrompt), imageBytes: 2000 })
  const cached = async (k: number): Promise<number> =>
    (await generateText(model, { ids: text(20, k) }, { maxTokens: 1, prefixCache: small })).usage
      .cached
  assert.equal([await cached(1), await cached(2), await cached(1), await cached(3)], [0, 0, 19, 0])
  assert.ok(small.stats.kvBytes <= small.kvBudget)
  assert.equal([await cached(1), await cached(2)], [19, 0])
  // An image's 4 tokens of 48 f32 numbers take 768 bytes.
  for (const k of [1, 2, 3])
    await generateText(model, withImage(k), { maxTokens: 1, prefixCache: small })
  assert.is(small.stats.images, 2)
  assert.is(small.stats.imageBytes, 1536)
  small.dispose()
})

test('an abort between two chunks ends the reading, and leaves no tensor', async () => {
  const controller = new AbortController()
  const long: Prompt = { ids: text(100) }
  await ids(model, long, { maxTokens: 1 })
  const before = counts().tensors
  const prefixCache = new PrefixCache(model)
  const { add } = prefixCache
  let chunks = 0
  prefixCache.add = (...args) => {
    add.apply(prefixCache, args)
    if (++chunks === 3) controller.abort()
  }
  try {
    await ids(model, long, { prefillChunk: 10, prefixCache, signal: controller.signal })
    assert.unreachable('it went on')
  } catch (error) {
    assert.is((error as Error).name, 'AbortError')
  }
  assert.is(chunks, 3)
  // What was read is not lost.
  delete (prefixCache as { add?: unknown }).add
  const { usage } = await generateText(model, long, { maxTokens: 1, prefixCache })
  assert.is(usage.cached, 30)
  prefixCache.dispose()
  assert.ok(memory().tensors <= before + 2, `${before} -> ${memory().tensors}`)
})

test('many images are encoded a few at a time, with the same tokens', async () => {
  const large = writer(11)
  // 16 patches each: 4096 of them are 256 images.
  const images = Array.from({ length: 300 }, (_, i) => image(i))
  const runs: number[] = []
  const { encodeImages } = large
  large.encodeImages = (part) => {
    runs.push(part.length)
    return encodeImages.call(large, part)
  }
  const parts = await encodeEach(large, images)
  assert.equal(runs, [256, 44])
  for (const i of [0, 255, 256, 299])
    assertClose(
      parts[i]!.dataSync(),
      noGrad(() => encodeImages.call(large, [images[i]!])).dataSync(),
      1e-4,
    )
  for (const t of parts) t.dispose()
})

test('impossible prompts are refused before any work', async () => {
  const runs = await encoderRuns(async () => {
    for (const [prompt, options, part] of [
      [{ ids: [9, 5, 5, 5, 8] }, {}, '3 image placeholders'],
      [{ ids: [9, 8], images: [image()] }, {}, '4 tokens'],
      [{ ids: text(128) }, {}, '128'],
      [{ ids: [1.5] }, {}, '1.5'],
      [{ ids: [1, 320] }, {}, 'id 320 at position 1'],
      [{ ids: [5, 5, 5, 5], images: [{ ...image(), patch: 5 }] }, {}, 'patch size 5'],
      [{ ids: [5, 5, 5, 5], images: [{ ...image(), height: 20 }] }, {}, '20 x 16'],
      [
        {
          ids: [5],
          images: [{ ...image(), height: 12, width: 12, pixels: new Float32Array(432) }],
        },
        {},
        'multiples of 8',
      ],
      [withImage(), { prefillChunk: 0 }, 'prefillChunk'],
      [withImage(), { kvDtype: 'f64' }, 'kvDtype'],
      [withImage(), { prefixCache: new PrefixCache(writer(9)) }, 'another model'],
    ] as const) {
      let message = ''
      try {
        for await (const _ of generate(model, prompt, options as object)) assert.unreachable()
      } catch (error) {
        message = (error as Error).message
      }
      assert.ok(message.includes(part), `'${message}' for '${part}'`)
    }
  })
  assert.is(runs, 0)
})

test('weights that are broken are an error in every way to write, not a text', async () => {
  const broken = writer(2)
  noGrad(() => broken.decoder.model.norm.weight.narrow(0, 3, 1).fill_(NaN))
  for (const write of [
    () => ids(broken, withImage(), {}),
    () => ids(broken, withImage(), { temperature: 1 }),
    () => ids(broken, withImage(), { logprobs: 1 }),
    () => ids(broken, withImage(), { draft: { model } }),
    () => generateBatch(broken, [withImage(), { ids: [1] }]),
    () => beamSearch(broken, withImage()),
  ]) {
    let message = ''
    try {
      await write()
    } catch (error) {
      message = (error as Error).message
    }
    assert.ok(message.includes('the weights are broken'), message)
  }
})

test('the result says what it cost', async () => {
  manualSeed(1)
  const got = await generateText(model, withImage(), { maxTokens: 5, logprobs: 2 })
  assert.equal(got.usage, { prompt: 6, cached: 0, visual: 4, generated: 5 })
  assert.is(got.finish, 'length')
  const { encode, prefill, firstToken, decode, tokensPerSecond } = got.timing
  assert.ok(encode > 0 && prefill > 0 && firstToken > encode + prefill - 1 && decode > 0)
  assertClose([tokensPerSecond], [4000 / decode], 1e-9)
  // Log-probabilities are those of the plain model.
  const all = Array.from(withImage().ids)
  for (const [i, { logprob, top }] of got.logprobs!.entries()) {
    const want = tidy(() => logSoftmax(plainLogits(model, { ...withImage(), ids: all }).at(-1)!))
    const id = got.ids[i]!
    assertClose([logprob], [want[id]!], 1e-4)
    assert.is(top.length, 2)
    assert.is(top[0]!.id, id)
    const second = Math.max(...want.filter((_, t) => t !== id))
    assertClose([top[1]!.logprob], [second], 1e-4)
    all.push(id)
  }
})

test.run()
