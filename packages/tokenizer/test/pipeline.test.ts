import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readFileSync } from 'node:fs'
import { FileFormatError, Tokenizer, TokenizerError } from '../src/index.js'
import { columnsOf } from '../compare/pipeline.js'
import type { Recorded } from '../compare/pipeline.js'
import { CASES, TEXTS } from './components.js'
import { HARD, corpus, random, randomText } from './samples.js'

const recorded = JSON.parse(
  readFileSync(new URL('fixtures/components.json', import.meta.url), 'utf8'),
) as Recorded[]
const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T
const load = (name: string, changes: Record<string, unknown> = {}, config = {}): Tokenizer =>
  Tokenizer.fromJSON({ ...copy(CASES.find((c) => c.name === name)!.json), ...changes }, config)

test('each component gives what the Rust library gives (recorded by compare/pipeline.ts)', () => {
  assert.equal(
    recorded.map(({ name }) => name),
    CASES.map(({ name }) => name),
  )
  CASES.forEach(({ name, json }, i) => {
    const tokenizer = Tokenizer.fromJSON(copy(json))
    TEXTS.forEach((text, k) => {
      const want = recorded[i]!.results[k]!
      const options = { allowSpecial: 'all' } as const
      const single = tokenizer.encoding(text, options)
      assert.equal(columnsOf(single), want.single, `${name}: ${text}`)
      const { ids, typeIds } = tokenizer.encoding(text, { ...options, pair: TEXTS[0]! })
      assert.equal({ ids, typeIds }, want.pair, `${name}: pair of ${text}`)
      assert.is(tokenizer.decode(single.ids), want.decoded, `${name}: decoded ${text}`)
    })
  })
})

test('toJSON gives back what was read', () => {
  for (const { name, json } of CASES) {
    const read = copy(json)
    const tokenizer = Tokenizer.fromJSON(read)
    const before = copy(read)
    assert.equal(copy(tokenizer.toJSON()), before, name)
    // What the caller does to his object, or to what he got, is not ours.
    ;(read.added_tokens as unknown[]).length = 0
    ;(tokenizer.toJSON().added_tokens as unknown[]).length = 0
    assert.equal(copy(tokenizer.toJSON()), before, name)
  }
})

test('ids alone, ids with places, and streamed text are the same', () => {
  const next = random(12)
  const texts = [...TEXTS, ...HARD]
  for (let i = 0; i < 40; i++) texts.push(randomText(next, 40, true))
  for (const { name, json } of CASES) {
    const tokenizer = Tokenizer.fromJSON(copy(json))
    const options = { truncation: null, padding: null, addSpecialTokens: false }
    for (const text of texts) {
      const ids = tokenizer.encode(text)
      assert.equal(tokenizer.encoding(text, options).ids, ids, `${name}: ${JSON.stringify(text)}`)
      const stream = tokenizer.decodeStream()
      const streamed = ids.map((id) => stream.step(id)).join('') + stream.flush()
      assert.is(streamed, tokenizer.decode(ids), name)
    }
  }
})

test('places are within the text, in order, and agree with the bytes', () => {
  const bytes = (text: string): Buffer => Buffer.from(text, 'utf8')
  for (const { name, json } of CASES) {
    const tokenizer = Tokenizer.fromJSON(copy(json))
    for (const text of TEXTS) {
      const encoding = tokenizer.encoding(text, { truncation: null })
      const { byteOffsets } = encoding
      encoding.offsets.forEach(([start, end], i) => {
        assert.ok(start <= end && end <= text.length, name)
        const [from, to] = byteOffsets[i]!
        if (encoding.sequenceIds[i] === null) return
        assert.is(bytes(text).toString('utf8', from, to), text.slice(start, end), name)
      })
    }
  }
})

test('byte-level places cover the text without gaps', () => {
  const tokenizer = load('ByteLevel', { post_processor: null })
  for (const text of ['hello world', ' a  b\n', 'hé😀x']) {
    const { offsets } = tokenizer.encoding(text)
    let at = 0
    for (const [start, end] of offsets) {
      assert.ok(start <= at && end >= at, JSON.stringify([text, offsets]))
      at = end
    }
    assert.is(at, text.length)
  }
})

