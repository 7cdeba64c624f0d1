import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Tokenizer, TokenizerError, DEFAULT_SPECIAL_TOKENS } from '../src/index.js'
import { CL100K_PATTERN, KNOWN_PATTERNS } from '../src/split/patterns.js'
import { incompleteTail } from '../src/text/utf8.js'
import { HARD, corpus, random, randomText, sentence, trained } from './samples.js'

const tokenizer = trained()
const special = (token: string): number => tokenizer.tokenToId(token)!

test('any text comes back from encode and decode', () => {
  const next = random(1)
  const texts = [...HARD, ...Array.from({ length: 300 }, () => randomText(next, 1 + next() * 80))]
  for (const text of texts) assert.is(tokenizer.decode(tokenizer.encode(text)), text)
})

test('any bytes come back from encodeBytes and decodeBytes, valid UTF-8 or not', () => {
  const next = random(2)
  for (let round = 0; round < 300; round++) {
    const bytes = Uint8Array.from({ length: Math.floor(next() * 120) }, () => {
      return next() < 0.5 ? 0x80 + next() * 128 : next() * 256
    })
    assert.equal(tokenizer.decodeBytes(tokenizer.encodeBytes(bytes)), bytes)
  }
})

test('encodeBytes of UTF-8 gives the ids of encode', () => {
  for (const text of HARD) {
    assert.equal(tokenizer.encodeBytes(Buffer.from(text)), tokenizer.encode(text))
  }
})

test('half a surrogate pair becomes U+FFFD and leaves its neighbours alone', () => {
  const next = random(3)
  for (let round = 0; round < 100; round++) {
    const text = randomText(next, 30, true)
    assert.is(tokenizer.decode(tokenizer.encode(text)), Buffer.from(text, 'utf8').toString('utf8'))
  }
  assert.is(tokenizer.decode(tokenizer.encode('a\ud83dz\ude00')), 'a\ufffdz\ufffd')
})

test('the scanner cuts words where the regular expression does', () => {
  const pattern = new RegExp(
    CL100K_PATTERN.replace(/\(\?i:(.*?)\)\|/, (_, alternatives: string) => {
      const anyCase = alternatives.replace(/[a-z]/g, (c) =>
        c === 's' ? '[sSſ]' : `[${c}${c.toUpperCase()}]`,
      )
      return `${anyCase}|`
    })
      .replaceAll('[^\\s', '[^\\p{White_Space}')
      .replaceAll('\\s', '\\p{White_Space}')
      .replaceAll('\\S', '\\P{White_Space}'),
    'gu',
  )
  const split = KNOWN_PATTERNS.get(CL100K_PATTERN)!
  const next = random(4)
  const alphabet = [...' \n\r\t\u00a0\u2028aZé字ि१1²!.\'"ſstdmrevl😀\u0301\ufeff\u0085']
  const dense = (): string => {
    return Array.from({ length: 40 }, () => alphabet[Math.floor(next() * alphabet.length)]!).join(
      '',
    )
  }
  const texts = [...HARD, ...Array.from({ length: 500 }, dense)]
  for (let i = 0; i < 200; i++) texts.push(randomText(next, 60))
  for (const text of texts) {
    const bytes = Buffer.from(text)
    const words: string[] = []
    for (let start = 0; start < bytes.length;) {
      const end = split.next(bytes, start, bytes.length)
      words.push(bytes.toString('utf8', start, end))
      start = end
    }
    assert.equal(
      words,
      [...text.matchAll(pattern)].map((m) => m[0]),
      JSON.stringify(text),
    )
  }
})

test('long words merge as by the plain rule: always the best pair, leftmost first', () => {
  const merges = new Map(
    (tokenizer.toJSON().model as { merges: string[] }).merges.map((pair, rank) => [pair, rank]),
  )
  const plain = (word: string): string[] => {
    const parts = [...word]
    for (;;) {
      let best = Infinity
      let at = -1
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = merges.get(`${parts[i]} ${parts[i + 1]}`) ?? Infinity
        if (rank < best) [best, at] = [rank, i]
      }
      if (at < 0) return parts
      parts.splice(at, 2, parts[at]! + parts[at + 1]!)
    }
  }
  const next = random(5)
  const letters = [
    ...new Set(
      corpus(50)
        .join('')
        .replace(/[^a-z]/g, ''),
    ),
  ]
  for (const length of [2, 5, 20, 39, 40, 41, 42, 60, 100, 300]) {
    for (let round = 0; round < 10; round++) {
      const word =
        round % 2 === 0
          ? Array.from({ length }, () => letters[Math.floor(next() * letters.length)]!).join('')
          : corpus(200, round)
              .join('')
              .replace(/[^a-z]/g, '')
              .slice(0, length)
      assert.equal(
        tokenizer.encode(word).map((id) => tokenizer.idToToken(id)),
        plain(word),
        word,
      )
    }
  }
})

