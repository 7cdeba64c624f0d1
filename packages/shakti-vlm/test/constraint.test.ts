// JSON of a schema, written by a model that has never seen any.
import { ShaktiError } from '@shakti/tensor'
import { Tokenizer } from '@shakti/tokenizer'
import {
  ByteConstraint,
  byteSet,
  generateBatch,
  generateText,
  jsonConstraint,
  Program,
  seededRandom,
  Vocabulary,
  type JsonSchema,
} from '../src/index.js'
import { inMask } from '../src/generate/constraint/constraint.js'
import { assert, assertThrows, test } from './assert.js'
import { imageToken, withImage, writer } from './writer.js'

const tokenizer = Tokenizer.train(
  [
    '{"name": "a cat", "count": 3, "tags": ["red", "blue"], "inside": true, "size": 1.5e3, "of": null}',
    '{"name":"ein Käfer 🐞","count":-12,"tags":[],"inside":false}',
    'the name of the cat is red, the count is true and the size is "blue"',
  ],
  { vocabSize: 318, specialTokens: ['<|end|>', '<|image|>'] },
)
const end = tokenizer.tokenToId('<|end|>')!
const model = writer()
const random = seededRandom(2)

type Schema = Exclude<JsonSchema, boolean>

/** Whether a value fits a schema: the definition, for the keywords that are supported. */
function fits(value: unknown, schema: Schema, root: Schema = schema): boolean {
  const s = schema as Record<string, never>
  if (s.$ref !== undefined) {
    const [, group, name] = (s.$ref as string).split('/')
    const target = group
      ? ((root as Record<string, Record<string, Schema>>)[group]![name!] as Schema)
      : root
    return fits(value, target, root)
  }
  if (s.anyOf !== undefined) return (s.anyOf as Schema[]).some((one) => fits(value, one, root))
  if (s.const !== undefined) return JSON.stringify(value) === JSON.stringify(s.const)
  if (s.enum !== undefined)
    return (s.enum as unknown[]).some((one) => JSON.stringify(value) === JSON.stringify(one))
  return [schema.type as string | string[]].flat().some((type) => {
    if (type === 'null') return value === null
    if (type === 'integer') return Number.isSafeInteger(value)
    if (type === 'number') return typeof value === 'number' && Number.isFinite(value)
    if (type === 'string') {
      if (typeof value !== 'string') return false
      const n = [...value].length
      return (
        n >= (s.minLength ?? 0) &&
        n <= (s.maxLength ?? Infinity) &&
        Buffer.from(value).toString() === value
      )
    }
    if (type === 'array')
      return (
        Array.isArray(value) &&
        value.length >= (s.minItems ?? 0) &&
        value.length <= (s.maxItems ?? Infinity) &&
        value.every((v) => fits(v, s.items as unknown as Schema, root))
      )
    if (type === 'object') {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
      const properties = (s.properties ?? {}) as Record<string, Schema>
      return (
        Object.entries(value).every(
          ([k, v]) => properties[k] !== undefined && fits(v, properties[k], root),
        ) && ((s.required ?? []) as string[]).every((k) => Object.hasOwn(value, k))
      )
    }
    return typeof value === type
  })
}

const person: Schema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'Someone',
  type: 'object',
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 6, description: 'of the one seen' },
    kind: { enum: ['cat', 'käfer "K"', 7, null] },
    count: { type: 'integer' },
    size: { type: ['number', 'null'] },
    tags: { type: 'array', items: { type: 'string', maxLength: 3 }, minItems: 1, maxItems: 3 },
    friend: { $ref: '#/$defs/friend' },
    here: { const: true },
    empty: { type: 'object', properties: {}, additionalProperties: false },
  },
  required: ['name', 'count', 'tags', 'here'],
  additionalProperties: false,
  $defs: {
    friend: {
      anyOf: [
        { type: 'null' },
        { type: 'object', properties: { of: { $ref: '#/$defs/friend' } }, required: ['of'] },
      ],
    },
  },
}
const schemas: Record<string, Schema> = {
  person,
  itself: { type: 'array', items: { $ref: '#' }, maxItems: 2 },
  free: {
    type: 'object',
    properties: { text: { type: 'string' }, list: { type: 'array', items: { type: 'boolean' } } },
    required: ['text', 'list'],
  },
  number: { type: 'number' },
  integer: { type: 'integer' },
  optional: {
    type: 'object',
    properties: { a: { type: 'null' }, b: { type: 'null' }, c: { type: 'null' } },
  },
  alike: {
    anyOf: [
      { const: 'alpha' },
      { const: 'alphabet' },
      { const: [1, { a: 'b' }] },
      { type: 'string', maxLength: 2 },
    ],
  },
}

