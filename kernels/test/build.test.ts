// What is generated and built fits together, and a machine without a compiler is told what to install.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { assert, info, native, test } from './border.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const script = (name: string): string => join(root, 'scripts', name)

test('the command layout of TypeScript is generated from the OP lines as they stand', () => {
  const { status, stderr } = spawnSync(process.execPath, [script('gen.mjs'), '--check'], {
    encoding: 'utf8',
  })
  assert.is(status, 0, stderr)
})

test('the addon was built with that layout, and its ops stand in the same order', () => {
  const text = readFileSync(join(root, '../packages/tensor/src/native/commands.gen.ts'), 'utf8')
  assert.is(/abi = '(\w+)'/.exec(text)?.[1], info.abi)
  const rows = [...text.matchAll(/^ {2}(\w+): \{ code: (\d+),/gm)]
  assert.equal(
    rows.map((r) => r[1]),
    native.opNames(),
  )
  assert.equal(
    rows.map((r) => Number(r[2])),
    rows.map((_, i) => i),
  )
})

test('without a compiler the build says in one sentence what to install', () => {
  const bin = mkdtempSync(join(tmpdir(), 'shakti-bin-'))
  symlinkSync(process.execPath, join(bin, 'node'))
  // Other flags, so that what is built already does not do.
  const { status, stderr } = spawnSync(process.execPath, [script('build.mjs')], {
    encoding: 'utf8',
    env: { PATH: bin, HOME: bin, CXXFLAGS: '-DSHAKTI_OTHER' },
  })
  rmSync(bin, { recursive: true })
  assert.is(status, 1)
  assert.is(stderr.trim().split('\n').length, 1, stderr)
  assert.match(stderr, /apt install g\+\+ make python3/)
})

test('an addon that cannot be loaded is reported with every place and how to build it', () => {
  const copy = mkdtempSync(join(tmpdir(), 'shakti-lib-'))
  const loader = readFileSync(join(root, 'lib/index.cjs'), 'utf8')
  const { status, stderr } = spawnSync(process.execPath, ['-e', loader], {
    encoding: 'utf8',
    cwd: copy,
    env: { ...process.env, SHAKTI_KERNELS: join(copy, 'none.node') },
  })
  rmSync(copy, { recursive: true })
  assert.is(status, 1)
  assert.match(stderr, /no native addon for .*could be loaded/)
  assert.match(stderr, /none\.node: not there/)
  assert.match(stderr, /npm run build/)
})

test.run()
