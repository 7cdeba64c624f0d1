import { toByteAlphabet } from '../normalizers/byte-level.js'
import { prefixed } from '../normalizers/characters.js'
import { Regex } from '../regex/regex.js'
import { cut } from './split.js'
import type { PreTokenizerKind } from './index.js'

/** GPT-2's pattern, which a ByteLevel part cuts with unless `use_regex` is false. */
export const GPT2_PATTERN =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

let gpt2: Regex | undefined

export const byteLevel: PreTokenizerKind = (read, part, path) => {
  read.only(part, path, ['type', 'add_prefix_space', 'trim_offsets', 'use_regex'])
  const prefix = read.boolean(part.add_prefix_space, `${path}.add_prefix_space`, true)
  const regex = read.boolean(part.use_regex, `${path}.use_regex`, true)
  read.boolean(part.trim_offsets, `${path}.trim_offsets`, true)
  return (text) => {
    const whole = prefix && !text.text.startsWith(' ') ? prefixed(text, ' ') : text
    if (!regex) return [toByteAlphabet(whole)]
    gpt2 ??= new Regex(GPT2_PATTERN)
    return cut(whole, gpt2.matches(whole.text), 'Isolated').map(toByteAlphabet)
  }
}
