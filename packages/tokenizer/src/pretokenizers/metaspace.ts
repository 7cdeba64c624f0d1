import { readMetaspace } from '../files/metaspace.js'
import { prefixed } from '../normalizers/characters.js'
import type { Aligned } from '../text/aligned.js'
import { cut, matchesOf } from './split.js'
import type { PreTokenizerKind } from './index.js'

/** sentencepiece's words: spaces become ▁, which begins a word. */
export const metaspace: PreTokenizerKind = (read, part, path) => {
  const { replacement, scheme, addPrefixSpace } = readMetaspace(read, part, path)
  if (!addPrefixSpace && scheme !== 'never') {
    read.fail(`${path}.add_prefix_space`, `is false, but prepend_scheme is "${scheme}".`)
  }
  const splits = read.boolean(part.split, `${path}.split`, true)
  const marks = new RegExp(replacement.replace(/[\\^$.*+?()[\]{}|/-]/, '\\$&'), 'gu')
  return (text) => {
    const marked = spacesReplaced(text, replacement)
    const wants =
      !marked.text.startsWith(replacement) &&
      (scheme === 'always' || (scheme === 'first' && marked.atStart))
    const whole = wants ? prefixed(marked, replacement) : marked
    return splits ? cut(whole, matchesOf(whole.text, marks), 'MergedWithNext') : [whole]
  }
}

function spacesReplaced(text: Aligned, replacement: string): Aligned {
  if (!text.text.includes(' ')) return text
  const edit = text.edit()
  if (text.tracked) {
    for (let i = text.text.indexOf(' '); i >= 0; i = text.text.indexOf(' ', i + 1)) {
      edit.replace(i, i + 1, replacement)
    }
  } else edit.replace(0, text.length, text.text.replaceAll(' ', replacement))
  return edit.result()
}
