// Normalizers that look at one character, or a few, at a time.

import { isAscii, replaceAll } from '../text/aligned.js'
import type { Aligned } from '../text/aligned.js'
import type { NormalizerKind } from './index.js'

const CASED = /\p{Changes_When_Lowercased}/gu

/** Character by character as in Rust: a final sigma is not told apart. */
export function lowered(text: Aligned): Aligned {
  if (isAscii(text)) return text.withText(text.text.toLowerCase())
  return replaceAll(text, CASED, (char) => char.toLowerCase())
}

export const lowercase: NormalizerKind = (read, part, path) => {
  read.only(part, path, ['type'])
  return lowered
}

const MARKS = /\p{M}+/gu

export const stripAccents: NormalizerKind = (read, part, path) => {
  read.only(part, path, ['type'])
  return (text) => replaceAll(text, MARKS, () => '')
}

export const strip: NormalizerKind = (read, part, path) => {
  read.only(part, path, ['type', 'strip_left', 'strip_right'])
  const left = read.boolean(part.strip_left, `${path}.strip_left`, true)
  const right = read.boolean(part.strip_right, `${path}.strip_right`, true)
  return (text) => {
    let start = 0
    let end = text.length
    while (left && start < end && isSpace(text.text.charCodeAt(start))) start++
    while (right && end > start && isSpace(text.text.charCodeAt(end - 1))) end--
    return text.slice(start, end)
  }
}

/** White_Space; all of it lies in the basic plane. */
export function isSpace(unit: number): boolean {
  if (unit < 0x80) return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d)
  return (
    unit === 0x85 ||
    unit === 0xa0 ||
    (unit >= 0x1680 && /\p{White_Space}/u.test(String.fromCharCode(unit)))
  )
}

export const replace: NormalizerKind = (read, part, path) => {
  read.only(part, path, ['type', 'pattern', 'content'])
  const pattern = read.pattern(part.pattern, `${path}.pattern`)
  const content = read.text(part.content, `${path}.content`, true)
  return (text) => {
    const found = pattern.matches(text.text)
    const edit = text.edit()
    for (let i = 0; i < found.length; i += 2) edit.replace(found[i]!, found[i + 1]!, content)
    return edit.result()
  }
}

export const prepend: NormalizerKind = (read, part, path) => {
  read.only(part, path, ['type', 'prepend'])
  const prefix = read.text(part.prepend, `${path}.prepend`, true)
  return (text) => prefixed(text, prefix)
}

/** The text after `prefix`; an empty text stays empty. */
export function prefixed(text: Aligned, prefix: string): Aligned {
  if (text.length === 0) return text
  const edit = text.edit()
  edit.replace(0, 0, prefix)
  return edit.result()
}

/** The rules of Google's neural translation: control characters go, odd blanks become spaces. */
const NMT =
  /[\x01-\x08\v\x0e-\x1f\x7f\x8f\x9f]|[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/gu // eslint-disable-line no-control-regex
const NMT_BLANK = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/

export const nmt: NormalizerKind = (read, part, path) => {
  read.only(part, path, ['type'])
  return (text) => replaceAll(text, NMT, (char) => (NMT_BLANK.test(char) ? ' ' : ''))
}
