import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { KNOWN_PATTERNS, O200K_PATTERN, QWEN2_PATTERN } from '../src/split/patterns.js'
import { LENGTH_SHIFT, OTHER, charAt } from '../src/text/classes.js'
import { hostile } from './hostile.js'
import { HARD, random } from './samples.js'

/** The pattern as JavaScript takes it: Rust's \s, no possessive quantifiers, (?i:) spelt out with the ſ that it folds. */
function toRegExp(pattern: string): RegExp {
  const anyCase = (text: string): string =>
    text.replace(/\[sdmt\]|[a-z]/g, (c) =>
      c === '[sdmt]' ? '[sSſdDmMtT]' : c === 's' ? '[sSſ]' : `[${c}${c.toUpperCase()}]`,
    )
  const source = pattern
    .replace(/\(\?i:(.*?)\)/g, (_, inside: string) => `(?:${anyCase(inside)})`)
    .replace(/([+*?]|\{\d+,\d+\})\+/g, '$1')
    .replaceAll('[^\\s', '[^\\p{White_Space}')
    .replaceAll('\\s', '\\p{White_Space}')
    .replaceAll('\\S', '\\P{White_Space}')
  return new RegExp(source, 'gu')
}

function words(pattern: string, text: string): string[] {
  const split = KNOWN_PATTERNS.get(pattern)!
  const bytes = Buffer.from(text)
  const found: string[] = []
  for (let start = 0; start < bytes.length;) {
    const end = split.next(bytes, start, bytes.length)
    assert.ok(end > start, 'a word has no bytes')
    found.push(bytes.toString('utf8', start, end))
    start = end
  }
  return found
}

test('every scanner cuts where its pattern does', () => {
  const next = random(31)
  const alphabet = [
    ...' \n\r\t\u00a0\u2028aAZzéÉǅʰª字ि\u0301\u0301१1²!./\'"ſstdmreVlL😀\ufeff\u0085',
  ]
  const dense = (): string =>
    Array.from({ length: 30 }, () => alphabet[Math.floor(next() * alphabet.length)]!).join('')
  const texts = [...HARD, ...Object.values(hostile(1500)), ...Array.from({ length: 1500 }, dense)]
  assert.ok(KNOWN_PATTERNS.size >= 9)
  for (const pattern of KNOWN_PATTERNS.keys()) {
    const regexp = toRegExp(pattern)
    for (const text of texts) {
      const wellFormed = Buffer.from(text).toString()
      const want = [...wellFormed.matchAll(regexp)].map((match) => match[0])
      assert.equal(
        words(pattern, text),
        want,
        `${pattern} on ${JSON.stringify(text).slice(0, 200)}`,
      )
    }
  }
})

test('what the patterns differ in', () => {
  assert.equal(words(QWEN2_PATTERN, '123'), ['1', '2', '3'])
  assert.equal(words(O200K_PATTERN, "HTMLElement's //\n"), ["HTMLElement's", ' //\n'])
  assert.equal(words(O200K_PATTERN, 'ABCdef字XY'), ['ABCdef字', 'XY'])
})

test('a byte that begins no well-formed character is a character of its own', () => {
  const broken = [
    [0x80],
    [0xc1, 0x80],
    [0xc3],
    [0xe0, 0x80, 0x80],
    [0xed, 0xa0, 0x80],
    [0xe2, 0x82],
    [0xf0, 0x80, 0x80, 0x80],
    [0xf4, 0x90, 0x80, 0x80],
    [0xf5, 0x80, 0x80, 0x80],
    [0xff],
  ]
  for (const bytes of broken) {
    assert.is(
      charAt(Uint8Array.from(bytes), 0, bytes.length),
      OTHER | (1 << LENGTH_SHIFT),
      String(bytes),
    )
  }
})

test.run()