test('a megabyte of one kind of character is encoded (a quadratic way would not end)', () => {
  const units = ['a', ' ', '\n', ' \n', "'", '1', 'é', 'ab', '\u0301', '\u200d', '<', 'the']
  for (const unit of units) {
    const text = unit.repeat(1_000_000 / unit.length)
    assert.ok(tokenizer.decode(tokenizer.encode(text)) === text, JSON.stringify(unit))
  }
  const broken = new Uint8Array(1_000_000).fill(0x80)
  assert.ok(Buffer.from(broken).equals(tokenizer.decodeBytes(tokenizer.encodeBytes(broken))))
})

test('text never becomes a special token unless allowed', () => {
  const next = random(6)
  const ids = new Set(tokenizer.specialTokens.map(special))
  assert.is(ids.size, DEFAULT_SPECIAL_TOKENS.length)
  for (let round = 0; round < 200; round++) {
    let text = ''
    for (let n = 0; n < 6; n++) {
      const token = DEFAULT_SPECIAL_TOKENS[Math.floor(next() * DEFAULT_SPECIAL_TOKENS.length)]!
      text +=
        next() < 0.5 ? token : token.slice(0, Math.floor(next() * token.length)) + sentence(next)
    }
    const encoded = tokenizer.encode(text)
    assert.not.ok(encoded.some((id) => ids.has(id)))
    assert.is(tokenizer.decode(encoded), text)
    assert.is(tokenizer.decode(tokenizer.encode(text, { allowSpecial: 'all' })), text)
  }
})

test('allowSpecial takes all special tokens or those listed', () => {
  const text = 'a<|image|>b<|user|>'
  const plain = (s: string): number[] => tokenizer.encode(s)
  assert.equal(tokenizer.encode(text, { allowSpecial: 'all' }), [
    ...plain('a'),
    special('<|image|>'),
    ...plain('b'),
    special('<|user|>'),
  ])
  assert.equal(tokenizer.encode(text, { allowSpecial: ['<|user|>'] }), [
    ...plain('a<|image|>b'),
    special('<|user|>'),
  ])
  assert.equal(tokenizer.encode(text, { allowSpecial: [] }), tokenizer.encode(text))
  assert.throws(
    () => tokenizer.encode(text, { allowSpecial: ['<|nope|>'] }),
    (e: unknown) =>
      e instanceof TokenizerError && e.op === 'encode' && e.message.includes('<|nope|>'),
  )
})

test('the longest special token wins where two begin', () => {
  const two = Tokenizer.train(['x'], { vocabSize: 258, specialTokens: ['<a>', '<a>b'] })
  assert.equal(two.encode('<a>b<a>c', { allowSpecial: 'all' }), [257, 256, 99])
})

test('decode leaves special tokens out when asked', () => {
  const ids = tokenizer.encode('<|user|>hi<|end_of_turn|>', { allowSpecial: 'all' })
  assert.is(tokenizer.decode(ids), '<|user|>hi<|end_of_turn|>')
  assert.is(tokenizer.decode(ids, { skipSpecialTokens: true }), 'hi')
})

test('decode refuses ids that are no token', () => {
  for (const id of [-1, 700, 1.5, NaN, Infinity]) {
    assert.throws(
      () => tokenizer.decode([id]),
      (e: unknown) => e instanceof TokenizerError && e.op === 'decode' && e.message.includes('699'),
    )
  }
})

test('tokens and ids name each other', () => {
  assert.is(tokenizer.vocabSize, 700)
  for (let id = 0; id < tokenizer.vocabSize; id++) {
    assert.is(tokenizer.tokenToId(tokenizer.idToToken(id)!), id)
  }
  assert.is(tokenizer.tokenToId('no such token'), undefined)
  assert.is(tokenizer.idToToken(700), undefined)
  assert.is(tokenizer.idToToken(0x20), 'Ġ')
  assert.is(tokenizer.tokenToId('<|image_end|>'), 699)
  assert.is(tokenizer.isSpecial(699), true)
  assert.is(tokenizer.isSpecial(5), false)
  assert.equal([tokenizer.padId, tokenizer.bosId, tokenizer.eosId], [691, 692, 693])
})

