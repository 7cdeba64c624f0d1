import { readFileSync } from 'node:fs'
import {
  crossEntropy,
  manualSeed,
  noGrad,
  ShapeError,
  ShaktiError,
  tensor,
  type Tensor,
} from '@shakti/tensor'
import { addLora, KVCache, meta } from '@shakti/nn'
import {
  countParameters,
  nano,
  shaktiVlm1B,
  shaktiVlm4B,
  ShaktiVlm,
  tiny1B,
  tiny4B,
  visualTokens,
  type EncodedImage,
  type ShaktiVlmConfigInput,
} from '../src/index.js'
import { assert, assertClose, assertThrows, fill, test } from './assert.js'

interface Case {
  name: string
  vision: ShaktiVlmConfigInput['vision']
  merge: number
  decoder: ShaktiVlmConfigInput['decoder']
  imageToken: number
  image: { height: number; width: number; patch: number; k: number }
  ids: number[]
  visual: number[]
  logits: number[]
  grads: Record<string, [number, number]>
}

const { cases } = JSON.parse(
  readFileSync(new URL('./fixtures/model.json', import.meta.url), 'utf8'),
) as { cases: Case[] }

const image = (height: number, width: number, patch: number, k: number): EncodedImage => ({
  pixels: fill(k, height * width * 3).map((v) => 5 * v),
  height,
  width,
  patch,
})

const random = (height = 16, width = 16, patch = 4, k = 1): EncodedImage =>
  image(height, width, patch, k)
const config = { ...nano, imageToken: 5 }
const model = (seed = 1): ShaktiVlm => {
  manualSeed(seed)
  return new ShaktiVlm(config)
}

for (const c of cases) {
  test(`the whole model gives the visual tokens, logits and gradients of PyTorch: ${c.name}`, () => {
    const m = new ShaktiVlm({
      vision: c.vision,
      projector: { merge: c.merge },
      decoder: c.decoder,
      imageToken: c.imageToken,
    })
    const state = m.stateDict()
    assert.equal(Object.keys(state).sort(), Object.keys(c.grads).sort())
    noGrad(() =>
      Object.keys(state)
        .sort()
        .forEach((name, k) => {
          const p = state[name]!
          p.copy_(
            tensor(fill(k, p.numel, name.includes('norm') && name.endsWith('weight') ? 1 : 0), {
              shape: p.shape,
            }),
          )
        }),
    )
    const { height, width, patch, k } = c.image
    const pictures = [image(height, width, patch, k)]
    assertClose(noGrad(() => m.encodeImages(pictures)).dataSync(), c.visual, 1e-4, 'visual tokens')
    const hidden = m.forward({
      ids: Int32Array.from(c.ids),
      rows: 1,
      length: c.ids.length,
      images: pictures,
    })
    const logits = m.logits(hidden.narrow(1, c.ids.length - 4, 4).reshape([4, -1]))
    assertClose(logits.dataSync(), c.logits, 1e-4, 'logits')
    logits
      .mul(tensor(fill(77, logits.numel), { shape: logits.shape }))
      .sum()
      .backward()
    for (const [name, want] of Object.entries(c.grads)) {
      const g = state[name]!.grad!
      const products = [5, 6].map((f) =>
        g
          .mul(tensor(fill(f, g.numel), { shape: g.shape }))
          .sum()
          .itemSync(),
      )
      assertClose(products, want, 1e-3, `gradient of ${name}`)
    }
  })
}

const table = [
  ['shaktiVlm1B', shaktiVlm1B, [515_012_352, 16_793_600, 507_611_136, 1_039_417_088]],
  [
    'shaktiVlm1B with merge 1',
    { ...shaktiVlm1B, projector: { merge: 1 } },
    [515_012_352, 7_347_200, 507_611_136, 1_029_970_688],
  ],
  ['shaktiVlm4B', shaktiVlm4B, [1_422_631_680, 48_258_048, 2_527_203_328, 3_998_093_056]],
  [
    'shaktiVlm4B with merge 1',
    { ...shaktiVlm4B, projector: { merge: 1 } },
    [1_422_631_680, 24_653_568, 2_527_203_328, 3_974_488_576],
  ],
  ['tiny1B', tiny1B, [358_080, 66_560, 611_968, 1_036_608]],
  ['tiny4B', tiny4B, [1_086_976, 198_144, 2_492_672, 3_777_792]],
  ['nano', nano, [25_824, 8_800, 44_784, 79_408]],
] as const

for (const [name, preset, want] of table) {
  test(`${name} has the parameters of the table in PAPER.md, by formula and by the sum over a model on meta`, () => {
    const { encoder, projector, decoder, total } = countParameters(preset)
    assert.equal([encoder, projector, decoder, total], [...want])
    const m = meta(() => new ShaktiVlm(preset))
    assert.equal(
      [
        m.vision.numParameters(),
        m.projector.numParameters(),
        m.decoder.numParameters(),
        m.numParameters(),
      ],
      [...want],
    )
  })
}

