// JSON of a schema, as a program of bytes. What a keyword asks for is kept to or the keyword is refused by name: a text that comes
// out parses, and fits.
import { ShaktiError } from '@shakti/tensor'
import { ByteConstraint } from './automaton.js'
import { byteSet, Program, type Routine } from './program.js'
import { Vocabulary, type TokenBytes } from './vocabulary.js'

/** A JSON schema, as parsed. */
export type JsonSchema = boolean | { readonly [keyword: string]: unknown }

/** Says nothing about what is valid. */
const notes = new Set([
  '$schema',
  '$id',
  '$comment',
  '$defs',
  'definitions',
  'title',
  'description',
  'default',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly',
])
const keywords: Readonly<Record<string, readonly string[]>> = {
  object: ['properties', 'required', 'additionalProperties'],
  array: ['items', 'minItems', 'maxItems'],
  string: ['minLength', 'maxLength'],
  number: [],
  integer: [],
  boolean: [],
  null: [],
}
const types = Object.keys(keywords)
/** More would make programs of many megabytes. */
const most = 65_536

const digit = byteSet([0x30, 0x39])
const nonzero = byteSet([0x31, 0x39])
const hex = byteSet([0x30, 0x39], [0x41, 0x46], [0x61, 0x66])
const tail = byteSet([0x80, 0xbf])
const one = (c: string): Uint8Array => byteSet(c.charCodeAt(0))
const anyOf = (s: string): Uint8Array => byteSet(...Buffer.from(s))

class Compiler {
  readonly program = new Program()
  readonly #refs = new Map<string, Routine>()
  readonly #character: Routine
  readonly #number: Routine
  readonly #integer: Routine

  constructor(readonly root: JsonSchema) {
    const p = this.program
    this.#character = p.routine((end) => this.#oneCharacter(end))
    this.#integer = p.routine((end) => this.#digits(end))
    this.#number = p.routine((end) => {
      // At most 15 digits before the point, 15 behind it and two in the exponent: every such text is a finite double.
      const exponent = p.either(
        end,
        p.byte(
          anyOf('eE'),
          p.either(p.byte(anyOf('+-'), this.#some(1, 2, end)), this.#some(1, 2, end)),
        ),
      )
      return this.#digits(p.either(exponent, p.byte(one('.'), this.#some(1, 15, exponent))))
    })
  }

  compile(): number {
    const { program } = this
    return this.#schema(this.root, '#', program.end())
  }

