// Modules whose Linears are held in 8 or 4 bits.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  loadSafetensors,
  manualSeed,
  memory,
  noGrad,
  randn,
  saveSafetensors,
  ShaktiError,
  ShapeError,
  tensor,
  tidy,
  type Tensor,
} from '@shakti/tensor'
import {
  addLora,
  Embedding,
  Linear,
  meta,
  MLP,
  Module,
  ModuleList,
  quantize_,
  QuantizedLinear,
  RMSNorm,
  StateDictError,
  UninitialisedError,
} from '../src/index.js'
import { assert, assertClose, assertThrows, counts, test } from './assert.js'

class Model extends Module {
  readonly embedTokens = new Embedding(20, 48)
  readonly layers = new ModuleList([new MLP(48, 96), new MLP(48, 96)])
  readonly norm = new RMSNorm(48)
  readonly lmHead = new Linear(48, 20, { bias: false })

  forward(ids: Tensor): Tensor {
    let x = this.embedTokens.forward(ids)
    for (const layer of this.layers) x = x.add(layer.forward(x))
    return this.lmHead.forward(this.norm.forward(x))
  }
}
const ids = tensor(Int32Array.of(3, 1, 4, 1, 5, 9))

test('a QuantizedLinear gives nearly what its Linear gives, in the dtype of x', () => {
  manualSeed(1)
  const linear = new Linear(200, 30)
  linear.bias!.detach().copy_(randn([30]))
  const x = randn([2, 3, 200])
  const want = linear.forward(x).dataSync()
  for (const [bits, tolerance] of [
    [8, 0.05],
    [4, 0.4],
  ] as const) {
    const layer = QuantizedLinear.from(linear, { bits })
    assertClose(layer.forward(x).dataSync(), want, tolerance)
    assert.equal([layer.inWidth, layer.outWidth, layer.bits], [200, 30, bits])
    assert.equal([layer.forward(x.to('bf16')).dtype, layer.weight.requiresGrad], ['bf16', false])
  }
  assertThrows(
    () => QuantizedLinear.from(linear).forward(randn([2, 1])),
    ShapeError,
    'in 200',
    'f32[2, 1]',
  )
})

test('quantize_ replaces the Linears that fit and frees their weights; the output stays near', () => {
  manualSeed(2)
  const model = new Model()
  const want = tidy(() => noGrad(() => model.forward(ids).dataSync()))
  const weights = [...model.layers].map((l) => l.fc1.weight)
  const head = model.lmHead
  const before = counts().tensors
  assert.is(quantize_(model, { except: ['lmHead'] }), model)
  assert.is(memory().tensors, before)
  assert.is(model.lmHead, head)
  for (const layer of model.layers) {
    assert.instance(layer.fc1, QuantizedLinear)
    assert.instance(layer.fc2, QuantizedLinear)
  }
  assert.ok(weights.every((w) => w.disposed))
  assert.not(head.weight.disposed)
  assertClose(model.forward(ids).dataSync(), want, 0.05)
  assertThrows(() => quantize_(model, { only: ['layers.*'] }), ShaktiError, "'layers.*'")
  assertThrows(() => quantize_(new Linear(2, 2)), ShaktiError, 'no Linear')
})

test('a weight that others hold is not freed, and one that two Linears share is quantised once', () => {
  const model = new Model()
  ;(model.lmHead as { weight: unknown }).weight = model.embedTokens.weight
  const [a, b] = [model.layers.at(0), model.layers.at(1)]
  ;(b.fc1 as { weight: unknown }).weight = a.fc1.weight
  quantize_(model)
  assert.is(a.fc1.weight, b.fc1.weight)
  assert.equal(model.forward(ids).shape, [6, 20])
})

test('a quantised module comes back from a file into one built without values', async () => {
  manualSeed(3)
  const folder = mkdtempSync(join(tmpdir(), 'shakti-quantize-'))
  try {
    const path = join(folder, 'model.safetensors')
    const options = { bits: 4, zeroPoint: true } as const
    const model = quantize_(new Model(), options)
    const want = model.forward(ids).dataSync()
    const state = model.stateDict()
    assert.equal([state['lm_head.weight']!.dtype, state['layers.0.fc1.bias']!.dtype], ['u8', 'f32'])
    await saveSafetensors(path, state)
    const again = meta(() => quantize_(new Model(), options))
    assertThrows(() => again.forward(ids), UninitialisedError, 'embedTokens.weight')
    assertThrows(
      () => (again.lmHead as unknown as QuantizedLinear).forward(randn([1, 48])),
      UninitialisedError,
    )
    const { tensors } = loadSafetensors(path)
    again.loadStateDict(tensors)
    assert.equal(again.forward(ids).dataSync(), want)
    for (const format of [{ bits: 8 }, { bits: 4 }] as const) {
      const other = quantize_(new Model(), format)
      assertThrows(() => other.loadStateDict(tensors), StateDictError, 'lm_head.weight')
    }
    assertThrows(() => new Model().loadStateDict(tensors), StateDictError, 'lm_head.weight')
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a compute dtype goes over to the quantised layers and can be set on them', () => {
  const model = quantize_(new Model().to({ compute: 'bf16' }))
  assert.is(model.forward(ids).dtype, 'bf16')
  model.to({ compute: 'f32' })
  assert.is(model.forward(ids).dtype, 'f32')
  model.to({ dtype: 'bf16' })
  assert.is(model.layers.at(0).fc1.weight.dtype, 'u8')
})

test('LoRA trains on a quantised base: its matrices get gradients, the base has none', () => {
  manualSeed(4)
  const model = new Model().freeze()
  const added = addLora(model, ['layers.*.fc1'], 2)
  quantize_(model, { bits: 4 })
  model.forward(ids).square().sum().backward()
  const trained = Array.from(model.namedParameters()).filter(([, p]) => p.requiresGrad)
  assert.equal(
    trained.map(([name]) => name),
    [0, 1].flatMap((i) => [`layers.${i}.fc1.loraA`, `layers.${i}.fc1.loraB`]),
  )
  for (const [name, p] of trained) {
    if (name.endsWith('loraB')) assert.ok(p.grad!.dataSync().some((v) => v !== 0))
  }
  assertThrows(() => added.get('layers.0.fc1')!.merge(), ShaktiError, 'quantised')
})

test.run()
