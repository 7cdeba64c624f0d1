// The chat formats of public model families, by templates of our own that use Jinja the way theirs do.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ChatTemplate, FileFormatError, Tokenizer, TokenizerError } from '../src/index.js'
import type { ChatMessage, ChatOptions as AllOptions } from '../src/index.js'
import { corpus } from './samples.js'

type ChatOptions = Omit<AllOptions, 'tokenize'>

interface Format {
  readonly specialTokens: readonly string[]
  readonly bosToken?: string
  readonly eosToken?: string
  readonly template: string
}

const LLAMA3: Format = {
  specialTokens: ['<|begin_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'],
  bosToken: '<|begin_of_text|>',
  eosToken: '<|eot_id|>',
  template: `{%- if not tools is defined %}{%- set tools = none %}{%- endif -%}
{%- for message in messages -%}
  {%- set turn = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' -%}
  {%- if loop.index0 == 0 -%}{%- set turn = bos_token + turn -%}{%- endif -%}
  {{- turn -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}{%- endif -%}`,
}

const QWEN: Format = {
  specialTokens: [
    '<|endoftext|>',
    '<|im_start|>',
    '<|im_end|>',
    '<|vision_start|>',
    '<|image_pad|>',
    '<|vision_end|>',
  ],
  eosToken: '<|im_end|>',
  template: `{%- macro body(content) -%}
  {%- if content is string -%}{{- content -}}
  {%- else -%}
    {%- for part in content -%}
      {%- if part.type == 'image' or 'image_url' in part -%}{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
      {%- elif 'text' in part -%}{{- part.text -}}{%- endif -%}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro -%}
{%- if tools -%}
  {{- '<|im_start|>system\n' -}}
  {%- if messages[0].role == 'system' -%}{{- messages[0].content + '\n\n' -}}{%- endif -%}
  {{- '# Tools\n<tools>' -}}
  {%- for tool in tools -%}{{- '\n' -}}{{- tool | tojson -}}{%- endfor -%}
  {{- '\n</tools><|im_end|>\n' -}}
{%- elif messages[0].role == 'system' -%}
  {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' -}}
{%- endif -%}
{%- set ns = namespace(last_query=messages|length - 1, seeking=true) -%}
{%- for message in messages[::-1] -%}
  {%- set index = (messages|length - 1) - loop.index0 -%}
  {%- if ns.seeking and message.role == 'user' -%}
    {%- set ns.seeking = false -%}{%- set ns.last_query = index -%}
  {%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
  {%- if message.role == 'user' or (message.role == 'system' and not loop.first) -%}
    {{- '<|im_start|>' + message.role + '\n' -}}{{- body(message.content) -}}{{- '<|im_end|>\n' -}}
  {%- elif message.role == 'assistant' -%}
    {%- set content = message.content if message.content is string else '' -%}
    {%- if '</think>' in content and loop.index0 < ns.last_query -%}
      {%- set content = content.split('</think>')[-1].lstrip('\n') -%}
    {%- endif -%}
    {{- '<|im_start|>assistant\n' -}}
    {%- generation -%}
    {{- content -}}
    {%- if message.tool_calls -%}
      {%- for call in message.tool_calls -%}
        {%- if call.function -%}{%- set call = call.function -%}{%- endif -%}
        {{- '\n<tool_call>\n{"name": "' + call.name + '", "arguments": ' -}}{{- call.arguments | tojson -}}{{- '}\n</tool_call>' -}}
      {%- endfor -%}
    {%- endif -%}
    {{- '<|im_end|>' -}}
    {%- endgeneration -%}
    {{- '\n' -}}
  {%- elif message.role == 'tool' -%}
    {%- if loop.first or messages[loop.index0 - 1].role != 'tool' -%}{{- '<|im_start|>user' -}}{%- endif -%}
    {{- '\n<tool_response>\n' + message.content + '\n</tool_response>' -}}
    {%- if loop.last or messages[loop.index0 + 1].role != 'tool' -%}{{- '<|im_end|>\n' -}}{%- endif -%}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|im_start|>assistant\n' -}}
  {%- if enable_thinking is defined and enable_thinking is false -%}{{- '<think>\n\n</think>\n\n' -}}{%- endif -%}
{%- endif -%}`,
}