test('special tokens in a text are text unless they are allowed', () => {
  for (const name of ['Unigram', 'WordPiece', 'WordLevel', 'BPE byte_fallback', 'added tokens']) {
    const tokenizer = load(name)
    const special = new Set(['<s>', '</s>', '<pad>'].map((token) => tokenizer.tokenToId(token)!))
    const options = { addSpecialTokens: false }
    for (const text of ['<s>', 'a <s> b', '</s></s>', '<pad>hello', '▁<s>']) {
      assert.not.ok(
        tokenizer.encode(text).some((id) => special.has(id)),
        `${name} ${text}`,
      )
      assert.not.ok(
        tokenizer.encoding(text, options).ids.some((id) => special.has(id)),
        name,
      )
    }
    assert.equal(tokenizer.encode('<s>', { allowSpecial: ['<s>'] }), [1])
    assert.not.ok(tokenizer.encode('</s>', { allowSpecial: ['<s>'] }).includes(2))
    assert.throws(() => tokenizer.encode('x', { allowSpecial: ['hello'] }), /no special token/)
  }
})

test('truncation and padding: sides, strategies, stride, multiples, batches', () => {
  const tokenizer = load('TemplateProcessing', {}, { pad_token: '<pad>' })
  const ids = (options: object, text = 'abcdef'): string[][] => {
    const encoding = tokenizer.encoding(text, options)
    return [encoding, ...encoding.overflowing].map(({ tokens }) => tokens)
  }
  const whole = tokenizer.encode('abcdef').map((id) => tokenizer.idToToken(id)!) // abc d e f
  assert.equal(whole, ['abc', 'd', 'e', 'f'])
  assert.equal(ids({ truncation: { maxLength: 3 } }), [
    ['<s>', 'abc', 'd'],
    ['<s>', 'e', 'f'],
  ])
  assert.equal(ids({ truncation: { maxLength: 4, side: 'left', stride: 2 } }), [
    ['<s>', 'd', 'e', 'f'],
    ['<s>', 'abc', 'd', 'e'],
  ])
  const pair = { pair: 'de' }
  assert.equal(ids({ ...pair, truncation: { maxLength: 7, strategy: 'only-first' } })[0], [
    ...['<s>', 'abc', 'd', '</s>', '</s>', 'd', 'e'],
  ])
  assert.equal(ids({ ...pair, truncation: { maxLength: 8, strategy: 'only-second' } })[0], [
    ...['<s>', 'abc', 'd', 'e', 'f', '</s>', '</s>', 'd'],
  ])
  for (const [options, wanted] of [
    [{ truncation: { maxLength: 0 } }, /1 special tokens are added/],
    [{ truncation: { maxLength: 3, stride: 2 } }, /stride is 2/],
    [{ truncation: { maxLength: -1 } }, /maxLength is -1/],
    [{ truncation: { maxLength: 2, strategy: 'only-second' } }, /no second text/],
    [{ ...pair, truncation: { maxLength: 4, strategy: 'only-second' } }, /cannot remove/],
    [{ padding: { length: -1 } }, /length is -1/],
    [{ padding: { multipleOf: 0 } }, /multipleOf is 0/],
  ] as const) {
    assert.throws(
      () => tokenizer.encoding('abcdef', options),
      (e: unknown) => e instanceof TokenizerError && wanted.test(e.message),
      String(wanted),
    )
  }
  const batch = tokenizer.encodings(['a', ['abcdef', 'd']], {
    padding: { side: 'left', multipleOf: 4 },
  })
  assert.equal(
    batch.map(({ length }) => length),
    [8, 8],
  )
  assert.equal(batch[0]!.tokens, ['<pad>', '<pad>', '<pad>', '<pad>', '<pad>', '<pad>', '<s>', 'a'])
  assert.equal(batch[0]!.attentionMask, [0, 0, 0, 0, 0, 0, 1, 1])
  assert.equal(batch[1]!.sequenceIds, [null, 0, 0, 0, 0, null, null, 1])
  const side = load('TemplateProcessing', {}, { pad_token: '<pad>', padding_side: 'left' })
  assert.equal(side.encoding('a', { padding: { length: 3 } }).tokens, ['<pad>', '<s>', 'a'])
})

