// The timing of bench:cuda, as far as a device without a clock can show it. Part of `npm run test:cuda`.
import { isCudaAvailable, setDefaultDevice } from '@shakti/tensor'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cases } from '../src/cuda/cases.js'
import { time } from '../src/cuda/time.js'

const onDevice = isCudaAvailable() ? test : test.skip

onDevice(
  'an op is run ten times a sample between marks, of which each sample has one time',
  async () => {
    setDefaultDevice('cuda')
    const rope = cases.find((c) => c.name === 'rope bf16')!
    let runs = 0
    const setup = (): (() => unknown) => {
      const run = rope.judged.setup()
      return () => {
        runs++
        return run()
      }
    }
    const timed = { ...rope.judged, setup, shape: 'small' }
    const result = await time({ ...rope, timed }, undefined, 1e-3)
    assert.is(result.shape, 'small')
    assert.ok(result.samples >= 5)
    assert.is(runs, 30 + 10 * result.samples)
    assert.is('share' in result, false)
  },
)

test.run()
