import { readFileSync } from 'node:fs'
import {
  manualSeed,
  noGrad,
  normal,
  ShaktiError,
  ShapeError,
  tensor,
  type Tensor,
} from '@shakti/tensor'
import {
  Attention,
  Conv2d,
  Embedding,
  LayerNorm,
  Linear,
  MLP,
  Module,
  RMSNorm,
  RotaryEmbedding,
  rotaryTable2d,
  SwiGLU,
  TransformerBlock,
  type NormScheme,
  type QkNorm,
} from '../src/index.js'
import { assert, assertClose, assertThrows, fill, test } from './assert.js'

interface Case {
  name: string
  config: {
    heads?: number
    kvHeads?: number
    headDim?: number
    causal?: boolean
    qkNorm?: QkNorm
    rotary?: 'text' | 'grid'
    window?: number
    borders?: number[]
    bias?: boolean
    scheme?: NormScheme
  }
  input: { shape: number[]; k: number }
  out: { shape: number[]; data: number[] }
  gradInput: number[]
  grads: Record<string, number[]>
}

const { cases } = JSON.parse(
  readFileSync(new URL('./fixtures/layers.json', import.meta.url), 'utf8'),
) as { cases: Case[] }
const width = 12

class Holder extends Module {
  constructor(readonly norm: LayerNorm | RMSNorm) {
    super()
  }
  forward(x: Tensor): Tensor {
    return this.norm.forward(x)
  }
}

/** The module of a case, and how to call it. */
function build({ name, config: c }: Case): { module: Module; run: (x: Tensor) => Tensor } {
  const of = <M extends Module & { forward(x: Tensor): Tensor }>(module: M) => ({
    module,
    run: (x: Tensor) => module.forward(x),
  })
  if (name === 'linear') return of(new Linear(width, 5))
  if (name === 'mlp') return of(new MLP(width, 7))
  if (name === 'swiglu') return of(new SwiGLU(width, 7))
  if (name === 'layerNorm') return of(new Holder(new LayerNorm(width)))
  if (name === 'rmsNorm') return of(new Holder(new RMSNorm(width)))
  if (name === 'conv2d') return of(new Conv2d(2, 4, 3, { stride: 2, padding: 1, groups: 2 }))
  if (c.scheme) {
    return of(
      new TransformerBlock({
        norm: c.scheme,
        attention: { width, heads: 3, qkNorm: 'head' },
        mlp: () => new MLP(width, 7),
      }),
    )
  }
  const { rotary, borders, ...rest } = c
  const module = new Attention({ width, heads: 3, ...rest })
  const table =
    rotary === 'grid'
      ? rotaryTable2d(2, 3, 4, 10_000)
      : rotary
        ? new RotaryEmbedding(4, 10_000).range(0, 6)
        : undefined
  return {
    module,
    run: (x) =>
      module.forward(x, {
        ...(table ? { rotary: table } : {}),
        ...(borders ? { cuSeqlens: tensor(Int32Array.from(borders)) } : {}),
      }),
  }
}

for (const c of cases) {
  test(`${c.name} gives the outputs and gradients of PyTorch`, () => {
    const { module, run } = build(c)
    const state = module.stateDict()
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
    const n = c.input.shape.reduce((a, b) => a * b, 1)
    const x = tensor(fill(c.input.k, n), { shape: c.input.shape, requiresGrad: true })
    const y = run(x)
    assert.equal(y.shape, c.out.shape)
    assertClose(y.dataSync(), c.out.data, 2e-5, 'output')
    assertClose(noGrad(() => run(x)).dataSync(), c.out.data, 2e-5, 'output without a gradient')
    y.mul(tensor(fill(77, y.numel), { shape: y.shape }))
      .sum()
      .backward()
    assertClose(x.grad!.dataSync(), c.gradInput, 1e-4, 'gradient of x')
    for (const [name, want] of Object.entries(c.grads))
      assertClose(state[name]!.grad!.dataSync(), want, 1e-4, `gradient of ${name}`)
  })
}