test('tokens that begin with a byte order mark are tokens of their own', () => {
  const tokenizer = Tokenizer.fromJSON({
    model: { type: 'WordLevel', unk_token: '?', vocab: { '?': 0, '//': 1, '\ufeff//': 2 } },
  })
  assert.equal(
    ['//', '\ufeff//', 'x'].map((text) => tokenizer.encode(text)),
    [[1], [2], [0]],
  )
})

test('dropped merges are the same for the same seed, and no text is lost', () => {
  const base = CASES.find((c) => c.name === 'BPE fuse_unk')!.json.model as object
  const tokenizer = load('BPE fuse_unk', { model: { ...base, dropout: 0.5 } })
  const text = 'hello hello hello worabc'.repeat(4)
  const ids = tokenizer.encode(text, { seed: 3 })
  assert.equal(tokenizer.encode(text, { seed: 3 }), ids)
  assert.not.equal(tokenizer.encode(text, { seed: 4 }), ids)
  const whole = load('BPE fuse_unk').encode(text)
  assert.ok(ids.length > whole.length)
  const all = load('BPE fuse_unk', { model: { ...base, dropout: 1 } })
  assert.is(all.encode('hello').length, 5)
})

test('the switches of tokenizer_config.json are honoured or refused', () => {
  const ends = { bos_token: '<s>', eos_token: '</s>' }
  const tokens = (name: string, config: object): string[] =>
    load(name, {}, config).encoding('ab').tokens
  assert.equal(tokens('BPE fuse_unk', { ...ends, add_bos_token: true }), ['<s>', 'ab'])
  assert.equal(tokens('BPE fuse_unk', { ...ends, add_eos_token: true }), ['ab', '</s>'])
  assert.equal(tokens('TemplateProcessing', { ...ends, add_bos_token: false }), ['ab'])
  assert.equal(tokens('TemplateProcessing', { ...ends, add_eos_token: true }), [
    '<s>',
    'ab',
    '</s>',
  ])
  const both = load('BPE fuse_unk', {}, { ...ends, add_bos_token: true, add_eos_token: true })
  const pair = both.encoding('ab', { pair: 'h' })
  assert.equal(pair.tokens, ['<s>', 'ab', '</s>', '<s>', 'h', '</s>'])
  assert.equal(pair.typeIds, [0, 0, 0, 1, 1, 1])
  assert.equal(both.encode('ab', { addSpecialTokens: true }), [1, both.tokenToId('ab')!, 2])
  const prefixed = load('ByteLevel', {}, { add_prefix_space: true })
  assert.equal(prefixed.encoding('ab').tokens[0], 'Ġ')
  assert.equal(copy(prefixed.toJSON()), copy(load('ByteLevel').toJSON()))
  for (const [config, field] of [
    [{ add_bos_token: true }, 'add_bos_token'],
    [{ add_bos_token: 'yes' }, 'add_bos_token'],
    [{ add_prefix_space: true }, 'add_prefix_space'],
    [{ padding_side: 'top' }, 'padding_side'],
    [{ added_tokens_decoder: { 1: { content: 'x' } } }, 'added_tokens_decoder["1"]'],
    [{ added_tokens_decoder: { x: { content: 'xy' } } }, 'added_tokens_decoder["x"]'],
  ] as const) {
    assert.throws(
      () => load('BPE fuse_unk', {}, config),
      (e: unknown) => e instanceof FileFormatError && e.field === field,
      JSON.stringify(config),
    )
  }
})

