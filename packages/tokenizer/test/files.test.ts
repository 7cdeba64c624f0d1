import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FileFormatError, Tokenizer } from '../src/index.js'
import { byteMerges, byteVocab } from '../src/files/byte-vocab.js'
import { parseRanks } from '../src/files/tiktoken.js'
import type { Ranks } from '../src/files/tiktoken.js'
import { MergeList, VocabList, readTokenizerDocument } from '../src/files/tokenizer-document.js'
import { parseMergesTxt, parseVocabJson } from '../src/files/vocab-merges.js'
import { ByteBpe } from '../src/models/byte-bpe/byte-bpe.js'
import { ByteVocabulary } from '../src/models/byte-bpe/byte-vocabulary.js'
import { WordTable } from '../src/models/byte-bpe/word-table.js'
import { byteToChar } from '../src/text/alphabet.js'
import { CL100K_PATTERN, KNOWN_PATTERNS } from '../src/split/patterns.js'
import { IdBuffer } from '../src/text/id-buffer.js'
import { HARD, random, trained } from './samples.js'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const base64 = (text: string): string => Buffer.from(text).toString('base64')

const entriesOf = ({ texts, ids, length }: VocabList): [string, number][] =>
  Array.from({ length }, (_, i) => [texts.text(i), ids[i]!])

function refused(work: () => unknown, field: string, message = /./): void {
  assert.throws(work, (e: unknown) => {
    if (!(e instanceof FileFormatError)) throw e
    assert.is(e.field, field, e.message)
    assert.is(e.file, 'evil')
    assert.match(e.message, message)
    assert.ok(e.message.length < 400)
    return true
  })
}

test('the scan of tokenizer.json gives what JSON.parse gives', () => {
  const odd = {
    'a"b\\c/\b\f\n\r\t': 0,
    'é\u2028\u0000': 1,
    '😀': 2,
    __proto__x: 3,
    constructor: 4,
    'x y': 5,
    ['long'.repeat(5000)]: 6,
  }
  const json = JSON.parse(
    `{"before": [1, {"a": "]}\\""}], "model": {"type": "BPE", "vocab": {"__proto__": 7, "\\ud83d\\ude00!": 8}}}`,
  ) as { model: { vocab: Record<string, number>; merges: unknown } }
  Object.assign(json.model.vocab, odd)
  for (const merges of [
    ['a b', 'c dé'],
    [
      ['a', 'b c'],
      ['"', '\\'],
    ],
    [],
  ]) {
    json.model.merges = merges
    for (const indent of [undefined, 1, '\t']) {
      const document = readTokenizerDocument(
        utf8('\ufeff' + JSON.stringify(json, null, indent)),
        'f',
      )
      const { vocab, merges: list } = document.model!
      assert.instance(vocab, VocabList)
      assert.instance(list, MergeList)
      assert.equal(entriesOf(vocab as VocabList), Object.entries(json.model.vocab))
      const { halves, spelling } = list as MergeList
      const got = Array.from({ length: (list as MergeList).length }, (_, m) => {
        const pair = [halves.text(2 * m), halves.text(2 * m + 1)]
        return spelling === 'joined' ? pair.join(' ') : pair
      })
      assert.equal(got, merges)
      assert.equal(document.before, (json as unknown as { before: unknown }).before)
    }
  }
  const list = readTokenizerDocument(utf8('{"model": {"vocab": [["a", -1.5]]}}'), 'f')
  assert.equal(list.model!.vocab, [['a', -1.5]])
})

test('a tokenizer.json cut off anywhere is refused', () => {
  const whole = JSON.stringify(trained())
  const bytes = utf8(whole)
  for (let length = 0; length < bytes.length; length += length < 600 ? 1 : 97) {
    const cut = bytes.subarray(0, length)
    // Cut after 1 of 16, an id is there twice.
    assert.throws(() => readTokenizerDocument(cut, 'evil'), /is not JSON|another token has too/)
  }
  assert.ok(readTokenizerDocument(bytes, 'evil').model)
})

