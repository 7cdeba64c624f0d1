import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Tokenizer, TokenizerError } from '../src/index.js'
import { patternRegex } from '../src/train/patterns.js'
import { corpus, trained } from './samples.js'

const tokenizer = trained()
// More than 4 million UTF-16 units in texts of very different lengths, some empty: enough for several tasks.
const lines = corpus(300, 3)
const texts = Array.from({ length: 2000 }, (_, i) => lines.slice(0, (i * 7) % 83).join(' '))
assert.ok(texts.join('').length > 2 ** 22)

/** The same lists; comparing them id by id takes uvu seconds. */
function same(got: readonly number[][], want: readonly number[][]): void {
  assert.is(JSON.stringify(got) === JSON.stringify(want), true)
}

const want = tokenizer.encodeBatch(texts)

test('batches over workers give the same ids in the same order', async () => {
  same(await tokenizer.encodeBatchParallel(texts, { workers: 2 }), want)
  same(await tokenizer.encodeBatchParallel(texts.slice(0, 9)), want.slice(0, 9))
  same(await tokenizer.encodeBatchParallel(texts, { workers: 0 }), want)
})

test('options go along', async () => {
  const marked = texts.map((text) => `${text}<|image|>`)
  for (const allowSpecial of ['all', ['<|pad|>']] as const) {
    same(
      await tokenizer.encodeBatchParallel(marked, { allowSpecial, workers: 2 }),
      tokenizer.encodeBatch(marked, { allowSpecial }),
    )
  }
})

test('tokenizers of tiktoken’s ranks can be taken to workers too', async () => {
  const bytes = Array.from({ length: 256 }, (_, byte) => [byte])
  const the = [
    [116, 104],
    [116, 104, 101],
  ]
  const pattern = patternRegex('gpt2')
  const ranked = Tokenizer.fromTiktoken([...bytes, ...the], {
    pattern,
    specialTokens: { '<|x|>': 300 },
  })
  const options = { allowSpecial: 'all', workers: 2 } as const
  const list = texts.map((text) => `${text}<|x|>`)
  same(await ranked.encodeBatchParallel(list, options), ranked.encodeBatch(list, options))
  await ranked.close()
})

test('wrong texts and options are refused as by encode, also in batches that are not worth workers', async () => {
  const refused = async (call: () => Promise<unknown>, wanted: RegExp): Promise<void> => {
    const error = await call().then(
      () => undefined,
      (e: unknown) => e,
    )
    assert.instance(error, TokenizerError)
    assert.match((error as Error).message, wanted)
  }
  for (const list of [texts, ['a']]) {
    await refused(
      () => tokenizer.encodeBatchParallel([...list, 5 as unknown as string]),
      /text is 5/,
    )
    await refused(
      () => tokenizer.encodeBatchParallel(list, { allowSpecial: ['<|no|>'] }),
      /allowSpecial has "<\|no\|>"/,
    )
  }
  await refused(() => tokenizer.encodeBatchParallel(texts, { workers: -1 }), /workers is -1/)
})

test('a tokenizer whose workers were closed starts new ones', async () => {
  await tokenizer.close()
  await tokenizer.close()
  same(await tokenizer.encodeBatchParallel(texts, { workers: 3 }), want)
  // Not closed: idle workers must not keep this process alive.
})

test.run()
