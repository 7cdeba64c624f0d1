import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Tokenizer, TokenizerError, compression } from '../src/index.js'
import type { TrainOptions, TrainProgress } from '../src/index.js'
import { byteToChar } from '../src/text/alphabet.js'
import { countWords } from '../src/train/count.js'
import { patternRegex, wordSplitter } from '../src/train/patterns.js'
import { MergeLoop } from '../src/train/merge-loop.js'
import type { MergeOptions } from '../src/train/merge-loop.js'
import type { WordColumns } from '../src/train/word-counts.js'
import { corpus, random } from './samples.js'

const json = (tokenizer: Tokenizer): string => JSON.stringify(tokenizer)
const BOUNDS = { maxTokenLength: Number.POSITIVE_INFINITY, forbidden: [] }
const NO_BOUND = { cutsAtBlanks: true, positions: Number.POSITIVE_INFINITY }
const counted = (texts: readonly string[]): WordColumns =>
  countWords(texts, wordSplitter(patternRegex('llama3')), NO_BOUND).columns()

/** The merges of counted words: flat triples of ids. */
function mergesOf(words: WordColumns, options: MergeOptions): readonly number[] {
  const loop = new MergeLoop(words, options)
  while (loop.step());
  return loop.merges
}

/** The columns as a map from the words' bytes as Latin-1. */
function asMap({ bytes, lengths, counts }: WordColumns): Map<string, number> {
  let at = 0
  return new Map(
    Array.from(lengths, (length, i) => {
      at += length
      return [Buffer.from(bytes.subarray(at - length, at)).toString('latin1'), counts[i]!]
    }),
  )
}

test('training twice gives the same tokenizer, byte for byte', () => {
  const texts = corpus(300)
  const a = Tokenizer.train(texts, { vocabSize: 700 })
  assert.is(json(a), json(Tokenizer.train(texts, { vocabSize: 700 })))
})

test('the order of the texts and how they are cut into bytes or strings do not matter', () => {
  const texts = corpus(300)
  const a = Tokenizer.train(texts, { vocabSize: 700 })
  const reversed = [...texts].reverse().map((text) => Buffer.from(text))
  assert.is(json(Tokenizer.train(reversed, { vocabSize: 700 })), json(a))
})

test('merges are those of the plain algorithm that counts everything anew each time', () => {
  const next = random(11)
  for (let round = 0; round < 12; round++) {
    const letters = round < 6 ? 'ab' : 'abcd'
    const words = Array.from({ length: 40 }, () => {
      return Array.from(
        { length: 1 + Math.floor(next() * 12) },
        () => letters[Math.floor(next() * letters.length)],
      )
    })
    const counts = counted(words.map((word) => word.join('')))
    const merges = mergesOf(counts, { ...BOUNDS, tokens: 290, minFrequency: 2 })
    const got = Array.from({ length: merges.length / 3 }, (_, i) => merges.slice(3 * i, 3 * i + 3))
    assert.equal(got, plainMerges(asMap(counts), 290, 2))
  }
})

function plainMerges(counts: ReadonlyMap<string, number>, size: number, least: number): number[][] {
  const text = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte))
  const words = [...counts].map(([word, count]) => ({
    ids: [...Buffer.from(word, 'latin1')],
    count,
  }))
  const merges: number[][] = []
  const done = new Set<string>()
  while (text.length < size) {
    const pairs = new Map<string, number>()
    for (const { ids, count } of words) {
      for (let i = 0; i + 1 < ids.length; i++) {
        const key = `${ids[i]} ${ids[i + 1]}`
        pairs.set(key, (pairs.get(key) ?? 0) + count)
      }
    }
    const best = [...pairs]
      .filter(([key, count]) => count >= least && !done.has(key))
      .map(([key, count]) => ({ pair: key.split(' ').map(Number) as [number, number], count }))
      .sort((a, b) => b.count - a.count || a.pair[0] - b.pair[0] || a.pair[1] - b.pair[1])[0]
    if (best === undefined) break
    const [left, right] = best.pair
    done.add(`${left} ${right}`)
    const bytes = text[left]! + text[right]!
    let id = text.indexOf(bytes)
    if (id < 0) id = text.push(bytes) - 1
    merges.push([left, right, id])
    for (const word of words) {
      const ids: number[] = []
      for (let i = 0; i < word.ids.length; i++) {
        const hit = word.ids[i] === left && word.ids[i + 1] === right
        ids.push(hit ? id : word.ids[i]!)
        if (hit) i++
      }
      word.ids = ids
    }
  }
  return merges
}