test('images of several sizes in one prompt and one batch give what each gives alone', () => {
  const m = model()
  const pictures = [
    random(16, 16, 4, 1),
    random(8, 16, 4, 2),
    random(16, 16, 4, 3),
    random(16, 16, 8, 4),
  ]
  noGrad(() => {
    const all = m.encodeImages(pictures).dataSync()
    let at = 0
    for (const p of pictures) {
      const n = visualTokens(p, 2) * 48
      assertClose(all.slice(at, at + n), m.encodeImages([p]).dataSync(), 1e-5)
      at += n
    }
    assert.is(at, all.length)
  })
})

test('gradients through packed images are those of each image alone', () => {
  const m = model()
  const pictures = [random(16, 16, 4, 1), random(8, 16, 4, 2)]
  const gradients = (run: () => void): number[] => {
    run()
    return m.vision
      .parameters()
      .concat(m.projector.parameters())
      .map((p) => {
        const size = p.grad!.abs().sum().itemSync()
        p.grad = undefined
        return size
      })
  }
  const packed = gradients(() => m.encodeImages(pictures).square().sum().backward())
  const alone = gradients(() =>
    pictures.forEach((p) => m.encodeImages([p]).square().sum().backward()),
  )
  assertClose(packed, alone, 1e-4)
})

test('visual tokens stand where their placeholders stand, and the rest is text', () => {
  const m = model()
  const pictures = [random(8, 8, 4, 1), random(8, 16, 4, 2)]
  const ids = Int32Array.of(9, 5, 8, 7, 5, 5)
  noGrad(() => {
    const e = m.embed({ ids, rows: 2, length: 3, images: pictures }).dataSync()
    const visual = m.encodeImages(pictures).dataSync()
    const words = m.decoder.embed(tensor(ids)).dataSync()
    const row = (d: ArrayLike<number>, i: number): number[] =>
      Array.from({ length: 48 }, (_, j) => d[i * 48 + j]!)
    ;[words, visual, words, words, visual, visual].forEach((from, i) =>
      assertClose(row(e, i), row(from, [0, 0, 2, 3, 1, 2][i]!), 1e-6),
    )
  })
})

test('the number of placeholders must be that of the visual tokens', () => {
  const m = model()
  assertThrows(
    () => m.forward({ ids: Int32Array.of(9, 5, 5), rows: 1, length: 3, images: [random(8, 8)] }),
    ShaktiError,
    '2 image placeholders',
    '1 tokens',
  )
  assertThrows(
    () => m.forward({ ids: Int32Array.of(9, 5), rows: 1, length: 2 }),
    ShaktiError,
    '1 image placeholders',
  )
  assertThrows(
    () => m.forward({ ids: Int32Array.of(9), rows: 1, length: 1, images: [random(8, 8)] }),
    ShaktiError,
    '0 image placeholders',
  )
})

test('images that do not fit the encoder are refused by name', () => {
  const m = model()
  const call = (p: EncodedImage) => () => m.encodeImages([p])
  assertThrows(call(random(16, 16, 5)), ShapeError, 'patch size 5', '4, 8')
  assertThrows(call(random(18, 16, 4)), ShapeError, '4')
  assertThrows(call(random(32, 32, 4)), ShapeError, '8 x 8', '16')
  assertThrows(call({ ...random(), pixels: new Float32Array(5) }), ShapeError, '5 numbers')
  assertThrows(call(random(12, 12, 4)), ShapeError, '3 x 3', '2 divides')
})

test('a later token changes no earlier hidden state', () => {
  const m = model()
  noGrad(() => {
    const of = (ids: number[]): Float32Array =>
      m
        .forward({ ids: Int32Array.from(ids), rows: 1, length: ids.length })
        .dataSync() as Float32Array
    const a = of([1, 2, 3, 4, 9])
    const b = of([1, 2, 3, 4, 200])
    assertClose(a.slice(0, 4 * 48), b.slice(0, 4 * 48), 1e-7)
    assert.ok(a.slice(4 * 48).some((v, i) => Math.abs(v - b[4 * 48 + i]!) > 1e-3))
  })
})

test('sequences packed into one row give what each gives alone', () => {
  const m = model()
  const [a, b] = [
    [1, 2, 3],
    [40, 30, 20, 10],
  ]
  noGrad(() => {
    const packed = m
      .forward({
        ids: Int32Array.from([...a, ...b]),
        rows: 1,
        length: 7,
        positions: Int32Array.of(0, 1, 2, 0, 1, 2, 3),
        cuSeqlens: Int32Array.of(0, 3, 7),
      })
      .dataSync()
    const alone = [a, b].flatMap((ids) =>
      Array.from(m.forward({ ids: Int32Array.from(ids), rows: 1, length: ids.length }).dataSync()),
    )
    assertClose(packed, alone, 1e-5)
  })
})

