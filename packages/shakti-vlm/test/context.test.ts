// Long texts: 32 K positions over a rolling window and a global layer, read in chunks, against the decoder written plainly in f64.
import { manualSeed, memory, noGrad, resetPeakMemoryStats, tidy, type Tensor } from '@shakti/tensor'
import { generateText, nano, ShaktiVlm, type RopeScalingConfig } from '../src/index.js'
import { assert, assertClose, counts, test } from './assert.js'
import { logSoftmax } from './writer.js'

const length = 32_700
const decoder = {
  layers: 2,
  width: 32,
  heads: 2,
  kvHeads: [1, 2],
  ffn: 32,
  vocab: 64,
  tied: false,
  context: 32_768,
  slidingWindow: 48,
  globalEvery: 2,
}
const headDim = 16

/** Frequencies and gain of the scaled rotary positions, from the formulas of arXiv 2309.00071, section 3. */
function rotary(theta: number, scaling: RopeScalingConfig | null): { f: number[]; gain: number } {
  const f = Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim))
  if (scaling?.type !== 'yarn') return { f, gain: 1 }
  const { factor: s, original, betaFast, betaSlow } = scaling
  const place = (turns: number): number =>
    (headDim * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta))
  const [low, high] = [
    Math.max(Math.floor(place(betaFast)), 0),
    Math.min(Math.ceil(place(betaSlow)), headDim - 1),
  ]
  return {
    f: f.map((v, i) => {
      const keep = 1 - Math.min(1, Math.max(0, (i - low) / (high - low)))
      return (1 - keep) * (v / s) + keep * v
    }),
    gain: 0.1 * Math.log(s) + 1,
  }
}

/** Log-probabilities after each of the last `n` of some ids. Of the last layer only these are worked out. */
function reference(model: ShaktiVlm, ids: readonly number[], n: number): number[][] {
  const { width, heads, ffn, vocab, slidingWindow } = model.config.decoder
  const { f, gain } = rotary(model.config.decoder.ropeTheta, model.config.decoder.ropeScaling)
  const weights = Object.fromEntries(
    [...model.decoder.namedParameters()].map(([name, p]) => [
      name,
      Float64Array.from(p.dataSync()),
    ]),
  )
  const eps = model.config.decoder.normEps
  const norm = (x: Float64Array, w: Float64Array): Float64Array => {
    const scale = 1 / Math.sqrt(x.reduce((s, v) => s + v * v, 0) / x.length + eps)
    return x.map((v, i) => v * scale * w[i]!)
  }
  const times = (x: Float64Array, w: Float64Array, out: number): Float64Array => {
    const y = new Float64Array(out)
    for (let o = 0; o < out; o++) {
      let s = 0
      for (let i = 0; i < x.length; i++) s += x[i]! * w[o * x.length + i]!
      y[o] = s
    }
    return y
  }
  const turn = (x: Float64Array, position: number): Float64Array => {
    const y = x.slice()
    const half = headDim / 2
    for (let h = 0; h < x.length; h += headDim)
      for (let i = 0; i < half; i++) {
        const [c, s] = [gain * Math.cos(position * f[i]!), gain * Math.sin(position * f[i]!)]
        const [a, b] = [x[h + i]!, x[h + i + half]!]
        y[h + i] = a * c - b * s
        y[h + i + half] = b * c + a * s
      }
    return y
  }
  let x = ids.map((id) => weights['model.embedTokens.weight']!.slice(id * width, (id + 1) * width))
  for (let layer = 0; layer < 2; layer++) {
    const w = (name: string): Float64Array => weights[`model.layers.${layer}.${name}.weight`]!
    const kvHeads = decoder.kvHeads[layer]!
    const normed = x.map((v) => norm(v, w('norm1')))
    const k = normed.map((v, i) => turn(times(v, w('attn.kProj'), kvHeads * headDim), i))
    const v = normed.map((t) => times(t, w('attn.vProj'), kvHeads * headDim))
    const from = layer === 1 ? ids.length - n : 0
    const window = layer === 1 ? Infinity : slidingWindow!
    x = x.slice(from).map((old, at) => {
      const i = from + at
      const q = turn(times(normed[i]!, w('attn.qProj'), width), i)
      const mixed = new Float64Array(width)
      for (let h = 0; h < heads; h++) {
        const kv = Math.floor(h / (heads / kvHeads)) * headDim
        const first = Math.max(0, i - window + 1)
        const scores = new Float64Array(i - first + 1)
        for (let j = first; j <= i; j++) {
          let s = 0
          for (let d = 0; d < headDim; d++) s += q[h * headDim + d]! * k[j]![kv + d]!
          scores[j - first] = s / Math.sqrt(headDim)
        }
        const top = scores.reduce((a, b) => Math.max(a, b))
        const e = scores.map((s) => Math.exp(s - top))
        const sum = e.reduce((a, b) => a + b)
        for (let j = first; j <= i; j++)
          for (let d = 0; d < headDim; d++)
            mixed[h * headDim + d]! += (e[j - first]! / sum) * v[j]![kv + d]!
      }
      const y = times(mixed, w('attn.outProj'), width).map((t, d) => t + old[d]!)
      const hidden = norm(y, w('norm2'))
      const gate = times(hidden, w('mlp.gateProj'), ffn)
      const up = times(hidden, w('mlp.upProj'), ffn)
      const down = times(
        gate.map((g, d) => (g / (1 + Math.exp(-g))) * up[d]!),
        w('mlp.downProj'),
        width,
      )
      return y.map((t, d) => t + down[d]!)
    })
  }
  return x.map((t) =>
    logSoftmax(
      Array.from(times(norm(t, weights['model.norm.weight']!), weights['lmHead.weight']!, vocab)),
    ),
  )
}

