import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ChatTemplate, TemplateError } from '../src/index.js'

const LIMITS = { milliseconds: 1000 }
const render = (source: string, variables: Record<string, unknown> = {}): string =>
  new ChatTemplate(source, LIMITS).render(variables)

test('what templates in the wild use works', () => {
  assert.is(render('{% for i in range(3) %}{{ i }}{% endfor %}'), '012')
  assert.is(render('{{ range(5, 1, -2) | join(",") }}'), '5,3')
  assert.is(render('{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ ns.a }}'), '2')
  assert.is(
    render('{% for x in l %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}', {
      l: [1, 2, 3],
    }),
    '13',
  )
  assert.is(render('{{ x | tojson(indent=2) }}', { x: { a: [1] } }), '{\n  "a": [\n    1\n  ]\n}')
  assert.is(render('{{ "a\nb" | indent(2) }}'), 'a\n  b')
  assert.match(render('{{ strftime_now("%d %b %Y") }}'), /^\d\d [A-Z][a-z][a-z] \d{4}$/)
  assert.is(render('{{ x is defined }}{{ true and none is none }}'), 'falsetrue')
})

test('loops left by continue do not use up the nesting', () => {
  const source = '{% for i in range(5000) %}{% if true %}{% continue %}{% endif %}{% endfor %}ok'
  assert.is(render(source), 'ok')
})

test('a template reaches no JavaScript object', () => {
  const names = [
    'constructor',
    '__proto__',
    'prototype',
    'toString',
    'value',
    'builtins',
    'hasOwnProperty',
  ]
  for (const name of names) {
    for (const from of [
      '"x"',
      '[1]',
      '{"a": 1}',
      'messages',
      'messages[0]',
      'range',
      'namespace()',
      '5',
      'none',
    ]) {
      for (const source of [`{{ ${from}.${name} }}`, `{{ ${from}["${name}"] }}`]) {
        let out = ''
        try {
          out = render(source, { messages: [{ role: 'user' }] })
        } catch (error) {
          assert.instance(error, TemplateError)
        }
        assert.is(out, '', source)
      }
    }
  }
  for (const name of [
    'process',
    'globalThis',
    'require',
    'Function',
    'eval',
    'this',
    '__shakti_generation_start',
  ]) {
    assert.is(render(`{{ ${name} }}`), '', name)
  }
  assert.throws(
    () => render('{{ "x".constructor.constructor("return process")() }}'),
    (e: unknown) => e instanceof TemplateError,
  )
})

test('printed, a function is nothing and not its source', () => {
  for (const source of [
    '{{ range }}',
    '{{ range ~ "" }}',
    '{{ "" + raise_exception }}',
    '{{ "x".upper }}',
    '{{ "x".replace }}',
    '{{ [range, namespace, strftime_now] | join }}',
    '{% macro m() %}secret{% endmacro %}{{ m }}',
    '{% set f = "x".split %}{{ f }}',
    '{% for f in [range] %}{{ f }}{% endfor %}',
  ]) {
    assert.is(render(source), '', source)
  }
  for (const source of [
    '{{ range | tojson }}',
    '{{ {"f": range} }}',
    '{{ [range] }}',
    '{{ range | string }}',
  ]) {
    assert.throws(
      () => render(source),
      (e: unknown) => e instanceof TemplateError,
    )
  }
})

test('names of JavaScript’s own in dicts, namespaces and attributes are plain keys', () => {
  const messages = [JSON.parse('{"role": "user", "__proto__": {"polluted": "yes"}}')]
  for (const [source, want] of [
    ['{{ {"__proto__": {"a": 1}} | tojson }}', '{"__proto__": {"a": 1}}'],
    [
      '{% set ns = namespace(__proto__=1, constructor=2) %}{{ ns.__proto__ }}{{ ns.constructor }}',
      '12',
    ],
    [
      '{% set ns = namespace() %}{% set ns.__proto__ = {"polluted": "yes"} %}{{ ns.polluted }}{{ {}.polluted }}',
      '',
    ],
    ['{{ messages[0].polluted }}{{ messages[0]["__proto__"]["polluted"] }}', 'yes'],
    ['{{ [{"a": 1}] | map(attribute="constructor") | first is defined }}', 'false'],
    ['{{ [{"a": 1}] | selectattr("__proto__") | list | length }}', '0'],
    ['{{ [3, 1] | sort | first }}{{ {"b": 1, "__proto__": 2} | items | length }}', '12'],
  ] as const) {
    assert.is(render(source, { messages }), want, source)
  }
  assert.is(({} as Record<string, unknown>).polluted, undefined)
  assert.throws(() => render('{{ ("x"["replace"])("x", "y") }}'), /computed name/)
})