test('overlapping pairs are counted as the plain algorithm counts them', () => {
  const counts = counted(['aaaa aaaaaaa aaa baaab'])
  const merges = mergesOf(counts, { ...BOUNDS, tokens: 260, minFrequency: 1 })
  assert.equal(merges, plainMerges(asMap(counts), 260, 1).flat())
})

test('the vocabulary is bytes, merges, special tokens, and stops where no pair is frequent', () => {
  const tokenizer = Tokenizer.train(['aa aa'], { vocabSize: 1000, specialTokens: ['<|x|>'] })
  assert.equal(
    Array.from({ length: tokenizer.vocabSize - 256 }, (_, i) => tokenizer.idToToken(256 + i)),
    ['aa', '<|x|>'],
  )
  for (let byte = 0; byte < 256; byte++) {
    assert.is(tokenizer.idToToken(byte), byteToChar(byte))
  }
})

test('minFrequency bounds what is merged', () => {
  const count = (minFrequency: number): number =>
    Tokenizer.train(['ab ab ab cd'], { vocabSize: 400, minFrequency, specialTokens: [] }).vocabSize
  assert.equal([1, 2, 3, 4].map(count), [260, 258, 257, 256])
})

test('no learnt token spells a special token', () => {
  const tokenizer = Tokenizer.train(['stop stop stop'], {
    vocabSize: 400,
    specialTokens: ['stop', 'Ġst'],
  })
  const id = tokenizer.tokenToId('stop')!
  assert.is(id, tokenizer.vocabSize - 2)
  assert.not.ok(tokenizer.encode('stop stop').includes(id))
  assert.equal(tokenizer.encode('stop', { allowSpecial: 'all' }), [id])
  // Nor is one spelt so in the file: ' st' is 'Ġst' there, so that no file has a token of that text twice.
  const spaced = Tokenizer.train(['a st st st'], { vocabSize: 400, specialTokens: ['Ġst'] })
  assert.is(spaced.tokenToId('Ġst'), spaced.vocabSize - 1)
  assert.is(Tokenizer.fromJSON(JSON.parse(json(spaced))).encode(' st').length, 2)
})

test('a regular expression of one’s own cuts texts of training and of encoding alike', () => {
  const regex = '[a-z]+|\\d\\d?(?!x)|é'
  const tokenizer = Tokenizer.train(['abc 1234x é–é'.repeat(20)], {
    ...{ vocabSize: 300, specialTokens: [], pattern: { regex } },
  })
  const parts = (text: string): string[] =>
    tokenizer.encode(text).map((id) => tokenizer.decode([id]))
  assert.equal(parts('abc 123x é–é'), ['abc', ' ', '12', '3', 'x', ' ', 'é', '–', 'é'])
  // Bytes that are no UTF-8 are cut too, and come back.
  const bytes = Uint8Array.of(0xff, 0x61, 0x62, 0x63, 0xe2, 0x80, 0xef, 0xbf, 0xbd, 0x31, 0xc3)
  assert.equal(tokenizer.decodeBytes(tokenizer.encodeBytes(bytes)), bytes)
  assert.equal(tokenizer.encodeBytes(bytes).length, 9)
})

