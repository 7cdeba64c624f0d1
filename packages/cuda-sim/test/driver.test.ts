// test-timeout: 600
// The driver's C++ tests (native/test/driver*_test.cc): each opens the built library, and each case runs in a process of
// its own. Their names become the names of these tests.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { simulatorPath } from '../src/index.js'

const path = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url))
const built = spawnSync(process.execPath, [path('scripts/build.mjs'), '--tests'], {
  encoding: 'utf8',
})

test('the library and its tests are built', () => {
  assert.is(built.status, 0, built.stdout + built.stderr)
})

for (const program of ['driver', 'driver_streams', 'driver_graphs', 'driver_fuzz']) {
  const { stdout, stderr, status } = spawnSync(
    path(`build/test/${program}`),
    [simulatorPath(), path('native/test/fixtures')],
    { encoding: 'utf8' },
  )
  let before: string[] = []
  for (const line of stdout.split('\n')) {
    const result = /^(ok|not ok) (.*)$/.exec(line)
    if (!result) {
      before.push(line)
      continue
    }
    const why = `${before.join('\n')}\n${stderr}`
    before = []
    test(result[2]!, () => assert.is(result[1], 'ok', why))
  }
  test(`${program}: all of them ran`, () => {
    assert.is(status, 0, stdout + stderr)
    assert.match(stdout, /\d+ passed, 0 failed\n$/)
  })
}

test("numbers and layouts are those of NVIDIA's cuda.h, and occupancy what cuda_occupancy.h says", () => {
  const { stdout, status } = spawnSync(path('build/test/abi'), { encoding: 'utf8' })
  assert.is(status, 0, stdout)
  assert.match(stdout, /^(abi: \d+ occupancies compared, 0 failures|skipped: no cuda\.h)/)
  if (stdout.startsWith('skipped')) console.log(stdout)
})

test.run()
