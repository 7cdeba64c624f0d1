import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { assert, test } from './assert.js'

const { checkImports } = (await import(
  new URL('../scripts/check-imports.mjs', import.meta.url).href
)) as {
  checkImports: (root: string) => string[]
}

/** A small repository with these files, and what the check says about it. */
function check(files: Record<string, string>): string[] {
  const root = mkdtempSync(join(tmpdir(), 'shakti-imports-'))
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true })
      writeFileSync(join(root, name), text)
    }
    return checkImports(root)
  } finally {
    rmSync(root, { recursive: true })
  }
}

const pkg = (name: string, dependencies: Record<string, string> = {}): string =>
  JSON.stringify({ name, dependencies })

test('this repository keeps the rules of what may depend on what', () => {
  assert.equal(checkImports(fileURLToPath(new URL('../../..', import.meta.url))), [])
})

test('a kernel that includes nan is found, the addon may', () => {
  const found = check({
    'kernels/src/runtime/stream.cc': '#include <vector>\n  #include <nan.h>\n',
    'kernels/src/addon/addon.cc': '#include <nan.h>\n',
  })
  assert.is(found.length, 1)
  assert.match(found[0]!, 'stream.cc: includes nan.h')
})

test('a tensor module that imports nn, zod or sharp is found, also behind export and dynamic import', () => {
  const found = check({
    'packages/tensor/package.json': pkg('@shakti/tensor', {
      '@shakti/nn': '*',
      zod: '*',
      sharp: '*',
    }),
    'packages/tensor/src/a.ts':
      "export * from '@shakti/nn'\nconst z = await import('zod')\nimport sharp from 'sharp'\n// import 'uvu'\n",
  })
  assert.is(found.length, 3)
})

test('nn may not read files or name a model, except in a comment', () => {
  const found = check({
    'packages/nn/package.json': pkg('@shakti/nn'),
    'packages/nn/src/a.ts':
      "// as in Llama\nimport { readFileSync } from 'node:fs'\nconst k = 'llama.layers'\n",
  })
  assert.is(found.length, 2)
})

test('the tokenizer imports nothing of ours and the trainer no model', () => {
  const found = check({
    'packages/tokenizer/package.json': pkg('@shakti/tokenizer', { '@shakti/tensor': '*' }),
    'packages/tokenizer/src/a.ts': "import type { Tensor } from '@shakti/tensor'\n",
    'packages/trainer/package.json': pkg('@shakti/trainer', { '@shakti/vlm': '*' }),
    'packages/trainer/src/a.ts': "import '@shakti/vlm'\n",
  })
  assert.is(found.length, 2)
})

test('an import of the sources of another package, or of one that is not listed, is found', () => {
  const found = check({
    'packages/nn/package.json': pkg('@shakti/nn', { '@shakti/tensor': '*' }),
    'packages/nn/src/a.ts':
      "import '../../tensor/src/index.js'\nimport '@shakti/tensor/src/x.js'\nimport 'lodash'\n",
  })
  assert.is(found.length, 3)
})

test('process.env is for device.ts and command lines', () => {
  const found = check({
    'packages/tensor/package.json': pkg('@shakti/tensor'),
    'packages/tensor/src/device.ts': 'export const a = process.env.SHAKTI_CPU\n',
    'packages/tensor/src/b.ts': 'export const a = globalThis.process.env\n',
    'packages/tensor/src/c.ts': '// process.env\n',
  })
  assert.is(found.length, 1)
  assert.match(found[0]!, 'b.ts')
})

test('a tool for tests is no dependency', () => {
  assert.is(check({ 'packages/nn/package.json': pkg('@shakti/nn', { uvu: '*' }) }).length, 1)
})

test.run()
