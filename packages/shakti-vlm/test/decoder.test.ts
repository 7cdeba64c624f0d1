import { noGrad, tensor, type Tensor } from '@shakti/tensor'
import { KVCache, meta } from '@shakti/nn'
import { Decoder, parseDecoderConfig } from '../src/index.js'
import { countDecoder, type DecoderConfigInput } from '../src/config.js'
import { assert, assertClose, assertThrows, test } from './assert.js'
import { randomDecoder, small } from './randomDecoder.js'
import { referenceLogits } from './reference.js'

const forms: Record<string, Partial<DecoderConfigInput>> = {
  'llama: head dim 80, 8 heads over 2': { width: 640, heads: 8, kvHeads: 2 },
  'the 1B: head dim 128, 16 heads over 4, tied': {
    width: 2048,
    heads: 16,
    kvHeads: 4,
    ffn: 1280,
    layers: 1,
    tied: true,
  },
  'the 4B: head dim 128, 32 heads over 8': { width: 4096, heads: 32, kvHeads: 8, layers: 1 },
  'head dim 96': { width: 384, heads: 4, kvHeads: 4 },
  'key/value heads by layer': { layers: 3, kvHeads: [4, 2, 1] },
  'qwen2: biases of q, k and v': { attentionBias: true, ropeTheta: 1_000_000, tied: true },
  'qwen3: a norm of each head, wider than width / heads': {
    qkNorm: 'head',
    headDim: 128,
    ropeTheta: 1_000_000,
    normEps: 1e-6,
  },
  'biases and head norms together': { attentionBias: true, qkNorm: 'head' },
  'a sliding window': { slidingWindow: 5 },
  'a sliding window with every second layer global': {
    layers: 4,
    slidingWindow: 5,
    globalEvery: 2,
  },
  'linear scaling': { ropeScaling: { type: 'linear', factor: 4 } },
  'ntk scaling': { ropeScaling: { type: 'ntk', factor: 4 } },
  yarn: { ropeTheta: 10_000, ropeScaling: { type: 'yarn', factor: 4, original: 64 } },
  'llama3 scaling': {
    headDim: 128,
    ropeScaling: { type: 'by-parts', factor: 8, original: 512, lowFrequency: 1, highFrequency: 4 },
  },
}

const length = 24
const some = (n: number, vocab: number): number[] =>
  Array.from({ length: n }, (_, i) => (i * 37 + 11) % vocab)
const rows = (ids: readonly number[], rowCount = 1): Tensor =>
  tensor(Int32Array.from(ids), { shape: [rowCount, ids.length / rowCount] })
const logits = (m: Decoder, hidden: Tensor): Float32Array =>
  m.logits(hidden).float().dataSync() as Float32Array

/** Root mean square of the difference over that of what is wanted. */
function relative(got: ArrayLike<number>, want: ArrayLike<number>): number {
  let [off, size] = [0, 0]
  for (let i = 0; i < want.length; i++) {
    off += (got[i]! - want[i]!) ** 2
    size += want[i]! ** 2
  }
  return Math.sqrt(off / size)
}

for (const [name, form] of Object.entries(forms)) {
  test(`gives the logits of the plain reference, whole and over a cache: ${name}`, () => {
    const m = randomDecoder(form)
    const ids = some(length, m.config.vocab)
    const want = referenceLogits(m.config, m.stateDict(), ids).dataSync()
    noGrad(() => {
      const x = m.embed(rows(ids))
      assertClose(logits(m, m.forward(x)), want, 2e-4, 'whole')
      const cache = new KVCache(8)
      const pieces = [x.narrow(1, 0, 10), x.narrow(1, 10, 9)]
      for (let i = 19; i < length; i++) pieces.push(x.narrow(1, i, 1))
      const got = pieces.flatMap((piece) => [...logits(m, m.forward(piece, { cache }))])
      assertClose(got, want, 2e-4, 'over a cache')
      cache.dispose()
    })
  })
}