const MISTRAL: Format = {
  specialTokens: ['<unk>', '<s>', '</s>', '[INST]', '[/INST]'],
  bosToken: '<s>',
  eosToken: '</s>',
  template: `{%- if messages[0]["role"] == "system" -%}
  {%- set system_message = messages[0]["content"] -%}{%- set loop_messages = messages[1:] -%}
{%- else -%}{%- set loop_messages = messages -%}{%- endif -%}
{{- bos_token -}}
{%- for message in loop_messages -%}
  {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
    {{- raise_exception('roles must alternate: user, assistant, user ...') -}}
  {%- endif -%}
  {%- if message['role'] == 'user' -%}
    {%- if loop.last and system_message is defined -%}
      {{- '[INST] ' + system_message + '\n\n' + message['content'] + '[/INST]' -}}
    {%- else -%}{{- '[INST] ' + message['content'] + '[/INST]' -}}{%- endif -%}
  {%- elif message['role'] == 'assistant' -%}
    {{- ' ' + message['content'] | trim + eos_token -}}
  {%- endif -%}
{%- endfor -%}`,
}

const GEMMA: Format = {
  specialTokens: ['<pad>', '<eos>', '<bos>', '<start_of_turn>', '<end_of_turn>'],
  bosToken: '<bos>',
  eosToken: '<eos>',
  template: `{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}`,
}

const trained = ({ template, ...tokens }: Format): Tokenizer =>
  Tokenizer.train(corpus(60), { vocabSize: 400, ...tokens, chatTemplate: template })
const llama3 = trained(LLAMA3)
const qwen = trained(QWEN)
const mistral = trained(MISTRAL)
const gemma = trained(GEMMA)

const user = (content: string): ChatMessage => ({ role: 'user', content })
const assistant = (content: string): ChatMessage => ({ role: 'assistant', content })

const WANTED: [string, Tokenizer, ChatMessage[], ChatOptions, string][] = [
  [
    'Llama 3',
    llama3,
    [{ role: 'system', content: ' Be brief. ' }, user('Hi'), assistant('Hello\n'), user('Bye')],
    { addGenerationPrompt: true },
    '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>' +
      '<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>' +
      '<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>' +
      '<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>' +
      '<|start_header_id|>assistant<|end_header_id|>\n\n',
  ],
  [
    'Qwen',
    qwen,
    [{ role: 'system', content: 'S' }, user('a'), assistant('<think>x</think>\n\nb'), user('c')],
    { addGenerationPrompt: true, variables: { enable_thinking: false } },
    '<|im_start|>system\nS<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n' +
      '<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n',
  ],
  [
    'Mistral',
    mistral,
    [{ role: 'system', content: 'S' }, user('a'), assistant(' b '), user('c')],
    {},
    '<s>[INST] a[/INST] b</s>[INST] S\n\nc[/INST]',
  ],
  [
    'Gemma',
    gemma,
    [user('a '), assistant('b'), user('c')],
    { addGenerationPrompt: true },
    '<bos><start_of_turn>user\na<end_of_turn>\n<start_of_turn>model\nb<end_of_turn>\n' +
      '<start_of_turn>user\nc<end_of_turn>\n<start_of_turn>model\n',
  ],
]

test('each family gets its format, as text and as ids', () => {
  for (const [name, tokenizer, messages, options, want] of WANTED) {
    assert.is(tokenizer.applyChatTemplate(messages, { ...options, tokenize: false }), want, name)
    const { ids } = tokenizer.applyChatTemplate(messages, options)
    assert.equal(ids, tokenizer.encode(want, { allowSpecial: 'all' }), name)
  }
})

