import {
  AutogradError,
  getRngState,
  manualSeed,
  noGrad,
  ones,
  ShaktiError,
  swiglu,
  tensor,
  tidy,
  type Tensor,
} from '@shakti/tensor'
import type { Parameter } from '../src/index.js'
import {
  addLora,
  Dropout,
  Embedding,
  GELU,
  initNormal,
  Linear,
  LoRALinear,
  matchesPattern,
  meta,
  MLP,
  Module,
  ModuleList,
  parameter,
  Sequential,
  snakeCase,
  StateDictError,
  SwiGLU,
  UninitialisedError,
} from '../src/index.js'
import { assert, assertClose, assertThrows, fill, test } from './assert.js'

class Block extends Module {
  static override names = { attn: 'self_attn' }
  readonly attn = new Linear(3, 3)
  readonly mlpOut = new Linear(3, 3, { bias: false })
  readonly note = 'not a module'
}

class Model extends Module {
  readonly embedTokens = new Embedding(5, 3)
  readonly layers = new ModuleList([new Block(), new Block()])
  readonly drop = new Dropout(0.5)
  readonly absent: Linear | undefined = undefined
  readonly #hidden = new Linear(3, 3)
  readonly gain: Parameter = parameter([3], initNormal())
  readonly head = new Linear(3, 5, { bias: false })
  constructor(tied = false) {
    super()
    if (tied) (this.head as { weight: Parameter }).weight = this.embedTokens.weight
    void this.#hidden
  }
}

test('parameters are found in the order of declaration, those in private fields are not', () => {
  assert.equal(
    Array.from(new Model().namedParameters(), ([n]) => n),
    [
      'embedTokens.weight',
      'layers.0.attn.weight',
      'layers.0.attn.bias',
      'layers.0.mlpOut.weight',
      'layers.1.attn.weight',
      'layers.1.attn.bias',
      'layers.1.mlpOut.weight',
      'gain',
      'head.weight',
    ],
  )
})

test('a state dict has Hugging Face names: snake case, and what a class says otherwise', () => {
  const names = Object.keys(new Model().stateDict())
  assert.ok(names.includes('embed_tokens.weight'))
  assert.ok(names.includes('layers.1.self_attn.bias'))
  assert.ok(names.includes('layers.1.mlp_out.weight'))
  assert.is(snakeCase('qProj'), 'q_proj')
  assert.is(snakeCase('fc1'), 'fc1')
})

test('tied weights are one parameter, saved once and loaded under either name', () => {
  const m = new Model(true)
  assert.is(m.parameters().length, 8)
  const state = m.stateDict()
  assert.not.ok('head.weight' in state)
  const other = new Model(true)
  other.loadStateDict(state)
  assertClose(other.head.weight.dataSync(), m.embedTokens.weight.dataSync(), 1e-9)
  const { 'embed_tokens.weight': table, ...rest } = state
  const third = new Model(true)
  third.loadStateDict({ ...rest, 'head.weight': table! })
  assertClose(third.embedTokens.weight.dataSync(), m.embedTokens.weight.dataSync(), 1e-9)
})

test('loading lists all that is missing, unexpected and mis-shaped in one error, and changes nothing', () => {
  const m = new Model()
  const before = Array.from(m.gain.dataSync())
  const { 'head.weight': _, ...state } = new Model().stateDict()
  const bad = { ...state, surplus: ones([1]), 'layers.0.mlp_out.weight': ones([4, 3]) }
  const error = assertThrows(
    () => m.loadStateDict(bad),
    StateDictError,
    'missing (1): head.weight',
    'unexpected (1): surplus',
    'f32[3, 3]',
    'f32[4, 3]',
  )
  assert.equal([error.missing, error.unexpected], [['head.weight'], ['surplus']])
  assert.equal(Array.from(m.gain.dataSync()), before)
  assertThrows(() => m.loadStateDict(bad, { strict: false }), StateDictError, 'wrong shape')
  m.loadStateDict({ gain: ones([3]) }, { strict: false })
  assert.equal(Array.from(m.gain.dataSync()), [1, 1, 1])
})

