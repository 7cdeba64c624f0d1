// JSON for file headers from strangers. JSON.parse takes the last of two equal keys, nests without limit and rounds
// large integers; this refuses all three, and knows the place of what it refuses.

export type Json = string | number | boolean | null | Json[] | Map<string, Json>

/** `at` counts characters of the text. */
export class JsonError extends Error {
  readonly at: number
  constructor(message: string, at: number) {
    super(message)
    this.at = at
  }
}

const maxDepth = 16
// Sticky patterns and indexOf do the scanning natively; a character loop would take seconds on a header of 100 MB.
const space = /[ \t\n\r]*/y
const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const literal = /true|false|null/y
const wholeNumber = /^(?:0|[1-9]\d*)$/
const loneSurrogate = /\p{Surrogate}/u

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  document(): Json {
    const value = this.#value(0)
    this.#match(space)
    if (this.#at < this.#text.length) this.#fail('something follows the end of the object')
    return value
  }

  #fail(message: string, at = this.#at): never {
    throw new JsonError(message, at)
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)
    if (!found) return undefined
    this.#at = pattern.lastIndex
    return found[0]
  }

  #take(character: string): boolean {
    this.#match(space)
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #value(depth: number): Json {
    if (depth > maxDepth) this.#fail(`nested deeper than ${maxDepth} levels`)
    if (this.#take('{')) return this.#object(depth)
    if (this.#take('[')) return this.#array(depth)
    if (this.#text[this.#at] === '"') return this.#string()
    const digits = this.#match(number)
    if (digits !== undefined) {
      // Sizes and offsets are whole numbers; whatever is not one exactly becomes NaN, which no field accepts.
      const n = Number(digits)
      return wholeNumber.test(digits) && Number.isSafeInteger(n) ? n : NaN
    }
    const word = this.#match(literal)
    if (word === undefined)
      this.#fail(this.#at < this.#text.length ? 'not JSON' : 'ends inside a value')
    return word === 'null' ? null : word === 'true'
  }

  #string(): string {
    const text = this.#text
    const at = this.#at
    let end = text[at] === '"' ? at : -1
    do end = end < 0 ? -1 : text.indexOf('"', end + 1)
    while (end >= 0 && this.#escaped(end))
    if (end < 0) this.#fail('not a JSON string, or not closed')
    this.#at = end + 1
    let value: string
    try {
      value = JSON.parse(text.slice(at, end + 1)) as string
    } catch {
      this.#fail('not a valid JSON string', at)
    }
    if (loneSurrogate.test(value)) this.#fail('half of a surrogate pair in a string', at)
    return value
  }

  /** Whether an odd number of backslashes stands before `at`. */
  #escaped(at: number): boolean {
    let n = at - 1
    while (this.#text[n] === '\\') n--
    return (at - n) % 2 === 0
  }

  #object(depth: number): Map<string, Json> {
    const map = new Map<string, Json>()
    if (this.#take('}')) return map
    do {
      this.#match(space)
      const at = this.#at
      const key = this.#string()
      if (map.has(key)) this.#fail(`the key ${JSON.stringify(key.slice(0, 200))} stands twice`, at)
      if (!this.#take(':')) this.#fail('a colon is missing')
      map.set(key, this.#value(depth + 1))
    } while (this.#take(','))
    if (!this.#take('}')) this.#fail('an object is not closed')
    return map
  }

  #array(depth: number): Json[] {
    const list: Json[] = []
    if (this.#take(']')) return list
    do list.push(this.#value(depth + 1))
    while (this.#take(','))
    if (!this.#take(']')) this.#fail('a list is not closed')
    return list
  }
}

/** @throws JsonError */
export function parseHeaderJson(text: string): Json {
  return new Reader(text).document()
}
