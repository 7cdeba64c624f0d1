// Texts that splitters, merges and UTF-8 get wrong, from a fixed seed; for the tests and for `npm run compare`.

import { random } from './random.js'

const EMOJI = ['👩‍🚀', '👨‍👩‍👧‍👦', '🏳️‍🌈', '🇮🇳', '👍🏽', '❤️', '\u200d', '\ufe0f', '😀']
const LETTERS = [...'aZéßſKıİǅʰªºंक्षिகொעبㅏ한中日ﬁΩ']
const MARKS = ['\u0301', '\u0327', '\u093f', '\u094d', '\u20e3', '\u0bcd']
const BLANKS = [
  ' ',
  ' ',
  '  ',
  '\t',
  '\n',
  '\r\n',
  '\n\n',
  '\u00a0',
  '\u0085',
  '\u2028',
  '\u3000',
  '\u1680',
]
const REST = [
  ...'0123456789²½Ⅷ٣१!.,/\\\'"-_=+(){}<>|@#$%^&*~`',
  "'s",
  "'LL",
  "'ſ",
  "'re",
  '//',
  '...',
  '://',
]
/**
 * Where Unicode 16 and 17 assigned letters, marks and numbers. Packages know the Unicode of their build, we that of
 * the JavaScript engine: these characters may be cut otherwise for no fault of either.
 */
const RECENT = [
  [0x0888, 0x0897],
  [0x0c5c, 0x0c5c],
  [0x0cdc, 0x0cdc],
  [0x1ac0, 0x1aff],
  [0x1c80, 0x1c8f],
  [0xa7c0, 0xa7ff],
  [0x10000, 0x1f2ff],
  [0x1fb00, 0x1ffff],
  [0x2a6e0, 0x10ffff],
] as const

function withoutRecent(text: string): string {
  const kept = [...text].filter((char) => {
    const code = char.codePointAt(0)!
    return !RECENT.some(([first, last]) => code >= first && code <= last)
  })
  return kept.join('')
}

const KINDS = [EMOJI, LETTERS, LETTERS, MARKS, BLANKS, BLANKS, REST, REST]

/** About `size` characters of each kind. */
export function hostile(size: number, seed = 1): Record<string, string> {
  const next = random(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!
  const build = (piece: () => string, most = size): string => {
    let text = ''
    while (text.length < most) text += piece()
    return text
  }
  const anyCodePoint = (): string => {
    const top = pick([0x80, 0x250, 0x600, 0xa00, 0x3100, 0xa000, 0xd7a4, 0x20000])
    const code = Math.floor(next() * top)
    return code >= 0xd800 && code < 0xe000 ? '' : String.fromCodePoint(code)
  }
  const texts: Record<string, string> = {
    'pieces of every class': build(() => pick(pick(KINDS))),
    'letters and marks': build(() => pick(next() < 0.7 ? LETTERS : next() < 0.7 ? MARKS : BLANKS)),
    'emoji with joiners': build(() => pick(EMOJI) + (next() < 0.3 ? '\u200d' : '')),
    'blanks and newlines': build(() => pick(next() < 0.9 ? BLANKS : REST)),
    'control characters': build(
      () => String.fromCharCode(Math.floor(next() * 33)) + (next() < 0.2 ? 'x' : ''),
    ),
    'lone surrogates': build(() =>
      next() < 0.5 ? String.fromCharCode(0xd800 + Math.floor(next() * 0x800)) : pick(LETTERS),
    ),
    'random bytes': Buffer.from(Uint8Array.from({ length: size }, () => next() * 256)).toString(),
    'random Latin-1': Buffer.from(Uint8Array.from({ length: size }, () => next() * 256)).toString(
      'latin1',
    ),
    'any code point': build(anyCodePoint),
    digits: build(() => (next() < 0.2 ? pick(BLANKS) : String(Math.floor(next() * 1e9)))),
    'random words': build(
      () => build(() => pick([...'etaoinshrdlu']), 2 + Math.floor(next() * 20)) + ' ',
    ),
    'long words': build(
      () => build(() => pick([...'abcdefgh_-=']), 30 + Math.floor(next() * 200)) + pick(BLANKS),
    ),
  }
  for (const name of Object.keys(texts)) texts[name] = withoutRecent(texts[name]!)
  return texts
}

/** Words so long that tiktoken, whose merging is quadratic in their length, is given shorter ones. */
export function runs(length: number): Record<string, string> {
  return Object.fromEntries(
    ['a', ' ', '\n', 'ab', '-', 'é', 'क', '\u0301', 'the', '👍', '=', '\u00a0'].map((unit) => [
      `${length} of ${JSON.stringify(unit)}`,
      unit.repeat(length / unit.length) + 'x',
    ]),
  )
}
