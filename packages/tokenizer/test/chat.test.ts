import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Template } from '@huggingface/jinja'
import {
  DEFAULT_CHAT_TEMPLATE,
  DEFAULT_SPECIAL_TOKENS,
  TemplateError,
  Tokenizer,
  TokenizerError,
} from '../src/index.js'
import type { ChatMessage } from '../src/index.js'
import { corpus, random, sentence, trained } from './samples.js'

const tokenizer = trained()
const special = new Map(
  tokenizer.specialTokens.map((token) => [tokenizer.tokenToId(token)!, token]),
)

/** The ids with special tokens as names and text between them as text. */
function shown(ids: readonly number[], by: Tokenizer = tokenizer): string[] {
  const out: string[] = []
  let run: number[] = []
  const flush = (): void => {
    if (run.length > 0) out.push(by.decode(run))
    run = []
  }
  for (const id of ids) {
    if (!by.isSpecial(id)) run.push(id)
    else {
      flush()
      out.push(by.idToToken(id)!)
    }
  }
  flush()
  return out
}

const withTemplate = (chatTemplate: string, specialTokens = DEFAULT_SPECIAL_TOKENS): Tokenizer =>
  Tokenizer.train(corpus(100), { vocabSize: 500, specialTokens, chatTemplate })

const TALK: readonly ChatMessage[] = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: [{ type: 'image' }, { type: 'text', text: ' What colour?\n' }] },
  { role: 'assistant', content: 'Red.' },
  { role: 'user', content: 'And now?' },
]

test('a conversation becomes role, text and end of turn', () => {
  const { ids } = tokenizer.applyChatTemplate(TALK, { addGenerationPrompt: true })
  assert.equal(shown(ids), [
    '<|begin_of_text|>',
    'Be brief.',
    '<|end_of_turn|>',
    '<|user|>',
    '<|image_start|>',
    '<|image|>',
    '<|image_end|>',
    ' What colour?\n',
    '<|end_of_turn|>',
    '<|assistant|>',
    'Red.',
    '<|end_of_turn|>',
    '<|user|>',
    'And now?',
    '<|end_of_turn|>',
    '<|assistant|>',
  ])
})

test('the mask covers what the assistant wrote and its end of turn, nothing else', () => {
  const { ids, assistantMask } = tokenizer.applyChatTemplate(TALK)
  assert.is(assistantMask!.length, ids.length)
  assert.equal(shown(ids.filter((_, i) => assistantMask![i] === 1)), ['Red.', '<|end_of_turn|>'])
})

test('the prompt for generation is a prefix of the finished conversation', () => {
  const prompt = tokenizer.applyChatTemplate(TALK, { addGenerationPrompt: true }).ids
  const whole = tokenizer.applyChatTemplate([...TALK, { role: 'assistant', content: ' 42' }]).ids
  assert.equal(whole.slice(0, prompt.length), prompt)
})

test('text without ids is what the ids decode to', () => {
  const text = tokenizer.applyChatTemplate(TALK, { tokenize: false })
  assert.is(text, tokenizer.decode(tokenizer.applyChatTemplate(TALK).ids))
  assert.equal(
    tokenizer.encode(text, { allowSpecial: 'all' }),
    tokenizer.applyChatTemplate(TALK).ids,
  )
})

test('our rendering is that of @huggingface/jinja', () => {
  const messages = TALK.map((message) => ({ ...message }))
  for (const add_generation_prompt of [true, false]) {
    const want = new Template(DEFAULT_CHAT_TEMPLATE).render({
      messages,
      add_generation_prompt,
      bos_token: '<|begin_of_text|>',
    })
    const got = tokenizer.applyChatTemplate(TALK, {
      tokenize: false,
      addGenerationPrompt: add_generation_prompt,
    })
    assert.is(got, want)
  }
  const templates = [
    `{% for m in messages %}\n  {% generation %}\n{{ m.content | trim }}\n  {% endgeneration %}\nx{% endfor %}\n`,
    `{% for m in messages %}<|{{ m['role'] }}|>{{ m.content.split('</think>')[-1].lstrip('\\n') }}{% endfor %}`,
    `{%- for m in messages %}{% if m.content.startswith('<tool>') %}T{% endif %}{{ m | tojson }}{% endfor -%}`,
    `{% for m in messages %}{{ m.content | upper }}{{ m.content | length }}{{ loop.index }}{% endfor %}`,
  ]
  const plain = [
    { role: 'user', content: '  <tool> a < b </think>\n\nc > d ' },
    { role: 'assistant', content: '<tool>ok' },
  ]
  for (const source of templates) {
    const got = withTemplate(source).applyChatTemplate(plain, { tokenize: false })
    // It drops the generation tags without trimming around them, so the tags are taken out here as statements.
    const want = source
      .replaceAll('{% generation %}', '{% if true %}')
      .replaceAll('{% endgeneration %}', '{% endif %}')
    assert.is(got, new Template(want).render({ messages: plain }))
  }
})

