import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Tokenizer as Oracle } from '@huggingface/tokenizers'
import { DEFAULT_CHAT_TEMPLATE, FileFormatError, Tokenizer } from '../src/index.js'
import { HARD, corpus, random, randomText, sentence, trained } from './samples.js'

const tokenizer = trained()
const SAVED = ['special_tokens_map.json', 'tokenizer.json', 'tokenizer_config.json']
const parsed = (value: unknown): Record<string, unknown> =>
  JSON.parse(JSON.stringify(value)) as Record<string, unknown>

async function inFolder(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'tokenizer-'))
  try {
    await work(dir)
  } finally {
    await rm(dir, { recursive: true })
  }
}

function varied(): string[] {
  const next = random(21)
  const texts = [...HARD, ...corpus(100, 22)]
  for (let i = 0; i < 300; i++) texts.push(i % 2 === 0 ? sentence(next) : randomText(next, 60))
  return texts
}

test('@huggingface/tokenizers reads our tokenizer.json and gives the same ids', () => {
  const oracle = new Oracle(parsed(tokenizer), {})
  let ids = 0
  for (const text of varied()) {
    // The oracle folds no ſ, where (?i) of the Rust tokenizers does.
    if (text.includes('ſ')) continue
    const want = oracle.encode(text, { add_special_tokens: false }).ids
    assert.equal(tokenizer.encode(text, { allowSpecial: 'all' }), want, JSON.stringify(text))
    ids += want.length
  }
  assert.ok(ids > 10_000)
})

test('@huggingface/tokenizers decodes our ids to the same text', () => {
  const oracle = new Oracle(parsed(tokenizer), {})
  const decode = (ids: number[]): string =>
    oracle.decode(ids, { skip_special_tokens: false, clean_up_tokenization_spaces: false })
  for (const text of corpus(100, 23)) assert.is(decode(tokenizer.encode(text)), text)
})

test('a tokenizer comes back from its JSON the same', () => {
  const back = Tokenizer.fromJSON(parsed(tokenizer))
  assert.is(JSON.stringify(back), JSON.stringify(tokenizer))
  for (const text of varied()) assert.equal(back.encode(text), tokenizer.encode(text))
})

test('save and fromPretrained keep ids, special tokens and the chat template', () =>
  inFolder(async (dir) => {
    const folder = join(dir, 'deep', 'er')
    await tokenizer.save(folder)
    assert.equal((await readdir(folder)).sort(), SAVED)
    const back = await Tokenizer.fromPretrained(folder)
    assert.is(JSON.stringify(back), JSON.stringify(tokenizer))
    assert.equal(
      [back.bosId, back.eosId, back.padId],
      [tokenizer.bosId, tokenizer.eosId, tokenizer.padId],
    )
    assert.is(back.chatTemplate, DEFAULT_CHAT_TEMPLATE)
    const messages = [{ role: 'user', content: 'hi' }]
    assert.equal(back.applyChatTemplate(messages), tokenizer.applyChatTemplate(messages))
    await back.save(folder)
    assert.equal((await readdir(folder)).sort(), SAVED)
    assert.is(JSON.stringify(await Tokenizer.fromPretrained(folder)), JSON.stringify(tokenizer))
  }))

test('save leaves nothing of the tokenizer that the folder had before', () =>
  inFolder(async (dir) => {
    await mkdir(join(dir, 'additional_chat_templates'))
    const stale = ['chat_template.jinja', 'added_tokens.json', 'vocab.json', 'merges.txt']
    for (const name of [...stale, 'additional_chat_templates/rag.jinja', 'config.json']) {
      await writeFile(join(dir, name), '{"old": 5000}')
    }
    await tokenizer.save(dir)
    const left = await readdir(dir, { recursive: true })
    assert.equal(left.sort(), ['additional_chat_templates', 'config.json', ...SAVED])
    const back = await Tokenizer.fromPretrained(dir)
    assert.equal(back.toFiles(), tokenizer.toFiles())
    assert.equal(back.chatTemplates, ['default'])
    // What comes from a file of its own is written as one again, and stays.
    const chatTemplates = { default: 'x', rag: 'y' }
    const other = Tokenizer.fromJSON(parsed(tokenizer), {}, { chatTemplates })
    await other.save(dir)
    await other.save(dir)
    assert.equal((await Tokenizer.fromPretrained(dir)).toFiles(), other.toFiles())
  }))

