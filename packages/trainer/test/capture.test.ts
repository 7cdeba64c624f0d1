// A whole training step, captured: what its replays leave is what as many steps leave, to the bit.
import { capture, getRngState, tensor, type Tensor } from '@shakti/tensor'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AdamW, collate, Muon, parameterGroups, trainStep, type Optimizer } from '../src/index.js'
import { loss, Nano, someSamples, weightsOf } from './nano.js'
import { values } from './tiny.js'

const steps = 6

class Training {
  readonly model = new Nano({ dropout: 0.1 })
  readonly #named = [...this.model.namedParameters()]
  readonly optimizer: Optimizer
  readonly #batches = [collate(someSamples(3)), collate(someSamples(2))]

  constructor(kind: typeof AdamW | typeof Muon, checkpointed: boolean) {
    this.model.activationCheckpointing = checkpointed
    this.optimizer = new kind(
      parameterGroups({ name: 's', lr: 0.02, weightDecay: 0.1 }, this.#named),
    )
  }

  step(lrFactor: number | Tensor): Tensor {
    return trainStep({
      model: this.model,
      loss,
      batches: this.#batches,
      parameters: this.#named.map(([, p]) => p),
      optimizer: this.optimizer,
      lrFactor,
      clip: 1,
    }).values
  }

  state(): unknown {
    const moments = Object.entries(this.optimizer.state()).map(([k, t]) => [k, values(t)])
    return {
      weights: weightsOf(this.model),
      moments,
      steps: this.optimizer.steps,
      rng: getRngState(),
    }
  }
}

for (const kind of [AdamW, Muon]) {
  for (const checkpointed of [false, true]) {
    test(`${kind.name}${checkpointed ? ' with activation checkpointing' : ''}: replays give the bits of steps`, () => {
      const factor = (i: number): number => 1 / (i + 1)
      const eager = new Training(kind, checkpointed)
      const want = Array.from({ length: steps }, (_, i) => values(eager.step(factor(i))))
      const state = eager.state()

      const captured = new Training(kind, checkpointed)
      const lrFactor = tensor(factor(0), { dtype: 'f64' })
      // The first step makes what the model keeps from step to step, such as rotary tables.
      const got = [values(captured.step(lrFactor))]
      const step = capture(() => captured.step(lrFactor))
      for (let i = 1; i < steps; i++) {
        lrFactor.fill_(factor(i))
        got.push(values(step.replay()))
      }
      assert.equal(got, want)
      assert.equal(captured.state(), state)
      assert.is(captured.optimizer.steps, steps)
      step.dispose()
    })
  }
}

test.run()
