import { byteToChar } from '../text/alphabet.js'
import type { Aligned } from '../text/aligned.js'
import type { NormalizerKind } from './index.js'

const encoder = new TextEncoder()

/** Each character becomes the stand-ins of its UTF-8 bytes; each of them stands for the whole character. */
export function toByteAlphabet(text: Aligned): Aligned {
  if (!text.tracked) {
    let out = ''
    for (const byte of encoder.encode(text.text)) out += byteToChar(byte)
    const edit = text.edit()
    edit.replace(0, text.length, out)
    return edit.result()
  }
  const edit = text.edit()
  for (const match of text.text.matchAll(/[^!-~]/gu)) {
    let becomes = ''
    for (const byte of encoder.encode(match[0])) becomes += byteToChar(byte)
    edit.replace(match.index, match.index + match[0].length, becomes)
  }
  return edit.result()
}

export const byteLevel: NormalizerKind = (read, part, path) => {
  read.only(part, path, ['type'])
  return toByteAlphabet
}