test('encodeBatch and decodeBatch do one text after the other', () => {
  const batch = tokenizer.encodeBatch([...HARD])
  assert.equal(
    batch,
    HARD.map((text) => tokenizer.encode(text)),
  )
  assert.equal(tokenizer.decodeBatch(batch), [...HARD])
})

test('streamed pieces join to the decoded text and never hold half a character', () => {
  const next = random(8)
  const texts = [...HARD, ...Array.from({ length: 50 }, () => randomText(next, 60))]
  for (const text of texts) {
    // One id a byte is the hardest case: every character of two bytes or more is cut.
    for (const ids of [tokenizer.encode(text), [...Buffer.from(text)]]) {
      const stream = tokenizer.decodeStream()
      const pieces = ids.map((id) => stream.step(id))
      for (const piece of pieces) {
        assert.not.match(piece, /\ufffd/)
        assert.not.match(piece, /\p{Surrogate}/u)
      }
      assert.is(stream.flush(), '')
      assert.is(pieces.join(''), text)
    }
  }
})

test('streamed pieces of broken UTF-8 join to what decode gives', () => {
  const next = random(9)
  for (let round = 0; round < 500; round++) {
    const ids = Array.from({ length: 12 }, () =>
      Math.floor(next() < 0.8 ? 0x80 + next() * 128 : next() * 256),
    )
    const stream = tokenizer.decodeStream()
    const text = ids.map((id) => stream.step(id)).join('') + stream.flush()
    assert.is(text, tokenizer.decode(ids), ids.map((b) => b.toString(16)).join(' '))
  }
})

test('a stream holds back only what a further byte can complete', () => {
  const cases: [number[], number][] = [
    [[0x61], 0],
    [[0xc3], 1],
    [[0xc3, 0xa9], 0],
    [[0xe0, 0xa4], 2],
    [[0xe0, 0x80], 0],
    [[0xed, 0xa0], 0],
    [[0xf0, 0x9f, 0x98], 3],
    [[0xf0, 0x8f], 0],
    [[0xf4, 0x90], 0],
    [[0xf5], 0],
    [[0xc1], 0],
    [[0x80, 0x80, 0x80], 0],
    [[], 0],
  ]
  for (const [bytes, held] of cases)
    assert.is(incompleteTail(Uint8Array.from(bytes)), held, String(bytes))
})

test('flush gives U+FFFD for a character that was never completed and starts anew', () => {
  const stream = tokenizer.decodeStream()
  assert.is(stream.step(0xf0) + stream.step(0x9f), '')
  assert.is(stream.flush(), '\ufffd')
  assert.is(stream.step(0x61), 'a')
  const skipping = tokenizer.decodeStream({ skipSpecialTokens: true })
  assert.is(skipping.step(special('<|end_of_turn|>')), '')
})

test('what is no text is refused by name', () => {
  assert.throws(() => tokenizer.encode(5 as unknown as string), /\[encode\] text is 5/)
  assert.throws(() => tokenizer.encodeBytes('x' as unknown as Uint8Array), /\[encodeBytes\]/)
})

test('encode tells how far it is, and gives the same ids then', () => {
  const json = trained().toJSON()
  const vocab = { '[UNK]': 0, the: 1, cat: 2 }
  const model = { type: 'WordLevel', unk_token: '[UNK]', vocab }
  const words = (pre_tokenizer: object): Tokenizer =>
    Tokenizer.fromJSON({ version: '1.0', added_tokens: [], pre_tokenizer, model })
  const text = 'the cat naïve '.repeat(200_000)
  for (const tokenizer of [
    Tokenizer.fromJSON(json),
    words({ type: 'Whitespace' }),
    words({ type: 'CharDelimiterSplit', delimiter: ' ' }),
  ]) {
    const seen: number[] = []
    const ids = tokenizer.encode(text, {
      onProgress: (done, total) => {
        assert.is(total, text.length)
        seen.push(done)
      },
    })
    assert.ok(seen.length >= 2 && seen.length < 6, seen.join(' '))
    assert.ok(seen.every((done, i) => done > (seen[i - 1] ?? 0) && done <= text.length))
    const [once, twice] = [tokenizer.encode(text.slice(0, 1400)), tokenizer.encode(text)]
    assert.equal(ids.slice(0, 200), once.slice(0, 200))
    assert.ok(ids.length === twice.length && ids.every((id, i) => id === twice[i]))
  }
})

test.run()
