import { toByteAlphabet } from '../normalizers/byte-level.js'
import { prefixed } from '../normalizers/characters.js'
import { GPT2_PATTERN } from '../split/patterns.js'
import { splitterOf, wordsOf } from '../split/words.js'
import { cut } from './split.js'
import type { PreTokenizerKind } from './index.js'

const gpt2 = splitterOf(GPT2_PATTERN)

export const byteLevel: PreTokenizerKind = (read, part, path) => {
  read.only(part, path, ['type', 'add_prefix_space', 'trim_offsets', 'use_regex'])
  const prefix = read.boolean(part.add_prefix_space, `${path}.add_prefix_space`, true)
  const regex = read.boolean(part.use_regex, `${path}.use_regex`, true)
  read.boolean(part.trim_offsets, `${path}.trim_offsets`, true)
  return (text) => {
    const whole = prefix && !text.text.startsWith(' ') ? prefixed(text, ' ') : text
    if (!regex) return [toByteAlphabet(whole)]
    return cut(whole, wordsOf(gpt2, whole.text), 'Isolated').map(toByteAlphabet)
  }
}