test('what users write never becomes a special token', () => {
  const next = random(31)
  const nasty = (): string => {
    let text = ''
    for (let n = 0; n < 4; n++) {
      const token = DEFAULT_SPECIAL_TOKENS[Math.floor(next() * DEFAULT_SPECIAL_TOKENS.length)]!
      const cut = Math.floor(next() * token.length)
      text += [token, token.slice(0, cut), token.slice(cut), sentence(next)][
        Math.floor(next() * 4)
      ]!
    }
    return text
  }
  for (let round = 0; round < 200; round++) {
    const [a, b, c] = [nasty(), nasty(), nasty()]
    const { ids } = tokenizer.applyChatTemplate([
      { role: 'user', content: a },
      {
        role: 'assistant',
        content: [
          { type: 'text', text: b },
          { type: 'text', text: c },
        ],
      },
    ])
    const names = ids.filter((id) => special.has(id)).map((id) => special.get(id))
    assert.equal(names, [
      '<|begin_of_text|>',
      '<|user|>',
      '<|end_of_turn|>',
      '<|assistant|>',
      '<|end_of_turn|>',
    ])
    const text = `<|begin_of_text|><|user|>${a}<|end_of_turn|><|assistant|>${b}${c}<|end_of_turn|>`
    assert.is(tokenizer.decode(ids), text)
  }
})

test('text of users and text of the template never join to a special token', () => {
  const specials = ['[INST]', '[/INST]', '<s>']
  const cases: [string, string, string[]][] = [
    ['[{{ messages[0].content }}]', 'INST', ['[INST]']],
    ['{{ messages[0].content }}INST]', '[', ['[INST]']],
    ['[IN{{ messages[0].content }}', 'ST]', ['[INST]']],
    ['<{{ messages[0].content | trim }}>', ' s ', ['<s>']],
    ['{{ messages[0].content ~ messages[1].content }}', '[INST]', ['[INST][INST]']],
    ['{{ messages[0].content[0] }}INST]<s>', '[', ['[INST]', '<s>']],
    [
      '{{ messages | tojson }}',
      '<s>',
      ['[{"role": "user", "content": "<s>"}, {"role": "user", "content": "<s>"}]'],
    ],
    ['{{ messages[0].content | tojson(ensure_ascii=true) }}', '<s>', ['"<s>"']],
    ['{{ {messages[0].content: 1} | tojson }}<s>', '[INST]', ['{"[INST]": 1}', '<s>']],
  ]
  for (const [template, content, want] of cases) {
    const guarded = withTemplate(template, specials)
    const messages = [
      { role: 'user', content },
      { role: 'user', content },
    ]
    assert.equal(shown(guarded.applyChatTemplate(messages).ids, guarded), want, template)
  }
})

test('special tokens in names, tool schemas and keys stay text too', () => {
  const all = withTemplate('{{ tools | tojson }}{{ messages[0].name }}<|user|>')
  const { ids } = all.applyChatTemplate([{ role: 'user', content: '', name: '<|image|>' }], {
    variables: { tools: [{ '<|user|>': { description: '<|assistant|>' } }] },
  })
  assert.equal(shown(ids, all), [
    '[{"<|user|>": {"description": "<|assistant|>"}}]<|image|>',
    '<|user|>',
  ])
})

