import { noGrad, tidy, zerosLike } from '@shakti/tensor'
import type { MLP, Parameter } from '@shakti/nn'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  collate,
  FolderCheckpointer,
  NonFiniteError,
  run,
  type Loss,
  type Stage,
  type TokenBatch,
} from '../src/index.js'
import { loss, Nano, rejects, someSamples, temporaryFolder, weightsOf } from './nano.js'

const fill = (p: Parameter, value: number): void =>
  noGrad(() => tidy(() => void p.copy_(zerosLike(p).add(value))))

/** The batches of the steps that are to fail. */
const bad = new WeakSet<TokenBatch>()

/** Two good steps, then `meddle`, then a step that is to fail; two more could follow. */
async function fails(
  meddle: (model: Nano) => void,
  change: Partial<Stage<Nano, TokenBatch>> = {},
): Promise<{ error: NonFiniteError; model: Nano; before: Record<string, number[]> }> {
  const model = new Nano({ dropout: 0.1 })
  let before: Record<string, number[]> = {}
  const stage: Stage<Nano, TokenBatch> = {
    name: 'text',
    lr: 1e-2,
    steps: 5,
    loss,
    data: {
      batch: (step) => {
        if (step === 2) {
          meddle(model)
          before = weightsOf(model)
        }
        const batch = collate(someSamples(4, step))
        if (step === 2) bad.add(batch)
        return [batch]
      },
    },
    ...change,
  }
  const error = await rejects(run(stage, { model, quiet: true }), /stage text, step 2/)
  if (!(error instanceof NonFiniteError)) throw error
  assert.is(error.step, 2)
  assert.is(error.stage, 'text')
  return { error, model, before }
}

test('a forward pass that overflows names the module where it began, and no weight has moved', async () => {
  const { error, model, before } = await fails(({ layers }) => {
    const mlp = layers.at(1).block.mlp as MLP
    fill(mlp.fc1.weight, 1e25)
    fill(mlp.fc2.weight, 1e25)
  })
  assert.is(error.path, 'layers.1.block.mlp.fc2')
  assert.match(error.message, /module layers\.1\.block\.mlp\.fc2/)
  assert.match(error.message, /learning rate/)
  // Though the next step was issued before the numbers of the bad one were read.
  assert.equal(weightsOf(model), before)
  assert.not.ok(Object.hasOwn(model.head, 'forward'), 'the watch is taken off')
  assert.ok(model.parameters().every((p) => p.grad === undefined))
})

test('a bad gradient behind a good loss names the first parameter it reached', async () => {
  const steep: Loss<Nano, TokenBatch> = {
    ...loss,
    terms(model, batch) {
      const { sum } = loss.terms(model, batch)
      // The slope of a root at nought.
      return { sum: bad.has(batch) ? sum.add(model.norm.weight.mul(0).sqrt().sum()) : sum }
    },
  }
  const { error, model, before } = await fails(() => undefined, { loss: steep })
  assert.is(error.path, 'norm.weight')
  assert.match(error.message, /gradient.*norm\.weight/)
  assert.match(error.message, /comes out of 'div'/)
  assert.equal(weightsOf(model), before)
})

test('a bad loss with good gradients stops the run too, before it moves a weight', async () => {
  const broken: Loss<Nano, TokenBatch> = {
    ...loss,
    terms(model, batch) {
      const { sum } = loss.terms(model, batch)
      return { sum: bad.has(batch) ? sum.add(Infinity) : sum }
    },
  }
  const { error, model, before } = await fails(() => undefined, { loss: broken })
  assert.match(error.message, /loss Infinity, gradient length \d/)
  assert.equal(weightsOf(model), before)
})

test('a weight that is not finite itself is named', async () => {
  const { error } = await fails(({ layers }) => fill(layers.at(0).block.attn.qProj.bias!, NaN))
  assert.is(error.path, 'layers.0.block.attn.qProj.bias')
  assert.match(error.message, /parameter .* itself is not finite/)
})

test('the checkpoint from before the bad step is there to go on from', async () => {
  const model = new Nano()
  const checkpointer = new FolderCheckpointer(temporaryFolder())
  const stage = (meddle: boolean): Stage<Nano, TokenBatch> => ({
    name: 'text',
    lr: 1e-2,
    steps: 4,
    loss,
    data: {
      batch: (step) => {
        if (meddle && step === 3) fill(model.head.weight, NaN)
        return [collate(someSamples(4, step))]
      },
    },
  })
  await rejects(
    run(stage(true), { model, checkpointer, saveEvery: 2, quiet: true }),
    /head\.weight/,
  )
  const result = await run(stage(false), { model, checkpointer, quiet: true })
  assert.is(result.resumedFrom, 2)
  assert.ok(Number.isFinite(result.finalLoss))
  const fresh = new Nano()
  await run(stage(false), { model: fresh, quiet: true })
  assert.equal(weightsOf(model), weightsOf(fresh))
})

test.run()
