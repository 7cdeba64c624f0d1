import { isAscii } from '../text/aligned.js'
import type { Aligned } from '../text/aligned.js'
import type { NormalizerKind } from './index.js'

type Form = 'NFC' | 'NFD' | 'NFKC' | 'NFKD'

/** Characters that may compose with, or be ordered among, what stands before them. */
const JOINS = '\\p{M}\\u1160-\\u11ff\\u3131-\\u318e\\uff9e-\\uffdc\\u{16d63}\\u{16d67}-\\u{16d6a}'
const SEGMENT = new RegExp(`[^${JOINS}]?[${JOINS}]+|[^\\0-\\x7f]`, 'gu')

/** Unicode's normalization forms. A character stands for all that it was composed of. */
export function composition(form: Form): NormalizerKind {
  return (read, part, path) => {
    read.only(part, path, ['type'])
    return (text) => normalized(text, form)
  }
}

function normalized(text: Aligned, form: Form): Aligned {
  if (isAscii(text)) return text
  const whole = text.text.normalize(form)
  if (whole === text.text) return text
  const edit = text.edit()
  if (text.tracked) {
    const put = (at: number, part: string, becomes: string): void => {
      if (becomes !== part) edit.replace(at, at + part.length, becomes)
    }
    for (const { 0: segment, index } of text.text.matchAll(SEGMENT)) {
      const becomes = segment.normalize(form)
      const chars = [...segment]
      const alone = chars.map((char) => char.normalize(form))
      if (alone.join('') !== becomes) put(index, segment, becomes)
      else {
        let at = index
        chars.forEach((char, i) => {
          put(at, char, alone[i]!)
          at += char.length
        })
      }
    }
    const result = edit.result()
    if (result.text === whole) return result
  }
  // Not asked for, or a composition that SEGMENT does not foresee: the text is right, its places are coarse.
  const coarse = text.edit()
  coarse.replace(0, text.length, whole)
  return coarse.result()
}

export function decomposed(text: Aligned): Aligned {
  return normalized(text, 'NFD')
}