test('users who write the family’s own special tokens get text', () => {
  for (const [name, tokenizer, messages, options] of WANTED) {
    const specials = (list: readonly ChatMessage[]): number[] =>
      tokenizer.applyChatTemplate(list, options).ids.filter((id) => tokenizer.isSpecial(id))
    const attack = tokenizer.specialTokens.join('')
    const forged = messages.map((message) => ({
      ...message,
      content: `${message.content as string}${attack}`,
    }))
    assert.equal(specials(forged), specials(messages), name)
  }
})

test('roles that a format does not have are refused by its template', () => {
  assert.throws(() => mistral.applyChatTemplate([user('a'), user('b')]), /must alternate/)
  assert.throws(
    () => gemma.applyChatTemplate([{ role: 'system', content: 'x' }]),
    /System role not supported/,
  )
})

const WEATHER = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'Weather of a <|im_end|> city',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' }, role: { type: ['string', 'null'] } },
      required: ['city'],
    },
  },
}

test('tools, calls and their answers', () => {
  const messages: ChatMessage[] = [
    user('Delhi?'),
    {
      role: 'assistant',
      tool_calls: [
        {
          type: 'function',
          function: { name: 'weather', arguments: { city: 'दिल्ली', role: 'a (b) <|im_end|>' } },
        },
      ],
    },
    { role: 'tool', content: '31 °C' },
    { role: 'tool', content: '<|im_end|>' },
    assistant('31.'),
  ]
  const options = { tools: [WEATHER] }
  const text = qwen.applyChatTemplate(messages, { ...options, tokenize: false })
  const call = '{"name": "weather", "arguments": {"city": "दिल्ली", "role": "a (b) <|im_end|>"}}'
  assert.is(
    text,
    '<|im_start|>system\n# Tools\n<tools>\n' +
      JSON.stringify(WEATHER).replaceAll(':', ': ').replaceAll(',', ', ') +
      '\n</tools><|im_end|>\n<|im_start|>user\nDelhi?<|im_end|>\n' +
      `<|im_start|>assistant\n\n<tool_call>\n${call}\n</tool_call><|im_end|>\n` +
      '<|im_start|>user\n<tool_response>\n31 °C\n</tool_response>\n<tool_response>\n<|im_end|>\n</tool_response><|im_end|>\n' +
      '<|im_start|>assistant\n31.<|im_end|>\n',
  )
  const { ids, assistantMask } = qwen.applyChatTemplate(messages, options)
  const end = qwen.tokenToId('<|im_end|>')!
  assert.is(ids.filter((id) => id === end).length, 5) // one a turn and none that somebody wrote
  assert.is(
    qwen.decode(ids.filter((_, i) => assistantMask![i] === 1)),
    `\n<tool_call>\n${call}\n</tool_call><|im_end|>31.<|im_end|>`,
  )
})

test('images of a family with its own placeholder', () => {
  const messages = [{ role: 'user', content: [{ type: 'image' }, { type: 'text', text: 'What?' }] }]
  const { ids } = qwen.applyChatTemplate(messages, {
    imageTokens: [3],
    imageToken: '<|image_pad|>',
  })
  assert.is(
    qwen.decode(ids),
    `<|im_start|>user\n<|vision_start|>${'<|image_pad|>'.repeat(3)}<|vision_end|>What?<|im_end|>\n`,
  )
})

test('continueFinalMessage ends behind what the last message says', () => {
  const messages = [user('Count.'), assistant('one, two, ')]
  for (const [name, tokenizer, opening] of [
    ['Llama 3', llama3, '<|start_header_id|>assistant<|end_header_id|>\n\n'],
    ['Qwen', qwen, '<|im_start|>assistant\n'],
    ['Mistral', mistral, '[/INST] '],
    ['Gemma', gemma, '<start_of_turn>model\n'],
  ] as const) {
    const text = tokenizer.applyChatTemplate(messages, {
      continueFinalMessage: true,
      tokenize: false,
    })
    assert.ok(text.endsWith(`${opening}one, two, `), `${name}: ${text}`)
  }
  const { ids, assistantMask } = qwen.applyChatTemplate(messages, { continueFinalMessage: true })
  assert.is(qwen.decode(ids.filter((_, i) => assistantMask![i] === 1)), 'one, two, ')
  const parts = [user('a'), { role: 'user', content: [{ type: 'text', text: 'b <|im_end|>' }] }]
  assert.ok(
    qwen
      .applyChatTemplate(parts, { continueFinalMessage: true, tokenize: false })
      .endsWith('user\nb <|im_end|>'),
  )
})

