// Characters that nothing of the input contains.

import { TokenizerError } from '../errors.js'

export function allText(values: unknown): string {
  try {
    return JSON.stringify(values)
  } catch (error) {
    throw new TokenizerError(
      'applyChatTemplate',
      `the messages are no JSON: ${(error as Error).message}`,
    )
  }
}

/** Characters that neither the input nor its JSON escapes contain. */
export function chooseMarks(input: string, count: number): string[] {
  const lower = input.toLowerCase()
  const found: string[] = []
  // 32 noncharacters, which no text should hold, then the private use area.
  for (let code = 0xfdd0; code !== 0xf900; code = code === 0xfdef ? 0xe000 : code + 1) {
    const char = String.fromCharCode(code)
    if (input.includes(char) || lower.includes(code.toString(16))) continue
    found.push(char)
    if (found.length === count) return found
  }
  throw new TokenizerError(
    'applyChatTemplate',
    'the messages hold every private-use character. A few must be free to mark what users wrote.',
  )
}

/** How `tojson(ensure_ascii=true)` writes a mark. */
export function escaped(mark: string): string {
  return `\\u${mark.charCodeAt(0).toString(16)}`
}