test('patterns cut where they say, and the tokenizer encodes with the pattern it was trained with', () => {
  const texts = ["WE'LL मिलेंगे 123456 end\n\n".repeat(50)]
  const tokens = (options: Partial<TrainOptions>): string[] => {
    const tokenizer = Tokenizer.train(texts, { vocabSize: 400, specialTokens: [], ...options })
    const again = Tokenizer.fromJSON(JSON.parse(json(tokenizer)))
    const ids = again.encode(texts[0]!)
    assert.equal(ids, tokenizer.encode(texts[0]!))
    assert.is(again.decode(ids), texts[0])
    return [...new Set(ids)].map((id) => again.decode([id]))
  }
  assert.equal(tokens({}), [
    'WE',
    "'LL",
    ' म',
    'िल',
    'ें',
    'ग',
    'े',
    ' ',
    '123',
    '456',
    ' end',
    '\n\n',
  ])
  assert.equal(tokens({ pattern: 'cl100k' }), tokens({ pattern: 'llama3' }))
  assert.equal(tokens({ digits: 1 }).slice(8, 10), ['1', '2'])
  // Vowel signs are marks: only o200k's pattern keeps a word of Devanagari whole.
  assert.equal(tokens({ pattern: 'o200k' }).slice(0, 2), ["WE'LL", ' मिलेंगे'])
  assert.ok(tokens({ pattern: 'gpt2' }).includes(' 123456'))
  const short = Tokenizer.train(texts, { vocabSize: 400, specialTokens: [], maxTokenLength: 3 })
  const lengths = short.encode(texts[0]!).map((id) => short.decodeBytes([id]).length)
  assert.is(Math.max(...lengths), 3)
})

test('compression counts bytes and characters as UTF-8 has them', () => {
  const tokenizer = Tokenizer.train(['x'], { vocabSize: 256, specialTokens: [] })
  for (const text of ['', 'abc', 'é', 'नमस्ते', '👩‍🚀', 'a\ud800b', '\udc00\ud800']) {
    const bytes = Buffer.byteLength(text)
    const characters = [...text].length
    const rate = (n: number): number => (bytes === 0 ? 0 : n / bytes)
    assert.equal(compression(tokenizer, [text]), {
      ...{ bytes, characters, tokens: bytes },
      ...{ bytesPerToken: rate(bytes), charactersPerToken: rate(characters) },
    })
  }
})

test('progress of training in one go', () => {
  const seen: TrainProgress[] = []
  Tokenizer.train(corpus(200), { vocabSize: 500, onProgress: (state) => seen.push(state) })
  assert.equal([...new Set(seen.map(({ phase }) => phase))], ['count', 'merge'])
  assert.is(seen.at(-1)!.done, seen.at(-1)!.total)
})

test('empty and useless corpora give a tokenizer of bytes', () => {
  for (const texts of [[], [''], ['a'], new Set<string>()]) {
    const tokenizer = Tokenizer.train(texts, { vocabSize: 512 })
    assert.is(tokenizer.vocabSize, 265)
    assert.is(tokenizer.decode(tokenizer.encode('hé')), 'hé')
  }
})

test('wrong options are refused with what would be right', () => {
  const fails = (options: Parameters<typeof Tokenizer.train>[1], wanted: RegExp): void => {
    assert.throws(
      () => Tokenizer.train(['a'], options),
      (e: unknown) =>
        e instanceof TokenizerError && e.op === 'Tokenizer.train' && wanted.test(e.message),
    )
  }
  fails({ vocabSize: 264 }, /264.*265/)
  fails({ vocabSize: 1e9 }, /1048576/)
  fails({ vocabSize: 300.5 }, /300\.5/)
  fails({ vocabSize: 300, minFrequency: 0 }, /minFrequency is 0/)
  fails({ vocabSize: 300, specialTokens: ['<a>', '<a>'] }, /twice/)
  fails({ vocabSize: 300, specialTokens: ['a'] }, /two characters/)
  fails({ vocabSize: 300, specialTokens: ['<\ud800>'] }, /specialTokens/)
  fails({ vocabSize: 300, bosToken: '<|no|>' }, /bosToken/)
  fails({ vocabSize: 300, maxTokenLength: 0 }, /maxTokenLength is 0/)
  fails({ vocabSize: 300, maxMemory: 5 }, /maxMemory is 5/)
  fails({ vocabSize: 300, digits: 0 }, /digits is 0/)
  fails({ vocabSize: 300, pattern: 'gpt9' as 'gpt2' }, /gpt2, cl100k, llama3, o200k/)
  fails({ vocabSize: 300, pattern: { regex: 'x' }, digits: 2 }, /no alternative of numbers/)
  assert.throws(() => Tokenizer.train('abc', { vocabSize: 300 }), /\[text\]/)
  assert.throws(() => Tokenizer.train([5 as unknown as string], { vocabSize: 300 }), /a text is 5/)
})

test.run()
