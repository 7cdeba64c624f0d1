// The op table as a whole: nothing half added.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import * as api from '@shakti/tensor'
import { commands } from '../src/native/commands.gen.js'
import { families } from '../src/ops/index.js'
import { assert, test } from './assert.js'
import { table } from './ops-table.js'

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

test('commands.gen.ts and abi.gen.h are what gen.mjs makes of the OP lines', () => {
  execFileSync(process.execPath, [path('../../../kernels/scripts/gen.mjs'), '--check'], {
    stdio: 'pipe',
  })
})

test('every command of the native side is issued by some op', () => {
  const sources = readdirSync(path('../src'), { recursive: true, encoding: 'utf8' })
    .filter((f) => f.endsWith('.ts') && !f.endsWith('.gen.ts'))
    .map((f) => readFileSync(path(`../src/${f}`), 'utf8'))
    .join('\n')
  // A family may name its backward by its forward: `${command}_backward`.
  const named = (c: string): boolean => sources.includes(`'${c}'`)
  const byPattern = (c: string): boolean =>
    c.endsWith('_backward') && sources.includes('`${command}_backward`') && named(c.slice(0, -9))
  assert.equal(
    Object.keys(commands).filter((c) => !named(c) && !byPattern(c)),
    [],
  )
})

test('every method of the families is in the table that is compared with PyTorch', () => {
  // Aliases of others, and casts that other tests pin.
  const covered = ['float', 'clone', 'contiguous', 'view', 'broadcastTo', 'squeeze', 'unsqueeze']
  const runs = Object.values(table).map(String).join('\n')
  const missing = Object.values(families)
    .flatMap((f) => Object.keys(f))
    .filter((name) => !covered.includes(name) && !runs.includes(`.${name}(`))
  assert.equal(missing, [])
})

test('every method of the families is on Tensor', () => {
  for (const family of Object.values(families)) {
    for (const name of Object.keys(family)) {
      assert.type(
        (api.Tensor.prototype as unknown as Record<string, unknown>)[name],
        'function',
        name,
      )
    }
  }
})

test.run()
