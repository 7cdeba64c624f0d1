// Times by the GPU's own clock, beneath bench:cuda.
import { isCudaAvailable, zeros } from '@shakti/tensor'
import { native } from '../../src/native/binding.js'
import { assert, test } from '../assert.js'

if (!isCudaAvailable()) {
  test.skip('no GPU: SHAKTI_LIBCUDA names none, and this machine has none', () => undefined)
} else {
  test('marks among the commands give the time from each to the next, once', () => {
    const place = 1
    const x = zeros([64], { device: 'cuda' })
    native().mark(place)
    x.add(1)
    native().mark(place)
    native().mark(place)
    const times = native().times(place)
    assert.is((times as number[]).length, 2)
    assert.equal(native().times(place), [])
  })
}

test.run()
