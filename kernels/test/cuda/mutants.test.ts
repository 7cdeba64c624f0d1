// test-timeout: 300
// The planted faults (mutants.ts) fit the sources, three or more a family; with SHAKTI_DEVICE=cuda a few of them are planted and must be
// seen. All of them: npm run mutants -w @shakti/kernels.
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { assert, test } from '../../../packages/tensor/test/assert.js'
import { families } from '../../../packages/tensor/test/cuda/families.js'
import { mutants, quick } from './mutants.js'
import { missing, mutated, plant, seen } from './plant.js'

const root = fileURLToPath(new URL('../../', import.meta.url))

test('every fault fits one place of its file and changes it', () => {
  for (const m of mutants) assert.is.not(mutated(m), mutated({ ...m, becomes: m.at }))
})

test('each family of kernels has cases, and three faults or more', () => {
  const folders = readdirSync(`${root}src/ops`).filter((f) =>
    existsSync(`${root}src/ops/${f}/cuda.cu`),
  )
  assert.equal(Object.keys(families).sort(), folders.sort())
  const few = folders.filter((f) => mutants.filter((m) => m.family === f).length < 3)
  assert.equal(few, [])
})

const why = process.env.SHAKTI_DEVICE === 'cuda' ? missing() : 'SHAKTI_DEVICE is not cuda'
if (why) {
  test.skip(`faults are planted: ${why}`, () => undefined)
} else {
  test('without a fault nothing is seen', async () => {
    const names = [...new Set(quick.map((m) => m.family))]
    assert.is(await seen(names, `${root}build/cuda`), '')
  })
  for (const m of quick) {
    test(`it is seen when ${m.what} (${m.family})`, async () => {
      assert.is.not(await plant(m), '')
    })
  }
}

test.run()