test('reading over a cache gives the same as reading at once, images included', () => {
  const m = model()
  const ids = Int32Array.of(9, 5, 5, 5, 5, 8, 7, 6)
  const pictures = [random()]
  noGrad(() => {
    const whole = m.forward({ ids, rows: 1, length: 8, images: pictures }).dataSync()
    const cache = new KVCache(1)
    const first = m
      .forward({ ids: ids.slice(0, 6), rows: 1, length: 6, images: pictures, cache })
      .dataSync()
    const rest = [6, 7].flatMap((i) =>
      Array.from(m.forward({ ids: ids.slice(i, i + 1), rows: 1, length: 1, cache }).dataSync()),
    )
    assertClose([...first, ...rest], whole, 1e-5)
  })
})

test('positions outside the context are refused', () => {
  const m = model()
  const n = nano.decoder.context + 1
  assertThrows(
    () => m.forward({ ids: new Int32Array(n), rows: 1, length: n }),
    ShapeError,
    '129',
    '128',
  )
  assertThrows(
    () => m.forward({ ids: new Int32Array(1), rows: 1, length: 1, positions: Int32Array.of(128) }),
    ShapeError,
    'position 128',
  )
  assertThrows(
    () => m.forward({ ids: new Int32Array(2), rows: 1, length: 2, positions: Int32Array.of(0) }),
    ShapeError,
    '1 positions',
  )
})

test('activation checkpointing changes no loss and no gradient', () => {
  const run = (on: boolean): { loss: number; grads: number[] } => {
    const m = model(4)
    m.activationCheckpointing = on
    const hidden = m.forward({
      ids: Int32Array.of(9, 5, 5, 5, 5, 8),
      rows: 1,
      length: 6,
      images: [random()],
    })
    const loss = m.logits(hidden).logSoftmax(-1).square().mean()
    loss.backward()
    return {
      loss: loss.itemSync(),
      grads: m.parameters().map((p) => p.grad!.square().sum().itemSync()),
    }
  }
  const [plain, again] = [run(false), run(true)]
  assertClose([again.loss], [plain.loss], 1e-7)
  assertClose(again.grads, plain.grads, 1e-5)
})

test('bf16 products stay close to f32, and every gradient is f32', () => {
  const m = model(6)
  const inputs = { ids: Int32Array.of(9, 5, 5, 5, 5, 8), rows: 1, length: 6, images: [random()] }
  const exact = noGrad(() => m.logits(m.forward(inputs))).dataSync()
  m.to({ compute: 'bf16' })
  const logits = m.logits(m.forward(inputs))
  assertClose(logits.dataSync(), exact, 0.05)
  logits.square().mean().backward()
  assert.ok(m.parameters().every((p) => p.grad?.dtype === 'f32'))
  assert.ok(m.workingCopy('decoder.model.layers.0.mlp.upProj.weight')?.dtype === 'bf16')
})

test('loss is the cross-entropy of the logits: tied, with a head of its own, in bf16, with an adapter', () => {
  const labels = tensor(Int32Array.of(3, -100, 30, 31))
  const ids = Int32Array.of(9, 7, 8, 30)
  for (const how of ['tied', 'head', 'bf16', 'adapter'] as const) {
    manualSeed(8)
    const tied = how === 'tied'
    const m = new ShaktiVlm({ ...config, decoder: { ...config.decoder, tied } })
    if (how === 'bf16') m.to({ compute: 'bf16' })
    if (how === 'adapter') {
      m.freeze()
      const [lora] = addLora(m, ['decoder.lmHead'], 2).values()
      noGrad(() => lora!.loraB.add_(0.1))
    }
    const gradients = (f: (hidden: Tensor) => Tensor): number[] => {
      const loss = f(m.forward({ ids, rows: 1, length: 4 }).reshape([4, -1]))
      loss.backward()
      const all = m.parameters().flatMap((p) => [...(p.grad?.float().dataSync() ?? [])])
      for (const p of m.parameters()) p.grad = undefined
      return [loss.itemSync(), ...all]
    }
    const options = { labelSmoothing: 0.1 }
    assertClose(
      gradients((h) => m.loss(h, labels, options)),
      gradients((h) => crossEntropy(m.logits(h), labels, options)),
      how === 'bf16' ? 2e-2 : 1e-5,
    )
  }
})

test('training a few steps on one example lowers its loss', () => {
  const m = model(7)
  const ids = Int32Array.of(9, 5, 5, 5, 5, 8, 30, 31)
  const losses: number[] = []
  for (let step = 0; step < 12; step++) {
    const logits = m.logits(
      m
        .forward({ ids, rows: 1, length: 8, images: [random()] })
        .reshape([8, 48])
        .narrow(0, 5, 2),
    )
    const loss = crossEntropy(logits, tensor(Int32Array.of(30, 31)))
    loss.backward()
    noGrad(() => {
      for (const p of m.parameters()) {
        p.add_(p.grad!.mul(-0.5))
        p.grad = undefined
      }
    })
    losses.push(loss.itemSync())
  }
  assert.ok(losses.at(-1)! < losses[0]! - 1, losses.join(' '))
})

test.run()
