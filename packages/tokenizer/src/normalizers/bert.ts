import { replaceAll } from '../text/aligned.js'
import { lowered } from './characters.js'
import { decomposed } from './composition.js'
import type { Normalizer, NormalizerKind } from './index.js'

const DIRT = /[\p{White_Space}\p{Cc}\p{Cf}\p{Cs}\p{Co}\ufffd]/gu
const BLANK = /[\t\n\r\p{Z}]/u // other blanks among the control characters go, as in Hugging Face's
// The ideographs that BERT's own code lists; the block from U+2B820 is missed there by a slip, and so here.
const IDEOGRAPH =
  /[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/gu
const ACCENT = /\p{Mn}+/gu

/** BERT's: control characters go, blanks become spaces, ideographs stand alone, then accents and case. */
export const bert: NormalizerKind = (read, part, path) => {
  read.only(part, path, [
    'type',
    'clean_text',
    'handle_chinese_chars',
    'strip_accents',
    'lowercase',
  ])
  const flag = (name: string, otherwise: boolean): boolean =>
    read.boolean(part[name], `${path}.${name}`, otherwise)
  const lower = flag('lowercase', true)
  const steps: Normalizer[] = []
  if (flag('clean_text', true)) {
    steps.push((text) => replaceAll(text, DIRT, (char) => (BLANK.test(char) ? ' ' : '')))
  }
  if (flag('handle_chinese_chars', true)) {
    steps.push((text) => replaceAll(text, IDEOGRAPH, (char) => ` ${char} `))
  }
  // Where the file does not say, accents go with case.
  if (flag('strip_accents', lower)) {
    steps.push((text) => replaceAll(decomposed(text), ACCENT, () => ''))
  }
  if (lower) steps.push(lowered)
  return (text) => steps.reduce((t, step) => step(t), text)
}
