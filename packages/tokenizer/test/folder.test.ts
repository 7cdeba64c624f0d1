import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FileFormatError } from '../src/index.js'
import { Tokenizer } from '../src/core.js'
import { DEFAULT_CHAT_TEMPLATE } from '../src/index.js'
import { CL100K_PATTERN } from '../src/split/patterns.js'
import { HARD, corpus, trained } from './samples.js'

const parsed = (text: string): Record<string, unknown> =>
  JSON.parse(text) as Record<string, unknown>

test('files go in and come out by name: what came as a file goes out as one', () => {
  const tokenizer = trained()
  const files = tokenizer.toFiles()
  assert.equal(Object.keys(files).sort(), [
    'special_tokens_map.json',
    'tokenizer.json',
    'tokenizer_config.json',
  ])
  assert.equal(parsed(files['special_tokens_map.json']!), {
    bos_token: '<|begin_of_text|>',
    eos_token: '<|end_of_text|>',
    pad_token: '<|pad|>',
  })
  const back = Tokenizer.fromFiles(files)
  assert.equal(back.toFiles(), files)
  assert.is(back.chatTemplate, DEFAULT_CHAT_TEMPLATE)
  const own = {
    ...files,
    'chat_template.jinja': new TextEncoder().encode('{{ messages | length }}'),
    'additional_chat_templates/rag.jinja': 'r',
    'special_tokens_map.json': '{"mask_token": "<|image|>", "eos_token": "<|user|>"}',
  }
  const other = Tokenizer.fromFiles(own)
  assert.equal(other.chatTemplates, ['default', 'rag'])
  const out = other.toFiles()
  assert.is(out['chat_template.jinja'], '{{ messages | length }}')
  assert.is(out['additional_chat_templates/rag.jinja'], 'r')
  assert.is(parsed(out['tokenizer_config.json']!).chat_template, null)
  const map = parsed(out['special_tokens_map.json']!)
  assert.equal([map.mask_token, map.eos_token], ['<|image|>', '<|end_of_text|>'])
  assert.equal(Tokenizer.fromFiles(out).toFiles(), out)
})

test('files that are wrong or missing are refused by the name that the caller gives them', () => {
  const files = trained().toFiles()
  for (const [change, file] of [
    [{ 'tokenizer.json': '{' }, 'x/tokenizer.json'],
    [{ 'tokenizer_config.json': '[]' }, 'x/tokenizer_config.json'],
    [{ 'tokenizer_config.json': '{} {}' }, 'x/tokenizer_config.json'],
    [{ 'special_tokens_map.json': '{' }, 'x/special_tokens_map.json'],
    [{ 'added_tokens.json': '{"a": ' }, 'x/added_tokens.json'],
    [{ 'chat_template.jinja': '{% if %}' }, 'x/tokenizer_config.json'],
  ] as const) {
    assert.throws(
      () => Tokenizer.fromFiles({ ...files, ...change }, (name) => `x/${name}`),
      (e: unknown) => e instanceof FileFormatError && e.file === file,
      JSON.stringify(change),
    )
  }
  assert.throws(() => Tokenizer.fromFiles({}), /\[tokenizer\.json\] file: is missing/)
})

test('a chat template whose name is no file name stays in tokenizer_config.json', () => {
  const tokenizer = trained()
  const chatTemplates = { '../../evil': 'x', default: 'y' }
  const other = Tokenizer.fromJSON(tokenizer.toJSON(), {}, { chatTemplates })
  const files = other.toFiles()
  assert.not.ok(Object.keys(files).some((name) => name.includes('evil')))
  assert.equal(parsed(files['tokenizer_config.json']!).chat_template, [
    { name: '../../evil', template: 'x' },
  ])
})

test('places, words and ids of byte-level files are those of encode, with any pattern', () => {
  const json = trained().toJSON() as { pre_tokenizer: { pretokenizers: Record<string, unknown>[] } }
  const [, byteLevel] = json.pre_tokenizer.pretokenizers
  const split = (Regex: string, behavior = 'Isolated'): Record<string, unknown> => {
    return { type: 'Split', pattern: { Regex }, behavior, invert: false }
  }
  for (const cuts of [
    [split(CL100K_PATTERN)],
    [split('[a-z]+ ?', 'MergedWithNext')],
    [split('[0-9]{1,3}'), split('\\s+'), { type: 'Digits', individual_digits: true }],
    [split(' ', 'Removed')],
    [],
  ]) {
    const tokenizer = Tokenizer.fromJSON({
      ...json,
      pre_tokenizer: { type: 'Sequence', pretokenizers: [...cuts, byteLevel] },
    })
    for (const text of [...HARD, 'a\ud800b 12', ...corpus(20, 7)]) {
      const { ids, offsets } = tokenizer.encoding(text)
      const label = JSON.stringify([cuts, text])
      assert.equal(tokenizer.encode(text), ids, label)
      if (cuts.some((cut) => cut.behavior === 'Removed')) continue
      assert.equal(tokenizer.encodeBytes(new TextEncoder().encode(text)), ids, label)
      assert.is(offsets.at(-1)?.[1] ?? 0, text.length, label)
    }
  }
})

test('special tokens that take blanks take them in chats too', () => {
  const tokenizer = trained()
  const json = tokenizer.toJSON() as { added_tokens: Record<string, unknown>[] }
  for (const token of json.added_tokens) {
    if (token.content === '<|user|>') Object.assign(token, { lstrip: true, rstrip: true })
  }
  const chat_template = 'a  <|user|> \n{{ messages[0].content }} <|pad|> b'
  const chat = Tokenizer.fromJSON(json, { chat_template })
  const { ids } = chat.applyChatTemplate([{ role: 'user', content: ' hi ' }])
  const text = 'a  <|user|> \n hi  <|pad|> b'
  assert.equal(ids, chat.encode(text, { allowSpecial: 'all' }))
  assert.is(chat.decode(ids), 'a<|user|>hi  <|pad|> b')
})

test.run()
