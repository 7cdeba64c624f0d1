// Fixed-seed text for the tests: many scripts, joiners, blanks of every kind, and a corpus to train on.

import { Tokenizer } from '../src/index.js'
import { random } from './random.js'

export { random }

const WORDS = [
  ...'the of a cat dog sits sat on mat red blue circle square above below is what colour how many are there'.split(
    ' ',
  ),
  ...'pixel artist picture drawing small large near far between holding yellow green house tree river mountain'.split(
    ' ',
  ),
  ...'शक्ति हिन्दी में लिखा हुआ वाक्य चित्र लाल रंग क्या है नमस्ते दुनिया'.split(' '),
  ...'straße façade naïve café Ärger być mañana привет мир 世界 日本語 안녕'.split(' '),
  ...['2024', '1,234.50', '٣٤٥', "don't", "WE'LL", '(ok)', 'x=y+1;', '--', '...', '👍', '👨‍👩‍👧‍👦', '🇮🇳'],
]

/** A sentence of words, numbers, punctuation and blanks. */
export function sentence(next: () => number): string {
  const gaps = [
    ' ',
    ' ',
    ' ',
    ' ',
    '  ',
    '\n',
    ' \n',
    '\t',
    ', ',
    '. ',
    '\r\n\r\n',
    '\u00a0',
    '   ',
  ]
  let text = ''
  for (let n = 1 + Math.floor(next() * 20); n > 0; n--) {
    text += WORDS[Math.floor(next() * WORDS.length)]! + gaps[Math.floor(next() * gaps.length)]!
  }
  return text
}

export function corpus(sentences = 800, seed = 7): string[] {
  const next = random(seed)
  return Array.from({ length: sentences }, () => sentence(next))
}

/** Strings that splitters and decoders get wrong. */
export const HARD: readonly string[] = [
  '',
  ' ',
  '\n',
  ' \n \n  x',
  '   leading and trailing   ',
  "it's IT'S we'Re I'M you'LL 'tis '' 'ſ 'x",
  '👨‍👩‍👧‍👦 🏳️‍🌈 🇮🇳🇩🇪 👍🏽 e\u0301 \u200d\u200d',
  'शक्ति क्षत्रिय ज्ञान हिन्दी में — दो शब्द।',
  'العربية עברית 中文字符 日本語テキスト 한국어 ไทย',
  '12345678 1234567890123 ٣٤٥٦٧ ½²Ⅷ',
  'tabs\t\tand\r\nlines\r\r\n\n\n  end',
  '\u0000\u0001\u007f\u0085\u00a0\u2028\u2029\u3000\ufeff\uffff',
  'a\u0000b \u{10ffff} \u{1f600} \u{20000}',
  'x'.repeat(300) + ' ' + 'ab'.repeat(200) + ' '.repeat(50) + '!?'.repeat(100),
  '<|image|> <|end_of_turn|> <|im<|image|>age|>',
  'function f(x) {\n    return x ** 2; // ok\n}\n',
  '__proto__ constructor toString hasOwnProperty',
]

/** Random code points of all planes, surrogates left out unless `lone`. */
export function randomText(next: () => number, length: number, lone = false): string {
  const tops = [0x80, 0x80, 0x250, 0xa00, 0x3100, 0x10000, 0x110000]
  let text = ''
  while (text.length < length) {
    const code = Math.floor(next() * tops[Math.floor(next() * tops.length)]!)
    if (code >= 0xd800 && code < 0xe000 && !lone) continue
    text += next() < 0.2 ? ' \n\r\t'[Math.floor(next() * 4)]! : String.fromCodePoint(code)
  }
  return text
}

let shared: Tokenizer | undefined

/** One tokenizer of 700 ids for all tests of a file. */
export function trained(): Tokenizer {
  shared ??= Tokenizer.train(corpus(), { vocabSize: 700 })
  return shared
}
