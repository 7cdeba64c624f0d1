import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Tokenizer as NodeTokenizer } from '../src/index.js'
import { Tokenizer } from '../src/core.js'

const source = fileURLToPath(new URL('../src', import.meta.url))

const codeOf = (path: string): string =>
  readFileSync(path, 'utf8').replace(/^\s*(\/\/|\/?\*).*$/gm, '')

/** All that a module imports, by path or name, and what that imports. */
function reached(path: string, seen = new Map<string, string>()): Map<string, string> {
  const text = codeOf(path)
  for (const [, kind, to] of text.matchAll(/^(?:import|export)( type)?\b[^;]*?from '([^']+)'/gm)) {
    if (kind !== undefined || seen.has(to!)) continue
    const target = to!.startsWith('.')
      ? join(dirname(path), to!.replace(/\.js$/, '.ts'))
      : undefined
    if (target === undefined) seen.set(to!, path)
    else if (!seen.has(target)) {
      seen.set(target, path)
      reached(target, seen)
    }
  }
  return seen
}

test('the core imports nothing of Node, neither modules nor Buffer', () => {
  const modules = reached(join(source, 'core.ts'))
  const own = [...modules.keys()].filter((name) => existsSync(name))
  assert.ok(own.length > 20)
  assert.equal(
    [...modules.keys()].filter((name) => !existsSync(name)),
    ['@huggingface/jinja'],
  )
  for (const path of own) {
    const code = codeOf(path)
    assert.not.match(code, /(?<!\.)\b(Buffer[.(]|process\.|require\()/, path)
  }
  assert.ok([...reached(join(source, 'index.ts')).keys()].some((name) => name.startsWith('node:')))
})

test('tokenizers of the core and of Node have the same ids', () => {
  const texts = ['one two one two', 'two three']
  const options = { vocabSize: 300 }
  const [a, b] = [Tokenizer.train(texts, options), NodeTokenizer.train(texts, options)]
  assert.equal(a.encode('one three'), b.encode('one three'))
  assert.instance(b, Tokenizer)
  assert.instance(NodeTokenizer.fromJSON(a.toJSON(), a.configJSON()), NodeTokenizer)
  assert.is('save' in a, false)
  assert.is(
    a.applyChatTemplate([{ role: 'user', content: 'one' }]).ids.length,
    b.encode('one').length + 3,
  )
})

test.run()