test('fields of tokenizer_config.json that we do not use are written back', () =>
  inFolder(async (dir) => {
    const config = { model_max_length: 8192, bos_token: { content: '<|pad|>', lstrip: false } }
    const back = Tokenizer.fromJSON(parsed(tokenizer), config)
    assert.is(back.bosToken, '<|pad|>')
    assert.is(back.chatTemplate, null)
    await back.save(dir)
    const written = parsed(JSON.parse(await readFile(join(dir, 'tokenizer_config.json'), 'utf8')))
    assert.is(written.model_max_length, 8192)
    assert.is(written.bos_token, '<|pad|>')
    assert.is(written.eos_token, null)
  }))

test('chat_template.jinja goes before the template in the config; of named ones, default is taken', () =>
  inFolder(async (dir) => {
    await tokenizer.save(dir)
    await writeFile(join(dir, 'chat_template.jinja'), '{{ messages|length }}')
    assert.is((await Tokenizer.fromPretrained(dir)).chatTemplate, '{{ messages|length }}')
    const named = [
      { name: 'tool_use', template: 'a' },
      { name: 'default', template: 'b' },
    ]
    assert.is(Tokenizer.fromJSON(parsed(tokenizer), { chat_template: named }).chatTemplate, 'b')
  }))

test('tokens that are names of JavaScript objects survive', () => {
  const texts = Array.from({ length: 9 }, () => '__proto__ constructor')
  const odd = Tokenizer.train(texts, { vocabSize: 300 })
  const back = Tokenizer.fromJSON(JSON.parse(JSON.stringify(odd)))
  const ids = back.encode('constructor __proto__')
  assert.equal(ids, odd.encode('constructor __proto__'))
  assert.is(back.decode(ids), 'constructor __proto__')
})

test('files of others load: merges as pairs, ignore_merges, special tokens in the vocabulary', () => {
  const json = parsed(tokenizer)
  const model = json.model as {
    vocab: Record<string, number>
    merges: unknown[]
    ignore_merges: boolean
  }
  model.merges = (model.merges as string[]).map((pair) => pair.split(' '))
  model.vocab['<|user|>'] = tokenizer.tokenToId('<|user|>')!
  json.post_processor = {
    type: 'ByteLevel',
    add_prefix_space: true,
    trim_offsets: false,
    use_regex: true,
  }
  const back = Tokenizer.fromJSON(json)
  for (const text of corpus(50, 24)) assert.equal(back.encode(text), tokenizer.encode(text))
  // With ignore_merges a word that is a token is taken whole, but never a special one.
  model.vocab['Ġzzzz'] = 5000
  model.ignore_merges = true
  const whole = Tokenizer.fromJSON(json)
  assert.equal(whole.encode(' zzzz'), [5000])
  assert.is(whole.vocabSize, 5001)
  assert.throws(() => whole.decode([4999]), /4999 is no token/)
  const specials = new Set(whole.specialTokens.map((token) => whole.tokenToId(token)))
  assert.not.ok(whole.encode('<|user|> user').some((id) => specials.has(id)))
})

test('added tokens that are not special are found in any text, as Hugging Face does', () => {
  const json = parsed(tokenizer)
  const added = json.added_tokens as Record<string, unknown>[]
  added.push({ ...added[0], id: 700, content: '</think>', special: false })
  const back = Tokenizer.fromJSON(json)
  assert.equal(back.encode('a</think>'), [0x61, 700])
  assert.equal(back.decode([700], { skipSpecialTokens: true }), '</think>')
  const oracle = new Oracle(json, {})
  assert.equal(back.encode('a </think> b'), oracle.encode('a </think> b').ids)
})