test('hostile JSON is refused with the place in the file', () => {
  const rows: [string, string, RegExp?][] = [
    ['{"model": {"vocab": {"a": 1, "a": 2}, "model": 1}, "model": {}}', 'model', /twice/],
    ['{"version": 1, "version": 2}', 'version', /twice/],
    ['{"model": {"vocab": {"a": 1, "b": 1}}}', 'model.vocab["b"]', /id 1/],
    ['{"model": {"vocab": {"a": 4194304}}}', 'model.vocab["a"]', /4194303/],
    ['{"model": {"vocab": {"a": 99999999999999999999}}}', 'model.vocab["a"]'],
    ['{"model": {"vocab": {"a": -1}}}', 'model.vocab["a"]', /-1/],
    ['{"model": {"vocab": {"a": 01}}}', 'file', /not JSON/],
    ['{"model": {"vocab": {"a": 1.5}}}', 'model.vocab["a"]', /1\.5/],
    ['{"model": {"vocab": {"a": {"b": 1}}}}', 'model.vocab["a"]', /an object/],
    ['{"model": {"vocab": {"\\ud800": 1}}}', 'model.vocab', /surrogate/],
    ['{"model": {"vocab": {"\\x": 1}}}', 'file', /escape/],
    ['{"model": {"vocab": {"a\nb": 1}}}', 'file', /not JSON/],
    ['{"model": {"vocab": {"a": 1,}}}', 'file', /not JSON/],
    ['{"model": {"vocab": {"a" 1}}}', 'file', /not JSON/],
    [`{"model": {"vocab": {"${'a'.repeat(70_000)}": 1}}}`, `model.vocab["${'a'.repeat(56)}...]`],
    ['{"model": {"merges": ["a b", "ab"]}}', 'model.merges[1]', /blank/],
    ['{"model": {"merges": [["a", "b"], ["a", ""]]}}', 'model.merges[1][1]', /empty/],
    ['{"model": {"merges": ["a b", ["a", "c"]]}}', 'model.merges[1]', /otherwise/],
    ['{"model": {"merges": [["a"]]}}', 'model.merges[0]', /1 tokens/],
    [`{"x": ${'['.repeat(1_000_000)}`, 'x', /deep/],
    [`{"x": ${'{"a":'.repeat(1_000_000)}`, 'x', /deep/],
    ['{} {}', 'file', /more than one/],
  ]
  for (const [text, field, message] of rows) {
    refused(() => readTokenizerDocument(utf8(text), 'evil'), field, message)
  }
  refused(
    () =>
      readTokenizerDocument(
        Uint8Array.of(0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d),
        'evil',
      ),
    'a',
    /UTF-8/,
  )
})

test('rank files that are wrong are refused with their line', () => {
  const rows: [Ranks, string, RegExp?][] = [
    ['', 'file', /no tokens/],
    ['IQ== 0\nIQ==', 'line 2', /no rank/],
    ['IQ== 0\nIg== 0', 'line 2', /second time/],
    ['IQ== 0\n!! 1', 'line 2', /no rank/],
    ['IQ== 0 1', 'line 1', /more than/],
    ['IQ== 99999999', 'line 1', /4194304/],
    ['I=== 0', 'line 1', /base64/],
    ['IR== 0', 'line 1', /base64/],
    ['IQ 0', 'line 1', /base64/],
    ['? 0', 'line 1', /base64/],
    ['! 4194303 IQ== Ig==', 'line 1', /4194304/],
    [`${base64('x'.repeat(70_000))} 0`, 'line 1', /65536/],
    [['a', [300]], '[1]', /is/],
    [['a', ''], '[1]'],
    [5 as unknown as string, 'file'],
  ]
  for (const [ranks, field, message] of rows) {
    refused(() => parseRanks(ranks, 'evil'), field, message)
  }
  const tokens = parseRanks(
    `${base64('a')} 0\r\n\n  ${base64('bcd')} 5 \n! 7 ${base64('é')} ${base64('f')}\n`,
    'f',
  )
  const text = (id: number): string => Buffer.from(tokens.of(id)).toString()
  assert.equal([0, 1, 5, 6, 7, 8].map(text), ['a', '', 'bcd', '', 'é', 'f'])
  assert.is(tokens.size, 9)
})

test('fromTiktoken refuses what it cannot do', () => {
  const ranks = Array.from({ length: 256 }, (_, byte) => [byte])
  const make = (options: Partial<Parameters<typeof Tokenizer.fromTiktoken>[1]>): Tokenizer =>
    Tokenizer.fromTiktoken(ranks, { pattern: CL100K_PATTERN, ...options })
  assert.equal(make({}).encode('hé'), [...Buffer.from('hé')])
  assert.throws(() => make({ pattern: '(a)\\1' }), /\[Tokenizer\.fromTiktoken\] pattern: /)
  assert.throws(() => make({ specialTokens: { '<|x|>': 5 } }), /id of another/)
  assert.throws(() => make({ specialTokens: { '<|x|>': 300, '<|y|>': 300 } }), /id of another/)
  assert.throws(() => make({ specialTokens: { '<|x|>': -1 } }), /is -1/)
  assert.throws(() => make({ specialTokens: { x: 300 } }), /two characters/)
  assert.throws(
    () => Tokenizer.fromTiktoken(ranks.slice(1), { pattern: CL100K_PATTERN, file: 'evil' }),
    /evil\] model\.vocab.*byte 0/,
  )
})

