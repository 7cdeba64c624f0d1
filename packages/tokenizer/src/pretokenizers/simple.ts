import { BEHAVIORS, cut, matchesOf } from './split.js'
import type { PreTokenizerKind } from './index.js'

const SPACE = /\p{White_Space}/gu
const PUNCTUATION = /[\p{P}$+<=>^`|~]/gu // the signs of ASCII that Unicode counts as symbols are punctuation here

const WORD = 1
const BLANK = 2
const SIGN = 3
// By code point; 0 where none was met yet.
const kinds = new Uint8Array(0x110000)

function kindOf(codePoint: number): number {
  const char = String.fromCodePoint(codePoint)
  let kind = WORD
  if (char.search(SPACE) === 0) kind = BLANK
  else if (char.search(PUNCTUATION) === 0) kind = SIGN
  return (kinds[codePoint] = kind)
}

/** Blanks go, each sign stands alone. */
export const bert: PreTokenizerKind = (read, part, path) => {
  read.only(part, path, ['type'])
  return (text) => {
    const pieces = []
    const { length } = text
    let start = 0
    for (let i = 0; i < length;) {
      const c = text.text.codePointAt(i)!
      const next = i + (c > 0xffff ? 2 : 1)
      const kind = kinds[c]! || kindOf(c)
      if (kind !== WORD) {
        if (i > start) pieces.push(text.slice(start, i))
        if (kind === SIGN) pieces.push(text.slice(i, next))
        start = next
      }
      i = next
    }
    if (length > start) pieces.push(text.slice(start, length))
    return pieces
  }
}

export const punctuation: PreTokenizerKind = (read, part, path) => {
  read.only(part, path, ['type', 'behavior'])
  const behavior = read.choice(part.behavior ?? 'Isolated', `${path}.behavior`, BEHAVIORS)
  return (text) => cut(text, matchesOf(text.text, PUNCTUATION), behavior)
}

export const whitespaceSplit: PreTokenizerKind = (read, part, path) => {
  read.only(part, path, ['type'])
  return (text) => cut(text, matchesOf(text.text, SPACE), 'Removed')
}

// Words as in Rust's \w, which has the joiners U+200C and U+200D; runs of what is neither word nor blank.
const WORDS =
  /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu

export const whitespace: PreTokenizerKind = (read, part, path) => {
  read.only(part, path, ['type'])
  return (text) => cut(text, matchesOf(text.text, WORDS), 'Removed', true)
}

export const digits: PreTokenizerKind = (read, part, path) => {
  read.only(part, path, ['type', 'individual_digits'])
  const each = read.boolean(part.individual_digits, `${path}.individual_digits`, false)
  return (text) => cut(text, matchesOf(text.text, /\p{N}/gu), each ? 'Isolated' : 'Contiguous')
}

export const charDelimiterSplit: PreTokenizerKind = (read, part, path) => {
  read.only(part, path, ['type', 'delimiter'])
  const delimiter = read.character(part.delimiter, `${path}.delimiter`)
  const pattern = read.pattern({ String: delimiter }, path)
  return (text) => cut(text, pattern.matches(text.text), 'Removed')
}

export const split: PreTokenizerKind = (read, part, path) => {
  read.only(part, path, ['type', 'pattern', 'behavior', 'invert'])
  const pattern = read.pattern(part.pattern, `${path}.pattern`)
  if (part.behavior === undefined) read.fail(`${path}.behavior`, 'is missing.')
  const behavior = read.choice(part.behavior, `${path}.behavior`, BEHAVIORS)
  const inverted = read.boolean(part.invert, `${path}.invert`, false)
  return (text) => cut(text, pattern.matches(text.text), behavior, inverted)
}

export const fixedLength: PreTokenizerKind = (read, part, path) => {
  read.only(part, path, ['type', 'length'])
  const length = read.integer(part.length ?? 5, `${path}.length`, 1, 2 ** 20)
  return (text) => {
    const pieces = []
    let start = 0
    let count = 0
    for (let i = 0; i < text.length;) {
      i += text.text.codePointAt(i)! > 0xffff ? 2 : 1
      if (++count < length && i < text.length) continue
      pieces.push(text.slice(start, i))
      start = i
      count = 0
    }
    return pieces
  }
}