test('tokens that only the other files name are added', () => {
  const json = copy(CASES.find((c) => c.name === 'BPE fuse_unk')!.json)
  const config = { added_tokens_decoder: { 500: { content: '<think>', special: true } } }
  const tokenizer = Tokenizer.fromJSON(json, config, {
    addedTokens: { '<tool>': 501, '<s>': 1 },
    specialTokensMap: { bos_token: '<s>', pad_token: { content: '<pad>' } },
  })
  assert.equal(tokenizer.encode('a<tool><think>', { allowSpecial: 'all' }).slice(1), [501, 500])
  assert.is(tokenizer.vocabSize, 502)
  assert.equal([tokenizer.bosId, tokenizer.padId], [1, 3])
  assert.throws(
    () => Tokenizer.fromJSON(json, {}, { addedTokens: { '<s>': 7 } }),
    (e: unknown) => e instanceof FileFormatError && e.file === 'added_tokens.json',
  )
})

test('long texts without a cut take n log n time', () => {
  const long = 200_000
  for (const name of [
    'BPE fuse_unk',
    'BPE byte_fallback',
    'Unigram',
    'WordPiece',
    'added tokens',
    'ByteLevel',
  ]) {
    const tokenizer = load(name)
    for (const text of [
      'a'.repeat(long),
      '!'.repeat(long),
      'hello<l>'.repeat(long / 8),
      '<'.repeat(long),
    ]) {
      assert.ok(tokenizer.encode(text, { allowSpecial: 'all' }).length > 0, name)
    }
  }
})

test('the ids of a trained tokenizer agree on both paths', () => {
  const tokenizer = Tokenizer.train(corpus(200), { vocabSize: 500 })
  for (const text of corpus(60, 9)) {
    const encoding = tokenizer.encoding(text)
    assert.equal(encoding.ids, tokenizer.encode(text))
    assert.is(encoding.offsets.at(-1)?.[1], text.length)
  }
})

test('files of words between blanks give what they give to the whole text at once', () => {
  const words = [...'abcdefghijklmnopqrstuvwxyzàéß世界हिन्दी.,!0123456789']
  const vocab = ['[UNK]', 'the', 'cat', ...words, ...words.map((word) => `##${word}`)]
  const ids = Object.fromEntries([...new Set(vocab)].map((token, id) => [token, id]))
  for (const normalizer of [
    { type: 'BertNormalizer', lowercase: true },
    { type: 'BertNormalizer', lowercase: false, clean_text: false },
    { type: 'Sequence', normalizers: [{ type: 'NFKD' }, { type: 'Lowercase' }] },
    null,
  ]) {
    for (const pretokenizers of [
      ['BertPreTokenizer'],
      ['Whitespace', 'Digits'],
      ['WhitespaceSplit'],
    ]) {
      const load = (...added: object[]): Tokenizer =>
        Tokenizer.fromJSON({
          version: '1.0',
          added_tokens: [{ id: 900, content: '<x>', special: true }, ...added],
          normalizer,
          pre_tokenizer: {
            type: 'Sequence',
            pretokenizers: pretokenizers.map((type) => ({ type })),
          },
          model: {
            type: 'WordPiece',
            unk_token: '[UNK]',
            continuing_subword_prefix: '##',
            max_input_chars_per_word: 100,
            vocab: ids,
          },
        })
      const wordwise = load()
      // A token that is looked for in the normalized text forbids it.
      const whole = load({ id: 901, content: 'never, anywhere', normalized: true })
      for (const text of [
        ...HARD,
        ...corpus(60, 3),
        '  ',
        'A\u0300 \u0300b <x>\n\ta\u0000 \ud800',
      ]) {
        const label = JSON.stringify([normalizer, pretokenizers, text])
        const allowSpecial = 'all'
        assert.equal(
          wordwise.encode(text, { allowSpecial }),
          whole.encode(text, { allowSpecial }),
          label,
        )
        const [a, b] = [wordwise, whole].map((one) => one.encoding(text, { allowSpecial }))
        assert.equal([a!.ids, a!.offsets, a!.wordIds], [b!.ids, b!.offsets, b!.wordIds], label)
      }
    }
  }
})

test.run()