test('ranks become merges in tokenizer.json, which encodes the same', () => {
  const next = random(5)
  let merges = 0
  let whole = 0
  for (let round = 0; round < 40; round++) {
    // Tokens of a few letters in any order, made of each other or not.
    const tokens = new Set<string>()
    while (tokens.size < 20) {
      let token = ''
      for (let n = 2 + Math.floor(next() * 4); n > 0; n--) token += 'aabc'[Math.floor(next() * 4)]!
      tokens.add(token)
    }
    tokens.add('a'.repeat(60)) // merged by the heap
    const ranks = [...Array.from({ length: 256 }, (_, byte) => [byte]), undefined, ...tokens]
    const specialTokens = { '<|end|>': 400 }
    const tokenizer = Tokenizer.fromTiktoken(ranks, { pattern: CL100K_PATTERN, specialTokens })
    const json = tokenizer.toJSON()
    const back = Tokenizer.fromJSON(json)
    assert.equal(back.toJSON(), json)
    const { model } = json as { model: { merges: string[]; vocab: object } }
    assert.is(Object.keys(model.vocab).length, 256 + tokens.size)
    merges += model.merges.length
    whole += tokens.size - model.merges.length
    for (let k = 0; k < 40; k++) {
      let text = ''
      for (let n = Math.floor(next() * 80); n > 0; n--) text += 'aaaabbc '[Math.floor(next() * 8)]!
      const ids = tokenizer.encode(text + '<|end|>', { allowSpecial: 'all' })
      assert.equal(back.encode(text + '<|end|>', { allowSpecial: 'all' }), ids, text)
    }
    for (const token of tokens) assert.is(back.encode(token).length, 1)
  }
  // Both kinds were met: what is made of two parts, and what only a whole word is.
  assert.ok(merges > 100 && whole > 100, `${merges}, ${whole}`)
})

test('a merge makes the token of its bytes, not the one beside it whose text has the same', () => {
  const bytes = Array.from({ length: 256 }, (_, byte) => byteToChar(byte))
  const [a, b, c] = [...utf8('世')].map((byte) => bytes[byte]!)
  const tokens = [...bytes, a! + b!, '世', a! + b! + c!]
  const json = Tokenizer.train([''], { vocabSize: 300 }).toJSON()
  const model = {
    type: 'BPE',
    vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    merges: [`${a} ${b}`, `${a}${b} ${c}`],
  }
  const tokenizer = Tokenizer.fromJSON({ ...json, added_tokens: [], model })
  assert.equal(tokenizer.encode('世'), [258])
})

test('vocab.json and merges.txt give the ids of the tokenizer.json that has the same', () => {
  const tokenizer = trained()
  const { vocab, merges } = tokenizer.toJSON().model as {
    vocab: Record<string, number>
    merges: string[]
  }
  const bytes = byteVocab(parseVocabJson(utf8(JSON.stringify(vocab)), 'vocab.json'), 'vocab.json')
  const words = new WordTable(bytes.vocab, false, new Set(), 'vocab.json')
  const vocabulary = new ByteVocabulary(bytes.vocab, words, bytes.outside)
  for (const end of ['\n', '\r\n']) {
    const list = parseMergesTxt(utf8(['#version: 0.2', ...merges, ''].join(end)), 'merges.txt')
    assert.is(list.length, merges.length)
    const triples = byteMerges(list, vocabulary, new Set(), 'merges.txt')
    const split = KNOWN_PATTERNS.get(CL100K_PATTERN)!
    const bpe = new ByteBpe({ ...bytes, merges: triples, ignoreMerges: false, split })
    for (const text of HARD) {
      const out = new IdBuffer()
      const source = utf8(text)
      bpe.encode(source, 0, source.length, out)
      assert.equal(out.toArray(), tokenizer.encode(text))
    }
  }
  refused(() => parseMergesTxt(utf8('#version\na b\nab\n'), 'evil'), 'line 3', /blank/)
  refused(() => parseMergesTxt(utf8('a b c'), 'evil'), 'line 1', /blank/)
  refused(() => parseMergesTxt(utf8('a '), 'evil'), 'line 1[1]', /empty/)
  refused(() => parseVocabJson(utf8('{"a": 1, "b": 1}'), 'evil'), 'file["b"]', /id 1/)
  refused(() => parseVocabJson(utf8('[]'), 'evil'), 'file', /not JSON/)
})

test.run()
