// Checks the fields of a parsed JSON file and names file and field where they are not what the format promises.

import { FileFormatError, brief } from '../errors.js'
import { MAX_ID } from '../models/byte-bpe/word-table.js'
import { PatternError } from '../regex/syntax.js'
import { Regex } from '../regex/regex.js'
import { KNOWN_PATTERNS } from '../split/patterns.js'
import { wordsOf } from '../split/words.js'

export type JsonObject = Record<string, unknown>

export const MAX_TEXT = 2 ** 16

export class Reader {
  constructor(readonly file: string) {}

  fail(field: string, message: string): never {
    throw new FileFormatError(this.file, field, message)
  }

  object(value: unknown, field: string): JsonObject {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.fail(field, `is ${brief(value)}. An object is expected.`)
    }
    return value as JsonObject
  }

  array(value: unknown, field: string, max: number): unknown[] {
    if (!Array.isArray(value)) this.fail(field, `is ${brief(value)}. An array is expected.`)
    if (value.length > max)
      this.fail(field, `has ${value.length} entries. At most ${max} are read.`)
    return value
  }

  /** A string that is not empty, unless `empty` says it may be. */
  text(value: unknown, field: string, empty = false): string {
    if (typeof value !== 'string') this.fail(field, `is ${brief(value)}. A string is expected.`)
    if (value.length === 0 && !empty) this.fail(field, 'is the empty string.')
    if (value.length > MAX_TEXT) {
      this.fail(field, `has ${value.length} characters. At most ${MAX_TEXT} are read.`)
    }
    return value
  }

  id(value: unknown, field: string): number {
    return this.integer(value, field, 0, MAX_ID - 1, 'An id')
  }

  integer(value: unknown, field: string, min: number, max: number, what = 'An integer'): number {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      this.fail(field, `is ${brief(value)}. ${what} from ${min} to ${max} is expected.`)
    }
    return value
  }

  boolean(value: unknown, field: string, otherwise: boolean): boolean {
    if (value === undefined || value === null) return otherwise
    if (typeof value !== 'boolean')
      this.fail(field, `is ${brief(value)}. true or false is expected.`)
    return value
  }

  /** One character. */
  character(value: unknown, field: string): string {
    const text = this.text(value, field)
    if ([...text].length !== 1) this.fail(field, `is ${brief(text)}. One character is expected.`)
    return text
  }

  choice<T extends string>(value: unknown, field: string, choices: readonly T[]): T {
    const found = choices.find((choice) => choice === value)
    if (found === undefined) {
      this.fail(field, `is ${brief(value)}. Supported: ${choices.map(brief).join(' or ')}.`)
    }
    return found
  }

  /** Every field of `object` must be one of `known`. */
  only(object: JsonObject, path: string, known: readonly string[]): void {
    for (const key of Object.keys(object)) {
      if (!known.includes(key)) {
        this.fail(brief(path === '' ? key : `${path}.${key}`).replaceAll('"', ''), 'is not known.')
      }
    }
  }

  /** `{ String }` or `{ Regex }`: the matches of a fixed text, or of our own engine. */
  pattern(value: unknown, field: string): Pattern {
    const object = this.object(value, field)
    this.only(object, field, ['String', 'Regex'])
    if (object.String !== undefined)
      return literal(this.text(object.String, `${field}.String`, true))
    const source = this.text(object.Regex, `${field}.Regex`, true)
    const scanner = KNOWN_PATTERNS.get(source)
    if (scanner !== undefined) return { source, matches: (text) => wordsOf(scanner, text) }
    try {
      const regex = new Regex(source)
      // As in Hugging Face's, nothing matches in an empty text.
      return { source, matches: (text) => (text === '' ? [] : regex.matches(text)) }
    } catch (error) {
      if (!(error instanceof PatternError)) throw error
      this.fail(`${field}.Regex`, `${error.message}.`)
    }
  }
}

/** Finds places in a text, flat: start, end, start, end... from left to right without overlap. */
export interface Pattern {
  /** The regular expression as the file spells it; undefined for a fixed text. */
  readonly source: string | undefined
  matches(text: string): number[]
}

function literal(wanted: string): Pattern {
  return {
    source: undefined,
    matches: (text) => {
      const found: number[] = []
      if (wanted.length === 0) return found
      for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
        found.push(at, at + wanted.length)
      }
      return found
    },
  }
}

/** How deep parts may lie in each other; the outermost is at depth 1. */
const MAX_NESTING = 8

/** A part's `type`, which must be one of a table's. */
export function kindOf<T>(
  read: Reader,
  object: JsonObject,
  path: string,
  table: Readonly<Record<string, T>>,
): T {
  if (path.split('[').length > MAX_NESTING) {
    read.fail(path, `is nested more than ${MAX_NESTING} deep.`)
  }
  const type = read.choice(object.type, `${path}.type`, Object.keys(table))
  return table[type]!
}

/** The parts that a Sequence holds in `list`, read one by one. */
export function partsOf<T>(
  read: Reader,
  sequence: JsonObject,
  path: string,
  list: string,
  max: number,
  one: (part: JsonObject, place: string) => T,
): T[] {
  read.only(sequence, path, ['type', list])
  return read.array(sequence[list], `${path}.${list}`, max).map((value, i) => {
    const place = `${path}.${list}[${i}]`
    return one(read.object(value, place), place)
  })
}
