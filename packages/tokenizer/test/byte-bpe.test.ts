import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Tokenizer as HuggingFace } from '@huggingface/tokenizers'
import { Tokenizer } from '../src/index.js'
import { ByteBpe } from '../src/models/byte-bpe/byte-bpe.js'
import { TokenBytes } from '../src/models/byte-bpe/token-bytes.js'
import { CL100K_PATTERN, KNOWN_PATTERNS } from '../src/split/patterns.js'
import { IdBuffer } from '../src/text/id-buffer.js'
import { HARD, corpus, random, randomText, sentence, trained } from './samples.js'

const split = KNOWN_PATTERNS.get(CL100K_PATTERN)!

function vocabOf(words: readonly string[]): TokenBytes {
  const vocab = new TokenBytes()
  for (let byte = 0; byte < 256; byte++) vocab.set(byte, Uint8Array.of(byte))
  words.forEach((word, i) => vocab.set(256 + i, Buffer.from(word)))
  return vocab
}

function encode(bpe: ByteBpe, text: string | Uint8Array): number[] {
  const out = new IdBuffer()
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text
  bpe.encode(bytes, 0, bytes.length, out)
  return out.toArray()
}

/** tiktoken's algorithm, plainly: of all neighbours that together are a token, the lowest rank first, leftmost. */
function plainRanks(ranks: ReadonlyMap<string, number>, word: string): number[] {
  const whole = ranks.get(word)
  if (whole !== undefined) return [whole]
  const parts = [...word]
  for (;;) {
    let best = Infinity
    let at = -1
    for (let i = 0; i + 1 < parts.length; i++) {
      const rank = ranks.get(parts[i]! + parts[i + 1]!) ?? Infinity
      if (rank < best) [best, at] = [rank, i]
    }
    if (at < 0) return parts.map((part) => ranks.get(part)!)
    parts.splice(at, 2, parts[at]! + parts[at + 1]!)
  }
}

test('with ranks any neighbours that are a token together merge, lowest first, in short and in long words', () => {
  const next = random(41)
  const letters = (length: number): string =>
    Array.from({ length }, () => 'abc'[Math.floor(next() * 3)]!).join('')
  for (let round = 0; round < 30; round++) {
    const words = [
      ...new Set(Array.from({ length: 40 }, () => letters(2 + Math.floor(next() * 5)))),
    ]
    const vocab = vocabOf(words)
    const bpe = new ByteBpe({ vocab, merges: null, ignoreMerges: true, split })
    const ranks = new Map(
      [...'abc', ...words].map((w, i) => [w, i < 3 ? w.charCodeAt(0) : 253 + i]),
    )
    for (const length of [1, 2, 5, 9, 30, 47, 48, 49, 50, 128, 129, 400]) {
      const word = letters(length)
      const want = plainRanks(ranks, word)
      assert.equal(encode(bpe, word), want, word)
      assert.equal(encode(bpe, word), want, `${word} a second time`)
    }
  }
})

test('a word that is a token which merges do not reach is taken whole with ignoreMerges alone', () => {
  const vocab = vocabOf(['ab', 'abc', 'abcdefghijkl'])
  const merges = Int32Array.of(97, 98, 256)
  const plain = new ByteBpe({ vocab, merges, ignoreMerges: false, split })
  const whole = new ByteBpe({ vocab, merges, ignoreMerges: true, split })
  for (let pass = 0; pass < 2; pass++) {
    assert.equal(encode(plain, 'ab abc'), [256, 32, 256, 99])
    assert.equal(encode(plain, 'abc'), [256, 99])
    assert.equal(encode(whole, 'abc'), [257])
    assert.equal(encode(plain, 'abcdefghijkl').length, 11)
    assert.equal(encode(whole, 'abcdefghijkl'), [258])
  }
  assert.is(plain.idOf(Buffer.from('abc')), 257)
  assert.is(plain.idOf(Buffer.from('abcdefghijkl')), 258)
  assert.is(plain.idOf(Buffer.from('bc')), undefined)
  assert.is(plain.idOf(Buffer.from('')), undefined)
  assert.equal(Buffer.from(plain.bytesOf(257)).toString(), 'abc')
  assert.is(plain.bytesOf(999).length, 0)
})

test('a vocabulary with tokens that merges do not reach gives the ids of @huggingface/tokenizers', () => {
  const json = JSON.parse(JSON.stringify(trained())) as {
    model: { vocab: Record<string, number>; merges: string[]; ignore_merges: boolean }
  }
  // Every third merge goes, so that many tokens cannot be reached any more.
  json.model.merges = json.model.merges.filter((_, i) => i % 3 !== 1)
  for (const ignore of [false, true]) {
    json.model.ignore_merges = ignore
    const tokenizer = Tokenizer.fromJSON(json)
    const oracle = new HuggingFace(json, {})
    for (const text of corpus(60, 42)) {
      const want = oracle.encode(text, { add_special_tokens: false }).ids
      assert.equal(tokenizer.encode(text), want, text)
      assert.equal(tokenizer.encode(text), want, text)
    }
  }
})

