import { noGrad, tensor, tidy, zerosLike } from '@shakti/tensor'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  collate,
  generated,
  hashTensors,
  run,
  select,
  type Stage,
  type TokenBatch,
} from '../src/index.js'
import { loss, Nano, rejects, someSamples, weightsOf } from './nano.js'

const stage = (change: Partial<Stage<Nano, TokenBatch>> = {}): Stage<Nano, TokenBatch> => ({
  name: 'align',
  train: ['embed.*', 'layers.*'],
  freeze: ['layers.1.*', '*.qNorm.*'],
  lr: 1e-2,
  weightDecay: 0.1,
  data: generated(() => collate(someSamples(4))),
  steps: 3,
  loss,
  ...change,
})

test('what a stage freezes stays bit for bit, and all else moves', async () => {
  const model = new Nano()
  const before = weightsOf(model)
  const result = await run(stage(), { model, quiet: true })
  const after = weightsOf(model)
  const isFrozen = (name: string): boolean => /^(norm|head|layers\.1)\.|qNorm/.test(name)
  for (const [name, values] of Object.entries(before)) {
    if (isFrozen(name)) assert.equal(after[name], values, name)
    else assert.not.equal(after[name], values, name)
  }
  const frozen = Array.from(model.namedParameters()).filter(([name]) => isFrozen(name))
  assert.is(
    result.frozen!.parameters,
    frozen.reduce((n, [, p]) => n + p.numel, 0),
  )
  assert.is(result.frozen!.hash, await hashTensors(frozen))
  assert.ok(model.parameters().every((p) => p.requiresGrad && p.grad === undefined))
})

test('a stage that freezes nothing has nothing to verify', async () => {
  const result = await run(stage({ train: ['*'], freeze: [] }), { model: new Nano(), quiet: true })
  assert.is(result.frozen, undefined)
})

test('frozen weights that something changes behind its back are an error with both hashes', async () => {
  const model = new Nano()
  const meddling = generated((step) => {
    // The smallest change there is: the last bit of one weight.
    if (step === 1) {
      const p = model.head.weight
      const bits = new Uint32Array(new Float32Array(p.dataSync()).buffer)
      bits[3]! ^= 1
      noGrad(() => p.copy_(tidy(() => tensor(new Float32Array(bits.buffer), { shape: p.shape }))))
    }
    return collate(someSamples(4))
  })
  await rejects(
    run(stage({ data: meddling }), { model, quiet: true }),
    /stage align.*changed weights that it froze.*[0-9a-f]{64}, is [0-9a-f]{64}/,
  )
})

test('patterns that fit nothing, or leave nothing to train, are refused', async () => {
  const model = new Nano()
  for (const [change, message] of [
    [
      { freeze: ['decoder.*'] },
      /pattern 'decoder\.\*' fits none of the \d+ parameters \(embed\.weight/,
    ],
    [{ train: ['embed.weigth'] }, /pattern 'embed\.weigth' fits none/],
    [{ lr: { 'heads.*': 1, '*': 2 } }, /pattern 'heads\.\*' fits none/],
    [{ train: ['embed.*'], freeze: ['*'] }, /trains no parameter/],
  ] as const) {
    assert.throws(() => select(model, { name: 's', ...change }), message)
  }
  for (const [change, message] of [
    [{ name: '../x' }, /stage name/],
    [{ steps: 0 }, /steps is 0/],
    [{ clip: 0 }, /clip is 0/],
  ] as const)
    await rejects(run(stage(change), { model, quiet: true }), message)
})

test('a loss that reaches no trained parameter is an error', async () => {
  const model = new Nano()
  const nowhere = {
    ...loss,
    terms: () => ({ sum: zerosLike(model.norm.weight, { requiresGrad: true }).sum() }),
  }
  await rejects(
    run(stage({ loss: nowhere }), { model, quiet: true }),
    /reaches none of the parameters in training/,
  )
})

test('the hash sees names, shapes, order and every bit', async () => {
  const a = tensor(Float32Array.of(1, 2))
  const of = (...named: [string, typeof a][]): Promise<string> => hashTensors(named)
  const base = await of(['a', a])
  assert.is(await of(['a', tensor(Float32Array.of(1, 2))]), base)
  for (const other of [
    await of(['b', a]),
    await of(['a', tensor(Float32Array.of(1, 2), { shape: [2, 1] })]),
    await of(['a', tensor(Float32Array.of(-1, 2))]),
    await of(['a', tensor(Int32Array.of(1065353216, 1073741824))]),
    await of(['a', a], ['a', a]),
  ])
    assert.is.not(other, base)
})

test.run()
