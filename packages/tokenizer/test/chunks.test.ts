import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CHUNK_BYTES, Chunker, LONGEST_CHUNK, betweenWords } from '../src/train/chunks.js'
import type { Chunk } from '../src/train/chunks.js'
import { countChunk } from '../src/train/count.js'
import { PATTERN_NAMES, patternRegex, wordSplitter } from '../src/train/patterns.js'
import type { SplitPattern } from '../src/train/patterns.js'
import { WordCounts } from '../src/train/word-counts.js'
import { HARD, random, randomText } from './samples.js'

const encoder = new TextEncoder()

/** Where words end. */
function ends(bytes: Uint8Array, pattern: string): number[] {
  const splitter = wordSplitter(patternRegex(pattern as SplitPattern))
  const found: number[] = []
  for (let at = 0; at < bytes.length;) found.push((at = splitter.next(bytes, at, bytes.length)))
  return found
}

test('cutting where betweenWords allows it cuts no word of any named pattern, also in bytes that are no UTF-8', () => {
  const next = random(17)
  const blanks = [
    ' ',
    '\n',
    '\t',
    '\r',
    '\u00a0',
    '\u0085',
    '\u1680',
    '\u2003',
    '\u2028',
    '\u3000',
    '/',
    "'s",
    '!',
    '1',
    'x',
    'क्',
    '。',
  ]
  let cuts = 0
  for (let round = 0; round < 600; round++) {
    let text = round < HARD.length ? HARD[round]! : ''
    while (text.length < 40) {
      text += next() < 0.8 ? blanks[Math.floor(next() * blanks.length)]! : randomText(next, 2)
    }
    const bytes = encoder.encode(text)
    if (round % 3 === 0) bytes[Math.floor(next() * bytes.length)] = Math.floor(next() * 256)
    for (const pattern of PATTERN_NAMES) {
      const whole = ends(bytes, pattern)
      for (let at = 1; at < bytes.length; at++) {
        if (!betweenWords(bytes, at)) continue
        cuts++
        const left = ends(bytes.slice(0, at), pattern)
        const right = ends(bytes.slice(at), pattern).map((end) => end + at)
        assert.equal([...left, ...right], whole, `${pattern} at ${at} of ${JSON.stringify(text)}`)
      }
    }
  }
  assert.ok(cuts > 3000, `${cuts} cuts`)
})

function chunksOf(texts: readonly Uint8Array[], anywhere: boolean, part = 1 << 20): Chunk[] {
  const chunker = new Chunker(anywhere)
  const chunks: Chunk[] = []
  const take = (): void => {
    for (let chunk = chunker.take(); chunk !== undefined; chunk = chunker.take()) chunks.push(chunk)
  }
  for (const text of texts) {
    for (let at = 0; at < text.length; at += part) chunker.push(text.subarray(at, at + part))
    chunker.endText()
    take()
  }
  chunker.finish()
  take()
  return chunks
}

const joined = (chunks: readonly Chunk[]): Buffer => Buffer.concat(chunks.map(({ bytes }) => bytes))

test('chunks do not depend on the parts that texts come in, and lose nothing', () => {
  const words = Buffer.from('some words of a text, \n\nआदि। '.repeat(200_000)) // 7 MB
  const texts = [words, Buffer.from(''), Buffer.from('short'), words.subarray(0, 3_000_000)]
  const want = chunksOf(texts, true)
  assert.ok(want.length >= 3)
  assert.ok(want.every(({ bytes }) => bytes.length <= CHUNK_BYTES))
  for (const part of [4096, 777_777, 1e9]) assert.equal(chunksOf(texts, true, part), want)
  assert.ok(joined(want).equals(Buffer.concat(texts)))
  assert.is(want.at(-1)!.through, joined(want).length)
})

test('without leave to cut texts, chunks end where texts do', () => {
  const text = Buffer.from('word '.repeat(1_000_000)) // 5 MB
  const small = Array.from({ length: 3000 }, (_, i) => Buffer.from(`text ${i} `.repeat(300)))
  const chunks = chunksOf([text, ...small, text], false)
  assert.is(chunks[0]!.bytes.length, text.length)
  assert.equal([...chunks[0]!.ends], [text.length])
  const lengths = chunks.flatMap(({ ends: places }) =>
    places.map((end, i) => end - (places[i - 1] ?? 0)),
  )
  assert.equal(
    lengths,
    [text, ...small, text].map(({ length }) => length),
  )
})

test('a text without a place to cut is one chunk up to the limit, then cut between characters', () => {
  const letters = Buffer.alloc(10_000_000, 'x')
  assert.equal(
    chunksOf([letters, Buffer.from('a b')], true).map(({ bytes }) => bytes.length),
    [10_000_000, 3],
  )
  const devanagari = Buffer.alloc(LONGEST_CHUNK + 999, 'क')
  const chunks = chunksOf([devanagari], true)
  assert.is(chunks.length, 2)
  assert.is(chunks[0]!.bytes.length % 3, 0)
  assert.ok(joined(chunks).equals(devanagari))
})

test('counts are those of a map, through pruning and columns', () => {
  const next = random(3)
  const splitter = wordSplitter(patternRegex('llama3'))
  const words = new WordCounts()
  const want = new Map<string, number>()
  const texts = Array.from({ length: 300 }, () => randomText(next, 60))
  for (const text of [...texts, ...texts.slice(100)]) {
    const bytes = encoder.encode(text)
    countChunk({ bytes, ends: [bytes.length] }, splitter, words)
    for (let at = 0; at < bytes.length;) {
      const end = splitter.next(bytes, at, bytes.length)
      const word = Buffer.from(bytes.subarray(at, end)).toString('latin1')
      if (end - at > 1) want.set(word, (want.get(word) ?? 0) + 1)
      at = end
    }
  }
  const asMap = (counts: WordCounts): Map<string, number> => {
    const { bytes, lengths, counts: numbers } = counts.columns()
    let at = 0
    return new Map(
      Array.from(lengths, (length, i) => {
        at += length
        return [Buffer.from(bytes.subarray(at - length, at)).toString('latin1'), numbers[i]!]
      }),
    )
  }
  assert.equal(asMap(words), want)
  const before = words.positions
  words.prune(before)
  assert.equal(asMap(words), want)

  words.prune(before - 1)
  const kept = new Map([...want].filter(([, count]) => count > words.pruned.perWord))
  assert.equal(asMap(words), kept)
  assert.ok(words.positions <= before / 2)
  assert.is(words.pruned.words, want.size - kept.size)
  const sum = (counts: Iterable<number>): number => [...counts].reduce((a, b) => a + b, 0)
  assert.is(words.pruned.occurrences, sum(want.values()) - sum(kept.values()))

  const again = WordCounts.from(words.columns(), words.pruned)
  again.addAll(words.columns())
  assert.equal(asMap(again), new Map([...kept].map(([word, count]) => [word, 2 * count])))
})

test.run()