test('assign puts the tensors themselves in the place of parameters, in their dtype, sharing memory', () => {
  const block = meta(() => new Block())
  const state = block.stateDict()
  const given = Object.fromEntries(
    Object.entries(state).map(([name, t]) => [name, ones(t.shape, { dtype: 'bf16' })]),
  )
  block.loadStateDict(given, { assign: true })
  given['self_attn.weight']!.fill_(3)
  assert.equal(Array.from(block.attn.weight.float().dataSync()), new Array(9).fill(3))
  assert.equal([block.attn.weight.dtype, block.attn.weight.requiresGrad], ['bf16', true])
  for (const t of Object.values(given)) t.dispose()
  assert.is(block.attn.forward(ones([1, 3], { dtype: 'bf16' })).dtype, 'bf16')
  // Also where there were values.
  block.loadStateDict({ ...block.stateDict(), 'mlp_out.weight': ones([3, 3]) }, { assign: true })
  assert.is(block.mlpOut.weight.dtype, 'f32')
  assertThrows(
    () => block.loadStateDict({ ...block.stateDict(), x: ones([1]) }, { assign: true }),
    StateDictError,
    'x',
  )
})

test('modules have the names under which a state dict has their parameters', () => {
  const list = new ModuleList([new Block(), new Block()])
  assert.equal(
    Array.from(list.stateModules(), ([name]) => name),
    ['', '0', '0.self_attn', '0.mlp_out', '1', '1.self_attn', '1.mlp_out'],
  )
  assert.is(new Map(list.stateModules()).get('1.mlp_out'), list.at(1).mlpOut)
})

test('nothing is drawn for parameters on meta, which know what would give them values', () => {
  manualSeed(4)
  const before = getRngState()
  const linear = meta(() => new Linear(3, 2))
  assert.equal(getRngState(), before)
  const values = linear.weight.init!([2, 3], 'cpu', 'bf16')
  assert.equal([values.dtype, values.shape], ['bf16', [2, 3]])
  manualSeed(4)
  assertClose(values.float().dataSync(), new Linear(3, 2).weight.dataSync(), 1e-2)
  assert.is(new Linear(3, 2).weight.init, undefined)
})

test('a name such as __proto__ in a state dict is unexpected, not found on the object', () => {
  const state: Record<string, Tensor> = { ...new Model().stateDict() }
  Object.defineProperty(state, '__proto__', { value: ones([1]), enumerable: true })
  assertThrows(() => new Model().loadStateDict(state), StateDictError, '__proto__')
})

test('parameters are frozen by pattern, and a pattern that fits nothing is an error', () => {
  const m = new Model().freeze('layers.*', 'head.weight')
  const trained = (): string[] =>
    Array.from(m.namedParameters())
      .filter(([, p]) => p.requiresGrad)
      .map(([n]) => n)
  assert.equal(trained(), ['embedTokens.weight', 'gain'])
  m.unfreeze('layers.*.attn.bias')
  assert.equal(trained(), [
    'embedTokens.weight',
    'layers.0.attn.bias',
    'layers.1.attn.bias',
    'gain',
  ])
  assertThrows(() => m.freeze('layer.*'), ShaktiError, "'layer.*'")
  assert.is(
    m
      .freeze()
      .unfreeze()
      .parameters()
      .every((p) => p.requiresGrad),
    true,
  )
  assert.is(matchesPattern('a.b.c', 'a.*.c'), true)
  assert.is(matchesPattern('a.c', 'a.*.c'), false)
  assert.is(matchesPattern('abab', 'ab*ab*ab'), false)
})

test('train and eval reach every module below', () => {
  const m = new Model().eval()
  assert.is(m.drop.training, false)
  assert.is(m.train().drop.training, true)
})