// Each row changes a good file and names the field that the error must name.
type Change = (json: any, model: any) => void // eslint-disable-line @typescript-eslint/no-explicit-any
const split = 'pre_tokenizer.pretokenizers[0]'
const nested = (field: string, ...types: string[]): object => {
  return { type: 'Sequence', [field]: types.map((type) => ({ type })) }
}
const template = (id: number): object => ({
  type: 'TemplateProcessing',
  single: [{ Sequence: { id: 'A', type_id: 0 } }],
  pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
  special_tokens: { '<x>': { id: '<x>', ids: [id], tokens: ['<x>'] } },
})
const HOSTILE: readonly [string, Change][] = [
  ['version', (j) => (j.version = '2.0')],
  ['surprise', (j) => (j.surprise = 1)],
  ['normalizer', (j) => (j.normalizer = 'NFC')],
  ['normalizer.type', (j) => (j.normalizer = { type: 'NFX' })],
  ['normalizer.type', (j) => (j.normalizer = { type: '__proto__' })],
  ['normalizer.left', (j) => (j.normalizer = { type: 'Strip', left: true })],
  ['normalizer.normalizers[1].type', (j) => (j.normalizer = nested('normalizers', 'NFC', 'X'))],
  ['truncation.max_length', (j) => (j.truncation = {})],
  ['truncation.strategy', (j) => (j.truncation = { max_length: 5, strategy: 'Longest' })],
  ['padding.strategy', (j) => (j.padding = { strategy: 'Longest' })],
  ['model', (j) => (j.model = [])],
  ['model', (j) => delete j.model],
  ['model.type', (_, m) => (m.type = 'Bigram')],
  ['model.dropout', (_, m) => (m.type = 'WordLevel')],
  ['model.type', (_, m) => delete m.type],
  ['model.unk_token', (_, m) => (m.unk_token = '<unk>')],
  ['model.byte_fallback', (_, m) => (m.byte_fallback = 1)],
  ['model.dropout', (_, m) => (m.dropout = 1.5)],
  ['model.end_of_word_suffix', (_, m) => (m.end_of_word_suffix = 7)],
  ['model.ignore_merges', (_, m) => (m.ignore_merges = 'yes')],
  ['model.constructor', (_, m) => (m.constructor = 1)],
  ['model.vocab', (_, m) => (m.vocab = null)],
  ['model.vocab', (_, m) => (m.vocab = ['a'])],
  ['model.vocab', (_, m) => delete m.vocab['Ġ']],
  ['model.vocab["x\\ny"]', (_, m) => (m.vocab['x\ny'] = -1)],
  ['model.vocab["huge"]', (_, m) => (m.vocab.huge = 2 ** 31)],
  ['model.vocab["huge"]', (_, m) => (m.vocab.huge = 1e300)],
  ['model.vocab["text"]', (_, m) => (m.vocab.text = '5')],
  ['model.vocab["half"]', (_, m) => (m.vocab.half = 0.5)],
  ['model.vocab["null"]', (_, m) => (m.vocab.null = null)],
  ['model.vocab["twin"]', (_, m) => (m.vocab.twin = 300)],
  ['model.vocab[""]', (_, m) => (m.vocab[''] = 9999)],
  ['model.merges', (_, m) => (m.merges = 'a b')],
  ['model.merges', (_, m) => delete m.merges],
  ['model.merges[0]', (_, m) => (m.merges[0] = 'a')],
  ['model.merges[0]', (_, m) => (m.merges[0] = 'a b c')],
  ['model.merges[1]', (_, m) => (m.merges[1] = ['a', 'b', 'c'])],
  ['model.merges[1][1]', (_, m) => (m.merges[1] = ['a', 7])],
  ['model.merges[2]', (_, m) => (m.merges[2] = null)],
  ['model.merges[2][1]', (_, m) => (m.merges[2] = 'a ')],
  ['model.merges[3]', (_, m) => (m.merges[3] = 'a nope')],
  ['model.merges[3]', (_, m) => (m.merges[3] = '! "')],
  ['model.merges[4]', (_, m) => (m.merges[4] = m.merges[0])],
  [
    'model.merges[0]',
    (j, m) => {
      // A merge must not lead text to a special token.
      j.added_tokens[0].content = m.merges[0].replace(' ', '')
      j.added_tokens[0].id = m.vocab[j.added_tokens[0].content]
    },
  ],
  ['added_tokens', (j) => (j.added_tokens = {})],
  ['added_tokens', (j) => (j.added_tokens = Array(70_000).fill(0))],
  ['added_tokens[0]', (j) => (j.added_tokens[0] = '<|pad|>')],
  ['added_tokens[0].id', (j) => (j.added_tokens[0].id = 1e9)],
  ['added_tokens[1].id', (j) => (j.added_tokens[1].id = j.added_tokens[0].id)],
  ['added_tokens[0].id', (j) => (j.added_tokens[0].id = 5)],
  ['added_tokens[0].content', (j) => (j.added_tokens[0].content = '')],
  ['added_tokens[0].content', (j) => (j.added_tokens[0].content = 'x')],
  ['added_tokens[0].content', (j) => (j.added_tokens[0].content = 'x\ud800')],
  ['added_tokens[0].content', (j) => (j.added_tokens[0].content = 'x'.repeat(70_000))],
  ['added_tokens[1].content', (j) => (j.added_tokens[1].content = '<|pad|>')],
  ['added_tokens[0].lstrip', (j) => (j.added_tokens[0].lstrip = 'yes')],
  ['added_tokens[0].strip', (j) => (j.added_tokens[0].strip = true)],
  ['added_tokens[0].special', (j) => (j.added_tokens[0].special = 1)],
  ['pre_tokenizer', (j) => (j.pre_tokenizer = [])],
  ['pre_tokenizer.type', (j) => (j.pre_tokenizer = { type: 'Space' })],
  ['pre_tokenizer.pretokenizers', (j) => delete j.pre_tokenizer.pretokenizers],
  [`${split}.behavior`, (j) => (j.pre_tokenizer.pretokenizers[0].behavior = 'Kept')],
  [`${split}.behavior`, (j) => delete j.pre_tokenizer.pretokenizers[0].behavior],
  [`${split}.invert`, (j) => (j.pre_tokenizer.pretokenizers[0].invert = 'no')],
  [
    `${split}.pattern.Regex`,
    (j) => (j.pre_tokenizer.pretokenizers[0].pattern = { Regex: '(a)\\1' }),
  ],
  [`${split}.pattern.Glob`, (j) => (j.pre_tokenizer.pretokenizers[0].pattern = { Glob: ' ' })],
  ['post_processor.special_tokens["<x>"].ids[0]', (j) => (j.post_processor = template(9999))],
  ['post_processor.single', (j) => (j.post_processor = { ...template(1), single: [] })],
  ['decoder.type', (j) => (j.decoder = { type: 'Word' })],
  ['decoder.decoders[1].type', (j) => (j.decoder = nested('decoders', 'Fuse', 'X'))],
]