for (const name of [
  'the 1B: head dim 128, 16 heads over 4, tied',
  'qwen2: biases of q, k and v',
  'qwen3: a norm of each head, wider than width / heads',
  'a sliding window',
] as const) {
  test(`packed sequences give what each gives alone: ${name}`, () => {
    const m = randomDecoder(forms[name]!)
    const { vocab } = m.config
    const parts = [some(9, vocab), some(14, vocab).reverse(), [3]]
    const want = parts.flatMap((ids) => [
      ...referenceLogits(m.config, m.stateDict(), ids).dataSync(),
    ])
    const got = noGrad(() =>
      logits(
        m,
        m.forward(m.embed(rows(parts.flat())), {
          positions: rows(parts.flatMap((ids) => ids.map((_, i) => i))),
          cuSeqlens: tensor(Int32Array.of(0, 9, 23, 24)),
        }),
      ),
    )
    assertClose(got, want, 2e-4)
  })

  test(`padded rows give what each gives alone: ${name}`, () => {
    const m = randomDecoder(forms[name]!)
    const { vocab } = m.config
    const parts = [some(9, vocab), some(14, vocab).reverse()]
    const pads = [5, 0]
    const mask = tensor(
      Uint8Array.from({ length: 28 }, (_, i) => (i % 14 >= pads[Math.floor(i / 14)]! ? 1 : 0)),
      { shape: [2, 1, 1, 14] },
    ).bool()
    const fill = (value: (ids: number[]) => number[]): number[] =>
      parts.flatMap((ids, r) => [...new Array<number>(pads[r]!).fill(0), ...value(ids)])
    const got = noGrad(() =>
      logits(
        m,
        m.forward(
          m.embed(
            rows(
              fill((ids) => ids),
              2,
            ),
          ),
          {
            positions: rows(
              fill((ids) => ids.map((_, i) => i)),
              2,
            ),
            mask,
          },
        ),
      ),
    )
    parts.forEach((ids, r) =>
      assertClose(
        got.slice((r * 14 + pads[r]!) * vocab, (r + 1) * 14 * vocab),
        referenceLogits(m.config, m.stateDict(), ids).dataSync(),
        2e-4,
      ),
    )
  })

  // The reference reads the same bf16 weights and computes in f32, so what differs is the rounding of activations.
  test(`in bf16 the logits are within 2 % (root mean square) of f32 arithmetic: ${name}`, () => {
    const m = randomDecoder(forms[name]!, { dtype: 'bf16' })
    const ids = some(length, m.config.vocab)
    const hidden = noGrad(() => m.forward(m.embed(rows(ids))))
    assert.is(hidden.dtype, 'bf16')
    const want = referenceLogits(m.config, m.stateDict(), ids).dataSync()
    const off = relative(
      noGrad(() => logits(m, hidden)),
      want,
    )
    assert.ok(off > 1e-5 && off < 0.02, `${off}`)
  })
}

test('yarn and llama3 scaling change the logits, so that agreeing with the reference says something', () => {
  const plain = randomDecoder({ headDim: 128, ropeTheta: 10_000 })
  const ids = some(length, 100)
  const of = (ropeScaling: DecoderConfigInput['ropeScaling']): Float32Array => {
    const config = parseDecoderConfig({ ...plain.config, ropeScaling })
    return referenceLogits(config, plain.stateDict(), ids).dataSync() as Float32Array
  }
  const base = of(null)
  assert.ok(relative(of({ type: 'yarn', factor: 4, original: 64 }), base) > 0.01)
  assert.ok(relative(of({ type: 'by-parts', factor: 8, original: 512 }), base) > 0.01)
})

test('the closed form counts the parameters of every form', () => {
  for (const [name, form] of Object.entries(forms)) {
    const config = parseDecoderConfig({ ...small, ...form })
    assert.is(countDecoder(config), meta(() => new Decoder(config)).numParameters(), name)
  }
})

test('numbers of a decoder that do not fit each other are refused by field', () => {
  const base = randomDecoder({}).config
  const call = (change: object) => () => parseDecoderConfig({ ...base, ...change })
  assertThrows(call({ heads: 7 }), Error, 'heads', 'width 64 over 7 heads')
  assertThrows(call({ headDim: 33 }), Error, 'headDim', '33', 'even')
  assertThrows(call({ kvHeads: 3 }), Error, 'kvHeads', '3 does not divide the 4 heads')
  assertThrows(call({ kvHeads: [1] }), Error, 'kvHeads', '1 numbers for 2 layers')
  assertThrows(call({ layers: 0 }), Error, 'layers')
  assertThrows(call({ globalEvery: 2 }), Error, 'globalEvery')
  assertThrows(call({ qkNorms: 'head' }), Error, "did you mean 'qkNorm'")
  assertThrows(
    call({ ropeScaling: { type: 'by-parts', factor: 8, original: 512, lowFrequency: 4 } }),
    Error,
    'lowFrequency',
  )
})

test.run()
