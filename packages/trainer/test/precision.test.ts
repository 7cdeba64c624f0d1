// bf16 compute over f32 masters, and recomputed activations.
import { tidy } from '@shakti/tensor'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  accumulate,
  batches,
  collate,
  FolderCheckpointer,
  pack,
  run,
  type Stage,
  type TokenBatch,
} from '../src/index.js'
import { clearGradients } from '../src/step.js'
import {
  gradientsOf,
  loss,
  Nano,
  rejects,
  someSamples,
  temporaryFolder,
  weightsOf,
} from './nano.js'
import { assertClose, loss as tinyLoss, TinyModel } from './tiny.js'

const samples = someSamples(8)

const stage = (change: Partial<Stage<Nano, TokenBatch>> = {}): Stage<Nano, TokenBatch> => ({
  name: 'text',
  lr: 3e-3,
  weightDecay: 0.1,
  data: batches(samples, { batchSize: 4, collate: (s) => collate(s) }),
  steps: 8,
  loss,
  ...change,
})

/** Each working copy beside its master rounded anew. */
function copies(model: Nano): { name: string; copy: number[]; master: number[] }[] {
  return Array.from(model.namedParameters()).flatMap(([name, p]) =>
    p.workingCopy
      ? [
          {
            name,
            copy: Array.from(tidy(() => p.workingCopy!.to('f32')).dataSync()),
            master: Array.from(tidy(() => p.detach().to('bf16').to('f32')).dataSync()),
          },
        ]
      : [],
  )
}

test('bf16 products train f32 masters, and the working copies follow every step', async () => {
  const model = new Nano().to({ compute: 'bf16' })
  const before = weightsOf(model)
  const steps = new Nano()
  const [exact, rounded] = [
    await run(stage(), { model: steps, quiet: true }),
    await run(stage(), { model, quiet: true }),
  ]
  assert.ok(model.parameters().every((p) => p.dtype === 'f32'))
  const all = copies(model)
  assert.is(all.length, 13)
  for (const { name, copy, master } of all) {
    assert.equal(copy, master, name)
    assert.not.equal(master, before[name], name)
  }
  // The masters hold what bf16 cannot: most of them are not bf16 numbers.
  const after = weightsOf(model)
  const fine = all.flatMap(({ name, copy }) => after[name]!.filter((v, i) => v !== copy[i]))
  assert.ok(fine.length > 1000, `${fine.length} masters differ from their copies`)
  assertClose(
    rounded.history.map((p) => p.loss),
    exact.history.map((p) => p.loss),
    { rtol: 2e-2 },
  )
  assert.not.equal(rounded.history[0]!.loss, exact.history[0]!.loss)
})

test('updates too small for bf16 add up in the master', async () => {
  const model = new Nano().to({ compute: 'bf16' })
  const before = weightsOf(model)['head.weight']!
  // 1e-5 beside weights of about 0.2 is below bf16's resolution of 2^-10 there.
  await run(stage({ lr: 1e-5, weightDecay: 0, steps: 8 }), { model, quiet: true })
  const moved = weightsOf(model)['head.weight']!.filter((v, i) => v !== before[i])
  assert.ok(moved.length > 0.9 * before.length, `${moved.length} of ${before.length} moved`)
})

test('gradients reach the masters in f32, near those of exact products', () => {
  const [exact, rounded] = [new Nano(), new Nano().to({ compute: 'bf16' })]
  const of = (model: Nano): number[] => {
    tidy(() => accumulate(loss, model, [collate(samples)]).values.dispose())
    assert.ok(model.parameters().every((p) => p.grad?.dtype === 'f32'))
    return gradientsOf(model)
  }
  const [want, got] = [of(exact), of(rounded)]
  const difference = Math.hypot(...got.map((g, i) => g - want[i]!)) / Math.hypot(...want)
  assert.ok(difference > 0 && difference < 0.02, `relative difference ${difference}`)
})

test('a bf16 run that is stopped goes on bit for bit', async () => {
  const make = (seed = 1): Nano => new Nano({ seed, dropout: 0.1 }).to({ compute: 'bf16' })
  const whole = make()
  const want = await run(stage(), { model: whole, quiet: true })
  const checkpointer = new FolderCheckpointer(temporaryFolder())
  const stop = new AbortController()
  const { data } = stage()
  const stopping = {
    ...data,
    batch: (step: number): ReturnType<typeof data.batch> => {
      if (step === 5) stop.abort()
      return data.batch(step)
    },
  }
  await run(stage({ data: stopping }), {
    model: make(),
    checkpointer,
    signal: stop.signal,
    quiet: true,
  })
  const model = make(99)
  const got = await run(stage(), { model, checkpointer, quiet: true })
  assert.is(got.resumedFrom, 5)
  assert.equal(got.history, want.history)
  assert.equal(weightsOf(model), weightsOf(whole))
  assert.equal(copies(model), copies(whole))
})

test('recomputed activations give the same loss and the same gradients, with dropout too', () => {
  for (const batch of [collate(samples), pack(samples)]) {
    const of = (activationCheckpointing: boolean): { loss: number; grads: number[] } => {
      const model = new Nano({ dropout: 0.3 })
      model.activationCheckpointing = activationCheckpointing
      const { values } = tidy(() => accumulate(loss, model, [batch, batch]))
      const out = { loss: values.dataSync()[0]!, grads: gradientsOf(model) }
      clearGradients(model.parameters())
      return out
    }
    const [kept, recomputed] = [of(false), of(true)]
    assert.is(recomputed.loss, kept.loss)
    assert.is(recomputed.grads.length, new Nano().numParameters())
    assertClose(recomputed.grads, kept.grads, { rtol: 1e-5, atol: 1e-7 })
  }
})

test('a stage turns recomputation on and puts it back; a model without it is refused', async () => {
  const model = new Nano({ dropout: 0.3 })
  const seen: boolean[] = []
  const watching = {
    ...loss,
    terms: (m: Nano, b: TokenBatch): ReturnType<typeof loss.terms> => {
      seen.push(m.activationCheckpointing)
      return loss.terms(m, b)
    },
  }
  const got = await run(stage({ activationCheckpointing: true, loss: watching, steps: 3 }), {
    model,
    quiet: true,
  })
  assert.equal(seen, [true, true, true])
  assert.is(model.activationCheckpointing, false)
  const want = await run(stage({ steps: 3 }), { model: new Nano({ dropout: 0.3 }), quiet: true })
  assertClose(
    got.history.map((p) => p.loss),
    want.history.map((p) => p.loss),
  )
  await rejects(
    run(
      { ...stage(), loss: tinyLoss, activationCheckpointing: true },
      { model: new TinyModel(), quiet: true },
    ),
    /the model has no such property/,
  )
})

test.run()