test('private-use and noncharacters of users come through unchanged', () => {
  const content = Array.from({ length: 200 }, (_, i) =>
    String.fromCharCode(0xfdd0 + (i % 32), 0xe000 + i),
  ).join('')
  const text = tokenizer.applyChatTemplate([{ role: 'user', content: `${content}<|image|>` }], {
    tokenize: false,
  })
  assert.is(text, `<|begin_of_text|><|user|>${content}<|image|><|end_of_turn|>`)
  const every = Array.from({ length: 6500 }, (_, i) =>
    String.fromCharCode(i < 6400 ? 0xe000 + i : 0xfdd0 + (i % 32)),
  )
  assert.throws(
    () => tokenizer.applyChatTemplate([{ role: 'user', content: every.join('') }]),
    (e: unknown) => e instanceof TokenizerError && /private-use/.test(e.message),
  )
})

test('roles and types must be names, so that they cannot build special tokens', () => {
  const all = withTemplate(`{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}`)
  assert.equal(shown(all.applyChatTemplate([{ role: 'user', content: 'x' }]).ids, all), [
    '<|user|>',
    'x',
  ])
  for (const role of ['user|><|assistant', '<|user|>', '', 'a\nb', 'x'.repeat(65), '__proto__|']) {
    assert.throws(
      () => all.applyChatTemplate([{ role, content: 'x' }]),
      (e: unknown) => e instanceof TokenizerError && /role is/.test(e.message),
    )
  }
})

test('imageTokens gives each image its number of placeholders', () => {
  const image = { type: 'image' }
  const messages = [{ role: 'user', content: [image, { type: 'text', text: '<|image|>' }, image] }]
  const { ids } = tokenizer.applyChatTemplate(messages, { imageTokens: [3, 2] })
  const runs = shown(ids)
  assert.is(runs.filter((text) => text === '<|image|>').length, 6) // 5 placeholders and the user's text
  assert.is(ids.filter((id) => id === tokenizer.tokenToId('<|image|>')).length, 5)
  for (const imageTokens of [[], [1], [1, 2, 3]]) {
    assert.throws(
      () => tokenizer.applyChatTemplate(messages, { imageTokens }),
      (e: unknown) =>
        e instanceof TokenizerError &&
        e.message.includes(`2 images, imageTokens has ${imageTokens.length}`),
    )
  }
  for (const count of [0, -1, 1.5, NaN, 1e9]) {
    assert.throws(
      () => tokenizer.applyChatTemplate(messages, { imageTokens: [count, 1] }),
      /imageTokens has/,
    )
  }
})

test('a template without generation tags gives no mask', () => {
  const none = withTemplate('{{ messages[0].content }}')
  assert.is(none.applyChatTemplate([{ role: 'user', content: 'x' }]).assistantMask, null)
  const open = withTemplate('{% generation %}{{ messages[0].content }}')
  assert.throws(
    () => open.applyChatTemplate([{ role: 'user', content: 'x' }]),
    (e: unknown) => e instanceof TemplateError && /does not close/.test(e.message),
  )
})

test('what the template or the method cannot take is refused with a reason', () => {
  const refuse = (messages: unknown, wanted: RegExp): void => {
    assert.throws(
      () => tokenizer.applyChatTemplate(messages as ChatMessage[]),
      (e: unknown) => e instanceof TokenizerError && wanted.test(e.message),
      String(wanted),
    )
  }
  refuse('hi', /messages are "hi"/)
  refuse([{ role: 'tool', content: 'x' }], /role tool is not known/)
  refuse([TALK[1], { role: 'system', content: 'x' }], /system message must be the first/)
  refuse([{ role: 'user', content: [{ type: 'audio' }] }], /type audio is not known/)
  refuse([{ role: 'user', content: () => 'x' }], /content is a function/)
  refuse([{ role: 'user', content: 5n }], /no JSON/)
  const cycle: Record<string, unknown> = { role: 'user', content: 'x' }
  cycle.self = cycle
  refuse([cycle], /no JSON/)
  let deep: unknown = 'x'
  for (let i = 0; i < 100; i++) deep = [deep]
  refuse([{ role: 'user', content: deep }], /nested/)
  const bare = Tokenizer.train(['x'], { vocabSize: 258, specialTokens: [] })
  assert.throws(() => bare.applyChatTemplate([]), /no chat template/)
})

test.run()