const BOMBS: readonly [string, string, RegExp][] = [
  [
    'nested loops',
    '{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}',
    /steps|ms/,
  ],
  [
    'doubled string',
    '{% set ns = namespace(s="ab") %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}',
    /characters/,
  ],
  [
    'doubled list',
    '{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a }}',
    /nodes|levels/,
  ],
  [
    'doubled object',
    '{% set ns = namespace(a={}) %}{% for i in range(60) %}{% set ns.a = {"x": ns.a, "y": ns.a} %}{% endfor %}{{ ns.a | tojson }}',
    /nodes|levels/,
  ],
  [
    'list added to itself',
    '{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}',
    /items|nodes/,
  ],
  ['endless recursion', '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}', /nested|stack/],
  [
    'doubling recursion',
    '{% macro f(n) %}{{ f(n) ~ f(n) }}{% endmacro %}{{ f(1) }}',
    /nested|stack/,
  ],
  [
    'value that holds itself',
    '{% set ns = namespace() %}{% set ns.a = ns %}{% set ns.b = ns %}{{ ns | tojson }}',
    /./,
  ],
  ['huge range', '{{ range(1000000000) | length }}', /range\(\) of 1000000000/],
  ['range without end', '{{ range(1, 5, 0) }}', /range/],
  ['range of no number', '{{ range("x") }}', /integers/],
  ['huge indent', '{{ "a\nb" | indent(500000000) }}', /indent/],
  ['huge indent by name', '{{ "a\nb" | indent(width=500000000) }}', /indent/],
  ['huge indent from a list', '{{ "a\nb" | indent(*[500000000]) }}', /indent/],
  ['huge indent of JSON', '{{ [1] | tojson(indent=500000000) }}', /indent/],
  [
    'replace that grows',
    '{{ ("a" * 1)  }}{% set ns = namespace(s="aaaaaaaaaa") %}{% for i in range(9) %}{% set ns.s = ns.s.replace("a", ns.s) %}{% endfor %}',
    /./,
  ],
  [
    'replace of every character by megabytes',
    '{% set ns = namespace(s="aaaa") %}{% for i in range(17) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s.replace("a", ns.s) | length }}',
    /characters/,
  ],
  [
    'the same as a filter',
    '{% set ns = namespace(s="aaaa") %}{% for i in range(17) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s | replace("", ns.s) | length }}',
    /characters/,
  ],
  [
    'join by megabytes',
    '{% set ns = namespace(s="aaaa") %}{% for i in range(18) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ range(90000) | join(ns.s) | length }}',
    /characters/,
  ],
  [
    'join by megabytes, by name',
    '{% set ns = namespace(s="aaaa") %}{% for i in range(18) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ range(90000) | join(separator=ns.s) | length }}',
    /characters/,
  ],
  [
    'one long text many times in a list',
    '{% set ns = namespace(s="aaaa", l=[]) %}{% for i in range(18) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{% for i in range(500) %}{% set ns.l = ns.l + [ns.s] %}{% endfor %}{{ ns.l | tojson | length }}',
    /characters/,
  ],
  [
    'macros that call each other',
    '{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}',
    /nested|stack|not a function/,
  ],
  [
    'a macro handed to itself',
    '{% macro f(g) %}{{ g(g) }}{{ g(g) }}{% endmacro %}{{ f(f) }}',
    /nested|stack/,
  ],
  [
    'a namespace that gathers its own copies',
    '{% set ns = namespace(a={}) %}{% for i in range(60) %}{% set ns.a = {"x": ns.a, "y": [ns.a]} %}{% endfor %}{{ ns.a | string | length }}',
    /nodes|levels|Cannot/,
  ],
  ['negative range', '{{ range(0, -1000000000, -1) | length }}', /range\(\) of 1000000000/],
  ['deep parentheses', `{{ ${'('.repeat(30_000)}1${')'.repeat(30_000)} }}`, /parse/],
  ['deep list', `{{ ${'['.repeat(600)}${']'.repeat(600)} }}`, /nested|levels/],
  ['deep blocks', '{% if true %}'.repeat(5000) + '{% endif %}'.repeat(5000), /nested|parse/],
  ['blanks', ' '.repeat(120_000) + '{', /ms|parse|failed/],
  ['text over the limit', 'x'.repeat(200_000), /200000 characters/],
  ['broken', '{% for %}', /parse/],
  ['unclosed', '{{ x', /parse/],
  ['raised', '{{ raise_exception("no such role") }}', /no such role/],
]

test('templates that would hang, fill the memory or overflow are stopped with a TemplateError', () => {
  for (const [name, source, wanted] of BOMBS) {
    let message: string | undefined
    try {
      const out = render(source)
      // Blanks are slow to parse but not wrong: on a fast machine they end in time.
      if (name === 'blanks') message = out.length >= 0 ? 'parsed in time: ms' : ''
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error
      message = error.message
      assert.ok(message.length < 700)
    }
    assert.ok(message !== undefined, `${name} was rendered`)
    assert.match(message, wanted, name)
  }
})

test('after a template was stopped, the next one renders', () => {
  // Reading it counts too: on a busy machine that alone may take the millisecond.
  const source = '{% for i in range(99999) %}{% for j in range(9) %}{% endfor %}{% endfor %}'
  assert.throws(
    () => new ChatTemplate(source, { milliseconds: 1, steps: 1e9 }).render({}),
    (e: unknown) => e instanceof TemplateError && /1 ms/.test(e.message),
  )
  assert.is(render('{{ 1 + 1 }}'), '2')
})

test('limits are those given', () => {
  const source = '{% for i in range(100) %}abc{% endfor %}'
  const stops = (limits: object, wanted: RegExp): void => {
    assert.throws(
      () => new ChatTemplate(source, limits).render({}),
      (e: unknown) => e instanceof TemplateError && wanted.test(e.message),
    )
  }
  stops({ output: 299 }, /limit of 299 characters/)
  stops({ steps: 50 }, /limit of 50 steps/)
  stops({ depth: 2 }, /limit of 2 nested/)
  stops({ source: 10 }, /at most 10/)
  assert.is(new ChatTemplate(source, { output: 300, steps: 500, depth: 10 }).render({}).length, 300)
})

test.run()