test('Sequential runs its layers in order and names them by number', () => {
  manualSeed(1)
  const [a, b] = [new Linear(3, 4), new Linear(4, 2)]
  const s = new Sequential(a, new GELU(), b)
  const x = tensor(fill(1, 6), { shape: [2, 3] })
  assertClose(s.forward(x).dataSync(), b.forward(a.forward(x).gelu()).dataSync(), 1e-7)
  assert.equal(Object.keys(s.stateDict()), ['0.weight', '0.bias', '2.weight', '2.bias'])
  assert.is(s.at(-1), b)
  assertThrows(() => s.at(3), ShaktiError, '3')
})

test('a parameter outlives the scope in which its module was made', () => {
  const m = tidy(() => {
    const made = { module: new Linear(3, 3) }
    return made
  })
  assert.is(m.module.weight.disposed, false)
  assert.is(m.module.weight.dataSync().length, 9)
})

test('a module built on meta takes no memory, refuses use by path, and works once filled', () => {
  const big = meta(() => new Linear(1 << 20, 1 << 20))
  assert.is(big.numParameters(), 2 ** 40 + 2 ** 20)
  const m = meta(() => new Model(true))
  assertThrows(
    () => m.layers.at(1).attn.forward(ones([1, 3])),
    UninitialisedError,
    'layers.1.attn.weight',
  )
  const filled = new Model(true)
  m.loadStateDict(filled.stateDict())
  assert.is(m.head.weight, m.embedTokens.weight)
  const x = tensor(fill(1, 3), { shape: [1, 3] })
  assertClose(m.head.forward(x).dataSync(), filled.head.forward(x).dataSync(), 1e-9)
  assert.is(m.gain.requiresGrad, true)
  // Its own memory, not the source's.
  noGrad(() => filled.gain.fill_(9))
  assert.ok(m.gain.dataSync()[0] !== 9)
})

test('to({ dtype }) converts every parameter and keeps ties and frozenness', () => {
  const m = new Model(true).freeze('gain').to({ dtype: 'bf16' })
  assert.ok(m.parameters().every((p) => p.dtype === 'bf16'))
  assert.is(m.head.weight, m.embedTokens.weight)
  assert.is(m.gain.requiresGrad, false)
  assertThrows(() => m.to({ dtype: 'i32' }), ShaktiError, 'i32')
})

test('what a module cannot take is named: a device, a state that is no tensors, sizes that are no sizes', () => {
  const m = new Linear(2, 3)
  assertThrows(() => m.to('tpu' as never), ShaktiError, "'tpu'", 'cpu')
  assertThrows(() => m.to({ place: 'cuda' } as never), ShaktiError, "'place'")
  assertThrows(() => m.loadStateDict(null as never), ShaktiError, '[loadStateDict]')
  assertThrows(() => m.loadStateDict({ weight: [1] } as never), ShaktiError, 'weight')
  assertThrows(() => new Linear(2.5, 3), ShaktiError, '[parameter]', '2.5')
  assertThrows(() => new Linear(NaN, 3), ShaktiError, '[parameter]', 'NaN')
})

test('compute bf16 multiplies with a working copy, and gradients reach the f32 master', () => {
  manualSeed(5)
  const m = new MLP(8, 16)
  const x = tensor(fill(2, 24), { shape: [3, 8], requiresGrad: true })
  const exact = m.forward(x)
  exact.sum().backward()
  const [dx, dw] = [x.grad!.dataSync(), m.fc1.weight.grad!.dataSync()]
  x.grad = m.fc1.weight.grad = undefined
  m.to({ compute: 'bf16' })
  const copy = m.workingCopy('fc1.weight')!
  assert.is(copy.dtype, 'bf16')
  const y = m.forward(x)
  assert.is(y.dtype, 'bf16')
  assertClose(y.dataSync(), exact.dataSync(), 1e-2)
  y.sum().backward()
  assert.is(m.fc1.weight.grad!.dtype, 'f32')
  assertClose(x.grad!.dataSync(), dx, 2e-2)
  assertClose(m.fc1.weight.grad!.dataSync(), dw, 2e-2)
  // The forward pass reads the copy, and writing the master writes it too.
  noGrad(() => copy.fill_(0))
  assert.ok(
    m.fc1
      .forward(x)
      .dataSync()
      .every((v, i) => v === m.fc1.bias!.to('bf16').dataSync()[i % 16]),
  )
  noGrad(() => m.fc1.weight.copy_(ones([16, 8])))
  assertClose(copy.dataSync(), new Float32Array(128).fill(1), 1e-9)
  m.to({ compute: 'f32' })
  assert.is(m.workingCopy('fc1.weight'), undefined)
  assert.is(m.forward(x).dtype, 'f32')
})