test('an embedding picks rows, and refuses ids that are no integers', () => {
  const e = new Embedding(5, 3)
  const table = e.weight.dataSync()
  const rows = e.forward(tensor(Int32Array.of(4, 0)))
  assertClose(rows.dataSync(), [...table.slice(12, 15), ...table.slice(0, 3)], 1e-9)
  assertThrows(() => e.forward(tensor([1, 2])), Error, 'i32', 'f32[2]')
})

test('layers refuse a width of 1 that broadcasting would let through', () => {
  assertThrows(() => new Linear(4, 2).forward(tensor([[1]])), ShapeError, 'in 4', 'f32[1, 1]')
  assertThrows(() => new LayerNorm(4).forward(tensor([[1]])), ShapeError, '4', 'f32[1, 1]')
  assertThrows(() => new RMSNorm(4).forward(tensor([[1]])), ShapeError, '4', 'f32[1, 1]')
  assertThrows(
    () => new Attention({ width: 4, heads: 2 }).forward(tensor([[[1]]])),
    ShapeError,
    'width 4',
    'f32[1, 1, 1]',
  )
})

test('with QK-norm of weight 1 no score exceeds the square root of the head dim, however large the input', () => {
  const headDim = 16
  const a = new Attention({ width: 32, heads: 2, qkNorm: 'head' })
  const x = tensor(
    fill(3, 5 * 32).map((v) => v * 1e4),
    { shape: [1, 5, 32] },
  )
  const { cos, sin } = rotaryTable2d(1, 5, headDim, 10_000)
  assert.equal(cos.shape, sin.shape)
  const q = a.qNorm!.forward(a.qProj.forward(x).reshape([5, 2, headDim]))
  const k = a.kNorm!.forward(a.kProj.forward(x).reshape([5, 2, headDim]))
  const scores = q
    .transpose(0, 1)
    .matmul(k.transpose(0, 1).mT())
    .mul(1 / Math.sqrt(headDim))
  const largest = Math.max(...scores.abs().dataSync())
  assert.ok(largest <= Math.sqrt(headDim) * (1 + 1e-5), `${largest}`)
  assert.ok(largest > 1, 'the scores are not trivially small')
})

test('dropout acts in training alone and keeps the mean', async () => {
  const { Dropout } = await import('../src/index.js')
  const d = new Dropout(0.25)
  const x = tensor(new Float32Array(20_000).fill(1))
  assert.is(d.eval().forward(x), x)
  const y = d.train().forward(x).dataSync()
  const zero = y.filter((v) => v === 0).length / y.length
  assert.ok(Math.abs(zero - 0.25) < 0.02, `${zero}`)
  assert.ok(y.every((v) => v === 0 || Math.abs(v - 4 / 3) < 1e-6))
  assertThrows(() => new Dropout(1), Error, '[0, 1)')
})

test('keys started at the queries: a head of them looks for what resembles the position that asks', async () => {
  manualSeed(1)
  const a = new Attention({ width: 32, heads: 4, kvHeads: 2 })
  const before = await a.kProj.weight.data()
  a.startKeysAtQueries(1)
  const [q, k] = [await a.qProj.weight.data(), await a.kProj.weight.data()]
  const head = 8 * 32
  assert.equal(k.slice(0, head), q.slice(0, head))
  assert.equal(k.slice(head), before.slice(head))
  a.startKeysAtQueries()
  // The second key/value head serves query heads 2 and 3.
  assert.equal((await a.kProj.weight.data()).slice(head), q.slice(2 * head, 3 * head))

  // So the score of a position with one that holds the same is the square of its query: nowhere below 0.
  const x = normal([1, 6, 32])
  const head0 = (of: Linear): Tensor => of.forward(x).reshape([6, -1, 8]).select(1, 0)
  const [queries, keys] = noGrad(() => [head0(a.qProj), head0(a.kProj)])
  assertClose(await queries.mul(keys).sum(-1).data(), await queries.square().sum(-1).data(), 1e-5)
  assertThrows(() => a.startKeysAtQueries(3), ShaktiError, 'there are 2 key/value heads')
})

test("bias 'qkv' leaves the output product without one", () => {
  const a = new Attention({ width: 8, heads: 2, bias: 'qkv' })
  assert.equal(
    Object.keys(a.stateDict()).filter((name) => name.endsWith('bias')),
    ['q_proj.bias', 'k_proj.bias', 'v_proj.bias'],
  )
})

test.run()