for (const [name, change] of Object.entries({
  'a larger rotary base': { ropeTheta: 5_000_000 },
  YaRN: {
    ropeTheta: 10_000,
    ropeScaling: { type: 'yarn' as const, factor: 32, original: 1024, betaFast: 32, betaSlow: 1 },
  },
}))
  test(`at 32 K positions, with ${name}, the log-probabilities are those of the plain decoder in f64`, async () => {
    manualSeed(6)
    const model = new ShaktiVlm({ ...nano, decoder: { ...decoder, ...change } })
    noGrad(() => {
      for (const p of model.parameters()) if (p.ndim > 1) p.mul_(3)
    })
    const prompt = Array.from({ length }, (_, i) => (i * i * 7 + i * 3 + (i >> 5)) % 64)
    const { ids, logprobs } = await generateText(
      model,
      { ids: prompt },
      { maxTokens: 5, logprobs: 64 },
    )
    const want = reference(model, [...prompt, ...ids.slice(0, -1)], ids.length)
    for (const [i, { top }] of logprobs!.entries()) {
      const got = new Array<number>(64)
      for (const { id, logprob } of top) got[id] = logprob
      assertClose(got, want[i]!, 1e-3, `token ${i}`)
      const spread = Math.max(...want[i]!) - Math.min(...want[i]!)
      assert.ok(spread > 1, `the logits say something: ${spread}`)
    }
  })

test('the memory of reading a long prompt is that of its keys and values and of one chunk', async () => {
  manualSeed(6)
  const model = new ShaktiVlm({ ...nano, decoder })
  const peak = async (n: number, prefillChunk: number): Promise<number> => {
    const ids = Array.from({ length: n }, (_, i) => i % 64)
    await generateText(model, { ids }, { maxTokens: 1, prefillChunk })
    const before = counts().liveBytes
    resetPeakMemoryStats()
    await generateText(model, { ids }, { maxTokens: 1, prefillChunk })
    return memory().peakBytes - before
  }
  // The global layer: 2 heads of 16 numbers, keys and values in f32: 256 bytes a position. The other keeps its window and a chunk.
  const [short, long, whole] = [
    await peak(4096, 256),
    await peak(16_384, 256),
    await peak(16_384, 16_384),
  ]
  const perPosition = (long - short) / 12_288
  assert.ok(perPosition < 1.3 * 256, `${perPosition} bytes a position`)
  assert.ok(whole > 2 * long, `${whole} at once, ${long} in chunks`)
})

test('without gradients a pass over many layers takes the memory of a pass over few', async () => {
  const peak = (layers: number): { read: number; seen: number } => {
    manualSeed(6)
    const vision = { ...nano.vision, layers, maxPatches: 1024 }
    const model = new ShaktiVlm({
      ...nano,
      vision,
      decoder: { ...nano.decoder, layers, kvHeads: 1, context: 2048 },
    })
    const during = (fn: () => Tensor): number => {
      const run = (): void => tidy(() => noGrad(() => void fn().dataSync()))
      run()
      const before = counts().liveBytes
      resetPeakMemoryStats()
      run()
      return memory().peakBytes - before
    }
    const ids = new Int32Array(1024).fill(7)
    const pixels = new Float32Array(128 * 128 * 3)
    return {
      read: during(() => model.forward({ ids, rows: 1, length: 1024 })),
      seen: during(() => model.encodeImages([{ pixels, height: 128, width: 128, patch: 4 }])),
    }
  }
  // Memory goes back in parcels of 1 MiB.
  const [few, many] = [peak(2), peak(12)]
  assert.ok(many.read < 1.3 * few.read, `text: ${few.read}, ${many.read}`)
  assert.ok(many.seen < 1.3 * few.seen, `image: ${few.seen}, ${many.seen}`)
})

test.run()
