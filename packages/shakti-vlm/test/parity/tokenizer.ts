// A tokenizer of ours in llama.cpp: the ids of a text of many scripts, with the tokenizer's own split pattern.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Tokenizer } from '@shakti/tokenizer'
import { exportGguf, ggufTokenizer } from '../../src/index.js'
import { randomDecoder } from '../randomDecoder.js'
import { LlamaCpp, type Binding } from './llamaCpp.js'

/** Patterns that llama.cpp knows: its name, and how Tokenizer.train takes them. */
export const patterns = {
  'llama-bpe': 'llama3',
  qwen2: {
    regex: String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  },
  'gpt-2': 'gpt2',
} as const

export const sample = `The quick brown fox's 3 dogs didn't jump 12345 times; they'd "RUN" — twice!\n\n
  Größe, señor, naïve Ελλάδα Привет, мир! שלום مرحبا नमस्ते दुनिया 你好，世界。こんにちは 한국어 ไทย
\tfor (let i = 0; i < 10; i++) { a[i] += 1.5e-3 }   \r\n<|end_of_turn|> 👩‍👩‍👧 🇮🇳 ½ x² ﬁ I'LL WE'VE e\u0301 a\u00a0b end  `

/** Ids by the tokenizer here and by llama.cpp, of a tokenizer trained on the sample with the pattern. */
export async function compareTokenizer(
  binding: Binding,
  name: keyof typeof patterns,
): Promise<{ pre: string; ours: number[]; theirs: number[]; back: string }> {
  const tokenizer = Tokenizer.train([sample, sample, sample.toLowerCase()], {
    vocabSize: 400,
    pattern: patterns[name],
  })
  const folder = await mkdtemp(join(tmpdir(), 'shakti-parity-'))
  try {
    const exported = ggufTokenizer(tokenizer.toJSON())
    const file = join(folder, 'model.gguf')
    await exportGguf(randomDecoder({ vocab: 448 }), file, { type: 'f32', tokenizer: exported })
    const llama = await LlamaCpp.load(binding, file, 32)
    const theirs = llama.tokenize(sample)
    const back = llama.detokenize(theirs)
    await llama.dispose()
    return { pre: exported.pre, ours: tokenizer.encode(sample), theirs, back }
  } finally {
    await rm(folder, { recursive: true })
  }
}
