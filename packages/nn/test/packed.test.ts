// Modules whose Linears are packed for inference.
import {
  AutogradError,
  DTypeError,
  manualSeed,
  memory,
  noGrad,
  randn,
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
  pack_,
  PackedLinear,
  RMSNorm,
  UninitialisedError,
  unpack_,
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
// More than 16 rows: products of as many bits as before.
const ids = tensor(Int32Array.from({ length: 20 }, (_, i) => (i * 7) % 20))
const run = (model: Model): Float32Array =>
  tidy(() => noGrad(() => model.forward(ids).dataSync() as Float32Array))

test('a packed module gives the same bits, frees what it replaced, and comes back', () => {
  manualSeed(1)
  const model = new Model()
  const want = run(model)
  const weights = [...model.layers].map((l) => l.fc1.weight)
  const head = model.lmHead
  const before = counts().tensors
  assert.is(pack_(model, { except: ['lmHead'] }), model)
  assert.is(memory().tensors, before)
  assert.is(model.lmHead, head)
  const packed = model.layers.at(0).fc1 as unknown as PackedLinear
  assert.instance(packed, PackedLinear)
  assert.equal([packed.inWidth, packed.outWidth, packed.weight.dtype], [48, 96, 'f32'])
  assert.ok(weights.every((w) => w.disposed))
  assert.equal(run(model), want)
  tidy(() => assertThrows(() => packed.forward(randn([2, 1])), ShapeError, 'in 48', 'f32[2, 1]'))

  assert.is(unpack_(model), model)
  assert.is(memory().tensors, before)
  assert.instance(model.layers.at(1).fc2, Linear)
  assert.equal(run(model), want)
  assert.equal(Object.keys(model.stateDict()), Object.keys(new Model().stateDict()))
  assertThrows(() => pack_(model, { only: ['nothing.*'] }), ShaktiError, "'nothing.*'")
})

test('a dtype of products goes over; it cannot change while packed', () => {
  manualSeed(2)
  const model = new Model().to({ compute: 'bf16' })
  const want = run(model)
  pack_(model)
  assert.equal(run(model), want)
  const fc1 = model.layers.at(0).fc1 as unknown as PackedLinear
  assert.is(fc1.weight.dtype, 'bf16')
  model.to({ compute: 'bf16' })
  assertThrows(() => model.to({ compute: 'f32' }), ShaktiError, 'bf16', 'unpack_')
  unpack_(model)
  assert.is(model.lmHead.weight.dtype, 'bf16')
})

test('a state dict is refused in both directions, naming the layer', () => {
  const model = pack_(new Model(), { only: ['layers.1.fc2'] })
  assertThrows(() => model.stateDict(), ShaktiError, 'stateDict', 'layers.1.fc2', 'unpack_')
  const state = new Model().stateDict()
  assertThrows(() => model.loadStateDict(state), ShaktiError, 'loadStateDict', 'layers.1.fc2')
  unpack_(model).loadStateDict(state)
})

test('shared weights are packed once and unpacked once; what an embedding holds stays', () => {
  const model = new Model()
  ;(model.lmHead as { weight: unknown }).weight = model.embedTokens.weight
  const [a, b] = [model.layers.at(0), model.layers.at(1)]
  ;(b.fc1 as { weight: unknown }).weight = a.fc1.weight
  const want = run(model)
  pack_(model)
  assert.is(a.fc1.weight, b.fc1.weight)
  assert.equal(run(model), want)
  unpack_(model)
  assert.is(a.fc1.weight, b.fc1.weight)
  assert.equal(run(model), want)
})

test('an error leaves the module as it was', () => {
  const model = new Model()
  const { fc2 } = model.layers.at(1)
  ;(fc2 as { weight: unknown }).weight = fc2.weight.with(fc2.weight.detach().to('f16'))
  assertThrows(() => pack_(model), DTypeError, 'f16')
  assert.instance(model.layers.at(0).fc1, Linear)
  assertThrows(() => pack_(meta(() => new Model())), UninitialisedError, 'lmHead.weight')
})

test('no gradient passes a packed layer, and LoRA cannot merge into one', () => {
  manualSeed(3)
  const model = new Model().freeze()
  const added = addLora(model, ['layers.*.fc1'], 2)
  pack_(model)
  assertThrows(() => model.forward(ids).sum().backward(), AutogradError, 'packedLinear')
  assertThrows(() => added.get('layers.0.fc1')!.merge(), ShaktiError, 'packed')
  assertClose(run(model), run(unpack_(model)), 1e-5)
})

test.run()