test('hostile and unsupported tokenizer files are refused, naming file and field', () => {
  for (const [field, change] of HOSTILE) {
    const json = parsed(tokenizer)
    change(json, json.model)
    try {
      Tokenizer.fromJSON(json, {}, { tokenizer: 'evil/tokenizer.json' })
    } catch (error) {
      if (!(error instanceof FileFormatError)) throw error
      assert.is(error.field, field)
      assert.is(error.file, 'evil/tokenizer.json')
      assert.ok(error.message.startsWith(`[evil/tokenizer.json] ${field}: `), error.message)
      assert.ok(error.message.length < 600, `a message of ${error.message.length} characters`)
      continue
    }
    assert.unreachable(`${field}: ${String(change)} was accepted`)
  }
})

test('parts lie in each other eight deep, not nine', () => {
  for (const [field, list, type] of [
    ['normalizer', 'normalizers', 'NFC'],
    ['pre_tokenizer', 'pretokenizers', 'WhitespaceSplit'],
    ['post_processor', 'processors', 'ByteLevel'],
    ['decoder', 'decoders', 'Fuse'],
  ] as const) {
    const load = (depth: number): Tokenizer => {
      let part: object = { type }
      for (let k = 1; k < depth; k++) part = { type: 'Sequence', [list]: [part] }
      return Tokenizer.fromJSON({ ...parsed(tokenizer), [field]: part })
    }
    assert.is(load(8).encode('a').length, 1)
    assert.throws(
      () => load(9),
      (e: unknown) => e instanceof FileFormatError && /more than 8 deep/.test(e.message),
      field,
    )
  }
})