test('whatever the seed, what comes out parses, fits the schema, and is complete within the tokens there are', async () => {
  for (const [name, schema] of Object.entries(schemas)) {
    const constraint = jsonConstraint(schema, tokenizer)
    const texts = new Set<string>()
    for (let seed = 0; seed < 25; seed++) {
      const { text, finish, ids } = await generateText(
        model,
        { ids: [10 + seed] },
        {
          tokenizer,
          constraint,
          temperature: 1.5,
          seed,
          stopTokens: [end],
          maxTokens: Math.max(constraint.shortest, 1 + Math.floor(random() * 110)),
        },
      )
      assert.is(finish, 'stop')
      assert.ok(fits(JSON.parse(text), schema), `${name}: ${text}`)
      assert.not.ok(ids.includes(imageToken) || ids.includes(end))
      texts.add(text)
    }
    assert.ok(texts.size > 3, `${name}: ${[...texts].join(' ')}`)
  }
})

test('the likeliest text, beside an image, in a batch and with a draft model, fits as well', async () => {
  const constraint = jsonConstraint(person, tokenizer)
  const options = { tokenizer, constraint, maxTokens: 100, stopTokens: [end] }
  const alone = await generateText(model, withImage(), options)
  assert.ok(fits(JSON.parse(alone.text), person), alone.text)
  const drafted = await generateText(model, withImage(), {
    ...options,
    draft: { model: writer(12) },
  })
  assert.equal(drafted.ids, alone.ids)
  const drawn = { ...options, temperature: 2, draft: { model: writer(12), tokens: 3 } }
  for (let seed = 0; seed < 5; seed++) {
    const { text } = await generateText(model, withImage(), { ...drawn, seed })
    assert.ok(fits(JSON.parse(text), person), text)
  }
  const rows = await generateBatch(model, [withImage(), { ids: [3] }, { ids: [7, 8] }], {
    ...options,
    maxTokens: 100,
  })
  assert.equal(rows[0], alone.ids)
  for (const row of rows) assert.ok(fits(JSON.parse(tokenizer.decode(row)), person))
})

test('the tokens allowed are those after which the text can go on, by trying each', () => {
  const constraint = jsonConstraint(schemas.alike!, tokenizer)
  const whole = ['"alpha"', '"alphabet"', '[1, {"a": "b"}]', '[1,{"a":"b"}]']
  /** Whether some text of the language begins so. */
  const begins = (text: string): boolean => {
    if (whole.some((w) => w.startsWith(text))) return true
    if (/^\[1, ?(\{("a(": ?("b("\}?)?)?)?)?)?$/.test(text)) return true
    return (
      /^("([^"\\\n]|\\(["\\/bfnrt]|u[0-9a-fA-F]{4})){0,2}("|\\|\\u[0-9a-fA-F]{0,3})?)?$/u.test(
        text,
      ) && !/^"(.|\\.|\\u....){2}\\/.test(text)
    )
  }
  const ascii = (text: string): boolean => /^[\x20-\x7e]*$/.test(text)
  for (const before of ['', '"', '"al', '"alpha', '"alphabet"', '[1', '[1,{"a']) {
    let state = constraint.start()
    for (const id of tokenizer.encode(before)) state = constraint.next(state, id)
    const { tokens, mayEnd } = constraint.allowed(state, Infinity)
    assert.is(mayEnd, whole.includes(before), before)
    for (let id = 0; id < tokenizer.vocabSize; id++) {
      const text = tokenizer.decode([id])
      if (tokenizer.isSpecial(id)) assert.not.ok(inMask(tokens, id))
      else if (ascii(text))
        assert.is(inMask(tokens, id), begins(before + text), `${before} + ${text}`)
    }
  }
})