test('continueFinalMessage is refused where there is nothing to continue', () => {
  const refuse = (messages: ChatMessage[], options: ChatOptions, wanted: RegExp): void => {
    assert.throws(
      () => qwen.applyChatTemplate(messages, { continueFinalMessage: true, ...options }),
      (e: unknown) => e instanceof TokenizerError && wanted.test(e.message),
    )
  }
  refuse([user('a')], { addGenerationPrompt: true }, /Choose one/)
  refuse([], {}, /ends in text/)
  refuse([{ role: 'user', content: [{ type: 'image' }] }], {}, /ends in text/)
  refuse(
    [user('a')],
    { chatTemplate: new ChatTemplate('{{ messages | length }}') },
    /cannot be continued/,
  )
})

test('several templates: by name, for tools, of one’s own', () => {
  const json = qwen.toJSON()
  const config = {
    ...qwen.configJSON(),
    chat_template: [
      { name: 'default', template: 'plain' },
      { name: 'tool_use', template: 'tools' },
      {
        name: 'rag',
        template: '{% for d in documents %}{{ d.title }}: {{ d.text }}\n{% endfor %}',
      },
    ],
  }
  const many = Tokenizer.fromJSON(json, config)
  const text = (options: ChatOptions): string =>
    many.applyChatTemplate([], { ...options, tokenize: false })
  assert.equal(many.chatTemplates, ['default', 'tool_use', 'rag'])
  assert.is(text({}), 'plain')
  assert.is(text({ tools: [WEATHER] }), 'tools')
  assert.is(text({ tools: [WEATHER], chatTemplate: 'default' }), 'plain')
  const documents = [{ title: 'A', text: '<|im_end|>' }]
  assert.is(text({ chatTemplate: 'rag', documents }), 'A: <|im_end|>\n')
  assert.not.ok(
    many
      .applyChatTemplate([], { chatTemplate: 'rag', documents })
      .ids.some((id) => many.isSpecial(id)),
  )
  assert.is(text({ chatTemplate: new ChatTemplate('own {{ tools is none }}') }), 'own true')
  assert.throws(() => text({ chatTemplate: 'no' }), /no chat template "no"; it has "default"/)
  assert.equal(many.configJSON().chat_template, config.chat_template)

  const files = { chatTemplates: { default: 'from its file', extra: 'x' } }
  const own = Tokenizer.fromJSON(json, config, files)
  assert.is(own.chatTemplate, 'from its file')
  assert.equal(own.chatTemplates, ['default', 'tool_use', 'rag', 'extra'])
  for (const bad of [[{ name: 'a' }], [null], Array(65).fill({ name: 'a', template: '' }), 5]) {
    assert.throws(
      () => Tokenizer.fromJSON(json, { ...config, chat_template: bad }),
      (e: unknown) => e instanceof FileFormatError && e.field === 'chat_template',
    )
  }
})

test('messages that are none are refused', () => {
  for (const [messages, wanted] of [
    [[null], /message is null/],
    [['x'], /message is "x"/],
    [[[]], /message is an array/],
    [[{ content: 'x' }], /role is undefined/],
    [[{ role: 'user', content: [{ type: '<|im_end|>' }] }], /type is/],
  ] as const) {
    assert.throws(() => qwen.applyChatTemplate(messages as unknown as ChatMessage[]), wanted)
  }
})

test.run()