test('more words than the cache holds: it is emptied and the ids stay the same', () => {
  const vocab = vocabOf(['ab', 'abc', 'bc', 'zz', 'abcabcabcabc'])
  const bpe = new ByteBpe({ vocab, merges: Int32Array.of(97, 98, 256), ignoreMerges: false, split })
  const fresh = (): ByteBpe =>
    new ByteBpe({ vocab, merges: Int32Array.of(97, 98, 256), ignoreMerges: false, split })
  const next = random(43)
  const word = (): string =>
    ' ' + Array.from({ length: 3 + next() * 20 }, () => 'abcz'[Math.floor(next() * 4)]!).join('')
  const text = Array.from({ length: 150_000 }, word).join('')
  const probe = Array.from({ length: 300 }, word).join('') + ' abc abcabcabcabc'
  const want = encode(fresh(), probe)
  const all = encode(bpe, text)
  assert.equal(encode(bpe, probe), want)
  assert.equal(encode(bpe, text), all)
  assert.is(bpe.idOf(Buffer.from('abc')), 257)
  assert.is(bpe.idOf(Buffer.from('abcabcabcabc')), 260)
})

test('bytes at any place of any buffer are encoded the same', () => {
  const bpe = new ByteBpe({
    vocab: vocabOf(['ab', 'the']),
    merges: null,
    ignoreMerges: true,
    split,
  })
  const text = Buffer.from('the abbey, the cab')
  const want = encode(bpe, Uint8Array.from(text))
  for (const room of [0, 1, 7, 8, 20]) {
    const buffer = new ArrayBuffer(5 + text.length + room)
    const view = new Uint8Array(buffer, 5, text.length)
    view.set(text)
    assert.equal(encode(bpe, view), want)
  }
})

test('offsets are where the bytes of each token end', () => {
  const bpe = new ByteBpe({
    vocab: vocabOf(['ab', 'the']),
    merges: null,
    ignoreMerges: true,
    split,
  })
  const bytes = Buffer.from('--the ab–x')
  const ids = new IdBuffer()
  const ends = new IdBuffer()
  bpe.encodeWithOffsets(bytes, 2, bytes.length, ids, ends)
  assert.is(ends.length, ids.length)
  let start = 2
  for (const [i, id] of ids.toArray().entries()) {
    const end = 2 + ends.ids[i]!
    assert.equal(Uint8Array.from(bytes.subarray(start, end)), Uint8Array.from(bpe.bytesOf(id)))
    start = end
  }
  assert.is(start, bytes.length)
})

test('encodeInto and countTokens agree with encode', () => {
  const tokenizer = trained()
  const next = random(44)
  for (const text of [...HARD, sentence(next), '<|user|>hi<|image|>']) {
    for (const allowSpecial of ['none', 'all'] as const) {
      const ids = tokenizer.encode(text, { allowSpecial })
      assert.is(tokenizer.countTokens(text, { allowSpecial }), ids.length)
      const target = new Int32Array(ids.length + 2).fill(-7)
      assert.is(tokenizer.encodeInto(text, target, { allowSpecial }), ids.length)
      assert.equal([...target], [...ids, -7, -7])
      const short = new Int32Array(Math.floor(ids.length / 2))
      assert.is(tokenizer.encodeInto(text, short, { allowSpecial }), ids.length)
      assert.equal([...short], ids.slice(0, short.length))
    }
  }
  assert.throws(() => tokenizer.encodeInto('a', [] as unknown as Int32Array), /\[encodeInto\]/)
})

test('long texts are decoded in pieces that never cut a character', () => {
  const tokenizer = trained()
  const next = random(45)
  let text = ''
  while (text.length < 300_000)
    text += next() < 0.5 ? randomText(next, 60) : 'हिन्दी में लिखा हुआ वाक्य 日本語 '
  const ids = tokenizer.encode(text)
  assert.is(tokenizer.decode(ids), text)
  assert.is(tokenizer.decode(Int32Array.from(ids)), text)
  assert.is(tokenizer.decode(new Set([97, 98])), 'ab')
  // One id a byte: every character is cut; then bytes that are no UTF-8.
  const bytes = new TextEncoder().encode(text)
  assert.is(tokenizer.decode(bytes as unknown as Iterable<number>), text)
  const broken = Uint8Array.from({ length: 200_000 }, () =>
    next() < 0.6 ? 0x80 + next() * 128 : next() * 256,
  )
  const want = new TextDecoder('utf-8', { ignoreBOM: true }).decode(broken)
  assert.ok(tokenizer.decode([...broken]) === want, 'broken bytes')
  assert.equal(tokenizer.decodeBytes([...broken]), broken)
})

test('a vocabulary without all bytes, or with a token twice, is refused', () => {
  const few = new TokenBytes()
  for (let byte = 0; byte < 255; byte++) few.set(byte, Uint8Array.of(byte))
  const fails = (vocab: TokenBytes, wanted: RegExp): void => {
    assert.throws(() => new ByteBpe({ vocab, merges: null, ignoreMerges: true, split }), wanted)
  }
  fails(few, /no token for byte 255/)
  fails(vocabOf(['ab', 'ab']), /model\.vocab\["ab"\]: is there twice/)
})

test.run()