test('hostile tokenizer_config.json is refused, naming the field', () => {
  const rows: [string, unknown][] = [
    ['file', []],
    ['file', null],
    ['bos_token', { bos_token: 5 }],
    ['bos_token', { bos_token: {} }],
    ['eos_token', { eos_token: '<nope>' }],
    ['add_bos_token', { add_bos_token: true }],
    ['chat_template', { chat_template: 5 }],
    ['chat_template', { chat_template: [null, { name: 'other', template: '' }] }],
    ['chat_template', { chat_template: '{% if %}' }],
    ['chat_template', { chat_template: 'x'.repeat(200_000) }],
  ]
  for (const [field, config] of rows) {
    assert.throws(
      () => Tokenizer.fromJSON(parsed(tokenizer), config),
      (e: unknown) =>
        e instanceof FileFormatError && e.field === field && e.file === 'tokenizer_config.json',
      JSON.stringify(config)?.slice(0, 80),
    )
  }
})

test('broken and missing files on disk are refused, naming the path', () =>
  inFolder(async (dir) => {
    const fails = async (wanted: RegExp): Promise<void> => {
      try {
        await Tokenizer.fromPretrained(dir)
      } catch (error) {
        assert.instance(error, FileFormatError)
        assert.match((error as Error).message, wanted)
        assert.ok((error as FileFormatError).file.startsWith(dir))
        return
      }
      assert.unreachable('the folder was accepted')
    }
    await fails(/is missing/)
    for (const text of ['', '{', '[]', 'null', '"x"', '['.repeat(100_000), '{"version":']) {
      await writeFile(join(dir, 'tokenizer.json'), text)
      await fails(/file: is /)
    }
    await tokenizer.save(dir)
    await writeFile(join(dir, 'tokenizer_config.json'), '{')
    await fails(/tokenizer_config\.json\] file: is not JSON/)
    await rm(join(dir, 'tokenizer_config.json'))
    assert.is((await Tokenizer.fromPretrained(dir)).bosId, tokenizer.bosId)
    await rm(join(dir, 'special_tokens_map.json'))
    assert.is((await Tokenizer.fromPretrained(dir)).bosId, null)
  }))

test('a folder of vocab.json and merges.txt is read as the class that its config names', () =>
  inFolder(async (dir) => {
    const { vocab, merges } = tokenizer.toJSON().model as { vocab: object; merges: string[] }
    await writeFile(join(dir, 'vocab.json'), JSON.stringify({ ...vocab, '<|endoftext|>': 5000 }))
    await writeFile(join(dir, 'merges.txt'), `#version: 0.2\n${merges.join('\n')}\n`)
    const config = (fields: object): Promise<void> =>
      writeFile(join(dir, 'tokenizer_config.json'), JSON.stringify(fields))
    await config({ tokenizer_class: 'GPT2TokenizerFast', eos_token: '<|endoftext|>' })
    const gpt2 = await Tokenizer.fromPretrained(dir)
    const oracle = new Oracle(parsed(gpt2), {})
    for (const text of corpus(40, 25)) {
      const want = oracle.encode(text, { add_special_tokens: false }).ids
      assert.equal(gpt2.encode(text), want, JSON.stringify(text))
    }
    assert.is(gpt2.eosId, 5000)
    assert.not.equal(gpt2.encode('<|endoftext|>'), [5000])
    await config({ tokenizer_class: 'Qwen2Tokenizer' })
    assert.equal((await Tokenizer.fromPretrained(dir)).encoding('12').wordIds, [0, 1])
    await config({ tokenizer_class: 'XLNetTokenizer' })
    await Tokenizer.fromPretrained(dir).then(
      () => assert.unreachable('an unknown class was accepted'),
      (error: unknown) => assert.is((error as FileFormatError).field, 'tokenizer_class'),
    )
  }))

test('a failed save leaves the old file and nothing beside it', () =>
  inFolder(async (dir) => {
    await tokenizer.save(dir)
    const before = await readFile(join(dir, 'tokenizer.json'), 'utf8')
    const { writeAtomic } = await import('../src/node/files.js')
    await writeAtomic(join(dir, 'tokenizer.json'), 5 as unknown as string).then(
      () => assert.unreachable('a number was written'),
      () => undefined,
    )
    assert.is(await readFile(join(dir, 'tokenizer.json'), 'utf8'), before)
    assert.equal((await readdir(dir)).sort(), SAVED)
  }))

test.run()
