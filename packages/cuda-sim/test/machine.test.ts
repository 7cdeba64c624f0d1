// test-timeout: 600
// The C++ tests of the parts below the driver: every native/test/*_test.cc that doesn't open the library itself.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const path = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url))
const built = spawnSync(process.execPath, [path('scripts/build.mjs'), '--tests'], {
  encoding: 'utf8',
})

test('the tests are built', () => {
  assert.is(built.status, 0, built.stdout + built.stderr)
})

const programs = readdirSync(path('native/test'))
  .filter((name) => name.endsWith('_test.cc') && !name.startsWith('driver'))
  .map((name) => name.slice(0, -'_test.cc'.length))
  .filter((name) => name !== 'abi')
for (const program of programs) {
  test(`${program}: all checks hold`, () => {
    const { stdout, stderr, status } = spawnSync(path(`build/test/${program}`), {
      encoding: 'utf8',
      cwd: path('.'), // where they were compiled, from which they know their files
    })
    assert.is(status, 0, stdout + stderr)
    assert.match(stdout, new RegExp(`^${program}: good$`, 'm'))
  })
}

test.run()