  #some(least: number, many: number, end: number): number {
    return this.program.times(least, many, (next) => this.program.byte(digit, next), end)
  }

  /** -?(0|[1-9][0-9]{0,14}) */
  #digits(end: number): number {
    const p = this.program
    const whole = p.either(p.byte(one('0'), end), p.byte(nonzero, this.#some(0, 14, end)))
    return p.either(whole, p.byte(one('-'), whole))
  }

  /** A code point: UTF-8 (Unicode, table 3-7) or an escape, none for half a surrogate pair. */
  #oneCharacter(end: number): number {
    const p = this.program
    const row = (...sets: Uint8Array[]): number => p.row(sets, end)
    return p.either(
      row(byteSet(0x20, 0x21, [0x23, 0x5b], [0x5d, 0x7f])),
      row(byteSet([0xc2, 0xdf]), tail),
      row(byteSet(0xe0), byteSet([0xa0, 0xbf]), tail),
      row(byteSet([0xe1, 0xec], 0xee, 0xef), tail, tail),
      row(byteSet(0xed), byteSet([0x80, 0x9f]), tail),
      row(byteSet(0xf0), byteSet([0x90, 0xbf]), tail, tail),
      row(byteSet([0xf1, 0xf3]), tail, tail, tail),
      row(byteSet(0xf4), byteSet([0x80, 0x8f]), tail, tail),
      row(one('\\'), anyOf('"\\/bfnrt')),
      row(one('\\'), one('u'), anyOf('0123456789abcefABCEF'), hex, hex, hex),
      row(one('\\'), one('u'), anyOf('dD'), anyOf('01234567'), hex, hex),
    )
  }

  /** What separates: a comma or colon, and after it at most one space, as models like to write. */
  #sign(sign: string, next: number): number {
    const p = this.program
    return p.byte(one(sign), p.either(next, p.byte(one(' '), next)))
  }

  #schema(schema: unknown, path: string, end: number): number {
    const p = this.program
    if (typeof schema !== 'object' || schema === null || Array.isArray(schema))
      refuse(path, `is ${JSON.stringify(schema)}. A schema must be an object that says its type.`)
    const s = schema as Readonly<Record<string, unknown>>
    const ways = ['$ref', 'anyOf', 'enum', 'const'].filter((k) => s[k] !== undefined)
    if (ways.length > 1) refuse(path, `has both ${ways[0]} and ${ways[1]}.`)
    const [way] = ways
    if (way === '$ref' || way === 'anyOf') {
      this.#only(s, path, [way])
      if (way === '$ref') return p.call(this.#ref(s.$ref, path), end)
      const list = s.anyOf
      if (!Array.isArray(list) || list.length === 0)
        refuse(`${path}/anyOf`, 'must be a list of schemas.')
      return p.either(
        ...(list as unknown[]).map((one, i) => this.#schema(one, `${path}/anyOf/${i}`, end)),
      )
    }
    if (way !== undefined) {
      this.#only(s, path, [way, 'type'])
      const values = way === 'const' ? [s.const] : s.enum
      if (!Array.isArray(values) || values.length === 0)
        refuse(`${path}/enum`, 'must be a list of values.')
      const fitting = (values as unknown[]).filter(
        (v) => s.type === undefined || ofType(v, this.#types(s, path)),
      )
      if (fitting.length === 0) refuse(path, 'has no value of its type.')
      return p.either(...fitting.map((v) => p.text(JSON.stringify(v), end)))
    }
    if (s.type === undefined) {
      const unknown = Object.keys(s).find((k) => !notes.has(k))
      refuse(
        path,
        unknown ? `keyword '${unknown}' without a type is not supported.` : 'says no type.',
      )
    }
    const wanted = this.#types(s, path)
    this.#only(s, path, ['type', ...wanted.flatMap((t) => keywords[t]!)])
    return p.either(...wanted.map((t) => this.#typed(t, s, path, end)))
  }

  #types(s: Readonly<Record<string, unknown>>, path: string): string[] {
    const wanted = Array.isArray(s.type) ? (s.type as unknown[]) : [s.type]
    for (const t of wanted)
      if (typeof t !== 'string' || !types.includes(t))
        refuse(`${path}/type`, `is ${JSON.stringify(t)}. It must be ${types.join(', ')}.`)
    if (wanted.length === 0) refuse(`${path}/type`, 'is an empty list.')
    return wanted as string[]
  }

  #only(s: Readonly<Record<string, unknown>>, path: string, known: readonly string[]): void {
    for (const key of Object.keys(s))
      if (!known.includes(key) && !notes.has(key))
        refuse(path, `keyword '${key}' is not supported here (supported: ${known.join(', ')}).`)
  }

  #typed(type: string, s: Readonly<Record<string, unknown>>, path: string, end: number): number {
    const p = this.program
    switch (type) {
      case 'null':
        return p.text('null', end)
      case 'boolean':
        return p.either(p.text('true', end), p.text('false', end))
      case 'integer':
        return p.call(this.#integer, end)
      case 'number':
        return p.call(this.#number, end)
      case 'string':
        return this.#string(s, path, end)
      case 'array':
        return this.#array(s, path, end)
      default:
        return this.#object(s, path, end)
    }
  }

  #range(
    s: Readonly<Record<string, unknown>>,
    path: string,
    low: string,
    high: string,
  ): [number, number] {
    const [least = 0, many = Infinity] = [s[low], s[high]] as [number?, number?]
    for (const [key, n] of [
      [low, least],
      [high, many],
    ] as const)
      if (s[key] !== undefined && (!Number.isInteger(n) || n < 0 || n > most))
        refuse(
          `${path}/${key}`,
          `is ${JSON.stringify(n)}. It must be an integer from 0 to ${most}.`,
        )
    if (least > many) refuse(`${path}/${low}`, `is ${least}, above ${high}, ${many}.`)
    return [least, many]
  }

  #string(s: Readonly<Record<string, unknown>>, path: string, end: number): number {
    const p = this.program
    const [least, many] = this.#range(s, path, 'minLength', 'maxLength')
    const close = p.byte(one('"'), end)
    const inside = p.times(least, many, (next) => p.call(this.#character, next), close)
    return p.byte(one('"'), inside)
  }

  #array(s: Readonly<Record<string, unknown>>, path: string, end: number): number {
    const p = this.program
    const [least, many] = this.#range(s, path, 'minItems', 'maxItems')
    const close = p.byte(one(']'), end)
    if (many === 0) return p.byte(one('['), close)
    if (s.items === undefined) refuse(path, "an array must say its 'items'.")
    const item = p.routine((out) => this.#schema(s.items, `${path}/items`, out))
    const more = p.times(
      Math.max(least - 1, 0),
      many - 1,
      (next) => this.#sign(',', p.call(item, next)),
      close,
    )
    const items = p.call(item, more)
    return p.byte(one('['), least === 0 ? p.either(close, items) : items)
  }

  /** Properties in the order of the schema; those not required may be left out. */
  #object(s: Readonly<Record<string, unknown>>, path: string, end: number): number {
    const p = this.program
    const { properties = {}, required = [], additionalProperties = false } = s
    if (additionalProperties !== false)
      refuse(`${path}/additionalProperties`, 'must be false: other properties are not written.')
    if (typeof properties !== 'object' || properties === null || Array.isArray(properties))
      refuse(`${path}/properties`, 'must be an object of schemas.')
    if (!Array.isArray(required)) refuse(`${path}/required`, 'must be a list of names.')
    const entries = Object.entries(properties as Readonly<Record<string, unknown>>)
    const must = new Set(required as unknown[])
    for (const name of must)
      if (typeof name !== 'string' || !Object.hasOwn(properties as object, name))
        refuse(
          `${path}/required`,
          `names ${JSON.stringify(name)}, which is not among the properties.`,
        )
    const close = p.byte(one('}'), end)
    // Where a property is the first one written, and where others precede it.
    let first = close
    let later = close
    for (const [name, value] of entries.toReversed()) {
      const here = `${path}/properties/${name}`
      const member = p.routine((out) =>
        p.text(JSON.stringify(name), this.#sign(':', this.#schema(value, here, out))),
      )
      const written = p.call(member, later)
      const another = this.#sign(',', written)
      if (must.has(name)) [first, later] = [written, another]
      else [first, later] = [p.either(written, first), p.either(another, later)]
    }
    return p.byte(one('{'), first)
  }

  #ref(ref: unknown, path: string): Routine {
    if (typeof ref !== 'string' || !/^#(\/(\$defs|definitions)\/[^/]+)?$/.test(ref))
      refuse(`${path}/$ref`, `is ${JSON.stringify(ref)}. It must be '#' or '#/$defs/NAME'.`)
    const known = this.#refs.get(ref)
    if (known) return known
    const [, group, name] = ref.split('/')
    let target: unknown = this.root
    if (group !== undefined) {
      const all = (this.root as Readonly<Record<string, unknown>>)[group]
      const key = decodeURIComponent(name!).replaceAll('~1', '/').replaceAll('~0', '~')
      if (typeof all !== 'object' || all === null || !Object.hasOwn(all, key))
        refuse(`${path}/$ref`, `names '${ref}', which is not there.`)
      target = (all as Readonly<Record<string, unknown>>)[key]
    }
    const routine: Routine = { entry: -1 }
    this.#refs.set(ref, routine)
    this.#refuseLoop(target, ref, new Set([ref]))
    this.program.define(routine, (end) => this.#schema(target, ref, end))
    return routine
  }

  /** A schema that is itself, by references alone, describes nothing. */
  #refuseLoop(schema: unknown, ref: string, met: ReadonlySet<string>): void {
    if (typeof schema !== 'object' || schema === null) return
    const { $ref, anyOf: list } = schema as { $ref?: unknown; anyOf?: unknown }
    for (const one of Array.isArray(list) ? (list as unknown[]) : [])
      this.#refuseLoop(one, ref, met)
    if (typeof $ref !== 'string') return
    if (met.has($ref)) refuse(ref, `is defined by itself alone ('${$ref}').`)
    const [, group, name] = $ref.split('/')
    const all = group === undefined ? undefined : (this.root as Record<string, unknown>)[group]
    const target =
      group === undefined ? this.root : (all as Record<string, unknown> | undefined)?.[name ?? '']
    this.#refuseLoop(target, ref, new Set([...met, $ref]))
  }
}

function ofType(value: unknown, wanted: readonly string[]): boolean {
  return wanted.some((t) => {
    if (t === 'null') return value === null
    if (t === 'array') return Array.isArray(value)
    if (t === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value)
    if (t === 'integer') return Number.isInteger(value)
    return typeof value === t
  })
}

function refuse(path: string, message: string): never {
  throw new ShaktiError('jsonConstraint', `${path} ${message}`)
}

/**
 * Only JSON that fits a schema is written, for the option `constraint` of generation. The JSON is compact, with at most one space behind a
 * comma or colon, and properties come in the order of the schema. It is always completed: near `maxTokens` only tokens are
 * allowed from which it can be.
 *
 * Supported: `type` (one or several of object, array, string, number, integer, boolean, null), `properties`, `required`,
 * `additionalProperties: false` (also where it is not said), `items`, `minItems`, `maxItems`, `minLength`, `maxLength` (in
 * code points), `enum`, `const`, `anyOf`, `$ref` to `#` or into `$defs`; titles, descriptions and the like are passed over. Numbers
 * have at most 15 digits before and behind the point. Others (`pattern`, `minimum`, `allOf`, ...) are refused by name.
 * @throws ShaktiError naming the place in the schema
 */
export function jsonConstraint(schema: JsonSchema, tokenizer: TokenBytes): ByteConstraint {
  const compiler = new Compiler(schema)
  const entry = compiler.compile()
  return new ByteConstraint('jsonConstraint', compiler.program, entry, Vocabulary.of(tokenizer))
}
