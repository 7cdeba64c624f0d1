// Which scripts a vocabulary covers.

const NAMES = [
  ...['Latin', 'Cyrillic', 'Greek', 'Arabic', 'Hebrew', 'Armenian', 'Georgian', 'Ethiopic'],
  ...['Devanagari', 'Bengali', 'Gurmukhi', 'Gujarati', 'Oriya', 'Tamil', 'Telugu', 'Kannada'],
  ...['Malayalam', 'Sinhala', 'Thai', 'Lao', 'Tibetan', 'Myanmar', 'Khmer', 'Mongolian'],
  ...['Han', 'Hiragana', 'Katakana', 'Hangul'],
]

const SCRIPTS = NAMES.map((name) => [name, new RegExp(`\\p{Script=${name}}`, 'u')] as const)

/** The script of the first letter that has one; undefined where there is none. */
export function scriptOf(token: string): string | undefined {
  for (const char of token) {
    if (char < '\u0080') {
      if (/[A-Za-z]/.test(char)) return 'Latin'
      continue
    }
    const found = SCRIPTS.find(([, pattern]) => pattern.test(char))
    if (found !== undefined) return found[0]
    if (/\p{L}/u.test(char)) return 'other'
  }
  return undefined
}