test('a LoRA layer changes nothing at first, trains its two matrices alone, and merges into the base and back', () => {
  manualSeed(3)
  const base = new Linear(6, 4)
  const before = Array.from(base.weight.dataSync())
  const x = tensor(fill(4, 12), { shape: [2, 6] })
  const plain = base.forward(x).dataSync()
  const lora = new LoRALinear(base, 2, { alpha: 6 })
  assertClose(lora.forward(x).dataSync(), plain, 1e-7)
  lora.forward(x).sum().backward()
  assert.is(base.weight.grad, undefined)
  assert.ok(lora.loraB.grad!.dataSync().some((v) => v !== 0))
  noGrad(() => lora.loraB.copy_(tensor(fill(8, 8), { shape: [4, 2] })))
  const adapted = lora.forward(x).dataSync()
  assert.ok(adapted.some((v, i) => Math.abs(v - plain[i]!) > 1e-2))
  // scale = 6 / 2
  assertClose(
    adapted,
    base.forward(x).add(x.matmul(lora.loraA.mT()).matmul(lora.loraB.mT()).mul(3)).dataSync(),
    1e-5,
  )
  const within = (layer: Linear | LoRALinear): Tensor =>
    layer.forward(x, {
      activation: 'silu',
      swiglu: tensor(fill(6, 8), { shape: [2, 4] }),
      residual: tensor(fill(5, 8), { shape: [2, 4] }),
    })
  const epilogue = within(lora).dataSync()
  lora.merge()
  assertClose(within(lora).dataSync(), epilogue, 1e-5)
  assertClose(within(base).dataSync(), epilogue, 1e-5)
  lora.merge()
  assertClose(lora.forward(x).dataSync(), adapted, 1e-5)
  assertClose(base.forward(x).dataSync(), adapted, 1e-5)
  lora.unmerge()
  assertClose(base.weight.dataSync(), before, 1e-6)
  assertThrows(() => new LoRALinear(base, 5), ShaktiError, '1 to 4', '5')
})

test('SwiGLU gives the same in one pass as in ops of its own, which it takes where there is a gradient', () => {
  manualSeed(2)
  const [mlp, x] = [new SwiGLU(6, 20), tensor(fill(7, 18), { shape: [3, 6] })]
  const [gate, up] = [mlp.gateProj, mlp.upProj].map((l) => x.matmul(l.weight.mT()))
  const want = mlp.downProj.forward(swiglu(gate!, up!)).dataSync()
  assert.equal(mlp.forward(x).dataSync(), want)
  assert.equal(noGrad(() => mlp.forward(x)).dataSync(), want)
})

test('addLora replaces the Linears that fit, so that a frozen model trains a few matrices', () => {
  const m = new Model().freeze()
  const added = addLora(m, ['layers.*.attn'], 1)
  assert.equal([...added.keys()], ['layers.0.attn', 'layers.1.attn'])
  const trained = Array.from(m.namedParameters())
    .filter(([, p]) => p.requiresGrad)
    .map(([n]) => n)
  assert.equal(trained, [
    'layers.0.attn.loraA',
    'layers.0.attn.loraB',
    'layers.1.attn.loraA',
    'layers.1.attn.loraB',
  ])
  assertThrows(() => addLora(m, ['nothing.*'], 1), ShaktiError, "'nothing.*'")
})

test('a parameter that the tape follows is not changed outside noGrad', () => {
  assertThrows(() => new Linear(2, 2).weight.fill_(0), AutogradError)
})

test.run()