test('too few tokens are refused before any work, and so is a vocabulary that cannot spell', async () => {
  const constraint = jsonConstraint(person, tokenizer)
  let message = ''
  try {
    await generateText(model, { ids: [1] }, { constraint, maxTokens: constraint.shortest - 1 })
  } catch (error) {
    message = (error as Error).message
  }
  assert.ok(message.includes(`at least ${constraint.shortest} tokens`), message)
  assertThrows(
    () => {
      const p = new Program()
      const entry = p.text('ab', p.end())
      return new ByteConstraint(
        'test',
        p,
        entry,
        new Vocabulary([Buffer.from('a'), Buffer.from('bc')]),
      )
    },
    ShaktiError,
    'single characters',
  )
})

test('what a schema asks for beyond the subset is refused by name and place', () => {
  for (const [schema, ...parts] of [
    [{ type: 'string', pattern: 'a+' }, '#', "'pattern'"],
    [
      { type: 'object', properties: { a: { type: 'integer', minimum: 3 } } },
      '#/properties/a',
      "'minimum'",
    ],
    [{ allOf: [] }, "'allOf'"],
    [{}, 'no type'],
    [true, 'true'],
    [{ type: 'text' }, '#/type', '"text"'],
    [{ type: 'array' }, "'items'"],
    [{ type: 'array', items: { type: 'date' } }, '#/items/type'],
    [{ type: 'array', items: { type: 'null' }, minItems: 3, maxItems: 2 }, '#/minItems', '2'],
    [{ type: 'string', maxLength: 1e9 }, '#/maxLength'],
    [{ type: 'object', additionalProperties: true }, '#/additionalProperties'],
    [{ type: 'object', required: ['a'] }, '#/required', '"a"'],
    [{ $ref: '#/$defs/no' }, '#/$ref', '#/$defs/no'],
    [{ $ref: 'other.json' }, '#/$ref'],
    [{ $ref: '#' }, 'itself'],
    [
      {
        $ref: '#/$defs/a',
        $defs: {
          a: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/b' }] },
          b: { $ref: '#/$defs/a' },
        },
      },
      'itself',
    ],
    [{ type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }, 'never ends'],
    [{ enum: [] }, '#/enum'],
    [{ enum: [1], type: 'string' }, 'no value of its type'],
    [{ const: 1, enum: [1] }, 'enum', 'const'],
  ] as const)
    assertThrows(() => jsonConstraint(schema as JsonSchema, tokenizer), ShaktiError, ...parts)
})

test('other languages can be programs: a date', async () => {
  const p = new Program()
  const digit = byteSet([0x30, 0x39])
  const dash = byteSet(0x2d)
  const entry = p.row([digit, digit, digit, digit, dash, digit, digit, dash, digit, digit], p.end())
  const constraint = new ByteConstraint('date', p, entry, Vocabulary.of(tokenizer))
  for (let seed = 0; seed < 5; seed++) {
    const { text } = await generateText(
      model,
      { ids: [1] },
      { tokenizer, constraint, temperature: 1, seed },
    )
    assert.match(text, /^\d{4}-\d\d-\d\d$/)
  }
})

test('an escape never makes half a surrogate pair, and a length counts code points', () => {
  const constraint = jsonConstraint({ type: 'string', maxLength: 1 }, tokenizer)
  const accepts = (text: string): boolean => {
    let state = constraint.start()
    try {
      for (const id of tokenizer.encode(text)) state = constraint.next(state, id)
    } catch {
      return false
    }
    return state.accepts
  }
  for (const text of [
    '""',
    '"a"',
    '"🐞"',
    '"ä"',
    '"\\n"',
    '"\\u00e4"',
    '"\\ud7ff"',
    '"\\uE000"',
    '"\u{10ffff}"',
  ])
    assert.ok(accepts(text) && [...(JSON.parse(text) as string)].length <= 1, text)
  for (const text of [
    '"ab"',
    '"🐞a"',
    '"\\ud83d"',
    '"\\uDC1E"',
    '"\n"',
    '"\\x"',
    '"\\u12"',
    '"',
    'a',
    '"" ',
    ' ""',
  ])
    assert.not.ok(accepts(text), text)
})

test.run()
